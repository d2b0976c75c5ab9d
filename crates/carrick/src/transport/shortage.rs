//! What a listener does when accepting fails. That concerns one connection, or the process or the machine has run out of
//! something: then only time helps, and trying again at once would do nothing but keep a core busy. Connections that are
//! there live on meanwhile, and newcomers wait in the kernel.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::sleep;

/// How long a listener has to wait after failures in a row.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    failures: u32,
}

/// Failures for want of descriptors or memory, of all listeners: what ran out is the process's.
static SHORTAGES: AtomicU64 = AtomicU64::new(0);

/// How often accepting has failed for want of descriptors or memory.
pub(crate) fn count() -> u64 {
    SHORTAGES.load(Ordering::Relaxed)
}

impl Shortage {
    /// Somebody was accepted.
    pub(super) fn over(&mut self) {
        self.failures = 0;
    }

    /// Waits longer after each failure. Cancel-safe.
    pub(super) async fn wait(&mut self, error: &io::Error) {
        if is_shortage(error) {
            SHORTAGES.fetch_add(1, Ordering::Relaxed);
            if self.failures == 0 {
                tracing::warn!(%error, "accepting pauses");
            }
        }
        let pause = self.pause();
        self.failures = self.failures.saturating_add(1);
        sleep(pause).await;
    }

    fn pause(&self) -> Duration {
        PAUSE_MIN
            .saturating_mul(1 << self.failures.min(16))
            .min(PAUSE_MAX)
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, by their numbers on Linux, and on BSD and macOS where those differ.
fn is_shortage(error: &io::Error) -> bool {
    let no_buffers = if cfg!(target_os = "linux") { 105 } else { 55 };
    let number = error.raw_os_error();
    cfg!(unix) && number.is_some_and(|number| [24, 23, no_buffers, 12].contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_begin_anew_when_somebody_was_accepted() {
        let mut shortage = Shortage::default();
        let mut pauses = Vec::new();
        for failures in 0..12 {
            shortage.failures = failures;
            pauses.push(shortage.pause().as_millis());
        }
        assert_eq!(
            pauses,
            [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000]
        );
        shortage.failures = u32::MAX;
        assert_eq!(shortage.pause(), PAUSE_MAX);
        shortage.over();
        assert_eq!(shortage.pause(), PAUSE_MIN);
    }

    #[cfg(unix)]
    #[test]
    fn having_run_out_is_told_from_a_connection_that_has_failed() {
        let of = io::Error::from_raw_os_error;
        assert!([24, 23, 12].iter().all(|number| is_shortage(&of(*number))));
        assert!(!is_shortage(&of(103)));
        assert!(!is_shortage(&io::ErrorKind::ConnectionAborted.into()));
    }
}
