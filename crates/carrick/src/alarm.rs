//! The control task's one timer. Deadlines come and go with every dial, so it is moved only to ring earlier; a ring too
//! early costs one look at the deadlines.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};

use crate::patience::lateness;

#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// When it rings, while it is set.
    at: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep_until(Instant::now().into())),
            at: None,
        }
    }

    /// Rings at the deadline or before.
    pub(crate) fn set(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.at.is_none_or(|at| deadline < at) {
            self.at = Some(deadline);
            self.sleep.as_mut().reset(deadline.into());
        }
    }

    /// Waits until it rings, and tells how long the process has slept meanwhile; then it must be set again. Cancel-safe.
    pub(crate) async fn rings(&mut self) -> Duration {
        let Some(at) = self.at else {
            return std::future::pending().await;
        };
        self.sleep.as_mut().await;
        self.at = None;
        lateness(at, Instant::now())
    }
}
