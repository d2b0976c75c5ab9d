//! What is remembered of peers that ask: how fast, how many requests, how many bytes; whatever streams they use.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use carrick_protocols::messages::{Pace, Rate};
use carrick_wire::{PeerId, messages::Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::builder::Options;
use crate::actors::Budget;

/// The peers that ask, or have asked so lately that their pace matters; of those who only have, [`PACES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Senders(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    peers: HashMap<PeerId, Arc<PeerState>>,
    /// Those who are looked at next, whether they can be forgotten.
    turns: VecDeque<PeerId>,
}

/// One peer that asks.
#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) budget: Budget,
    budget_bytes: usize,
    in_flight: Arc<Semaphore>,
    pace: Mutex<Pace>,
    rate: Option<Rate>,
}

impl Senders {
    /// What is known of a peer. With each new peer two others are looked at and forgotten if they have no stream, nothing
    /// of theirs is with a handler, and their pace is as if they had never come, or too many are remembered for their pace
    /// alone; so there are hardly more than have streams.
    pub(super) fn peer(&self, peer: PeerId, options: &Options, now: Instant) -> Arc<PeerState> {
        let mut known = lock(&self.0);
        if let Some(state) = known.peers.get(&peer) {
            return state.clone();
        }
        for _ in 0..2 {
            let Some(other) = known.turns.pop_front() else {
                break;
            };
            let state = known.peers.get(&other);
            let too_many = known.peers.len() > PACES_MAX;
            let is_over = state.is_none_or(|state| {
                Arc::strong_count(state) == 1
                    && state.budget.available() == state.budget_bytes
                    && (too_many || lock(&state.pace).is_rested(now))
            });
            if is_over {
                known.peers.remove(&other);
            } else {
                known.turns.push_back(other);
            }
        }
        let in_flight = options.limits.in_flight_max.min(Semaphore::MAX_PERMITS);
        let budget = Budget::new(options.budget_bytes);
        let state = Arc::new(PeerState {
            budget_bytes: budget.available(),
            budget,
            in_flight: Arc::new(Semaphore::new(in_flight)),
            pace: Mutex::default(),
            rate: options.rate,
        });
        known.peers.insert(peer, state.clone());
        known.turns.push_back(peer);
        state
    }
}

impl PeerState {
    /// Whether the peer may send something now, by its pace.
    pub(super) fn keep_pace(&self, now: Instant) -> Result<(), Refusal> {
        let Some(rate) = self.rate else { return Ok(()) };
        let taken = lock(&self.pace).take(now, rate);
        taken.map_err(|after| Refusal::Busy {
            retry_after: Some(after),
        })
    }

    /// Whether the peer may have one more request under way; it has until this is dropped.
    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.in_flight.clone().try_acquire_owned().ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Peers that are remembered for their pace: who comes under thousands of names has a new one each time, anyway.
const PACES_MAX: usize = 4096;

#[cfg(test)]
mod tests;
