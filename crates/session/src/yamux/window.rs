//! How large receive windows may grow, and the round-trip time that decides it.
//!
//! A window is refilled by quarters: what waits for its refill is lost to the throughput on a long way. It doubles when
//! a quarter was used up within one round trip: then it, not the network, soon sets the pace. All growth of one connection
//! comes out of one budget and returns to it when streams end. No stream takes more of it than its share among those that
//! carry much, so that equal streams get equal windows, and with them equal speed.
//!
//! The first window of a stream costs nothing when it is granted, since yamux grants it unasked; what a peer fills of it and
//! nobody reads is paid for out of the same pool (`unread.rs`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use carrick_wire::yamux::INITIAL_WINDOW;

use crate::{Config, Violation, WindowPool, unread::Unread};

#[derive(Debug)]
pub(crate) struct Windows {
    stream_max: u32,
    budget_max: u32,
    /// What is left of it.
    budget: u32,
    /// Streams that were refilled at least once.
    carrying: u32,
    /// What the budget comes out of; without one it is our own.
    pool: Option<Arc<dyn WindowPool>>,
    /// What all streams hold unread within their first windows.
    pub(super) unread: Unread,
}

impl Windows {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            stream_max: config.stream_window_max.max(INITIAL_WINDOW),
            budget_max: config.window_budget,
            budget: config.window_budget,
            carrying: 0,
            pool: None,
            unread: Unread::default(),
        }
    }

    /// From now on windows grow only as far as the pool lends; call it before they do.
    pub(crate) fn set_pool(&mut self, pool: Arc<dyn WindowPool>) {
        self.unread.set_pool(pool.clone());
        self.pool = Some(pool);
    }

    pub(super) fn stream_max(&self) -> u32 {
        self.stream_max
    }

    /// The window that a stream gets from now on: twice its last one, or the same. The first call for a stream counts it.
    pub(super) fn grow(
        &mut self,
        window: u32,
        refilled: Option<Instant>,
        now: Instant,
        rtt: Option<Duration>,
    ) -> u32 {
        let fast = match (refilled, rtt) {
            (Some(refilled), Some(rtt)) => now.saturating_duration_since(refilled) < rtt,
            _ => false,
        };
        self.carrying += u32::from(refilled.is_none());
        let share = INITIAL_WINDOW.saturating_add(self.budget_max / self.carrying.max(1));
        let grown = window.saturating_mul(2).min(self.stream_max).min(share);
        let grown = grown.max(window);
        match self.budget.checked_sub(grown - window) {
            Some(left) if fast && grown > window && self.take(grown - window) => {
                self.budget = left;
                grown
            }
            _ => window,
        }
    }

    fn take(&self, bytes: u32) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.take(bytes))
    }

    /// The stream has ended.
    pub(super) fn give_back(&mut self, window: u32, refilled: Option<Instant>) {
        let grown = window - INITIAL_WINDOW;
        self.budget += grown;
        if let Some(pool) = self.pool.as_ref().filter(|_| grown > 0) {
            pool.give_back(grown);
        }
        self.carrying -= u32::from(refilled.is_some());
    }
}

impl Drop for Windows {
    /// Streams that are still open end with their connection.
    fn drop(&mut self) {
        let grown = self.budget_max - self.budget;
        if let Some(pool) = self.pool.as_ref().filter(|_| grown > 0) {
            pool.give_back(grown);
        }
    }
}

/// Pings: one when windows begin to matter, then now and then; and one when the peer has been silent for long.
#[derive(Debug)]
pub(crate) struct Pinger {
    interval: Duration,
    timeout: Duration,
    heard: Instant,
    sent: Option<(u32, Instant)>,
    next: u32,
    measured: Option<(Duration, Instant)>,
}

/// How old a measurement of the round-trip time may become while data flows.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

impl Pinger {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            interval: config.keep_alive_interval,
            timeout: config.keep_alive_timeout,
            heard: now,
            sent: None,
            next: 0,
            measured: None,
        }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.measured.map(|(rtt, _)| rtt)
    }

    /// A ping to send if the round-trip time is unknown or old.
    pub(super) fn measure(&mut self, now: Instant) -> Option<u32> {
        let old = self
            .measured
            .is_none_or(|(_, at)| now.saturating_duration_since(at) > MEASURE_INTERVAL);
        (old && self.sent.is_none()).then(|| self.ping(now))
    }

    /// An answer nobody asked for is ignored.
    pub(super) fn answered(&mut self, now: Instant, value: u32) {
        if let Some((_, at)) = self.sent.take_if(|(sent, _)| *sent == value) {
            self.measured = Some((now.saturating_duration_since(at), now));
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        match self.sent {
            Some((_, at)) => at.max(self.heard) + self.timeout,
            None => self.heard + self.interval,
        }
    }

    /// A ping to send after a long silence.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<Option<u32>, Violation> {
        if now < self.deadline() {
            return Ok(None);
        }
        match self.sent {
            Some(_) => Err(Violation("no answer to a keep-alive ping")),
            None => Ok(Some(self.ping(now))),
        }
    }

    fn ping(&mut self, now: Instant) -> u32 {
        let value = self.next;
        self.next = self.next.wrapping_add(1);
        self.sent = Some((value, now));
        value
    }
}
