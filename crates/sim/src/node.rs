//! One process: a swarm, its connections, and what joins them. It carries out what the swarm wants, as the node's control
//! task does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use carrick_protocols::identify;
use carrick_session::{NoiseIdentity, Security};
use carrick_swarm::{
    AttemptId, ConnectionId, DialOptions, Direction, Event, Origin, Swarm, WaiterId,
};
use carrick_wire::{Keypair, Multiaddr, PeerId, ProtocolId};

use self::{
    connection::Connection,
    ledger::Ledger,
    place::{Handler, Kind, Place},
    upgrading::Upgrading,
};
use crate::{
    agenda::AlarmOf,
    chance::Chance,
    config::Muxers,
    conversation::{Conversation, Desk, Failure, Talk, Told},
    ground::{Ground, SECOND, address_of},
    laws::Law,
    pipe::{PipeId, Side, User},
};

mod actions;
mod audit;
mod builtin;
mod connection;
mod driving;
mod ledger;
mod looks;
pub(crate) mod place;
mod strand;
mod upgrading;
mod wishes;

/// How long a connection lives before its peer is asked who it is.
const ASK_AFTER: u64 = 10_000_000;
/// How often connections that may be superfluous are asked whether they are idle.
const DUPLICATE_CHECK: u64 = SECOND;
/// What windows of one process grow by at most.
const WINDOWS_MAX: u64 = 64 << 20;

/// What outlives the process.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) records: BTreeMap<String, Vec<u8>>,
}

/// Somebody who waits for a connection, and what is to be said on it.
pub(crate) struct Waiter {
    pub(crate) asked: u64,
    pub(crate) peer: PeerId,
    pub(crate) call: Option<(ProtocolId, Box<dyn Conversation>)>,
}

pub(crate) struct Node {
    pub(crate) host: usize,
    pub(crate) life: u32,
    pub(crate) place: Place,
    pub(crate) swarm: Swarm,
    securities: Vec<Security>,
    muxers: Vec<ProtocolId>,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    pub(crate) upgrades: BTreeMap<u64, Upgrading>,
    next_upgrade: u64,
    dials: BTreeMap<AttemptId, Dial>,
    next_attempt: u64,
    pub(crate) waiters: BTreeMap<WaiterId, Waiter>,
    next_waiter: u64,
    to_identify: VecDeque<(u64, ConnectionId)>,
    duplicates: BTreeMap<ConnectionId, bool>,
    next_duplicate_check: u64,
    /// What the swarm is to be told, once it has said what it wants.
    later: VecDeque<Event>,
    touched: BTreeSet<ConnectionId>,
    ledger: Ledger,
    armed: Option<u64>,
    pub(crate) is_closed: bool,
    pub(crate) disk: Disk,
    /// What the wall clock shows more than the world's time.
    pub(crate) wall: Duration,
}

/// An attempt under way.
#[derive(Debug, Clone, Copy)]
struct Dial {
    expected: Option<PeerId>,
    pipe: Option<PipeId>,
    upgrade: Option<u64>,
    begun: u64,
}

impl Node {
    pub(crate) fn new(
        host: usize,
        life: u32,
        keypair: Keypair,
        disk: Disk,
        wall: Duration,
        ground: &mut Ground,
    ) -> Self {
        let peer = keypair.public().to_peer_id();
        let (early, muxers) = muxers(ground.config.muxers);
        let secret = Chance::of(ground.seed ^ 0x5ec, host as u64).bytes();
        let noise = NoiseIdentity::new(&keypair, secret, early);
        let securities = noise.map(|noise| Security::Noise(Arc::new(noise)));
        let now = ground.now();
        let mut swarm = Swarm::new(ground.config.swarm.clone(), peer);
        swarm.set_dialable(|address| crate::ground::host_at(address).is_some());
        let mut node = Self {
            host,
            life,
            place: Place::new(host, keypair, WINDOWS_MAX),
            swarm,
            securities: securities.into_iter().collect(),
            muxers,
            connections: BTreeMap::new(),
            next_connection: 0,
            upgrades: BTreeMap::new(),
            next_upgrade: 0,
            dials: BTreeMap::new(),
            next_attempt: 0,
            waiters: BTreeMap::new(),
            next_waiter: 0,
            to_identify: VecDeque::new(),
            duplicates: BTreeMap::new(),
            next_duplicate_check: 0,
            later: VecDeque::new(),
            touched: BTreeSet::new(),
            ledger: Ledger::default(),
            armed: None,
            is_closed: false,
            disk,
            wall,
        };
        node.tell_time(ground);
        node.restore(ground);
        node.swarm.save(now);
        let address = address_of(host);
        node.event(Event::Listening { address }, ground);
        node
    }

    fn restore(&mut self, ground: &mut Ground) {
        let unix = self.unix(ground);
        let refused = self.swarm.counters().stored_refused;
        for (key, value) in &self.disk.records {
            self.swarm.restore(ground.now(), unix, key, value);
        }
        let now_refused = self.swarm.counters().stored_refused;
        ground.hold(Law::RestoredIsKnown, refused == now_refused, || {
            format!("h{}: {} records", self.host, now_refused - refused)
        });
    }

    /// The time of day as this host has it.
    pub(crate) fn unix(&self, ground: &Ground) -> Duration {
        self.wall + Duration::from_nanos(ground.nanos())
    }

    pub(crate) fn tell_time(&mut self, ground: &Ground) {
        let wall = SystemTime::UNIX_EPOCH + self.unix(ground);
        self.swarm.set_wall_clock(ground.now(), wall);
    }

    /// Speaks a protocol from now on.
    pub(crate) fn handle(&mut self, protocol: ProtocolId, handler: Handler) {
        self.place.handle(protocol, handler);
    }

    /// Calls a peer: connects to it, opens a stream, and leaves it to the conversation.
    pub(crate) fn call(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        call: Option<(ProtocolId, Box<dyn Conversation>)>,
        options: DialOptions,
        ground: &mut Ground,
    ) -> WaiterId {
        let id = WaiterId(self.next_waiter);
        self.next_waiter += 1;
        let asked = ground.nanos();
        ground.step(self.host, "waiter {} wants a connection", &[id.0]);
        self.waiters.insert(id, Waiter { asked, peer, call });
        let connect = Event::Connect {
            waiter: id,
            peer: Some(peer),
            addresses,
            options,
        };
        self.event(connect, ground);
        id
    }

    /// Tells the swarm something, and does what follows.
    pub(crate) fn event(&mut self, event: Event, ground: &mut Ground) {
        self.swarm.handle_event(ground.now(), event);
        self.settle(ground);
    }

    /// Does all that follows from what has happened.
    pub(crate) fn settle(&mut self, ground: &mut Ground) {
        let mut actions = 0_u32;
        loop {
            if ground.laws.breach().is_some() {
                return;
            }
            if let Some(action) = self.swarm.poll_action() {
                actions += 1;
                ground.hold(Law::ActionsCease, actions < 100_000, || {
                    format!("h{}: {action:?}", self.host)
                });
                self.act(action, ground);
            } else if let Some(event) = self.later.pop_front() {
                self.swarm.handle_event(ground.now(), event);
            } else if !self.place.told.is_empty() {
                for (id, told) in std::mem::take(&mut self.place.told) {
                    self.told(id, told, ground);
                }
            } else if let Some(id) = self.touched.pop_first() {
                self.turn(id, ground);
            } else {
                break;
            }
        }
        self.arm(ground);
    }

    fn turn(&mut self, id: ConnectionId, ground: &mut Ground) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.turn(ground, &mut self.place);
        if connection.lost().is_some() {
            return self.ended(id, ground);
        }
        let next = connection.next_at(ground);
        if let Some(at) = next
            && connection.armed.is_none_or(|armed| at < armed)
        {
            connection.armed = Some(at);
            ground.schedule_alarm(at, self.host, self.life, AlarmOf::Connection(id.0));
        }
    }

    /// A connection is gone.
    fn ended(&mut self, id: ConnectionId, ground: &mut Ground) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        let why = connection.lost().unwrap_or("closed");
        let text = format!("c{id} to h{}: {why}", connection.peer_host);
        ground.say(Some(self.host), text);
        connection.forsake(&Failure::Lost(why), ground, &mut self.place);
        let left = connection.mux.streams();
        ground.hold(Law::ClosedStreams, left == 0, || {
            format!("h{} c{id}: {left} streams", self.host)
        });
        ground.close(connection.pipe, connection.side);
        let peer = connection.peer;
        drop(connection);
        self.duplicates.remove(&id);
        self.to_identify.retain(|(_, waiting)| *waiting != id);
        self.later.push_back(Event::Closed { connection: id });
        self.watch_duplicates(peer);
    }

    /// What a built-in protocol has found out.
    fn told(&mut self, id: ConnectionId, told: Told, ground: &mut Ground) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match told {
            Told::Identified(info) => {
                let peer = connection.peer_host;
                self.ledger.check_identity(self.host, peer, &info, ground);
                connection.spoken = info.protocols.iter().cloned().collect();
                connection.trust(ground);
                self.ping(id, ground);
                let info = *info;
                self.later.push_back(Event::Identified {
                    connection: id,
                    info,
                });
            }
            Told::Pushed(info) => {
                connection.counts_push(ground.now());
                let info = *info;
                self.later.push_back(Event::Pushed {
                    connection: id,
                    info,
                });
            }
            Told::Pinged(rtt) => {
                let peer = connection.peer;
                self.swarm.record_rtt(&peer, rtt);
            }
        }
    }

    /// Who has dialed pings.
    fn ping(&mut self, id: ConnectionId, ground: &Ground) {
        let (Some(interval), Some(connection)) =
            (ground.config.ping_interval, self.connections.get_mut(&id))
        else {
            return;
        };
        if connection.direction == Direction::Outbound && !connection.pinged {
            connection.pinged = true;
            let ping = Box::new(builtin::Ping::new(interval));
            let protocol = carrick_protocols::ping::PROTOCOL;
            connection.wish(protocol, ping, Kind::Ping, ground.nanos());
            self.touched.insert(id);
        }
    }

    /// Something may have come.
    pub(crate) fn arrived(&mut self, user: User, ground: &mut Ground) {
        match user {
            User::Connection(id) => {
                self.touched.insert(ConnectionId(id));
            }
            User::Upgrade(id) => self.upgrade_moved(id, ground),
            User::Attempt(_) | User::Nobody => {}
        }
        self.settle(ground);
    }

    /// An alarm rings.
    pub(crate) fn rang(&mut self, of: AlarmOf, ground: &mut Ground) {
        let now = ground.nanos();
        match of {
            AlarmOf::Swarm => {
                if self.armed.is_some_and(|at| at <= now) {
                    self.armed = None;
                    self.tick(ground);
                }
            }
            AlarmOf::Upgrade(id) => self.upgrade_late(id, ground),
            AlarmOf::Connection(id) => {
                let id = ConnectionId(id);
                if let Some(connection) = self.connections.get_mut(&id)
                    && connection.armed.is_some_and(|at| at <= now)
                {
                    connection.armed = None;
                    connection.handle_timeout(ground, &self.place);
                    self.touched.insert(id);
                }
            }
        }
        self.settle(ground);
    }

    fn tick(&mut self, ground: &mut Ground) {
        self.tell_time(ground);
        self.swarm.handle_timeout(ground.now());
        let next = self.swarm.poll_timeout();
        let moved = next.is_none_or(|next| next > ground.now());
        ground.hold(Law::TimeoutsMove, moved, || {
            format!("h{}: the swarm's", self.host)
        });
        let now = ground.nanos();
        while let Some((_, id)) = self.to_identify.pop_front_if(|(due, _)| *due <= now) {
            self.ask(id, ground);
        }
        if now >= self.next_duplicate_check && !self.duplicates.is_empty() {
            self.next_duplicate_check = now + DUPLICATE_CHECK;
            self.check_duplicates();
        }
    }

    fn ask(&mut self, id: ConnectionId, ground: &Ground) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let learn = Box::new(builtin::Learn::asked(connection.peer));
            connection.wish(identify::PROTOCOL, learn, Kind::Identify, ground.nanos());
            self.touched.insert(id);
        }
    }

    fn arm(&mut self, ground: &mut Ground) {
        let check = (!self.duplicates.is_empty()).then_some(self.next_duplicate_check);
        let swarm = self.swarm.poll_timeout().map(|at| ground.nanos_of(at));
        let ask = self.to_identify.front().map(|(at, _)| *at);
        let next = [check, swarm, ask].into_iter().flatten().min();
        if let Some(at) = next {
            let at = at.max(ground.nanos());
            if self.armed.is_none_or(|armed| at < armed) {
                self.armed = Some(at);
                ground.schedule_alarm(at, self.host, self.life, AlarmOf::Swarm);
            }
        }
    }

    fn watch_duplicates(&mut self, peer: PeerId) {
        let all: Vec<_> = self.swarm.connections(&peer).map(|(id, _)| id).collect();
        for id in &all {
            if all.len() > 1 && self.connections.contains_key(id) {
                self.duplicates.entry(*id).or_insert(false);
            } else {
                self.duplicates.remove(id);
            }
        }
    }

    fn check_duplicates(&mut self) {
        for (id, was_idle) in &mut self.duplicates {
            let connection = self.connections.get(id);
            let idle = connection.is_some_and(|connection| !connection.is_used());
            if idle != *was_idle {
                *was_idle = idle;
                self.later.push_back(Event::Idle {
                    connection: *id,
                    idle,
                });
            }
        }
    }

    /// The process stood still for so long.
    pub(crate) fn slept(&mut self, time: Duration, ground: &mut Ground) {
        for connection in self.connections.values_mut() {
            connection.excuse(time, ground.now());
        }
        for waiter in self.waiters.values_mut() {
            waiter.asked += time.as_nanos() as u64;
        }
        for dial in self.dials.values_mut() {
            dial.begun += time.as_nanos() as u64;
        }
        for upgrade in self.upgrades.values_mut() {
            upgrade.begun += time.as_nanos() as u64;
        }
        self.event(Event::Slept { time }, ground);
        self.event(Event::NetworkChanged, ground);
    }

    /// The process is gone, at once. `silently`: its machine, too.
    pub(crate) fn kill(
        mut self,
        silently: bool,
        ground: &mut Ground,
    ) -> (Disk, BTreeMap<ProtocolId, Handler>) {
        for (_, mut connection) in std::mem::take(&mut self.connections) {
            connection.forsake(&Failure::Killed, ground, &mut self.place);
            ground.abandon(connection.pipe, connection.side, silently);
        }
        for (_, upgrade) in std::mem::take(&mut self.upgrades) {
            ground.abandon(upgrade.pipe, upgrade.side, silently);
        }
        for dial in std::mem::take(&mut self.dials).into_values() {
            if let (Some(pipe), None) = (dial.pipe, dial.upgrade) {
                ground.abandon(pipe, Side::DIALER, silently);
            }
        }
        for (_, waiter) in std::mem::take(&mut self.waiters) {
            self.answer_call(waiter, &Failure::Killed, ground);
        }
        (self.disk, self.place.handlers)
    }

    fn answer_call(&self, waiter: Waiter, failure: &Failure, ground: &mut Ground) {
        if let Some((_, mut conversation)) = waiter.call {
            let mut talk = Talk {
                ground,
                desk: &mut Desk::default(),
                host: self.host,
                peer: self.place.peer,
                peer_host: None,
            };
            conversation.handle_error(&mut talk, failure);
        }
    }

    /// Ends everything in good order.
    pub(crate) fn shut_down(&mut self, ground: &mut Ground) {
        self.is_closed = true;
        ground.step(self.host, "shuts down", &[]);
        self.drop_pending(ground);
        self.event(Event::Shutdown, ground);
    }
}

fn muxers(muxers: Muxers) -> (Vec<ProtocolId>, Vec<ProtocolId>) {
    const YAMUX: ProtocolId = ProtocolId::from_static("/yamux/1.0.0");
    const MPLEX: ProtocolId = ProtocolId::from_static("/mplex/6.7.0");
    match muxers {
        Muxers::YamuxEarly => (vec![YAMUX], vec![YAMUX]),
        Muxers::YamuxLate => (vec![], vec![YAMUX]),
        Muxers::Both => (vec![], vec![YAMUX, MPLEX]),
        Muxers::Mplex => (vec![], vec![MPLEX]),
    }
}

/// The attempt that a connection comes from, if it was dialed.
pub(crate) fn attempt_of(origin: Origin) -> Option<AttemptId> {
    match origin {
        Origin::Attempt(attempt) => Some(attempt),
        Origin::Pending(_) => None,
    }
}
