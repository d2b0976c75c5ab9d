//! Dials: one for all who want the same of the same peer. Each address has its time to start, counted
//! from when it became known; when nothing is in flight, the next one starts at once.
//!
//! ```text
//! waiters ─┐         ┌ names → lookups ┐
//! addresses┴→ plan ──┴→ queue ─────────┴→ in flight → failed
//!   (sorted out)      (ranked, staggered, capped)
//! ```
//! A dial ends when one attempt succeeds, when nothing is left to try, when its time is up, or when
//! nobody waits. One whose waiters were answered by another connection starts nothing more, but lets what
//! is in flight end by itself: the other side may already use it (see connections.rs).
//! Invariants: a waiter is in one dial and is answered once; an attempt and a lookup are in one dial.

use std::{collections::BTreeMap, mem, time::Instant};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    addresses::{Scope, scope, split_peer},
    config::Config,
    dial::{Attempt, Dial, Experience},
    error::{AttemptError, DialError, NameError, Skip},
    event::{Action, Answer, AttemptId, ConnectionId, LookupId, Notice, Query, WaiterId},
    figures::{BlackHoleFigures, DialFigures},
    limits::Limit,
    names::Outcome,
    plan::{Candidate, Ourselves, Plan, Target},
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
    lookups: BTreeMap<LookupId, (DialId, Query)>,
    experience: Experience,
    figures: DialFigures,
    dial_next: u64,
    attempt_next: u64,
    lookup_next: u64,
}

/// Why a dial ends with attempts in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another attempt was faster.
    Raced,
    /// Nobody wants it any more.
    Stopped,
}

impl Dialer {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            dials: BTreeMap::new(),
            targets: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiters: BTreeMap::new(),
            lookups: BTreeMap::new(),
            experience: Experience::default(),
            figures: DialFigures::default(),
            dial_next: 0,
            attempt_next: 0,
            lookup_next: 0,
        }
    }

    /// Joins the waiter to the target's dial, or starts one.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the swarm knows and the dialer does not"
    )]
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        waiter: WaiterId,
        target: Target,
        plan: Plan,
        outbound_count: usize,
        ourselves: Ourselves<'_>,
        out: &mut Outbox,
    ) {
        debug_assert!(
            !self.waiters.contains_key(&waiter),
            "waiter ids are not reused"
        );
        let id = match self.targets.get(&target) {
            Some(id) => *id,
            None => match self.start(now, target, &plan, outbound_count, out) {
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
        self.extend(now, id, plan, ourselves, out);
        self.advance(now, id, out);
    }

    /// The waiter went away.
    pub(crate) fn cancel(&mut self, waiter: WaiterId, out: &mut Outbox) {
        let Some(id) = self.waiters.remove(&waiter) else {
            return;
        };
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.waiters.remove(&waiter);
            if dial.waiters.is_empty() {
                self.remove(id, End::Stopped, out);
            }
        }
    }

    /// What is dialed; `None`: it was aborted.
    pub(crate) fn attempt(&self, attempt: AttemptId) -> Option<&Candidate> {
        let dial = self.dials.get(self.attempts.get(&attempt)?)?;
        Some(&dial.in_flight.get(&attempt)?.candidate)
    }

    /// What has failed so far says nothing any more.
    pub(crate) fn forget_failures(&mut self) {
        self.experience = Experience::default();
    }

    /// The attempt's pipe is open: its upgrade gets a head start before further public addresses. (The
    /// others' handshakes are as short as the head start they have anyway.)
    pub(crate) fn progressed(&mut self, now: Instant, attempt: AttemptId, out: &mut Outbox) {
        let Some(&id) = self.attempts.get(&attempt) else {
            return;
        };
        let in_flight = self.dials.get_mut(&id).map(|dial| &mut dial.in_flight);
        if let Some(attempt) = in_flight.and_then(|all| all.get_mut(&attempt))
            && scope(&attempt.candidate.address) == Scope::Public
        {
            attempt.hold = Some(now + 2 * self.config.dial_delay);
            self.advance(now, id, out);
        }
    }

    /// The attempt has failed. Gives its address.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        error: AttemptError,
        out: &mut Outbox,
    ) -> Option<Multiaddr> {
        let (id, Attempt { candidate, .. }) = self.take(attempt, out)?;
        self.learn(now, id, &candidate.address, error, out);
        self.advance(now, id, out);
        Some(candidate.address)
    }

    /// The name system has answered.
    pub(crate) fn looked_up(
        &mut self,
        now: Instant,
        lookup: LookupId,
        result: Result<Answer, String>,
        ourselves: Ourselves<'_>,
        out: &mut Outbox,
    ) {
        let Some((id, query)) = self.lookups.remove(&lookup) else {
            return;
        };
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        dial.lookups.remove(&lookup);
        let result = result.map_err(NameError::Resolver);
        let peer = dial.target.peer;
        let outcome = dial.names.answered(query, result, peer, &self.config);
        self.absorb(now, id, outcome, ourselves, out);
        self.advance(now, id, out);
    }

    /// The dial's lookups have had their time.
    pub(crate) fn names_timed_out(
        &mut self,
        now: Instant,
        id: DialId,
        ourselves: Ourselves<'_>,
        out: &mut Outbox,
    ) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        for lookup in mem::take(&mut dial.lookups) {
            out.counters.lookups_timed_out += 1;
            out.push(Action::AbortLookUp { lookup });
            let Some((_, query)) = self.lookups.remove(&lookup) else {
                continue;
            };
            let Some(dial) = self.dials.get_mut(&id) else {
                return;
            };
            let (result, peer) = (Err(NameError::Timeout), dial.target.peer);
            let outcome = dial.names.answered(query, result, peer, &self.config);
            self.absorb(now, id, outcome, ourselves, out);
        }
        self.advance(now, id, out);
    }

    /// The attempt has led to a connection. Gives its dial, which waits for [`Self::finish`], and what was
    /// dialed.
    pub(crate) fn succeeded(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        out: &mut Outbox,
    ) -> Option<(DialId, Candidate)> {
        let (
            id,
            Attempt {
                candidate, started, ..
            },
        ) = self.take(attempt, out)?;
        let black_holes = &mut self.experience.black_holes;
        black_holes.record(&candidate.address, true, &self.config);
        if let Some(dial) = self.dials.get(&id) {
            let delay = started.duration_since(dial.started);
            self.figures.delays.observe(delay);
            let took = now.duration_since(dial.started);
            self.figures.ended(true, dial.tried, took);
        }
        Some((id, candidate))
    }

    /// Whether the dial wants the connection that it has made, and no other.
    pub(crate) fn forces_new(&self, id: DialId) -> bool {
        self.dials
            .get(&id)
            .is_some_and(|dial| dial.target.force_new)
    }

    /// The dial has made a connection, or as good as: answers all waiters, aborts the other attempts.
    pub(crate) fn finish(
        &mut self,
        id: DialId,
        result: &Result<ConnectionId, DialError>,
        out: &mut Outbox,
    ) {
        self.resolve(id, result, out);
        self.remove(id, End::Raced, out);
    }

    /// There is a connection to the peer: it will do for all who do not insist on another one.
    pub(crate) fn connected(&mut self, peer: &PeerId, best: ConnectionId, out: &mut Outbox) {
        self.experience.backoffs.clear(*peer);
        for id in self.of_peer(peer) {
            if self.forces_new(id) {
                continue;
            }
            self.resolve(id, &Ok(best), out);
            self.abort_lookups(id, out);
            out.timers.clear(Timer::Next(id));
            let Some(dial) = self.dials.get_mut(&id) else {
                continue;
            };
            dial.clear();
            if dial.in_flight.is_empty() {
                self.remove(id, End::Stopped, out);
            }
        }
    }

    /// The app does not want the peer any more.
    pub(crate) fn stop(&mut self, now: Instant, peer: &PeerId, out: &mut Outbox) {
        for id in self.of_peer(peer) {
            self.abandon(now, id, &AttemptError::Aborted, out);
        }
    }

    /// The peer must not be dialed any more, and whoever waits for it is told so.
    pub(crate) fn refuse(&mut self, peer: &PeerId, error: &DialError, out: &mut Outbox) {
        for id in self.of_peer(peer) {
            self.resolve(id, &Err(error.clone()), out);
            self.remove(id, End::Stopped, out);
        }
    }

    /// Answers everyone, aborts everything.
    pub(crate) fn shut_down(&mut self, out: &mut Outbox) {
        let ids: Vec<_> = self.dials.keys().copied().collect();
        for id in ids {
            self.resolve(id, &Err(DialError::Closed), out);
            self.remove(id, End::Stopped, out);
        }
    }

    /// The attempt has had its time.
    pub(crate) fn attempt_timed_out(&mut self, now: Instant, attempt: AttemptId, out: &mut Outbox) {
        out.counters.attempts_timed_out += 1;
        out.push(Action::Abort { attempt });
        self.failed(now, attempt, AttemptError::Timeout, out);
    }

    /// The next address's time has come.
    pub(crate) fn next_due(&mut self, now: Instant, id: DialId, out: &mut Outbox) {
        self.advance(now, id, out);
    }

    /// The dial has had its time.
    pub(crate) fn dial_timed_out(&mut self, now: Instant, id: DialId, out: &mut Outbox) {
        let in_flight = self
            .dials
            .get(&id)
            .into_iter()
            .flat_map(|dial| &dial.in_flight);
        let in_flight: Vec<_> = in_flight.map(|(attempt, _)| *attempt).collect();
        for attempt in in_flight {
            out.counters.attempts_timed_out += 1;
            out.push(Action::Abort { attempt });
            if let Some((_, Attempt { candidate, .. })) = self.take(attempt, out) {
                self.learn(now, id, &candidate.address, AttemptError::Timeout, out);
            }
        }
        self.abandon(now, id, &AttemptError::Timeout, out);
    }

    fn start(
        &mut self,
        now: Instant,
        target: Target,
        plan: &Plan,
        outbound_count: usize,
        out: &mut Outbox,
    ) -> Result<DialId, DialError> {
        if plan.is_empty() {
            let peer = target.peer;
            return Err(DialError::NoAddresses { peer });
        }
        let (limits, dials) = (&mut out.counters.limits, self.dials.len());
        let outbound = dials + outbound_count;
        limits
            .check(Limit::Dials, dials, self.config.dials_max)
            .and_then(|()| {
                let max = self.config.connections_outbound_max;
                limits.check(Limit::ConnectionsOutbound, outbound, max)
            })
            .map_err(DialError::LimitReached)?;
        limits.saw(Limit::Dials, dials + 1);
        limits.saw(Limit::ConnectionsOutbound, outbound + 1);
        let id = DialId(self.dial_next);
        self.dial_next += 1;
        self.targets.insert(target.clone(), id);
        self.dials.insert(id, Dial::new(target, now));
        Ok(id)
    }

    /// Takes a plan in, and asks for its names.
    fn extend(
        &mut self,
        now: Instant,
        id: DialId,
        plan: Plan,
        ourselves: Ourselves<'_>,
        out: &mut Outbox,
    ) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        dial.reject(plan.rejected);
        let times = (now, dial.started);
        dial.extend(times, plan.dial, &mut self.experience, &self.config, out);
        for origin in plan.names {
            let Some(dial) = self.dials.get_mut(&id) else {
                return;
            };
            if dial.sees(&origin.address) {
                let outcome = dial.names.follow(origin, dial.target.peer, &self.config);
                self.absorb(now, id, outcome, ourselves, out);
            }
        }
    }

    /// Takes in what came of following names.
    fn absorb(
        &mut self,
        now: Instant,
        id: DialId,
        outcome: Outcome,
        ourselves: Ourselves<'_>,
        out: &mut Outbox,
    ) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let limits = &mut out.counters.limits;
        outcome
            .limited
            .into_iter()
            .for_each(|limit| limits.count(limit));
        limits.saw(Limit::NameLookups, dial.names.lookups_count());
        limits.saw(Limit::NameAddresses, dial.names.found_count());
        for (origin, error) in outcome.failed {
            let (address, _) = split_peer(origin.address);
            let failure = (address, AttemptError::Name(error));
            if !dial.failed.contains(&failure) {
                dial.failed.push(failure);
            }
        }
        for query in outcome.questions {
            let lookup = LookupId(self.lookup_next);
            self.lookup_next += 1;
            self.lookups.insert(lookup, (id, query.clone()));
            dial.lookups.insert(lookup);
            out.push(Action::LookUp { lookup, query });
        }
        let timer = Timer::Names(id);
        match (dial.lookups.is_empty(), out.timers.is_set(timer)) {
            (false, false) => out.timers.set(timer, now + self.config.name_timeout),
            (true, _) => out.timers.clear(timer),
            (false, true) => {}
        }
        let plan = Plan::new(&dial.target, outcome.found.into_iter(), ourselves);
        dial.reject(plan.rejected);
        dial.extend(
            (now, now),
            plan.dial,
            &mut self.experience,
            &self.config,
            out,
        );
    }

    /// Remembers a failure, for this dial and for others.
    fn learn(
        &mut self,
        now: Instant,
        id: DialId,
        address: &Multiaddr,
        error: AttemptError,
        out: &mut Outbox,
    ) {
        let limits = &mut out.counters.limits;
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let Experience {
            backoffs,
            black_holes,
            ..
        } = &mut self.experience;
        let untried = matches!(
            error,
            AttemptError::Aborted
                | AttemptError::NoTransport
                | AttemptError::NotBuilt(_)
                | AttemptError::PrivateNetwork
                | AttemptError::LimitReached(_)
        );
        if !untried {
            // Who answers is there, even if it is somebody else.
            let answered = matches!(
                error,
                AttemptError::WrongPeer { .. }
                    | AttemptError::Banned(_)
                    | AttemptError::Rejected(_)
            );
            black_holes.record(address, answered, &self.config);
            // With a connection that somebody else has made, nothing is held against this address.
            if let Some(peer) = dial.target.peer.filter(|_| !dial.waiters.is_empty()) {
                backoffs.failed(now, peer, address.clone(), &self.config, limits);
            }
        }
        dial.failed.push((address.clone(), error));
    }

    /// Starts what is due; ends a dial that has nothing left.
    fn advance(&mut self, now: Instant, id: DialId, out: &mut Outbox) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let next = Timer::Next(id);
        out.timers.clear(next);
        let due = match dial.in_flight.is_empty() {
            // Nothing to wait for: those that come first are due.
            true => dial.next_due().unwrap_or(now).max(now),
            false => now,
        };
        let held = dial.hold().is_some_and(|until| until > now);
        while !held && dial.in_flight.len() < self.config.attempts_per_peer_max {
            let Some(candidate) = dial.pop_due(due) else {
                break;
            };
            if candidate.origin.is_hearsay() && !dial.target.force_new {
                let (hearsay, limits) = (&mut self.experience.hearsay, &mut out.counters.limits);
                let knock = hearsay.knock(now, &candidate.address, &self.config, limits);
                if let Err(remaining) = knock {
                    dial.fail_skipped(candidate.address, Skip::Hearsay { remaining }, out);
                    continue;
                }
            }
            let attempt = AttemptId(self.attempt_next);
            self.attempt_next += 1;
            self.attempts.insert(attempt, id);
            let timeout = now + self.config.attempt_timeout;
            out.timers.set(Timer::Attempt(attempt), timeout);
            out.push(Action::Dial {
                attempt,
                address: candidate.address.clone(),
                expected: candidate.expected,
            });
            dial.tried += 1;
            let (started, hold) = (now, None);
            let in_flight = Attempt {
                candidate,
                started,
                hold,
            };
            dial.in_flight.insert(attempt, in_flight);
            let limits = &mut out.counters.limits;
            limits.saw(Limit::DialAttempts, dial.in_flight.len());
        }
        if dial.is_exhausted() {
            return self.abandon(now, id, &AttemptError::Aborted, out);
        }
        if dial.in_flight.len() < self.config.attempts_per_peer_max
            && let Some(due) = dial.next_due()
        {
            out.timers
                .set(next, dial.hold().map_or(due, |hold| due.max(hold)));
        }
    }

    /// Ends the dial: what is not over has failed with `error`.
    fn abandon(&mut self, now: Instant, id: DialId, error: &AttemptError, out: &mut Outbox) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let peer = dial.target.peer;
        let attempts = dial.failures(error);
        let own = attempts
            .iter()
            .all(|(_, error)| *error == AttemptError::OwnAddress);
        let error = match own && peer.is_none() {
            true => DialError::LocalPeer,
            false => DialError::Failed { peer, attempts },
        };
        if !dial.waiters.is_empty() {
            let took = now.duration_since(dial.started);
            self.figures.ended(false, dial.tried, took);
            let error = error.clone();
            out.notice(Notice::DialFailed { peer, error });
        }
        self.resolve(id, &Err(error), out);
        self.remove(id, End::Stopped, out);
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

    fn take(&mut self, attempt: AttemptId, out: &mut Outbox) -> Option<(DialId, Attempt)> {
        let id = self.attempts.remove(&attempt)?;
        out.timers.clear(Timer::Attempt(attempt));
        let attempt = self.dials.get_mut(&id)?.in_flight.remove(&attempt)?;
        Some((id, attempt))
    }

    fn of_peer(&self, peer: &PeerId) -> Vec<DialId> {
        let first = Target {
            peer: Some(*peer),
            only: None,
            force_new: false,
        };
        let targets = self.targets.range(first..);
        let of_peer = targets.take_while(|(target, _)| target.peer == Some(*peer));
        of_peer.map(|(_, id)| *id).collect()
    }

    fn abort_lookups(&mut self, id: DialId, out: &mut Outbox) {
        out.timers.clear(Timer::Names(id));
        let lookups = self.dials.get_mut(&id).map(|dial| &mut dial.lookups);
        for lookup in lookups.map(mem::take).unwrap_or_default() {
            self.lookups.remove(&lookup);
            out.push(Action::AbortLookUp { lookup });
        }
    }

    fn remove(&mut self, id: DialId, end: End, out: &mut Outbox) {
        self.abort_lookups(id, out);
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
        for (attempt, lost) in dial.in_flight {
            self.attempts.remove(&attempt);
            out.timers.clear(Timer::Attempt(attempt));
            out.push(Action::Abort { attempt });
            if end == End::Raced {
                let black_holes = &mut self.experience.black_holes;
                black_holes.record(&lost.candidate.address, false, &self.config);
            }
        }
    }

    /// What is used of one of the limits on dials, by the dial that uses most of it.
    pub(crate) fn used(&self, count: impl Fn(&Dial) -> usize) -> usize {
        self.dials.values().map(count).max().unwrap_or(0)
    }

    /// Dials that run.
    pub(crate) fn dials_count(&self) -> usize {
        self.dials.len()
    }

    /// Doors that hearsay has led to.
    pub(crate) fn hearsay_count(&self) -> usize {
        self.experience.hearsay.len()
    }

    /// Addresses whose failures are remembered.
    pub(crate) fn backoffs_count(&self) -> usize {
        self.experience.backoffs.count()
    }

    /// What dials have taken so far.
    pub(crate) const fn figures(&self) -> DialFigures {
        self.figures
    }

    /// How UDP and IPv6 fare.
    pub(crate) fn black_holes(&self) -> [BlackHoleFigures; 2] {
        self.experience.black_holes.figures(&self.config)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.dials.is_empty()
            && self.targets.is_empty()
            && self.attempts.is_empty()
            && self.waiters.is_empty()
            && self.lookups.is_empty()
    }
}
