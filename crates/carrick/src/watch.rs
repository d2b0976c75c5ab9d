//! Looks now and then whether the machine has other addresses than before, or has slept; and finds out who is gone since.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::sleep;
use tracing::debug;

use crate::{
    ConnectionError, OpenError, PingError,
    connection::Shared,
    core::Core,
    message::{Change, Message},
    ping,
    transport::machine_ips,
};

/// Looks until the node is closed.
pub(crate) async fn run(node: Arc<Core>, interval: Duration) {
    let mut ips = machine_ips().unwrap_or_default();
    let mut clocks = Clocks::read();
    loop {
        sleep(interval).await;
        let before = std::mem::replace(&mut clocks, Clocks::read());
        if clocks.have_slept(before, interval) {
            node.send(Message::Around(Change::Woke)).await;
        }
        let Ok(now) = machine_ips() else { continue };
        if now != ips {
            let gone: BTreeSet<_> = ips.difference(&now).copied().collect();
            debug!(?gone, "the machine's addresses have changed");
            ips = now;
            node.send(Message::Around(Change::Addresses(gone))).await;
        }
    }
}

/// Whoever cannot be reached any more is given up. A peer that knows no ping is left to the muxer's own.
pub(crate) async fn probe(_: Arc<Core>, shared: Arc<Shared>) {
    let silent = match ping::ping(&shared).await {
        Err(PingError::Open(error)) => matches!(error, OpenError::TimedOut { .. }),
        Err(error) => error == PingError::TimedOut,
        Ok(_) => false,
    };
    if silent {
        shared.lose(ConnectionError::TimedOut);
    }
}

/// A moment on two clocks. The first stands still, or not, while the machine is suspended; the second goes on, and can be set.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    steady: Instant,
    wall: SystemTime,
}

impl Clocks {
    fn read() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Whether much more time has passed since `before` than the interval, by either clock. One that was set back tells
    /// nothing.
    fn have_slept(self, before: Self, interval: Duration) -> bool {
        let steady = self.steady.saturating_duration_since(before.steady);
        let wall = self.wall.duration_since(before.wall).unwrap_or_default();
        steady.max(wall) > interval.saturating_add(SLEEP_MIN)
    }
}

/// The shortest sleep that is looked into: many a peer gives up who has heard nothing for somewhat longer.
const SLEEP_MIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
