//! Dials: one per peer, shared by all who wait for it. Addresses are tried in order of rank, each
//! with a head start before the next; a failure starts the next at once.
//!
//! ```text
//! waiters ─┐
//! queue → in flight → failed        a dial ends when one attempt succeeds, when queue and flight
//!    (rank, stagger, caps)          are empty, when its time is up, or when nobody waits
//! ```
//! A dial whose waiters were answered by an inbound connection starts nothing more, but lets what is
//! in flight end by itself: the other side may already use it (see connections.rs).
//! Invariants: a waiter is in one dial and is answered once; an attempt is in one dial.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    time::Instant,
};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    addresses::{Scope, is_relayed, rank, scope, split_peer},
    config::Config,
    error::{AttemptError, DialError},
    event::{Action, AttemptId, ConnectionId, Notice, WaiterId},
    timers::{DialId, Outbox, Timer},
};

/// All running dials.
#[derive(Debug)]
pub(crate) struct Dialer {
    config: Config,
    dials: BTreeMap<DialId, Dial>,
    targets: BTreeMap<Target, DialId>,
    attempts: BTreeMap<AttemptId, DialId>,
    waiters: BTreeMap<WaiterId, DialId>,
    dial_next: u64,
    attempt_next: u64,
}

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Peer(PeerId),
    /// Whoever answers at these addresses.
    Anyone(Vec<Multiaddr>),
}

#[derive(Debug)]
struct Dial {
    target: Target,
    waiters: BTreeSet<WaiterId>,
    // Everything that is in one of the next three.
    seen: BTreeSet<Multiaddr>,
    queue: VecDeque<Multiaddr>,
    in_flight: BTreeMap<AttemptId, Multiaddr>,
    failed: Vec<(Multiaddr, AttemptError)>,
    dialed_count: usize,
}

/// What a waiter's addresses come to: those to dial, and those that cannot lead to the target.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    dial: Vec<Multiaddr>,
    rejected: Vec<(Multiaddr, AttemptError)>,
}

impl Plan {
    /// Sorts addresses out; `own` tells which are ours.
    pub(crate) fn new(
        target: &Target,
        addresses: impl Iterator<Item = Multiaddr>,
        own: impl Fn(&Multiaddr) -> bool,
    ) -> Self {
        let mut plan = Self::default();
        for address in addresses {
            let (bare, found) = split_peer(address.clone());
            match (target, found) {
                (Target::Peer(expected), Some(found)) if *expected != found => {
                    let expected = *expected;
                    let error = AttemptError::WrongPeer { expected, found };
                    plan.rejected.push((address, error));
                }
                _ if own(&bare) => plan.rejected.push((bare, AttemptError::OwnAddress)),
                _ if bare.is_empty() => plan.rejected.push((bare, AttemptError::NoTransport)),
                _ => plan.dial.push(bare),
            }
        }
        plan
    }
}

impl Dialer {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            config,
            dials: BTreeMap::new(),
            targets: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiters: BTreeMap::new(),
            dial_next: 0,
            attempt_next: 0,
        }
    }

    /// Joins the waiter to the target's dial, or starts one.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        waiter: WaiterId,
        target: Target,
        plan: Plan,
        outbound_count: usize,
        out: &mut Outbox,
    ) {
        debug_assert!(
            !self.waiters.contains_key(&waiter),
            "waiter ids are not reused"
        );
        let id = match self.targets.get(&target) {
            Some(id) => *id,
            None => match self.start(target, &plan, outbound_count, out) {
                Ok(id) => id,
                Err(error) => {
                    let result = Err(error);
                    return out.push(Action::Resolve { waiter, result });
                }
            },
        };
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        if dial.waiters.is_empty() {
            out.timers
                .set(Timer::Dial(id), now + self.config.dial_timeout);
        }
        dial.waiters.insert(waiter);
        self.waiters.insert(waiter, id);
        let waiting = !dial.queue.is_empty();
        dial.extend(plan, &self.config, out);
        if !waiting {
            self.advance(now, id, out);
        }
    }

    /// The waiter went away.
    pub(crate) fn cancel(&mut self, waiter: WaiterId, out: &mut Outbox) {
        let Some(id) = self.waiters.remove(&waiter) else {
            return;
        };
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.waiters.remove(&waiter);
            if dial.waiters.is_empty() {
                self.remove(id, out);
            }
        }
    }

    /// Whose attempt it is; `None`: it was aborted.
    pub(crate) fn target(&self, attempt: AttemptId) -> Option<&Target> {
        let dial = self.dials.get(self.attempts.get(&attempt)?)?;
        Some(&dial.target)
    }

    /// The attempt has failed. Gives its address.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        error: AttemptError,
        out: &mut Outbox,
    ) -> Option<Multiaddr> {
        let (id, address) = self.take(attempt, out)?;
        let dial = self.dials.get_mut(&id)?;
        dial.failed.push((address.clone(), error));
        self.advance(now, id, out);
        Some(address)
    }

    /// The attempt has led to a connection. Gives its dial, which waits for [`Self::finish`], and its
    /// address.
    pub(crate) fn succeeded(
        &mut self,
        attempt: AttemptId,
        out: &mut Outbox,
    ) -> Option<(DialId, Multiaddr)> {
        self.take(attempt, out)
    }

    /// Answers all waiters, aborts the other attempts.
    pub(crate) fn finish(
        &mut self,
        id: DialId,
        result: &Result<ConnectionId, DialError>,
        out: &mut Outbox,
    ) {
        self.resolve(id, result, out);
        self.remove(id, out);
    }

    /// There is a connection to the peer that its own dial has not made.
    pub(crate) fn connected(&mut self, peer: &PeerId, best: ConnectionId, out: &mut Outbox) {
        let Some(&id) = self.targets.get(&Target::Peer(*peer)) else {
            return;
        };
        self.resolve(id, &Ok(best), out);
        out.timers.clear(Timer::Next(id));
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        dial.queue.clear();
        if dial.in_flight.is_empty() {
            self.remove(id, out);
        }
    }

    /// The app does not want the peer any more.
    pub(crate) fn stop(&mut self, peer: &PeerId, out: &mut Outbox) {
        if let Some(&id) = self.targets.get(&Target::Peer(*peer)) {
            self.abandon(id, &AttemptError::Aborted, out);
        }
    }

    /// Answers everyone, aborts everything.
    pub(crate) fn shut_down(&mut self, out: &mut Outbox) {
        let ids: Vec<_> = self.dials.keys().copied().collect();
        for id in ids {
            self.finish(id, &Err(DialError::Closed), out);
        }
    }

    /// The attempt has had its time.
    pub(crate) fn attempt_timed_out(&mut self, now: Instant, attempt: AttemptId, out: &mut Outbox) {
        out.counters.attempts_timed_out += 1;
        out.push(Action::Abort { attempt });
        self.failed(now, attempt, AttemptError::Timeout, out);
    }

    /// The last started attempt has had its head start.
    pub(crate) fn next_due(&mut self, now: Instant, id: DialId, out: &mut Outbox) {
        self.advance(now, id, out);
    }

    /// The dial has had its time.
    pub(crate) fn dial_timed_out(&mut self, id: DialId, out: &mut Outbox) {
        if let Some(dial) = self.dials.get(&id) {
            out.counters.attempts_timed_out += dial.in_flight.len() as u64;
            self.abandon(id, &AttemptError::Timeout, out);
        }
    }

    fn start(
        &mut self,
        target: Target,
        plan: &Plan,
        outbound_count: usize,
        out: &mut Outbox,
    ) -> Result<DialId, DialError> {
        if plan.dial.is_empty() && plan.rejected.is_empty() {
            let peer = target.peer();
            return Err(DialError::NoAddresses { peer });
        }
        if self.dials.len() >= self.config.dials_max {
            out.counters.refused_dials += 1;
            return Err(DialError::TooManyDials);
        }
        if self.dials.len() + outbound_count >= self.config.connections_outbound_max {
            out.counters.refused_outbound += 1;
            return Err(DialError::TooManyConnections);
        }
        let id = DialId(self.dial_next);
        self.dial_next += 1;
        self.targets.insert(target.clone(), id);
        self.dials.insert(id, Dial::new(target));
        Ok(id)
    }

    /// Starts the next attempt if there may be one more; ends a dial that has nothing left.
    fn advance(&mut self, now: Instant, id: DialId, out: &mut Outbox) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        out.timers.clear(Timer::Next(id));
        if dial.in_flight.len() < self.config.attempts_per_peer_max
            && let Some(address) = dial.queue.pop_front()
        {
            let attempt = AttemptId(self.attempt_next);
            self.attempt_next += 1;
            self.attempts.insert(attempt, id);
            dial.in_flight.insert(attempt, address.clone());
            let local = scope(&address) < Scope::Public && !is_relayed(&address);
            let delay = match local {
                true => self.config.dial_delay_local,
                false => self.config.dial_delay,
            };
            if !dial.queue.is_empty() {
                out.timers.set(Timer::Next(id), now + delay);
            }
            out.timers
                .set(Timer::Attempt(attempt), now + self.config.attempt_timeout);
            let expected = dial.target.peer();
            out.push(Action::Dial {
                attempt,
                address,
                expected,
            });
        } else if dial.in_flight.is_empty() {
            self.abandon(id, &AttemptError::Aborted, out);
        }
    }

    /// Ends the dial: what is in flight or in the queue has failed with `error`.
    fn abandon(&mut self, id: DialId, error: &AttemptError, out: &mut Outbox) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let unfinished = dial
            .in_flight
            .values()
            .cloned()
            .chain(mem::take(&mut dial.queue));
        let mut attempts = mem::take(&mut dial.failed);
        attempts.extend(unfinished.map(|address| (address, error.clone())));
        let peer = dial.target.peer();
        let own = attempts
            .iter()
            .all(|(_, error)| *error == AttemptError::OwnAddress);
        let error = match own && peer.is_none() {
            true => DialError::LocalPeer,
            false => DialError::Failed { peer, attempts },
        };
        if !dial.waiters.is_empty() {
            let error = error.clone();
            out.notice(Notice::DialFailed { peer, error });
        }
        self.finish(id, &Err(error), out);
    }

    fn resolve(&mut self, id: DialId, result: &Result<ConnectionId, DialError>, out: &mut Outbox) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        for waiter in mem::take(&mut dial.waiters) {
            self.waiters.remove(&waiter);
            let result = result.clone();
            out.push(Action::Resolve { waiter, result });
        }
    }

    fn take(&mut self, attempt: AttemptId, out: &mut Outbox) -> Option<(DialId, Multiaddr)> {
        let id = self.attempts.remove(&attempt)?;
        out.timers.clear(Timer::Attempt(attempt));
        let address = self.dials.get_mut(&id)?.in_flight.remove(&attempt)?;
        Some((id, address))
    }

    fn remove(&mut self, id: DialId, out: &mut Outbox) {
        let Some(dial) = self.dials.remove(&id) else {
            return;
        };
        debug_assert!(
            dial.waiters.is_empty(),
            "waiters are answered or cancelled before"
        );
        self.targets.remove(&dial.target);
        out.timers.clear(Timer::Next(id));
        out.timers.clear(Timer::Dial(id));
        for attempt in dial.in_flight.into_keys() {
            self.attempts.remove(&attempt);
            out.timers.clear(Timer::Attempt(attempt));
            out.push(Action::Abort { attempt });
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.dials.is_empty()
            && self.targets.is_empty()
            && self.attempts.is_empty()
            && self.waiters.is_empty()
    }
}

impl Dial {
    const fn new(target: Target) -> Self {
        Self {
            target,
            waiters: BTreeSet::new(),
            seen: BTreeSet::new(),
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            failed: Vec::new(),
            dialed_count: 0,
        }
    }

    /// Takes in what is new of a plan. The first ones count against the limit, then rank decides.
    fn extend(&mut self, plan: Plan, config: &Config, out: &mut Outbox) {
        let rejected = plan.rejected.into_iter();
        self.failed
            .extend(rejected.filter(|(address, _)| self.seen.insert(address.clone())));
        for address in plan.dial {
            if !self.seen.insert(address.clone()) {
                continue;
            }
            if self.dialed_count == config.dial_addresses_max {
                out.counters.addresses_not_dialed += 1;
                self.failed.push((address, AttemptError::TooManyAddresses));
            } else {
                self.dialed_count += 1;
                self.queue.push_back(address);
            }
        }
        self.queue.make_contiguous().sort_by_key(rank);
    }
}

impl Target {
    pub(crate) const fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Peer(peer) => Some(*peer),
            Self::Anyone(_) => None,
        }
    }
}
