//! The swarm: takes events, asks its parts, gives actions. It decides nothing that concerns one part
//! only; what stands here is how the parts hang together.

use std::time::{Duration, Instant};

use carrick_protocols::identify::{self, PushLimiter};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    addresses::{Scope, scope, split_peer},
    admission::Admission,
    config::{Config, Counters},
    connections::{self, Connection, Connections},
    dialer::Dialer,
    error::{AttemptError, DialError},
    event::{
        Action, AttemptId, CloseReason, ConnectionId, DialOptions, Direction, Event, Notice,
        Origin, WaiterId,
    },
    kept::Kept,
    limits::{Limit, LimitReached},
    listeners::Listeners,
    names,
    peer_store::{PeerMetadata, PeerStore, Told},
    plan::{Ourselves, Plan, Target, Transports},
    reputation::Reputation,
    tags::Tags,
    timers::{Outbox, Timer},
};

mod keeping;
mod own;
mod saved;

pub use saved::Change;
use saved::Saving;

/// The control plane of one node. Feed it events and the time; after each, drain its actions.
#[derive(Debug)]
pub struct Swarm {
    config: Config,
    local: PeerId,
    connections: Connections,
    dialer: Dialer,
    listeners: Listeners,
    transports: Transports,
    peer_store: PeerStore,
    saving: Option<Saving>,
    tags: Tags,
    kept: Kept,
    reputation: Reputation,
    admission: Admission,
    // Our own pushes keep to the pace that we grant others; made at the first.
    pushes: Option<PushLimiter>,
    closed: bool,
    out: Outbox,
}

impl Swarm {
    /// A swarm without connections; `local` is our own id.
    pub fn new(config: Config, local: PeerId) -> Self {
        Self {
            connections: Connections::new(config.clone(), local),
            dialer: Dialer::new(config.clone()),
            listeners: Listeners::default(),
            transports: Transports::default(),
            peer_store: PeerStore::new(config.clone()),
            saving: None,
            tags: Tags::new(&config),
            kept: Kept::default(),
            reputation: Reputation::new(config.clone()),
            admission: Admission::default(),
            pushes: None,
            closed: false,
            out: Outbox::default(),
            config,
            local,
        }
    }

    /// Tells which addresses the shell can dial, without the peer id at their end and with an IP for a name. Others are
    /// not tried, and do not count. Without this, every address is taken to be dialable.
    pub fn set_dialable(&mut self, dialable: impl Fn(&Multiaddr) -> bool + Send + 'static) {
        self.transports = Transports(Some(Box::new(dialable)));
    }

    /// Takes one event.
    pub fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connect {
                waiter,
                peer,
                addresses,
                options,
            } => self.connect(now, waiter, peer, addresses, options),
            Event::Cancel { waiter } => self.dialer.cancel(waiter, &mut self.out),
            Event::AttemptFailed { attempt, error } => self.attempt_failed(now, attempt, error),
            Event::AttemptProgress { attempt } => {
                self.dialer.progressed(now, attempt, &mut self.out);
            }
            Event::LookedUp { lookup, result } => {
                let (dialer, out) = (&mut self.dialer, &mut self.out);
                let ourselves = ourselves(
                    &self.listeners,
                    &self.transports,
                    &self.reputation,
                    &self.config,
                );
                dialer.looked_up(now, lookup, result, ourselves, out);
            }
            Event::PendingFailed { pending } => self.connections.fail_pending(pending),
            Event::Established {
                connection,
                peer,
                address,
                origin,
            } => self.established(now, connection, peer, address, origin),
            Event::Closed { connection } => self.connection_closed(now, connection),
            Event::Idle { connection, idle } => {
                self.connections.idle(now, connection, idle, &mut self.out);
            }
            Event::Spared { connection, held } => self.spared(now, connection, held),
            Event::Identified { connection, info } => self.identified(now, connection, info, false),
            Event::Pushed { connection, info } => self.pushed(now, connection, info),
            Event::Addresses {
                peer,
                addresses,
                ttl,
                source,
                from,
            } => {
                let told = Told {
                    source,
                    reach: from.as_ref().map_or(Scope::Public, scope),
                };
                let counters = &mut self.out.counters;
                self.peer_store
                    .add(now, peer, addresses, ttl, told, counters);
            }
            Event::Listening { address } => self.listening(now, address),
            Event::ListenerClosed { address } => self.listener_closed(now, address),
            Event::ProtocolsChanged => self.schedule_push(now),
            Event::NetworkChanged => self.dialer.forget_failures(),
            Event::Slept { time } => self.out.timers.postpone(time),
            Event::Disconnect { peer } => self.disconnect(now, &peer),
            Event::Shutdown => self.shut_down(now),
        }
        self.out.tell_limits(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.out.timers.pop_due(now) {
            let out = &mut self.out;
            match timer {
                Timer::Attempt(attempt) => self.dialer.attempt_timed_out(now, attempt, out),
                Timer::Next(dial) => self.dialer.next_due(now, dial, out),
                Timer::Names(dial) => {
                    let ourselves = ourselves(
                        &self.listeners,
                        &self.transports,
                        &self.reputation,
                        &self.config,
                    );
                    self.dialer.names_timed_out(now, dial, ourselves, out);
                }
                Timer::Dial(dial) => self.dialer.dial_timed_out(now, dial, out),
                Timer::Duplicate(connection) => {
                    self.connections.close_duplicate(now, connection, out);
                }
                Timer::Refresh(connection) => {
                    if self.connections.open(connection).is_some() {
                        out.push(Action::Identify { connection });
                    }
                }
                Timer::Trim => self.connections.trim(now, false, out),
                Timer::Push => self.push_identify(now),
                Timer::Bans => self.end_bans(now),
            }
        }
        self.decay_tags(now);
        self.dial_kept(now);
        self.peer_store.handle_timeout(now, &mut self.out.counters);
        self.out.tell_limits(now);
        self.save_due(now);
    }

    /// When [`Self::handle_timeout`] is to be called next; `None`: only after the next event.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [
            self.out.timers.next(),
            self.peer_store.poll_timeout(),
            self.save_at(),
            self.tags.poll_timeout(),
            self.kept.poll_timeout(),
        ];
        timers.into_iter().flatten().min()
    }

    /// What to do next, in this order. Drain it after every input.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }

    /// What we know of peers.
    pub fn peer_store(&self) -> &PeerStore {
        &self.peer_store
    }

    /// All that is known of a peer; `None`: nothing.
    pub fn peer_metadata(&self, now: Instant, peer: &PeerId) -> Option<PeerMetadata> {
        self.peer_store.metadata(peer, now)
    }

    /// Keeps a value of the user's with the peer, `None`: no longer. It stays until it is taken away, or the peer is
    /// forgotten for want of room.
    ///
    /// # Errors
    /// [`Limit::PeerValues`] or [`Limit::PeerValuesBytes`]; what was kept stays.
    pub fn set_peer_metadata(
        &mut self,
        now: Instant,
        peer: PeerId,
        name: String,
        value: Option<Vec<u8>>,
    ) -> Result<(), LimitReached> {
        let counters = &mut self.out.counters;
        self.peer_store.set_value(now, peer, name, value, counters)
    }

    /// Takes in a round trip time that was measured, however that was.
    pub fn record_rtt(&mut self, peer: &PeerId, rtt: Duration) {
        self.peer_store.measured(peer, rtt);
    }

    /// What was refused or given up so far.
    pub fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// The connections to a peer, without those we are closing.
    pub fn connections(&self, peer: &PeerId) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections.of_peer(peer)
    }

    /// Whether the connection was taken in and is not gone: the limits count it.
    pub fn holds(&self, connection: ConnectionId) -> bool {
        self.connections.peer(connection).is_some()
    }

    /// The peers we are connected to.
    pub fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.connections.preferred().map(|(peer, _)| peer)
    }

    /// The connection that new streams to this peer use.
    pub fn best_connection(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.connections.best(peer)
    }

    fn connect(
        &mut self,
        now: Instant,
        waiter: WaiterId,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        options: DialOptions,
    ) {
        let DialOptions {
            force_new,
            only_given,
        } = options;
        let named = || addresses.iter().find_map(|a| split_peer(a.clone()).1);
        let peer = peer.or_else(named);
        let existing = match &peer {
            _ if force_new => None,
            Some(peer) => self.connections.best(peer),
            None => addresses.iter().find_map(|a| self.connections.dialed(a)),
        };
        let at_once = match existing {
            _ if self.closed => Some(Err(DialError::Closed)),
            _ if peer == Some(self.local) => Some(Err(DialError::LocalPeer)),
            _ if self.ban_error(peer).is_some() => self.ban_error(peer).map(Err),
            Some(connection) => Some(Ok(connection)),
            None => None,
        };
        if let Some(result) = at_once {
            return self.out.push(Action::Resolve { waiter, result });
        }
        let known: Vec<_> = match peer.filter(|_| !only_given) {
            Some(peer) => {
                self.peer_store.touch(now, peer, &mut self.out.counters);
                let known = self.peer_store.known(&peer, now);
                known
                    .map(|(a, told)| names::Origin::known(a.clone(), told))
                    .collect()
            }
            None => Vec::new(),
        };
        let only = (only_given || peer.is_none()).then(|| addresses.clone());
        let target = Target {
            peer,
            only,
            force_new,
        };
        let given = addresses.into_iter().map(names::Origin::given);
        let all = given
            .chain(known)
            .map(|origin| (origin.address.clone(), origin));
        let ourselves = ourselves(
            &self.listeners,
            &self.transports,
            &self.reputation,
            &self.config,
        );
        let plan = Plan::new(&target, all, ourselves);
        let outbound = self.connections.outbound_count();
        let (dialer, out) = (&mut self.dialer, &mut self.out);
        dialer.connect(now, waiter, target, plan, outbound, ourselves, out);
    }

    fn attempt_failed(&mut self, now: Instant, attempt: AttemptId, error: AttemptError) {
        let expected = match error {
            AttemptError::WrongPeer { expected, .. } => Some(expected),
            _ => None,
        };
        let address = self.dialer.failed(now, attempt, error, &mut self.out);
        if let (Some(peer), Some(address)) = (expected, address) {
            let counters = &mut self.out.counters;
            self.peer_store.disproved(now, peer, &address, counters);
        }
    }

    fn established(
        &mut self,
        now: Instant,
        id: ConnectionId,
        peer: PeerId,
        address: Multiaddr,
        origin: Origin,
    ) {
        if let Some(reason) = self.unusable(now, &peer, &address, origin) {
            let connection = id;
            return self.out.push(Action::Close { connection, reason });
        }
        let dialed = match origin {
            Origin::Attempt(attempt) => self.dialer.succeeded(now, attempt, &mut self.out),
            Origin::Pending(_) => None,
        };
        let (direction, source) = match (origin, &dialed) {
            (Origin::Pending(pending), _) => {
                (Direction::Inbound, connections::Source::Admitted(pending))
            }
            (Origin::Attempt(_), Some((_, dialed))) => {
                // As it was asked for, perhaps by name: that is how it will be asked for again.
                let (asked, _) = split_peer(dialed.origin.address.clone());
                (Direction::Outbound, connections::Source::Dialed(asked))
            }
            (Origin::Attempt(_), None) => return,
        };
        let connection = Connection {
            peer,
            address: address.clone(),
            direction,
            established: now,
        };
        let is_first = !self.connections.knows(&peer);
        let added = self.connections.add(id, connection, source, &mut self.out);
        if added {
            let reached = dialed.as_ref().map(|(_, dialed)| dialed.address.clone());
            let counters = &mut self.out.counters;
            self.peer_store.connected(now, peer, reached, counters);
            self.reputation.rank(now, peer, true);
            self.out.notice(Notice::Connected {
                peer,
                connection: id,
                direction,
                address,
                is_first,
            });
            self.out.push(Action::Identify { connection: id });
            self.weigh(now, id, &peer);
        }
        let best = self.connections.best(&peer);
        if let Some((dial, _)) = dialed {
            let own = self.dialer.forces_new(dial);
            let result = if own { added.then_some(id) } else { best };
            let result = result.ok_or_else(|| self.peer_full());
            self.dialer.finish(dial, &result, &mut self.out);
        }
        if let Some(best) = best {
            self.dialer.connected(&peer, best, &mut self.out);
        }
    }

    /// Why a new connection must be closed at once; what it was before then ends here.
    fn unusable(
        &mut self,
        now: Instant,
        peer: &PeerId,
        address: &Multiaddr,
        origin: Origin,
    ) -> Option<CloseReason> {
        let (target, known) = match origin {
            Origin::Attempt(attempt) => {
                let dialed = self.dialer.attempt(attempt);
                (dialed.and_then(|d| d.expected), dialed.is_some())
            }
            Origin::Pending(pending) => (None, self.connections.is_pending(pending)),
        };
        let (reason, error) = match target {
            _ if self.closed => (CloseReason::Shutdown, AttemptError::Aborted),
            _ if !known => (CloseReason::Unwanted, AttemptError::Aborted),
            Some(expected) if expected != *peer => {
                let found = *peer;
                let error = AttemptError::WrongPeer { expected, found };
                (CloseReason::WrongPeer, error)
            }
            _ if *peer == self.local => (CloseReason::LocalPeer, AttemptError::OwnAddress),
            _ => self.inadmissible(*peer, address, origin)?,
        };
        match origin {
            Origin::Attempt(attempt) => self.attempt_failed(now, attempt, error),
            Origin::Pending(pending) => self.connections.fail_pending(pending),
        }
        Some(reason)
    }

    fn peer_full(&self) -> DialError {
        DialError::LimitReached(LimitReached {
            limit: Limit::ConnectionsPerPeer,
            max: self.config.connections_per_peer_max as u64,
        })
    }

    fn connection_closed(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(peer) = self.connections.closed(now, connection, &mut self.out) {
            let counters = &mut self.out.counters;
            self.peer_store.disconnected(now, peer, counters);
            self.kept.disconnected(now, &peer);
            self.reputation.rank(now, peer, false);
        }
        let belief = self.listeners.forget(connection, self.config.observers_min);
        self.believe(now, belief);
    }

    fn identified(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        info: identify::Info,
        is_push: bool,
    ) {
        let Some(Connection {
            peer,
            address: remote,
            direction,
            ..
        }) = self.connections.open(connection).cloned()
        else {
            return;
        };
        if self.reject_identified(now, connection, peer, &remote, &info) {
            return;
        }
        let counters = &mut self.out.counters;
        self.peer_store
            .identified(now, peer, &remote, &info, is_push, counters);
        if let Some(observed) = &info.observed_address {
            self.observed(now, connection, direction, &remote, observed);
        }
        self.out.notice(Notice::Identified {
            peer,
            connection,
            info,
        });
    }

    /// One push too many is not read, but what it said is asked for later.
    fn pushed(&mut self, now: Instant, connection: ConnectionId, info: identify::Info) {
        let Some(peer) = self.connections.open(connection).map(|c| c.peer) else {
            return;
        };
        let Err(later) = self.connections.allow_push(now, &peer) else {
            return self.identified(now, connection, info, true);
        };
        self.out.counters.pushes_ignored += 1;
        let timer = Timer::Refresh(connection);
        if !self.out.timers.is_set(timer) {
            self.out.timers.set(timer, later);
        }
    }

    fn disconnect(&mut self, now: Instant, peer: &PeerId) {
        self.dialer.stop(now, peer, &mut self.out);
        self.connections.close_peer(now, peer, &mut self.out);
    }

    fn shut_down(&mut self, now: Instant) {
        self.closed = true;
        self.out.timers.clear(Timer::Push);
        self.kept.clear();
        self.dialer.shut_down(&mut self.out);
        self.connections.close_all(now, &mut self.out);
    }
}

const fn ourselves<'a>(
    listeners: &'a Listeners,
    transports: &'a Transports,
    reputation: &'a Reputation,
    config: &Config,
) -> Ourselves<'a> {
    Ourselves {
        listeners,
        transports,
        allow_private: config.allow_private,
        reputation,
    }
}

mod figures;
mod standing;
mod usage;

#[cfg(test)]
mod tests;
