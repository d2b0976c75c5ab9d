//! The control task: the one owner of the swarm. Messages in, the swarm's actions out; no user byte passes here.

use std::{
    collections::BTreeMap,
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use carrick_session::Code;
use carrick_swarm::{
    Action, Answer, AttemptId, CloseReason, ConnectionId, DialError, DialOptions, Direction, Event,
    LookupId, Notice, Origin, Query, Swarm, WaiterId,
};
use carrick_wire::{Multiaddr, PeerId};
use futures::FutureExt;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tracing::{Instrument, Span, debug, debug_span};

use crate::{
    AttemptError, Connection, ConnectionError, ListenError, NodeEvent,
    alarm::Alarm,
    connection::{
        self, Channel, Link, Shared,
        muxed::{Muxed, duo, reader::Reader, writer},
        quic::{self, Quic},
    },
    core::Core,
    dial, identify, inbound,
    message::{Arrival, Carrier, Listening, Message, Session, Upgraded},
    resolve,
    target::Target,
};

/// Messages that wait for the control task.
pub(crate) const MESSAGES_MAX: usize = 1024;
/// Connections that wait to be identified at once; whoever finds no place waits a moment longer.
const HURRIED_MAX: usize = 64;
/// How often connections that may be superfluous are asked whether they are idle.
const DUPLICATE_CHECK: Duration = Duration::from_secs(1);
/// How long an address that a user gave is remembered.
const ADDRESS_TTL: Duration = Duration::from_secs(3600);

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
}

impl Control {
    pub(crate) fn new(
        node: Arc<Core>,
        messages: mpsc::Receiver<Message>,
        events: broadcast::Sender<NodeEvent>,
    ) -> Self {
        let (hurry, hurried) = mpsc::channel(HURRIED_MAX);
        let mut swarm = Swarm::new(node.config.swarm.clone(), node.id);
        let dialer = node.clone();
        swarm.set_dialable(move |address| dial::can_dial(&dialer, address));
        Self {
            node,
            swarm,
            messages,
            events,
            connections: BTreeMap::new(),
            next_connection: 0,
            waiters: BTreeMap::new(),
            dials: BTreeMap::new(),
            lookups: BTreeMap::new(),
            tasks: JoinSet::new(),
            duplicates: BTreeMap::new(),
            next_duplicate_check: Instant::now(),
            to_identify: identify::Later::default(),
            hurried,
            hurry,
            alarm: Alarm::new(),
        }
    }

    /// Runs until the node is closed.
    pub(crate) async fn run(mut self) {
        loop {
            let check = (!self.duplicates.is_empty()).then_some(self.next_duplicate_check);
            let ask = self.to_identify.poll_timeout();
            let deadlines = [self.swarm.poll_timeout(), check, ask];
            self.alarm.set(deadlines.into_iter().flatten().min());
            let message = tokio::select! {
                // Messages come last: a flood of them must not keep timers and finished tasks waiting.
                biased;
                () = self.alarm.rings() => {
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
            Message::Addresses { peer, addresses } => self.event(Event::Addresses {
                peer,
                addresses,
                ttl: ADDRESS_TTL,
            }),
            Message::Listen { address, reply } => self.listen(address, reply),
            Message::Bound { result, reply } => self.bound(result, reply),
            Message::ListenerEnded { addresses } => self.listener_ended(addresses),
            Message::Accepted { arrival, remote } => self.accepted(arrival, remote),
            Message::AttemptProgress { attempt } => self.event(Event::AttemptProgress { attempt }),
            Message::LookedUp { lookup, result } => self.looked_up(lookup, result),
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
            } => match result {
                Ok(session) => self.establish(*session, remote, Origin::Pending(pending)),
                Err(error) => {
                    debug!(%remote, %error, "an inbound connection was not upgraded");
                    self.event(Event::PendingFailed { pending });
                }
            },
            Message::Ended { connection } => {
                self.event(Event::Closed { connection });
                self.duplicates.remove(&connection);
                self.to_identify.remove(connection);
                if let Some(shared) = self.connections.remove(&connection) {
                    shared.set_gone();
                    self.watch_duplicates(shared.peer);
                }
            }
            Message::Identified { connection, info } => {
                let info = *info;
                self.event(Event::Identified { connection, info });
            }
            Message::Pushed { connection, info } => {
                let info = *info;
                self.event(Event::Pushed { connection, info });
            }
            Message::Connections { peer, reply } => drop(reply.send(self.all_with(&peer))),
            Message::ProtocolsChanged => self.event(Event::ProtocolsChanged),
            Message::Close { .. } => unreachable!("run() takes it out"),
        }
    }

    fn all_with(&self, peer: &PeerId) -> Vec<Connection> {
        let all = self.swarm.connections(peer);
        let all = all.filter_map(|(id, _)| self.connections.get(&id).cloned());
        all.map(Connection::new).collect()
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

    fn tick(&mut self) {
        let now = Instant::now();
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

    /// Does what the swarm wants.
    fn act(&mut self) {
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Dial {
                    attempt,
                    address,
                    expected,
                } => self.dial(attempt, address, expected),
                Action::Abort { attempt } => {
                    if let Some(dial) = self.dials.remove(&attempt) {
                        dial.abort();
                    }
                }
                Action::LookUp { lookup, query } => self.look_up(lookup, query),
                Action::AbortLookUp { lookup } => {
                    if let Some(lookup) = self.lookups.remove(&lookup) {
                        lookup.abort();
                    }
                }
                Action::Resolve { waiter, result } => self.resolve(waiter, result),
                Action::Close { connection, reason } => self.close_connection(connection, reason),
                Action::Identify { connection } => self.identify(connection),
                Action::PushIdentify { connection } => self.spawn_on(connection, identify::push),
                Action::Prefer { peer, connection } => self.prefer(peer, connection),
                Action::Notice(notice) => self.notice(notice),
            }
        }
    }

    fn dial(&mut self, attempt: AttemptId, address: Multiaddr, expected: Option<PeerId>) {
        let node = self.node.clone();
        let dial = async move {
            let dial = dial::dial(&node, attempt, address.clone(), expected);
            let dialed = caught(dial).await.unwrap_or(Err(AttemptError::Aborted));
            let result = dialed.map(Box::new);
            node.send(Message::Dialed {
                attempt,
                address,
                result,
            })
            .await;
        };
        self.dials.insert(attempt, self.tasks.spawn(dial));
    }

    fn look_up(&mut self, lookup: LookupId, query: Query) {
        let node = self.node.clone();
        let ask = async move {
            let answer = caught(resolve::ask(&*node.resolver, query)).await;
            let result = answer.unwrap_or_else(|| Err("the resolver panicked".to_owned()));
            node.send(Message::LookedUp { lookup, result }).await;
        };
        self.lookups.insert(lookup, self.tasks.spawn(ask));
    }

    fn looked_up(&mut self, lookup: LookupId, result: Result<Answer, String>) {
        self.lookups.remove(&lookup);
        self.event(Event::LookedUp { lookup, result });
    }

    fn resolve(&mut self, waiter: WaiterId, result: Result<ConnectionId, DialError>) {
        let Some(reply) = self.waiters.remove(&waiter) else {
            return;
        };
        // From here on it is held: it cannot become idle before the waiter has opened its stream.
        let connection = result.and_then(|id| {
            let shared = self.connections.get(&id).ok_or(DialError::Closed)?;
            Ok(Connection::new(shared.clone()))
        });
        // Whoever dropped its future has no use for the outcome.
        let _ = reply.send(connection);
    }

    fn close_connection(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(shared) = self.connections.get(&connection) else {
            return;
        };
        if reason != CloseReason::Duplicate {
            shared.close(connection::close_code(reason));
        } else if !shared.close_idle(Instant::now(), connection::close_code(reason)) {
            // A stream was opened on it since it was last asked: it stays.
            self.duplicates.insert(connection, false);
            let idle = false;
            return self
                .swarm
                .handle_event(Instant::now(), Event::Idle { connection, idle });
        }
        debug!(peer = %shared.peer, %reason, "closing a connection");
    }

    /// Soon; over QUIC at once: py-libp2p may lose the answer that it waits for when a stream of ours comes meanwhile.
    fn identify(&mut self, connection: ConnectionId) {
        let link = self.connections.get(&connection).map(|shared| &shared.link);
        match link {
            Some(Link::Quic(_)) => self.spawn_on(connection, identify::ask),
            _ => self.to_identify.push(Instant::now(), connection),
        }
    }

    fn spawn_on<F>(&self, connection: ConnectionId, run: impl FnOnce(Arc<Core>, Arc<Shared>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(shared) = self.connections.get(&connection) {
            tokio::spawn(run(self.node.clone(), shared.clone()));
        }
    }

    fn prefer(&mut self, peer: PeerId, connection: Option<ConnectionId>) {
        let shared = connection.and_then(|id| self.connections.get(&id).cloned());
        let mut peers = self
            .node
            .peers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match shared {
            Some(shared) => drop(peers.insert(peer, shared)),
            None => drop(peers.remove(&peer)),
        }
        drop(peers);
    }

    /// Whoever shares its peer with another connection is asked from time to time whether it is idle.
    fn watch_duplicates(&mut self, peer: PeerId) {
        let all: Vec<_> = self.swarm.connections(&peer).map(|(id, _)| id).collect();
        for id in &all {
            if all.len() > 1 {
                self.duplicates.entry(*id).or_insert(false);
            } else {
                self.duplicates.remove(id);
            }
        }
    }

    /// Only connections that share their peer are asked: the others' streams come and go without a word to us.
    fn check_duplicates(&mut self) {
        let mut changed = Vec::new();
        for (id, was_idle) in &mut self.duplicates {
            let idle = self
                .connections
                .get(id)
                .is_some_and(|shared| shared.idle_since().is_some());
            if idle != *was_idle {
                *was_idle = idle;
                changed.push(Event::Idle {
                    connection: *id,
                    idle,
                });
            }
        }
        changed.into_iter().for_each(|event| self.event(event));
    }

    fn notice(&self, notice: Notice) {
        let event = match notice {
            Notice::Connected {
                peer,
                address,
                direction,
                ..
            } => NodeEvent::Connected {
                peer,
                address,
                direction,
            },
            Notice::Disconnected { peer } => NodeEvent::Disconnected { peer },
            Notice::Identified { peer, .. } => NodeEvent::Identified { peer },
            Notice::Listening { address } => NodeEvent::Listening { address },
            Notice::ListenerClosed { address } => NodeEvent::ListenerClosed { address },
            Notice::DialFailed { peer, error } => NodeEvent::DialFailed { peer, error },
            Notice::ConnectionClosed { peer, reason, .. } => {
                debug!(%peer, ?reason, "a connection was closed");
                return;
            }
            Notice::ExternalAddress { address } => {
                debug!(%address, "several peers see us at this address");
                return;
            }
        };
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn listen(
        &mut self,
        address: Multiaddr,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    ) {
        let node = self.node.clone();
        self.tasks.spawn(async move {
            let result = dial::listen(&node, address).await;
            node.send(Message::Bound { result, reply }).await;
        });
    }

    fn bound(
        &mut self,
        result: Result<Listening, ListenError>,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    ) {
        let outcome = result.map(|listening| {
            let addresses = match &listening {
                Listening::Pipes(listener) => listener.addresses(),
                Listening::Quic(listener) => listener.addresses().to_vec(),
            };
            self.set_addresses(|all| all.extend_from_slice(&addresses));
            for address in addresses.clone() {
                self.event(Event::Listening { address });
            }
            let (node, bound) = (self.node.clone(), addresses.clone());
            self.tasks.spawn(async move {
                dial::accept_all(&node, listening).await;
                node.send(Message::ListenerEnded { addresses: bound }).await;
            });
            addresses
        });
        // Whoever dropped its future still gets its listener.
        let _ = reply.send(outcome);
    }

    fn listener_ended(&mut self, addresses: Vec<Multiaddr>) {
        self.set_addresses(|all| all.retain(|address| !addresses.contains(address)));
        for address in addresses {
            self.event(Event::ListenerClosed { address });
        }
    }

    fn set_addresses(&self, change: impl FnOnce(&mut Vec<Multiaddr>)) {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let addresses = self.node.addresses.write();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        change(&mut addresses);
        // It grows even when the clock does not.
        let last = self.node.record_seq.load(Ordering::Relaxed);
        let seq = now.max(last.saturating_add(1));
        self.node.record_seq.store(seq, Ordering::Relaxed);
    }

    /// Admission comes before the first byte is read, and before QUIC's handshake.
    fn accepted(&mut self, arrival: Arrival, remote: Multiaddr) {
        let pending = match self.swarm.admit(Instant::now(), &remote) {
            Ok(pending) => pending,
            Err(refused) => return debug!(%remote, %refused, "an inbound connection was refused"),
        };
        let node = self.node.clone();
        self.tasks.spawn(async move {
            let upgraded = caught(dial::upgrade_inbound(&node, arrival)).await;
            let result = upgraded.unwrap_or(Err(AttemptError::Aborted)).map(Box::new);
            node.send(Message::Upgraded {
                pending,
                remote,
                result,
            })
            .await;
        });
    }

    fn establish(&mut self, session: Session, address: Multiaddr, origin: Origin) {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let direction = match origin {
            Origin::Attempt(_) => Direction::Outbound,
            Origin::Pending(_) => Direction::Inbound,
        };
        let peer = session.peer;
        let outbound_max = self.node.config.session.outbound_streams_max;
        let details = connection::Origin {
            id,
            peer,
            key: session.key,
            summary: session.summary,
            address: address.clone(),
            direction,
            outbound_max,
            hurry: self.hurry.clone(),
            negotiation_timeout: self.node.config.negotiation_timeout,
        };
        let shared = self.start(details, session.carrier);
        shared.set_outbound_max(outbound_max.min(identify::FOREIGN_STREAMS_MAX));
        self.connections.insert(id, shared.clone());
        self.event(Event::Established {
            connection: id,
            peer,
            address,
            origin,
        });
        if !self.swarm.connections(&peer).any(|(known, _)| known == id) {
            // No limit counts a connection that was not taken in: it must not live until the peer closes its side.
            shared.lose(ConnectionError::Closed);
        }
        self.watch_duplicates(peer);
    }

    /// Makes the connection and starts its tasks.
    fn start(&self, origin: connection::Origin, carrier: Carrier) -> Arc<Shared> {
        let span = debug_span!("connection", peer = %origin.peer, id = origin.id.0);
        match carrier {
            Carrier::Pipe(upgraded) => self.start_muxed(origin, upgraded, span),
            Carrier::Quic(secured) => {
                let config = &self.node.config;
                let quic = Quic::new(secured, origin.outbound_max, &config.session);
                let shared = Arc::new(Shared::new(origin, Link::Quic(quic)));
                let incoming = self.server(&shared);
                let run = quic::run(shared.clone(), config.idle_timeout, incoming);
                self.spawn_last(&shared, run, span);
                shared
            }
        }
    }

    /// A muxer's reader and writer.
    fn start_muxed(
        &self,
        origin: connection::Origin,
        upgraded: Upgraded,
        span: Span,
    ) -> Arc<Shared> {
        let link = Link::Muxed(Muxed::new(upgraded.mux));
        let shared = Arc::new(Shared::new(origin, link));
        let write = writer::run(shared.clone(), upgraded.pipe.writer, upgraded.sealer);
        let write = caught_or_lost(shared.clone(), write).instrument(span.clone());
        let reader = Reader {
            shared: shared.clone(),
            pipe: upgraded.pipe.reader,
            opener: upgraded.opener,
            leftover: upgraded.leftover,
            idle_timeout: self.node.config.idle_timeout,
            incoming: self.server(&shared),
        };
        let run = duo::run(shared.clone(), Box::pin(reader.run()), Box::pin(write));
        self.spawn_last(&shared, run, span);
        shared
    }

    /// Serves every stream that the peer opens.
    fn server(&self, shared: &Arc<Shared>) -> impl FnMut(Channel) + use<> {
        let (node, shared) = (self.node.clone(), shared.clone());
        move |channel| {
            let serve = inbound::serve(node.clone(), shared.clone(), channel);
            drop(tokio::spawn(serve));
        }
    }

    /// Runs the task with which the connection ends, and then tells us so.
    fn spawn_last(
        &self,
        shared: &Arc<Shared>,
        run: impl Future<Output = ()> + Send + 'static,
        span: Span,
    ) {
        let (node, connection) = (self.node.clone(), shared.id);
        let run = caught_or_lost(shared.clone(), run);
        let run = run.map(move |()| node.post(Message::Ended { connection }));
        tokio::spawn(run.instrument(span));
    }

    /// No new streams; open ones may finish within a bound; then everything goes.
    async fn close(&mut self) {
        self.node.router.close();
        self.tasks.shutdown().await;
        self.node
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let drain =
            futures::future::join_all(self.connections.values().map(|shared| shared.drain()));
        if timeout(self.node.config.drain_timeout, drain)
            .await
            .is_err()
        {
            debug!("some streams did not finish in time");
        }
        self.event(Event::Shutdown);
        self.connections
            .values()
            .for_each(|shared| shared.close(Code::SHUTDOWN));
        // Whoever else closes the node is answered when it is closed: by the drop of this.
        let mut closers = Vec::new();
        let gone = async {
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
        };
        // The readers have a deadline of their own to end; this one is for a bug in it.
        let _ = timeout(2 * connection::CLOSE_TIMEOUT, gone).await;
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
    }
}

/// `None`: it panicked. A transport that does so loses its pipe and nothing else: what is counted is released.
fn caught<T>(future: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    // No async fn: it would hold its argument twice, and these futures are what an idle connection costs.
    AssertUnwindSafe(future).catch_unwind().map(Result::ok)
}

fn caught_or_lost(shared: Arc<Shared>, run: impl Future<Output = ()>) -> impl Future<Output = ()> {
    caught(run).map(move |finished| {
        if finished.is_none() {
            shared.lose(ConnectionError::Io(io::ErrorKind::Other));
        }
    })
}
