//! Budgets for things that cost the peer little and us more: each use takes one, time gives them back.

use std::time::Instant;

/// How many at once, and how many more each second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    burst: u32,
    per_second: u32,
}

/// Streams that come to nothing, because the peer resets them or we must: enough to cancel every stream of a connection at
/// once, and some each second.
pub(crate) const RESETS: Rate = Rate {
    burst: 4096,
    per_second: 200,
};
/// Pings that we are to answer: a peer that measures needs one now and then.
pub(crate) const PINGS: Rate = Rate {
    burst: 4096,
    per_second: 200,
};
/// Data frames without data, flag or purpose.
pub(crate) const EMPTY_FRAMES: Rate = Rate {
    burst: 1000,
    per_second: 100,
};

/// What is left of a rate.
#[derive(Debug)]
pub(crate) struct Budget {
    rate: Rate,
    left: u32,
    at: Instant,
}

impl Budget {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            left: rate.burst,
            at: now,
        }
    }

    /// Takes one; `None` when none is left.
    pub(crate) fn take(&mut self, now: Instant) -> Option<()> {
        let seconds = now.saturating_duration_since(self.at).as_secs();
        if seconds > 0 {
            let gained = u64::from(self.rate.per_second).saturating_mul(seconds);
            self.left = u32::try_from(gained)
                .unwrap_or(u32::MAX)
                .saturating_add(self.left)
                .min(self.rate.burst);
            self.at = now;
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }
}

#[cfg(test)]
mod tests;
