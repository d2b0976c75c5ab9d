//! The world: hosts, what happens to them, and its end.

use std::{collections::BTreeMap, time::Duration};

use carrick_swarm::DialOptions;
use carrick_wire::{Keypair, PeerId, ProtocolId};

use crate::{
    agenda::Due,
    book::Book,
    chance::Chance,
    config::Config,
    conversation::Conversation,
    ground::{Ground, SECOND, address_of},
    laws::{Breach, Law, Tally},
    load::{Answerer, Caller, LOAD},
    node::{Disk, Node, place::Handler},
    pipe::{PipeId, Side},
    scenario::{Operation, What},
};

mod operations;

/// How long the world is left alone before everybody is told to go.
const AFTERMATH: Duration = Duration::from_secs(200);
/// How long it takes everybody to be gone.
const FAREWELL: Duration = Duration::from_secs(90);
/// A clock that starts in 1970 could not be set back.
const WALL: Duration = Duration::from_secs(1_800_000_000);

/// Makes a caller for each seed.
type CallerOf = Box<dyn Fn(u64) -> Box<dyn Conversation>>;

/// A machine: what stays when its process is gone.
struct Host {
    keypair: Keypair,
    node: Option<Node>,
    disk: Disk,
    handlers: BTreeMap<ProtocolId, Handler>,
    kept: Vec<usize>,
    wall: Duration,
    life: u32,
    down: u32,
    suspended: Option<u64>,
    suspensions: u32,
    deferred: Vec<Due>,
}

/// Many nodes, the network between them, and a clock that nobody waits for.
///
/// ```
/// use carrick_sim::{Config, Conversation, Talk, World};
///
/// struct Shout;
/// impl Conversation for Shout {
///     fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]) {
///         talk.write(&bytes.to_ascii_uppercase());
///     }
/// }
///
/// struct Ask(Vec<u8>);
/// impl Conversation for Ask {
///     fn handle_opened(&mut self, talk: &mut Talk<'_>) {
///         talk.write(b"hello");
///         talk.finish();
///     }
///     fn recv(&mut self, _: &mut Talk<'_>, bytes: &[u8]) {
///         self.0.extend_from_slice(bytes);
///     }
///     fn handle_end(&mut self, talk: &mut Talk<'_>) {
///         talk.check(self.0 == b"HELLO", || format!("{:?} came back", self.0));
///     }
/// }
///
/// let mut world = World::new(1, Config { hosts: 2, ..Config::default() });
/// world.handle(1, "/shout/1", || Box::new(Shout));
/// world.call(0, 1, "/shout/1", Box::new(Ask(Vec::new())));
/// world.finish().map_err(|breach| breach.to_string())?;
/// # Ok::<(), String>(())
/// ```
pub struct World {
    ground: Ground,
    hosts: Vec<Host>,
    operations: Vec<Operation>,
    audit: u64,
    /// What a call of the scenario does; without it, it is the simulation's own.
    caller: Option<(ProtocolId, CallerOf)>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.ground.seed)
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world at its beginning: all hosts run, and nobody has met.
    pub fn new(seed: u64, config: Config) -> Self {
        let mut ground = Ground::new(seed, config);
        let count = ground.config.hosts;
        let kept = ground.config.kept_peers.min(count.saturating_sub(1));
        let mut hosts: Vec<_> = (0..count)
            .map(|host| {
                let chance = &mut Chance::of(seed ^ 0x4057, host as u64);
                Host {
                    keypair: keypair(chance),
                    node: None,
                    disk: Disk::default(),
                    handlers: BTreeMap::new(),
                    kept: (0..kept)
                        .map(|_| (host + 1 + chance.below(count as u64 - 1) as usize) % count)
                        .collect(),
                    wall: WALL,
                    life: 0,
                    down: 0,
                    suspended: None,
                    suspensions: 0,
                    deferred: Vec::new(),
                }
            })
            .collect();
        let kind = format!("{:?}, {:?}", ground.config.muxers, ground.config.faults);
        ground.say(None, format!("{count} hosts, {kind}"));
        ground.peers = hosts.iter().map(Host::peer).collect();
        for (number, host) in hosts.iter_mut().enumerate() {
            host.start(number, &mut ground);
        }
        let mut world = Self {
            ground,
            hosts,
            operations: Vec::new(),
            audit: 10 * SECOND,
            caller: None,
        };
        for host in 0..count {
            world.handle(host, LOAD, || Box::new(Answerer::default()));
        }
        world.ground.schedule(world.audit, Due::Audit);
        world
    }

    /// How many hosts there are.
    pub const fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// How often all hosts are audited; every ten virtual seconds at first.
    pub fn set_audit_interval(&mut self, interval: Duration) {
        self.audit = interval.as_nanos() as u64;
    }

    /// Speaks a protocol at a host: `handler` makes a conversation for each stream that comes in. Later lives of the host speak
    /// it, too.
    pub fn handle(
        &mut self,
        host: usize,
        protocol: &'static str,
        handler: impl FnMut() -> Box<dyn Conversation> + 'static,
    ) {
        let protocol = ProtocolId::from_static(protocol);
        let handler: Handler = Box::new(handler);
        match &mut self.hosts[host].node {
            Some(node) => node.handle(protocol, handler),
            None => drop(self.hosts[host].handlers.insert(protocol, handler)),
        }
    }

    /// One host calls another: it connects if it is not connected, opens a stream, and leaves it to the conversation, which
    /// hears of it if anything of this fails. A host that is down calls nobody.
    pub fn call(
        &mut self,
        from: usize,
        to: usize,
        protocol: &'static str,
        conversation: Box<dyn Conversation>,
    ) {
        let protocol = ProtocolId::from_static(protocol);
        self.call_at(from, to, true, (protocol, conversation));
    }

    /// From now on the scenario's calls are made by this; its argument is the call's seed.
    pub fn set_caller(
        &mut self,
        protocol: &'static str,
        caller: impl Fn(u64) -> Box<dyn Conversation> + 'static,
    ) {
        let protocol = ProtocolId::from_static(protocol);
        self.caller = Some((protocol, Box::new(caller)));
    }

    fn caller(&mut self, seed: u64) -> (ProtocolId, Box<dyn Conversation>) {
        match &self.caller {
            Some((protocol, caller)) => (protocol.clone(), caller(seed)),
            None => {
                let caller = Caller::new(seed, &mut self.ground);
                (ProtocolId::from_static(LOAD), Box::new(caller))
            }
        }
    }

    fn call_at(
        &mut self,
        from: usize,
        to: usize,
        known: bool,
        call: (ProtocolId, Box<dyn Conversation>),
    ) {
        let (Some(peer), ground) = (self.ground.peers.get(to).copied(), &mut self.ground) else {
            return;
        };
        let addresses: Vec<_> = known.then(|| address_of(to)).into_iter().collect();
        if let Some(node) = &mut self.hosts[from].node {
            node.call(peer, addresses, Some(call), DialOptions::default(), ground);
        }
    }

    /// Lets this happen, each at its time.
    pub fn plan(&mut self, operations: Vec<Operation>) {
        for operation in operations {
            let at = operation.at.as_nanos() as u64;
            self.ground
                .schedule(at, Due::Operation(self.operations.len()));
            self.operations.push(operation);
        }
    }

    /// Lets virtual time pass.
    ///
    /// # Errors
    /// The first law that was broken.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Breach> {
        let until = self.ground.nanos() + time.as_nanos() as u64;
        loop {
            if let Some(breach) = self.ground.laws.breach() {
                return Err(breach.clone());
            }
            let Some(due) = self.ground.next(until) else {
                return Ok(());
            };
            self.handle_due(due);
        }
    }

    /// Lets the plan happen, mends everything, waits until all is quiet, tells everybody to go, and looks whether anything is
    /// left.
    ///
    /// # Errors
    /// The first law that was broken.
    pub fn finish(&mut self) -> Result<(), Breach> {
        let last = self.operations.iter().map(|operation| operation.at).max();
        let left = last.unwrap_or_default().saturating_sub(self.now());
        self.run_for(left + Duration::from_secs(1))?;
        self.run_for(AFTERMATH)?;
        let (open, book) = (self.ground.book.open(), self.ground.book);
        self.ground
            .hold(Law::AllCallsEnd, open == 0, || format!("{book:?}"));
        self.ground.is_over = true;
        for host in &mut self.hosts {
            if let Some(node) = &mut host.node {
                node.shut_down(&mut self.ground);
            }
        }
        self.run_for(FAREWELL)?;
        for host in &self.hosts {
            if let Some(node) = &host.node {
                node.audit_end(&mut self.ground);
            }
        }
        let pipes = self.ground.pipes.len();
        self.ground
            .hold(Law::LeftPipes, pipes == 0, || format!("{pipes} pipes"));
        self.ground.laws.breach().cloned().map_or(Ok(()), Err)
    }

    /// Virtual time since the beginning.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.ground.nanos())
    }

    /// A number over every step that has happened. The same seed, configuration, plan and commit give the same one.
    pub const fn trace_hash(&self) -> u64 {
        self.ground.trace.hash()
    }

    /// Steps so far.
    pub const fn steps(&self) -> u64 {
        self.ground.trace.steps()
    }

    /// The last steps, a line each, for people to read.
    pub fn trace(&self, lines: usize) -> Vec<String> {
        self.ground.trace.lines(lines)
    }

    /// How often laws were looked at.
    pub fn tally(&self) -> Tally {
        self.ground.laws.tally()
    }

    /// How the simulation's own calls went.
    pub const fn book(&self) -> Book {
        self.ground.book
    }

    /// Connections that live, over all hosts.
    pub fn connections(&self) -> usize {
        let nodes = self.hosts.iter().filter_map(|host| host.node.as_ref());
        nodes.map(|node| node.connections.len()).sum()
    }

    fn handle_due(&mut self, due: Due) {
        if let Some(host) = self.host_of(&due)
            && self.hosts[host].suspended.is_some()
        {
            return self.hosts[host].deferred.push(due);
        }
        match due {
            Due::Arrive(pipe, side) => {
                if self.ground.arrives(pipe, side) {
                    self.user_moved(pipe, side);
                }
            }
            Due::Room(pipe, side) => self.user_moved(pipe, side),
            Due::Knock(pipe) => self.knock(pipe),
            Due::Answered { pipe, refused } => self.answer(pipe, refused),
            Due::Alarm { host, life, of } => {
                if let Some(node) = self.hosts[host].node.as_mut().filter(|n| n.life == life) {
                    node.rang(of, &mut self.ground);
                }
            }
            Due::Operation(at) => self.operate(at),
            Due::Over(over) => self.over(&over),
            Due::Audit => {
                self.ground.keep_alive();
                for host in &mut self.hosts {
                    if let Some(node) = host.node.as_mut().filter(|_| host.suspended.is_none()) {
                        node.audit(&mut self.ground);
                    }
                }
                let next = self.ground.nanos() + self.audit;
                self.ground.schedule(next, Due::Audit);
            }
        }
    }

    /// Whose process would do it.
    fn host_of(&self, due: &Due) -> Option<usize> {
        let end = |pipe: &PipeId, side: Side| {
            let pipe = self.ground.pipes.get(pipe)?;
            Some(pipe.end(side).host)
        };
        match due {
            Due::Arrive(pipe, side) | Due::Room(pipe, side) => end(pipe, *side),
            Due::Knock(pipe) => end(pipe, Side::LISTENER),
            Due::Answered { pipe, .. } => end(pipe, Side::DIALER),
            Due::Alarm { host, .. } => Some(*host),
            Due::Operation(at) => match &self.operations[*at].what {
                What::Call { from, .. }
                | What::Disconnect { from, .. }
                | What::Ban { from, .. } => Some(*from),
                What::Trim { host } | What::Announce { host, .. } => Some(*host),
                _ => None,
            },
            Due::Over(_) | Due::Audit => None,
        }
    }

    fn user_moved(&mut self, pipe: PipeId, side: Side) {
        let Some(entry) = self.ground.pipes.get(&pipe) else {
            return;
        };
        let (host, life, user) = {
            let end = entry.end(side);
            (end.host, end.life, end.user)
        };
        if let Some(node) = self.hosts[host].node.as_mut().filter(|n| n.life == life) {
            node.arrived(user, &mut self.ground);
        }
    }

    fn knock(&mut self, pipe: PipeId) {
        let Some(entry) = self.ground.pipes.get(&pipe) else {
            return;
        };
        let (from, to) = (entry.ends[0].host, entry.ends[1].host);
        if self.ground.is_cut(from, to) {
            let at = self.ground.nanos() + SECOND;
            return self.ground.schedule(at, Due::Knock(pipe));
        }
        match self.hosts[to].node.as_mut().filter(|node| !node.is_closed) {
            Some(node) => node.knocked(pipe, from, &mut self.ground),
            None => {
                let at = self.ground.nanos() + self.ground.delay(from, to);
                let refused = true;
                self.ground.abandon(pipe, Side::LISTENER, true);
                self.ground.schedule(at, Due::Answered { pipe, refused });
            }
        }
    }

    fn answer(&mut self, pipe: PipeId, refused: bool) {
        let Some(entry) = self.ground.pipes.get(&pipe) else {
            return;
        };
        let (from, life, to) = (entry.ends[0].host, entry.ends[0].life, entry.ends[1].host);
        if self.ground.is_cut(from, to) {
            let at = self.ground.nanos() + SECOND;
            return self.ground.schedule(at, Due::Answered { pipe, refused });
        }
        if let Some(node) = self.hosts[from].node.as_mut().filter(|n| n.life == life) {
            node.answered(pipe, refused, &mut self.ground);
        }
    }
}

impl Host {
    fn peer(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }

    fn start(&mut self, host: usize, ground: &mut Ground) {
        self.life += 1;
        let disk = std::mem::take(&mut self.disk);
        let keypair = self.keypair.clone();
        let mut node = Node::new(host, self.life, keypair, disk, self.wall, ground);
        for (protocol, handler) in std::mem::take(&mut self.handlers) {
            node.handle(protocol, handler);
        }
        ground.disturbed_hosts.insert(host, ground.nanos());
        for &kept in &self.kept {
            let seed = ground.chance.draw();
            let (now, peer) = (ground.now(), ground.peers[kept]);
            // A peer twice in the list is kept once.
            let _ = node
                .swarm
                .keep_connected(now, peer, vec![address_of(kept)], seed);
        }
        node.settle(ground);
        self.node = Some(node);
    }
}

fn keypair(chance: &mut Chance) -> Keypair {
    loop {
        if let Ok(keypair) = Keypair::ed25519_from_bytes(chance.bytes()) {
            return keypair;
        }
    }
}
