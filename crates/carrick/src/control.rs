//! The control task: the one owner of the swarm. Messages in, the swarm's actions out; no user byte passes here.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use carrick_swarm::{
    AttemptId, CloseReason, ConnectionId, DialError, DialOptions, Event, LookupId, Origin,
    PendingId, Swarm, WaiterId,
};
use carrick_wire::PeerId;
use futures::FutureExt;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::{AbortHandle, JoinSet},
    time::{timeout, timeout_at},
};
use tracing::debug;

use crate::{
    Connection, ConnectionError, ConnectionInfo, NodeEvent, admission,
    alarm::Alarm,
    connection::Shared,
    core::Core,
    dial, identify,
    message::{Ask, Message},
    steps::{self, Step},
    store::Saver,
    target::Target,
    watch,
};

mod actions;
mod counting;
mod links;
mod listening;
mod notices;
mod saving;

/// Messages that wait for the control task.
pub(crate) const MESSAGES_MAX: usize = 1024;
/// Connections that wait to be identified at once; whoever finds no place waits a moment longer.
const HURRIED_MAX: usize = 64;
/// How often connections that may be superfluous are asked whether they are idle.
const DUPLICATE_CHECK: Duration = Duration::from_secs(1);

/// The control task's state.
pub(crate) struct Control {
    node: Arc<Core>,
    swarm: Swarm,
    messages: mpsc::Receiver<Message>,
    events: broadcast::Sender<NodeEvent>,
    connections: BTreeMap<ConnectionId, Arc<Shared>>,
    next_connection: u64,
    waiters: BTreeMap<WaiterId, oneshot::Sender<Result<Connection, DialError>>>,
    dials: BTreeMap<AttemptId, AbortHandle>,
    /// Upgrades of those who came in, oldest first, and when they began.
    upgrades: BTreeMap<PendingId, (Instant, AbortHandle)>,
    lookups: BTreeMap<LookupId, AbortHandle>,
    /// Everything spawned but connections and handlers; ends with the control task.
    tasks: JoinSet<()>,
    /// Connections that share their peer with another one, and whether they were idle when last asked.
    duplicates: BTreeMap<ConnectionId, bool>,
    next_duplicate_check: Instant,
    to_identify: identify::Later,
    /// Connections whose peers somebody wants to know at once.
    hurried: mpsc::Receiver<ConnectionId>,
    hurry: mpsc::Sender<ConnectionId>,
    alarm: Alarm,
    saver: Option<Saver>,
}

impl Control {
    pub(crate) fn new(
        node: Arc<Core>,
        messages: mpsc::Receiver<Message>,
        events: broadcast::Sender<NodeEvent>,
        saver: Option<Saver>,
    ) -> Self {
        let (hurry, hurried) = mpsc::channel(HURRIED_MAX);
        let mut swarm = Swarm::new(node.config.swarm.clone(), node.id);
        let dialer = node.clone();
        swarm.set_dialable(move |address| dial::can_dial(&dialer, address));
        swarm.set_wall_clock(Instant::now(), SystemTime::now());
        if let Some(judge) = node.judge.clone() {
            swarm.set_admission(move |stage| admission::ask(&judge, stage));
        }
        Self {
            node,
            swarm,
            messages,
            events,
            connections: BTreeMap::new(),
            next_connection: 0,
            waiters: BTreeMap::new(),
            dials: BTreeMap::new(),
            upgrades: BTreeMap::new(),
            lookups: BTreeMap::new(),
            tasks: JoinSet::new(),
            duplicates: BTreeMap::new(),
            next_duplicate_check: Instant::now(),
            to_identify: identify::Later::default(),
            hurried,
            hurry,
            alarm: Alarm::new(),
            saver,
        }
    }

    /// Runs until the node is closed.
    pub(crate) async fn run(mut self) {
        if let Some(interval) = self.node.config.watch_interval {
            self.tasks.spawn(watch::run(self.node.clone(), interval));
        }
        loop {
            let check = (!self.duplicates.is_empty()).then_some(self.next_duplicate_check);
            let ask = self.to_identify.poll_timeout();
            let deadlines = [self.swarm.poll_timeout(), check, ask];
            self.alarm.set(deadlines.into_iter().flatten().min());
            let message = tokio::select! {
                // Messages come last: a flood of them must not keep timers and finished tasks waiting.
                biased;
                slept = self.alarm.rings() => {
                    if !slept.is_zero() {
                        self.event(Event::Slept { time: slept });
                    }
                    self.tick();
                    continue;
                }
                Some(_) = self.tasks.join_next() => continue,
                Some(connection) = self.hurried.recv() => {
                    if self.to_identify.remove(connection) {
                        self.spawn_on(connection, identify::ask);
                    }
                    continue;
                }
                message = self.messages.recv() => message,
            };
            match message {
                Some(Message::Close { done }) => {
                    self.close().await;
                    // The closer may have given up waiting.
                    let _ = done.map(|done| done.send(()));
                    return;
                }
                Some(message) => self.handle(message),
                None => return self.close().await,
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Connect {
                waiter,
                target,
                options,
                reply,
            } => {
                self.waiters.insert(waiter, reply);
                self.connect(waiter, target, options);
            }
            Message::Cancel { waiter } => {
                self.waiters.remove(&waiter);
                self.event(Event::Cancel { waiter });
            }
            Message::Listen { address, reply } => self.listen(address, reply),
            Message::Bound { result, reply } => self.bound(result, reply),
            Message::Relisten { before, now } => self.relisten(&before, now),
            Message::Around(change) => self.around(change),
            Message::ListenerEnded { addresses } => self.listener_ended(addresses),
            Message::Accepted(newcomer) => self.accepted(newcomer),
            Message::AttemptProgress { attempt } => self.event(Event::AttemptProgress { attempt }),
            Message::LookedUp { lookup, result } => {
                self.lookups.remove(&lookup);
                self.event(Event::LookedUp { lookup, result });
            }
            Message::Dialed {
                attempt,
                address,
                result,
            } => {
                self.dials.remove(&attempt);
                match result {
                    Ok(session) => self.establish(*session, address, Origin::Attempt(attempt)),
                    Err(error) => self.event(Event::AttemptFailed { attempt, error }),
                }
            }
            Message::Upgraded {
                pending,
                remote,
                result,
            } if self.upgrades.remove(&pending).is_some() => match result {
                Ok(session) => self.establish(*session, remote, Origin::Pending(pending)),
                Err(error) => {
                    debug!(%remote, %error, "an inbound connection was not upgraded");
                    self.event(Event::PendingFailed { pending });
                }
            },
            // It has had to make room just now.
            Message::Upgraded { .. } => {}
            Message::Ended { connection } => self.ended(connection),
            Message::Identified { connection, info } => {
                let info = *info;
                self.measured(connection);
                self.event(Event::Identified { connection, info });
            }
            Message::Pushed { connection, info } => {
                let info = *info;
                self.event(Event::Pushed { connection, info });
            }
            Message::Connections { peer, reply } => drop(reply.send(self.all_with(&peer))),
            Message::Roster { reply } => drop(reply.send(self.roster())),
            Message::ProtocolsChanged => self.protocols_changed(),
            Message::Swarm(ask) => self.ask(ask),
            Message::Close { .. } => unreachable!("run() takes it out"),
        }
    }

    fn ask(&mut self, Ask(ask): Ask) {
        let now = self.tell_time();
        let answer = ask(&mut self.swarm, now);
        self.act();
        answer();
    }

    /// What the connection has measured goes to the peer store: when the peer is identified and at the end.
    fn measured(&mut self, connection: ConnectionId) {
        if let Some(shared) = self.connections.get(&connection)
            && let Some(rtt) = shared.distance()
        {
            self.swarm.record_rtt(&shared.peer, rtt);
        }
    }

    fn all_with(&self, peer: &PeerId) -> Vec<Connection> {
        let all = self.swarm.connections(peer);
        let all = all.filter_map(|(id, _)| self.connections.get(&id).cloned());
        all.map(Connection::new).collect()
    }

    fn roster(&self) -> Vec<ConnectionInfo> {
        let now = Instant::now();
        let since = |shared: &Shared| {
            let mut all = self.swarm.connections(&shared.peer);
            all.find_map(|(id, known)| (id == shared.id).then_some(known.established))
        };
        let all = self.connections.values().filter(|shared| shared.is_open());
        all.filter_map(|shared| {
            let age = now.saturating_duration_since(since(shared)?);
            Some(ConnectionInfo::new(shared, age))
        })
        .collect()
    }

    fn connect(&mut self, waiter: WaiterId, target: Target, options: DialOptions) {
        let Target { peer, addresses } = target;
        self.event(Event::Connect {
            waiter,
            peer,
            addresses,
            options,
        });
    }

    fn event(&mut self, event: Event) {
        self.swarm.handle_event(Instant::now(), event);
        self.act();
    }

    fn ended(&mut self, connection: ConnectionId) {
        self.measured(connection);
        self.event(Event::Closed { connection });
        self.duplicates.remove(&connection);
        self.to_identify.remove(connection);
        if let Some(shared) = self.connections.remove(&connection) {
            shared.set_gone();
            self.watch_duplicates(shared.peer);
            self.blame(&shared);
        }
    }

    /// A connection's end may be the peer's fault.
    fn blame(&mut self, ended: &Shared) {
        let lost = ended.lost();
        if let Some((behaviour, source)) = lost.and_then(|error| error.behaviour()) {
            let (now, peer) = (self.tell_time(), ended.peer);
            self.swarm.record_behaviour(now, peer, behaviour, source);
            self.act();
        }
    }

    /// What time it is; bans go by the wall clock, which may be moved.
    fn tell_time(&mut self) -> Instant {
        let now = Instant::now();
        self.swarm.set_wall_clock(now, SystemTime::now());
        now
    }

    fn tick(&mut self) {
        let now = self.tell_time();
        self.swarm.handle_timeout(now);
        self.act();
        while let Some(connection) = self.to_identify.due(now) {
            self.spawn_on(connection, identify::ask);
        }
        if now >= self.next_duplicate_check && !self.duplicates.is_empty() {
            self.next_duplicate_check = now + DUPLICATE_CHECK;
            self.check_duplicates();
        }
    }

    /// Ready when no connection is left.
    async fn all_ended(&mut self, closers: &mut Vec<Option<oneshot::Sender<()>>>) {
        while !self.connections.is_empty() {
            let Some(message) = self.messages.recv().await else {
                return;
            };
            match message {
                ended @ Message::Ended { .. } => self.handle(ended),
                Message::Close { done } => closers.push(done),
                _ => {}
            }
        }
    }

    /// No new streams; open ones may finish within a bound; then everything goes.
    async fn close(&mut self) {
        let drain_timeout = self.node.config.drain_timeout;
        let by = Instant::now() + drain_timeout + LAST_WORDS;
        steps::passed(Step::NodeClosing);
        self.node.router.close();
        self.tasks.shutdown().await;
        self.node
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let drain =
            futures::future::join_all(self.connections.values().map(|shared| shared.drain()));
        if timeout(drain_timeout, drain).await.is_err() {
            debug!("some streams did not finish in time");
        }
        self.event(Event::Shutdown);
        self.connections
            .values()
            .for_each(|shared| shared.close(CloseReason::Shutdown));
        // Whoever else closes the node is answered when it is closed: by the drop of this.
        let mut closers = Vec::new();
        if timeout_at(by.into(), self.all_ended(&mut closers))
            .await
            .is_err()
        {
            // They do not take our last words, and go without.
            let all = self.connections.values();
            all.for_each(|shared| shared.lose(ConnectionError::Closed));
            // Nothing waits for a peer any more; this is for a bug in it.
            let _ = timeout(LAST_WORDS, self.all_ended(&mut closers)).await;
        }
        self.save_all().await;
        self.node.quic.close().await;
        for shared in self.connections.values() {
            shared.set_gone();
        }
        self.node
            .peers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.messages.close();
        while self.messages.try_recv().is_ok() {}
        steps::passed(Step::NodeClosed);
    }
}

/// How long a node that closes waits for peers to take what is queued for them, beyond the time that streams have to finish.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// `None`: it panicked. A transport that does so loses its pipe and nothing else: what is counted is released.
fn caught<T>(future: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    // No async fn: it would hold its argument twice, and these futures are what an idle connection costs.
    AssertUnwindSafe(future).catch_unwind().map(Result::ok)
}
