//! One dial: what it has tried, what it is trying, what it will try and when, and what it waits to be
//! told by the name system.
//! Invariants: an address is in one of queue, flight and failures; each has its time to start, which
//! later ones do not change.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    time::Instant,
};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    addresses::{Carrier, carrier, ip, port, split_peer},
    backoff::Backoffs,
    black_holes::{BlackHoles, Verdict},
    config::Config,
    error::{AttemptError, Skip},
    event::{AttemptId, LookupId, WaiterId},
    hearsay::Hearsay,
    limits::Limit,
    names::Names,
    plan::{Candidate, Target},
    ranking::rank,
    timers::Outbox,
};

/// What earlier attempts, of all dials, have taught.
#[derive(Debug, Default)]
pub(crate) struct Experience {
    pub(crate) backoffs: Backoffs,
    pub(crate) black_holes: BlackHoles,
    pub(crate) hearsay: Hearsay,
}

#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) target: Target,
    pub(crate) started: Instant,
    pub(crate) waiters: BTreeSet<WaiterId>,
    pub(crate) in_flight: BTreeMap<AttemptId, Attempt>,
    pub(crate) failed: Vec<(Multiaddr, AttemptError)>,
    pub(crate) names: Names,
    pub(crate) lookups: BTreeSet<LookupId>,
    // Everything that is in queue, flight or failures, and the names.
    seen: BTreeSet<Multiaddr>,
    queue: BTreeMap<(Instant, u64), Candidate>,
    queue_next: u64,
    admitted_count: usize,
    /// Addresses that were tried.
    pub(crate) tried: usize,
}

#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) candidate: Candidate,
    pub(crate) started: Instant,
    /// Until when its upgrade holds others back.
    pub(crate) hold: Option<Instant>,
}

impl Dial {
    pub(crate) fn new(target: Target, started: Instant) -> Self {
        Self {
            target,
            started,
            waiters: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            failed: Vec::new(),
            names: Names::default(),
            lookups: BTreeSet::new(),
            seen: BTreeSet::new(),
            queue: BTreeMap::new(),
            queue_next: 0,
            admitted_count: 0,
            tried: 0,
        }
    }

    /// Nothing is left that could lead to a connection.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.in_flight.is_empty() && self.queue.is_empty() && self.lookups.is_empty()
    }

    /// Whether the name is new to this dial.
    pub(crate) fn sees(&mut self, name: &Multiaddr) -> bool {
        self.seen.insert(name.clone())
    }

    /// Takes in what cannot be dialed.
    pub(crate) fn reject(&mut self, rejected: Vec<(Multiaddr, AttemptError)>) {
        let new = rejected.into_iter();
        let new = new.filter(|(address, _)| self.seen.insert(address.clone()));
        self.failed.extend(new);
    }

    /// Takes in what is new of a batch of addresses. The first ones count against the limit, and go before
    /// others of their rank. They are ranked among all that is not over, and their delays count from `start`:
    /// the dial's, as with go-libp2p, or that of a lookup's answer, after which all would otherwise be due.
    pub(crate) fn extend(
        &mut self,
        (now, start): (Instant, Instant),
        batch: Vec<Candidate>,
        experience: &mut Experience,
        config: &Config,
        out: &mut Outbox,
    ) {
        let fresh = batch.into_iter().filter(|candidate| self.takes(candidate));
        let fresh: Vec<_> = fresh.collect();
        let learnt = fresh.iter().filter(|candidate| !candidate.origin.given);
        let learnt = learnt.map(|candidate| &candidate.address);
        let verdict = experience.black_holes.ask(learnt, config);
        let plain = self.plain_tcp(&fresh);
        let mut admitted = Vec::new();
        for candidate in fresh {
            let backoffs = &experience.backoffs;
            let skip = self.skip(now, &candidate, &plain, verdict, backoffs);
            let skip = skip.or_else(|| self.count(&candidate, config, out));
            match skip {
                Some(skip) => self.fail_skipped(candidate.address, skip, out),
                None => admitted.push(candidate),
            }
        }
        let alive = self.alive().map(|candidate| candidate.address.clone());
        let new = admitted.iter().map(|candidate| candidate.address.clone());
        let all: Vec<_> = alive.chain(new).collect();
        for (address, delay) in rank(all, config) {
            let at = admitted.iter().position(|new| new.address == address);
            if let Some(candidate) = at.map(|at| admitted.swap_remove(at)) {
                let key = (start + delay, self.queue_next);
                self.queue_next += 1;
                self.queue.insert(key, candidate);
            }
        }
    }

    /// Takes the next address if its time has come: when nothing is in flight, that of the first has.
    pub(crate) fn pop_due(&mut self, due: Instant) -> Option<Candidate> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= due).then(|| first.remove())
    }

    /// When the first address is due by itself.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((due, _), _)| *due)
    }

    /// Until when upgrades hold others back.
    pub(crate) fn hold(&self) -> Option<Instant> {
        self.in_flight.values().filter_map(|a| a.hold).max()
    }

    /// Addresses that count against the limit.
    pub(crate) const fn addresses_count(&self) -> usize {
        self.admitted_count
    }

    /// Forgets what has not begun, so that it may be asked for again.
    pub(crate) fn clear(&mut self) {
        for candidate in mem::take(&mut self.queue).into_values() {
            self.seen.remove(&candidate.address);
            self.admitted_count -= 1;
        }
        for origin in mem::take(&mut self.names).pending() {
            self.seen.remove(&origin.address);
        }
    }

    /// Everything that was to be tried, with its failure; what is not over has failed with `error`.
    pub(crate) fn failures(&mut self, error: &AttemptError) -> Vec<(Multiaddr, AttemptError)> {
        let names = self
            .names
            .pending()
            .map(|o| split_peer(o.address.clone()).0);
        let names: BTreeSet<_> = names.collect();
        let alive = self.alive().map(|candidate| candidate.address.clone());
        let alive: Vec<_> = alive.chain(names).collect();
        let mut failures = mem::take(&mut self.failed);
        failures.extend(alive.into_iter().map(|address| (address, error.clone())));
        failures
    }

    fn alive(&self) -> impl Iterator<Item = &Candidate> {
        let in_flight = self.in_flight.values().map(|attempt| &attempt.candidate);
        in_flight.chain(self.queue.values())
    }

    /// Whether the address is new. One that was skipped, and is now given by a caller, is new, too.
    fn takes(&mut self, candidate: &Candidate) -> bool {
        if self.seen.insert(candidate.address.clone()) {
            return true;
        }
        let skipped = |(address, error): &(Multiaddr, AttemptError)| {
            *address == candidate.address && matches!(error, AttemptError::Skipped(_))
        };
        match self.failed.iter().position(skipped) {
            Some(at) if candidate.origin.given => {
                self.failed.remove(at);
                true
            }
            _ => false,
        }
    }

    /// Where plain TCP is tried, and whether a caller has given it.
    fn plain_tcp(&self, fresh: &[Candidate]) -> BTreeMap<(IpAddr, u16), bool> {
        let mut plain = BTreeMap::new();
        for candidate in self.alive().chain(fresh) {
            if let (Carrier::Tcp, Some(socket)) =
                (carrier(&candidate.address), socket(&candidate.address))
            {
                *plain.entry(socket).or_default() |= candidate.origin.given;
            }
        }
        plain
    }

    fn skip(
        &self,
        now: Instant,
        candidate: &Candidate,
        plain: &BTreeMap<(IpAddr, u16), bool>,
        verdict: Verdict,
        backoffs: &Backoffs,
    ) -> Option<Skip> {
        let address = &candidate.address;
        let given = candidate.origin.given;
        let beside = socket(address).and_then(|socket| plain.get(&socket));
        // Who gives a WebSocket address alone wants WebSocket.
        if carrier(address) == Carrier::WebSocket && beside.is_some_and(|plain| *plain || !given) {
            return Some(Skip::PlainTcp);
        }
        if given {
            return None;
        }
        let backoff = |peer: PeerId| backoffs.remaining(now, peer, address);
        let backoff = self
            .target
            .peer
            .filter(|_| !self.target.force_new)
            .and_then(backoff);
        let backoff = backoff.map(|remaining| Skip::Backoff { remaining });
        verdict.skip(address).or(backoff)
    }

    /// Counts the address; at the limit, what a caller gives takes the place of what is only known.
    fn count(&mut self, candidate: &Candidate, config: &Config, out: &mut Outbox) -> Option<Skip> {
        let (limits, limit) = (&mut out.counters.limits, Limit::DialAddresses);
        let Err(reached) = limits.check(limit, self.admitted_count, config.dial_addresses_max)
        else {
            self.admitted_count += 1;
            limits.saw(limit, self.admitted_count);
            return None;
        };
        let known = self.queue.iter().rev().find(|(_, c)| !c.origin.given);
        let known = known
            .map(|(key, _)| *key)
            .filter(|_| candidate.origin.given);
        let displaced = known.and_then(|key| self.queue.remove(&key));
        let Some(displaced) = displaced else {
            return Some(Skip::LimitReached(reached));
        };
        self.fail_skipped(displaced.address, Skip::LimitReached(reached), out);
        None
    }

    pub(crate) fn fail_skipped(&mut self, address: Multiaddr, skip: Skip, out: &mut Outbox) {
        let counters = &mut out.counters;
        match skip {
            Skip::Backoff { .. } => counters.skipped_backoff += 1,
            Skip::UdpBlackHole | Skip::Ipv6BlackHole => counters.skipped_black_hole += 1,
            Skip::PrivateFromPublic => counters.addresses_private += 1,
            Skip::Hearsay { .. } => counters.skipped_hearsay += 1,
            Skip::PlainTcp
            | Skip::Unspecified
            | Skip::NoZone
            | Skip::Banned
            | Skip::LimitReached(_) => {}
        }
        self.failed.push((address, skip.into()));
    }
}

fn socket(address: &Multiaddr) -> Option<(IpAddr, u16)> {
    Some((ip(address)?, port(address)?))
}
