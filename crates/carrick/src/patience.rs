//! A timer that notices when the process has slept: stopped, suspended with its machine, or starved. What others sent
//! meanwhile is still in the sockets' buffers, so nobody may be given up before that is read: a timer that would ring far too
//! late rings a moment later still.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};

/// The timer.
#[derive(Debug)]
pub(crate) struct Patient {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
    /// How much too late it was, while what came meanwhile is read.
    slept: Option<Duration>,
}

impl Patient {
    pub(crate) fn new(at: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(at.into())),
            at,
            slept: None,
        }
    }

    /// When it rings.
    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    /// Moves it; not while it waits after a sleep, since ringing too early costs one look at the deadlines.
    pub(crate) fn reset(&mut self, at: Instant) {
        if self.slept.is_none() {
            self.move_to(at);
        }
    }

    /// Ready when it rings, with how long the process has slept: zero, but for once after a sleep. Must then be set again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        ready!(self.sleep.as_mut().poll(cx));
        if let Some(slept) = self.slept.take() {
            return Poll::Ready(slept);
        }
        let now = Instant::now();
        let late = lateness(self.at, now);
        if late.is_zero() {
            return Poll::Ready(late);
        }
        self.move_to(now + GRACE);
        self.slept = Some(late);
        self.sleep.as_mut().poll(cx).map(|()| late)
    }

    fn move_to(&mut self, at: Instant) {
        self.at = at;
        self.sleep.as_mut().reset(at.into());
    }
}

/// How long the process has slept when what was due at `due` happens now; zero if it is just busy.
pub(crate) fn lateness(due: Instant, now: Instant) -> Duration {
    let late = now.saturating_duration_since(due);
    if late > BUSY_MAX {
        late
    } else {
        Duration::ZERO
    }
}

/// A timer that is late by no more than this is late because there is much to do.
const BUSY_MAX: Duration = Duration::from_secs(1);
/// How long a process that has slept reads before it gives anybody up.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
