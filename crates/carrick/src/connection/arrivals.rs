//! The peer's streams that have no protocol yet: some negotiate, and those that are too many wait for them in the order in
//! which they came. Who waits is a channel and a time here, and nothing else of it is there: no task, no buffer, no timer.
//!
//! Invariants: nobody begins before those who came earlier. Who waits has another of its connection before it that negotiates;
//! as each of those ends in time, measured from its arrival, nobody waits for longer than that.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    time::Instant,
};

use carrick_swarm::{Limit, LimitReached};

use super::Channel;
use crate::{
    quotas::{Permit, Quotas},
    sync::{Mutex, MutexGuard, Notify},
};

/// One connection's.
pub(crate) struct Arrivals {
    /// How many may negotiate, if the node has places for them.
    max: usize,
    line: Mutex<Line>,
    /// Told when one has ended and others wait.
    ended: Notify,
}

#[derive(Default)]
struct Line {
    negotiating: usize,
    /// At most as many as the connection may have streams, since the link counts them as such.
    waiting: VecDeque<Newcomer>,
    /// Somebody [`call`](Arrivals::call)s them.
    is_called: bool,
}

/// A stream on which nothing was read.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) channel: Channel,
    pub(crate) since: Instant,
}

/// What becomes of a newcomer.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It may negotiate, and then [`leave`](Arrivals::leave)s.
    Begins(Newcomer, Permit),
    Refused(Newcomer, LimitReached),
    /// `is_first`: somebody must begin to call those who wait.
    Waits {
        is_first: bool,
    },
}

impl Arrivals {
    /// Of which at most `max` negotiate, and at least one.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            line: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// How many negotiate.
    pub(crate) fn negotiating(&self) -> usize {
        self.line().negotiating
    }

    pub(crate) fn arrive(&self, newcomer: Newcomer, quotas: &Arc<Quotas>) -> Arrival {
        let mut line = self.line();
        let turn = if line.is_called {
            Turn::Waits(Limit::NegotiationsPerConnection)
        } else {
            line.turn(self.max, quotas)
        };
        match turn {
            Turn::Begins(permit) => Arrival::Begins(newcomer, permit),
            Turn::Refused(reached) => Arrival::Refused(newcomer, reached),
            Turn::Waits(limit) => {
                line.waiting.push_back(newcomer);
                let is_first = !std::mem::replace(&mut line.is_called, true);
                drop(line);
                quotas.refuse(limit);
                Arrival::Waits { is_first }
            }
        }
    }

    /// Waits until whoever is next in line has its turn; `None`: nobody is, and the next to wait is the first again. For one
    /// caller at a time.
    pub(crate) async fn call(
        &self,
        quotas: &Arc<Quotas>,
    ) -> Option<(Newcomer, Result<Permit, LimitReached>)> {
        loop {
            if let Some(called) = self.try_call(quotas) {
                return called;
            }
            self.ended.notified().await;
        }
    }

    fn try_call(
        &self,
        quotas: &Arc<Quotas>,
    ) -> Option<Option<(Newcomer, Result<Permit, LimitReached>)>> {
        let mut line = self.line();
        let Some(next) = line.waiting.pop_front() else {
            line.waiting = VecDeque::new();
            line.is_called = false;
            return Some(None);
        };
        let turn = match line.turn(self.max, quotas) {
            Turn::Begins(permit) => Ok(permit),
            Turn::Refused(reached) => Err(reached),
            Turn::Waits(_) => {
                line.waiting.push_front(next);
                return None;
            }
        };
        Some(Some((next, turn)))
    }

    /// One that has begun does not negotiate any more.
    pub(crate) fn leave(&self) {
        let mut line = self.line();
        line.negotiating -= 1;
        if line.is_called {
            drop(line);
            self.ended.notify_one();
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Turn {
    Begins(Permit),
    Refused(LimitReached),
    Waits(Limit),
}

impl Line {
    /// Whether one more may begin.
    fn turn(&mut self, max: usize, quotas: &Arc<Quotas>) -> Turn {
        let limit = Limit::NegotiationsPerConnection;
        if self.negotiating >= max {
            return Turn::Waits(limit);
        }
        if self.negotiating > 0 && quotas.is_last_quarter(Limit::Negotiations) {
            return Turn::Waits(Limit::Negotiations);
        }
        match quotas.permit(Limit::Negotiations) {
            Ok(permit) => {
                self.negotiating += 1;
                quotas.saw(limit, self.negotiating as u64);
                Turn::Begins(permit)
            }
            Err(reached) => Turn::Refused(reached),
        }
    }
}

#[cfg(test)]
mod tests;
