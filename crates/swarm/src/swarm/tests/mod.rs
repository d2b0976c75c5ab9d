//! Scenarios of one swarm, or two, on a clock of their own.

mod around;
mod boundaries;
mod choosing;
mod dialing;
mod duplicates;
mod hearsay;
mod identity;
mod keeping;
mod limits;
mod lookups;
mod random;
mod registry;
mod saving;
mod standing;
mod trimming;

use std::time::Duration;

use libp2p_identity::Keypair;

use super::*;
use crate::{
    config::Watermarks,
    error::{NameError, Refused, Skip},
    event::{Answer, Family, LookupId, PendingId, Query},
    peer_store::Source,
    tags::Tag,
};

/// A swarm with its clock and its shell's counters.
pub(super) struct Node {
    pub(super) swarm: Swarm,
    pub(super) now: Instant,
    ids: u64,
}

impl Node {
    pub(super) fn new(config: Config) -> Self {
        Self::of(LOCAL, config)
    }

    pub(super) fn of(local: u8, config: Config) -> Self {
        Self {
            swarm: Swarm::new(config, peer(local)),
            now: start(),
            ids: 0,
        }
    }

    pub(super) fn event(&mut self, event: Event) -> Vec<Action> {
        self.swarm.handle_event(self.now, event);
        self.drain()
    }

    pub(super) fn connect(
        &mut self,
        peer: impl Into<Option<PeerId>>,
        addresses: &[&str],
    ) -> (WaiterId, Vec<Action>) {
        self.connect_with(peer, addresses, DialOptions::default())
    }

    pub(super) fn connect_with(
        &mut self,
        peer: impl Into<Option<PeerId>>,
        addresses: &[&str],
        options: DialOptions,
    ) -> (WaiterId, Vec<Action>) {
        let waiter = WaiterId(self.id());
        let event = Event::Connect {
            waiter,
            peer: peer.into(),
            addresses: addresses.iter().map(|a| address(a)).collect(),
            options,
        };
        (waiter, self.event(event))
    }

    pub(super) fn fail(&mut self, attempt: AttemptId) -> Vec<Action> {
        let error = refused();
        self.event(Event::AttemptFailed { attempt, error })
    }

    /// The app has learnt where a peer is.
    pub(super) fn learns(&mut self, peer: PeerId, addresses: &[&str]) {
        self.learns_from(peer, addresses, Source::User, None);
    }

    /// Somebody says where a peer is.
    pub(super) fn learns_from(
        &mut self,
        peer: PeerId,
        addresses: &[&str],
        source: Source,
        from: Option<&str>,
    ) {
        self.event(Event::Addresses {
            peer,
            addresses: addresses.iter().map(|a| address(a)).collect(),
            ttl: seconds(24 * 60 * 60),
            source,
            from: from.map(address),
        });
    }

    pub(super) fn answer(&mut self, lookup: LookupId, result: Result<Answer, &str>) -> Vec<Action> {
        let result = result.map_err(ToOwned::to_owned);
        self.event(Event::LookedUp { lookup, result })
    }

    pub(super) fn dialed(
        &mut self,
        attempt: AttemptId,
        peer: PeerId,
    ) -> (ConnectionId, Vec<Action>) {
        self.established(peer, "/ip4/1.2.3.4/tcp/1", Origin::Attempt(attempt))
    }

    pub(super) fn inbound(&mut self, peer: PeerId, at: &str) -> (ConnectionId, Vec<Action>) {
        let pending = self.admit(at).unwrap();
        self.established(peer, at, Origin::Pending(pending))
    }

    pub(super) fn admit(&mut self, at: &str) -> Result<PendingId, Refused> {
        self.swarm.admit(self.now, &address(at), true)
    }

    pub(super) fn established(
        &mut self,
        peer: PeerId,
        at: &str,
        origin: Origin,
    ) -> (ConnectionId, Vec<Action>) {
        let connection = ConnectionId(self.id());
        let event = Event::Established {
            connection,
            peer,
            address: address(at),
            origin,
        };
        (connection, self.event(event))
    }

    pub(super) fn closed(&mut self, connection: ConnectionId) -> Vec<Action> {
        self.event(Event::Closed { connection })
    }

    pub(super) fn idle(&mut self, connection: ConnectionId, idle: bool) -> Vec<Action> {
        self.event(Event::Idle { connection, idle })
    }

    pub(super) fn spared(&mut self, connection: ConnectionId, held: bool) -> Vec<Action> {
        self.event(Event::Spared { connection, held })
    }

    /// Lets time pass, with all timers on the way at their moments.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        let mut actions = Vec::new();
        while let Some(at) = self.swarm.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.swarm.handle_timeout(self.now);
            assert!(
                self.swarm.poll_timeout() > Some(self.now) || self.swarm.poll_timeout().is_none()
            );
            actions.extend(self.drain());
        }
        self.now = end;
        actions
    }

    pub(super) fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.swarm.poll_action()).collect()
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Nothing is left of any dial, connection or observation, and no timer of theirs.
    pub(super) fn assert_empty(&self) {
        assert!(self.swarm.dialer.is_empty());
        assert!(self.swarm.connections.is_empty());
        assert_eq!(self.swarm.out.timers.next(), None);
        assert_eq!(self.swarm.external_addresses().count(), 0);
    }
}

pub(super) const LOCAL: u8 = 1;

pub(super) fn peer(n: u8) -> PeerId {
    keypair(n).public().to_peer_id()
}

pub(super) fn keypair(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).unwrap()
}

pub(super) fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

pub(super) fn refused() -> AttemptError {
    AttemptError::Transport("connection refused".into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn dials(actions: &[Action]) -> Vec<(AttemptId, String)> {
    let dial = |action: &Action| match action {
        Action::Dial {
            attempt, address, ..
        } => Some((*attempt, address.to_string())),
        _ => None,
    };
    actions.iter().filter_map(dial).collect()
}

pub(super) fn lookups(actions: &[Action]) -> Vec<(LookupId, Query)> {
    let lookup = |action: &Action| match action {
        Action::LookUp { lookup, query } => Some((*lookup, query.clone())),
        _ => None,
    };
    actions.iter().filter_map(lookup).collect()
}

/// The attempts of a failed dial.
pub(super) fn attempts(actions: &[Action]) -> Vec<(Multiaddr, AttemptError)> {
    match failure(actions) {
        DialError::Failed { attempts, .. } => attempts,
        other => panic!("not a failed dial: {other:?}"),
    }
}

pub(super) fn dialed_addresses(actions: &[Action]) -> Vec<String> {
    dials(actions).into_iter().map(|(_, at)| at).collect()
}

pub(super) fn aborts(actions: &[Action]) -> Vec<AttemptId> {
    let abort = |action: &Action| match action {
        Action::Abort { attempt } => Some(*attempt),
        _ => None,
    };
    actions.iter().filter_map(abort).collect()
}

pub(super) type Resolved = (WaiterId, Result<ConnectionId, DialError>);

pub(super) fn resolved(actions: &[Action]) -> Vec<Resolved> {
    let resolve = |action: &Action| match action {
        Action::Resolve { waiter, result } => Some((*waiter, result.clone())),
        _ => None,
    };
    actions.iter().filter_map(resolve).collect()
}

pub(super) fn failure(actions: &[Action]) -> DialError {
    match resolved(actions).as_slice() {
        [(_, Err(error))] => error.clone(),
        other => panic!("not one failure: {other:?}"),
    }
}

pub(super) fn closes(actions: &[Action]) -> Vec<(ConnectionId, CloseReason)> {
    let close = |action: &Action| match action {
        Action::Close { connection, reason } | Action::CloseIdle { connection, reason } => {
            Some((*connection, *reason))
        }
        _ => None,
    };
    actions.iter().filter_map(close).collect()
}

pub(super) fn prefers(actions: &[Action]) -> Vec<(PeerId, Option<ConnectionId>)> {
    let prefer = |action: &Action| match action {
        Action::Prefer { peer, connection } => Some((*peer, *connection)),
        _ => None,
    };
    actions.iter().filter_map(prefer).collect()
}

pub(super) fn notices(actions: &[Action]) -> Vec<&Notice> {
    let mut notices = Vec::new();
    for action in actions {
        if let Action::Notice(notice) = action {
            notices.push(notice);
        }
    }
    notices
}
