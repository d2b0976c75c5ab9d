//! The one queue of what is due when, and the box of actions that all parts put theirs into.
//! Invariant: a timer is set at most once; whoever owns its id clears it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    config::Counters,
    event::{Action, AttemptId, ConnectionId, Notice},
};

/// What the parts of the swarm write to.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) actions: VecDeque<Action>,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
}

impl Outbox {
    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Tells which limits have refused something.
    pub(crate) fn tell_limits(&mut self, now: Instant) {
        for limit in self.counters.limits.news(now) {
            self.notice(Notice::LimitReached { limit });
        }
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.push(Action::Notice(notice));
    }
}

/// One dial of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DialId(pub(crate) u64);

/// What can become due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An attempt has had its time.
    Attempt(AttemptId),
    /// A dial may start its next attempt.
    Next(DialId),
    /// A dial's lookups have had their time.
    Names(DialId),
    /// A dial has had its time.
    Dial(DialId),
    /// A connection that is not preferred has been idle long enough.
    Duplicate(ConnectionId),
    /// Ask again what an ignored push said.
    Refresh(ConnectionId),
    /// There are more connections than there should be.
    Trim,
    /// Tell everyone what we are now.
    Push,
    /// A ban may be over.
    Bans,
}

/// Timers by time and by name.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
    set: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets or moves a timer.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.clear(timer);
        self.queue.insert((at, timer));
        self.set.insert(timer, at);
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.set.remove(&timer) {
            self.queue.remove(&(at, timer));
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.set.contains_key(&timer)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Moves all of them: time passed in which nobody could do anything.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.queue = std::mem::take(&mut self.queue)
            .into_iter()
            .map(|(at, timer)| (at.checked_add(by).unwrap_or(at), timer))
            .collect();
        self.set = self.queue.iter().map(|(at, timer)| (*timer, *at)).collect();
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.queue.first()?;
        (at <= now).then(|| {
            self.clear(timer);
            timer
        })
    }
}
