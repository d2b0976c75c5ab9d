//! The limit on ourselves: how many requests to one peer in one protocol are under way, and how many wait for them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use carrick_swarm::{Limit, LimitReached};
use carrick_wire::{PeerId, ProtocolId};
use tokio::sync::SemaphorePermit;

use crate::{
    quotas::Quotas,
    sync::{
        Mutex, MutexGuard, Semaphore,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// A lane for each peer and protocol that has a request now.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<Key, Lane>>);

/// Whom the requests are for, and in which protocol.
type Key = (PeerId, ProtocolId);

#[derive(Debug)]
struct Lane {
    turns: Arc<Turns>,
    /// Requests that have a turn or wait for one; with the last of them the lane goes.
    users: usize,
}

#[derive(Debug)]
struct Turns {
    max: usize,
    free: Semaphore,
    queued: AtomicUsize,
}

impl Turns {
    fn try_take(&self) -> bool {
        self.free.try_acquire().map(SemaphorePermit::forget).is_ok()
    }
}

impl Lanes {
    /// Waits for others in the same lane, if there are `max` of them and fewer than `max_queued` wait already. First come
    /// first served; once the peer is `gone`, nobody waits any more. Cancel-safe.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        key: Key,
        (max, max_queued): (usize, usize),
        quotas: &Quotas,
        gone: impl Future<Output = ()>,
    ) -> Result<Turn, NoTurn> {
        let mut turn = self.enter(key, max, quotas);
        turn.taken = turn.turns.try_take();
        if turn.taken {
            return Ok(turn);
        }
        quotas.refuse(Limit::RequestsOutboundPerPeer);
        turn.waited = true;
        let queued = Queued::new(&turn.turns, max_queued, quotas)?;
        tokio::select! {
            biased;
            permit = queued.0.free.acquire() => {
                // Nobody closes it.
                let _ = permit.map(SemaphorePermit::forget);
                turn.taken = true;
                Ok(turn)
            }
            () = gone => Err(NoTurn::Gone),
        }
    }

    /// How many requests are under way, and how many wait, where there are most.
    pub(crate) fn most(&self) -> (u64, u64) {
        let lanes = self.lanes();
        let used = lanes.values().map(|lane| {
            let turns = &lane.turns;
            turns.max.saturating_sub(turns.free.available_permits())
        });
        let queued = lanes.values().map(|lane| lane.turns.queued.load(Relaxed));
        let most = |all: Option<usize>| all.unwrap_or(0) as u64;
        (most(used.max()), most(queued.max()))
    }

    #[cfg(all(test, shuttle))]
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes().is_empty()
    }

    fn enter(self: &Arc<Self>, key: Key, max: usize, quotas: &Quotas) -> Turn {
        let mut lanes = self.lanes();
        let lane = lanes.entry(key.clone()).or_insert_with(|| {
            let max = max.min(Semaphore::MAX_PERMITS);
            quotas.allow(Limit::RequestsOutboundPerPeer, max);
            let (free, queued) = (Semaphore::new(max), AtomicUsize::new(0));
            Lane {
                turns: Arc::new(Turns { max, free, queued }),
                users: 0,
            }
        });
        lane.users += 1;
        let waiting = lane.turns.queued.load(Relaxed);
        quotas.saw(
            Limit::RequestsOutboundPerPeer,
            (lane.users - waiting.min(lane.users)).min(lane.turns.max) as u64,
        );
        Turn {
            turns: lane.turns.clone(),
            taken: false,
            waited: false,
            key,
            lanes: self.clone(),
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Key, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a request gets no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    Limit(LimitReached),
    /// The peer is gone.
    Gone,
}

impl From<LimitReached> for NoTurn {
    fn from(reached: LimitReached) -> Self {
        Self::Limit(reached)
    }
}

/// A request's turn, or its wait for one.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    taken: bool,
    waited: bool,
    key: Key,
    lanes: Arc<Lanes>,
}

impl Turn {
    /// Whether it had to wait.
    pub(crate) fn has_waited(&self) -> bool {
        self.waited
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.taken {
            self.turns.free.add_permits(1);
        }
        let mut lanes = self.lanes.lanes();
        if let Some(lane) = lanes.get_mut(&self.key) {
            lane.users -= 1;
            if lane.users == 0 {
                lanes.remove(&self.key);
            }
        }
    }
}

/// A place in the queue.
struct Queued(Arc<Turns>);

impl Queued {
    fn new(turns: &Arc<Turns>, max: usize, quotas: &Quotas) -> Result<Self, LimitReached> {
        let limit = Limit::RequestsQueuedPerPeer;
        quotas.allow(limit, max);
        let more = |queued: usize| (queued < max).then_some(queued + 1);
        match turns.queued.fetch_update(Relaxed, Relaxed, more) {
            Ok(before) => {
                quotas.saw(limit, before as u64 + 1);
                Ok(Self(turns.clone()))
            }
            Err(_) => {
                let max = max as u64;
                Err(LimitReached {
                    max,
                    ..quotas.refuse(limit)
                })
            }
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Relaxed);
    }
}
