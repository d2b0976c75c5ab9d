//! How fast one peer may ask: so many at once, so many a second. One instant is all that is remembered (GCRA).

use std::time::{Duration, Instant};

/// A limit on how often something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many a second, in the long run; 0 counts as 1.
    pub per_second: u32,
    /// So many at once, after a while of silence; 0 counts as 1.
    pub burst: u32,
}

/// What one peer has used of a [`Rate`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When all that was used will be free again.
    free_at: Option<Instant>,
}

impl Pace {
    /// Uses one.
    ///
    /// # Errors
    /// Too many were used: how long until there is one more.
    pub fn take(&mut self, now: Instant, rate: Rate) -> Result<(), Duration> {
        let one = Duration::from_secs(1) / rate.per_second.max(1);
        let all = one * rate.burst.max(1);
        let used = self.used(now);
        let after = used.saturating_add(one);
        if after > all {
            return Err(after - all);
        }
        self.free_at = now.checked_add(after);
        Ok(())
    }

    /// Whether nothing is used any more: there is nothing to remember.
    pub fn is_rested(&self, now: Instant) -> bool {
        self.used(now).is_zero()
    }

    fn used(&self, now: Instant) -> Duration {
        self.free_at.map_or(Duration::ZERO, |free_at| {
            free_at.saturating_duration_since(now)
        })
    }
}
