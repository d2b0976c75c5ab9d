//! Who is let in: how many requests of one peer in one protocol are being answered, how many bytes they have, and how fast
//! they come. Invariant: what is remembered of peers is what they have under way, and a pace of `PACES_MAX` of them.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use carrick_session::Code;
use carrick_swarm::{Limit, LimitReached};
use carrick_wire::PeerId;

use crate::{
    quotas::Quotas,
    sync::{Mutex, MutexGuard},
};

/// What one peer may have in one protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) in_flight: usize,
    pub(crate) bytes: usize,
    /// So many at once, and one more after each interval.
    pub(crate) rate: Option<(u32, Duration)>,
}

/// The door of one protocol.
#[derive(Debug)]
pub(crate) struct Gate {
    rule: Rule,
    quotas: Arc<Quotas>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests and bytes of peers that have some.
    running: HashMap<PeerId, (usize, usize)>,
    /// When each peer has its whole burst again, if it has not.
    whole: HashMap<PeerId, Instant>,
    order: BTreeSet<(Instant, PeerId)>,
}

/// A request that is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reached}")]
pub(crate) struct Refusal {
    pub(crate) reached: LimitReached,
    /// When there is room again, where that is known.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// How the peer is told.
    pub(crate) fn code(&self) -> Code {
        match self.retry_after {
            Some(_) => Code::RATE_LIMITED,
            None => Code::LIMIT,
        }
    }
}

impl Gate {
    pub(crate) fn new(rule: Rule, quotas: Arc<Quotas>) -> Arc<Self> {
        quotas.allow(Limit::RequestsInboundPerPeer, rule.in_flight);
        quotas.allow(Limit::RequestBytesPerPeer, rule.bytes);
        if let Some((burst, _)) = rule.rate {
            quotas.allow(Limit::RequestRatePerPeer, burst as usize);
        }
        Arc::new(Self {
            rule,
            quotas,
            state: Mutex::default(),
        })
    }

    /// Lets a request of the peer's in, or says what is in the way.
    pub(crate) fn enter(self: &Arc<Self>, now: Instant, peer: PeerId) -> Result<Entered, Refusal> {
        let mut state = self.state();
        let (count, _) = state.running.get(&peer).copied().unwrap_or_default();
        if count >= self.rule.in_flight {
            return Err(self.refuse(Limit::RequestsInboundPerPeer, self.rule.in_flight, None));
        }
        if let Some((burst, interval)) = self.rule.rate {
            match state.take(now, peer, burst, interval) {
                Ok(used) => self.quotas.saw(Limit::RequestRatePerPeer, used),
                Err(wait) => {
                    let limit = Limit::RequestRatePerPeer;
                    return Err(self.refuse(limit, burst as usize, Some(wait)));
                }
            }
        }
        state.running.entry(peer).or_default().0 += 1;
        drop(state);
        self.quotas
            .saw(Limit::RequestsInboundPerPeer, count as u64 + 1);
        Ok(Entered {
            gate: self.clone(),
            peer,
            bytes: 0,
        })
    }

    /// What the peer uses of a limit that uses most of it.
    pub(crate) fn most(&self, limit: Limit) -> u64 {
        let state = self.state();
        let used = state.running.values().map(|(count, bytes)| match limit {
            Limit::RequestsInboundPerPeer => *count,
            Limit::RequestBytesPerPeer => *bytes,
            _ => 0,
        });
        used.max().unwrap_or(0) as u64
    }

    fn refuse(&self, limit: Limit, max: usize, retry_after: Option<Duration>) -> Refusal {
        let max = max as u64;
        let reached = LimitReached {
            max,
            ..self.quotas.refuse(limit)
        };
        Refusal {
            reached,
            retry_after,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes one of the peer's burst and says how much of it is used, or how long it must wait.
    fn take(
        &mut self,
        now: Instant,
        peer: PeerId,
        burst: u32,
        interval: Duration,
    ) -> Result<u64, Duration> {
        while let Some((_, peer)) = self.order.first().copied().filter(|(at, _)| *at <= now) {
            self.order.pop_first();
            self.whole.remove(&peer);
        }
        let before = self.whole.get(&peer).copied();
        let wait = before.map_or(Duration::ZERO, |whole| whole.saturating_duration_since(now));
        let wait = wait.saturating_add(interval);
        let most = interval.saturating_mul(burst);
        if wait > most {
            return Err(wait - most);
        }
        let Some(whole) = now.checked_add(wait) else {
            return Err(wait);
        };
        if let Some(before) = before {
            self.order.remove(&(before, peer));
        }
        self.whole.insert(peer, whole);
        self.order.insert((whole, peer));
        if self.whole.len() > PACES_MAX
            && let Some((_, soonest)) = self.order.pop_first()
        {
            self.whole.remove(&soonest);
        }
        let used = wait.as_nanos().div_ceil(interval.as_nanos().max(1));
        Ok(u64::try_from(used).unwrap_or(u64::MAX))
    }
}

/// A request that is being answered; its drop makes room for the peer's next.
#[derive(Debug)]
pub(crate) struct Entered {
    gate: Arc<Gate>,
    peer: PeerId,
    bytes: usize,
}

impl Entered {
    /// So many bytes more of it have come.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let max = self.gate.rule.bytes;
        let mut state = self.gate.state();
        let (_, used) = state.running.entry(self.peer).or_default();
        let more = used.saturating_add(bytes);
        if more > max {
            drop(state);
            return Err(self.gate.refuse(Limit::RequestBytesPerPeer, max, None));
        }
        *used = more;
        self.bytes += bytes;
        drop(state);
        self.gate
            .quotas
            .saw(Limit::RequestBytesPerPeer, more as u64);
        Ok(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if let Entry::Occupied(mut running) = state.running.entry(self.peer) {
            let (count, bytes) = running.get_mut();
            *count -= 1;
            *bytes -= self.bytes;
            if *count == 0 {
                running.remove();
            }
        }
    }
}

/// Peers whose pace is remembered; the one that has to wait least is forgotten first.
const PACES_MAX: usize = 4096;

#[cfg(test)]
mod tests;
