//! What dials have taken: counts in fixed buckets, for metrics. Nothing here grows.

use std::time::Duration;

/// How durations spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many were longer than the bound before and not longer than their own; the last ones were longer than all.
    pub counts: [u64; Self::BOUNDS_MS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Spread {
    /// Bounds in milliseconds: those of go-libp2p's dials.
    pub const BOUNDS_MS: [u64; 11] = [1, 10, 50, 100, 200, 300, 400, 500, 750, 1000, 2000];

    pub(crate) fn observe(&mut self, took: Duration) {
        let millis = Self::BOUNDS_MS.map(Duration::from_millis);
        let bucket = millis.partition_point(|bound| *bound < took);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(took);
    }
}

/// What all dials so far have taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DialFigures {
    /// Those that led to a connection, by the number of addresses that were tried; the last ones tried six or more.
    pub succeeded: [Spread; 7],
    /// Those that did not, likewise.
    pub failed: [Spread; 7],
    /// How long the address that led to the peer had to wait for its turn.
    pub delays: Spread,
}

impl DialFigures {
    pub(crate) fn ended(&mut self, succeeded: bool, addresses: usize, took: Duration) {
        let all = if succeeded {
            &mut self.succeeded
        } else {
            &mut self.failed
        };
        all[addresses.min(all.len() - 1)].observe(took);
    }
}

/// Whether public UDP, or public IPv6, works here, as [`crate::Config::black_hole_window`] tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlackHoleFigures {
    /// Too few attempts are known to tell: everything is tried.
    pub is_probing: bool,
    /// It is left out.
    pub is_blocked: bool,
    /// Attempts that succeeded, of those that are remembered.
    pub successes: usize,
    /// Attempts that are remembered.
    pub attempts: usize,
    /// Dials until one tries it all the same; 0 unless it is left out.
    pub next_probe: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_bucket_whose_bound_it_does_not_exceed() {
        let mut spread = Spread::default();
        for millis in [0, 1, 2, 2000, 2001] {
            spread.observe(Duration::from_millis(millis));
        }
        assert_eq!(spread.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(spread.sum, Duration::from_millis(4004));
    }

    #[test]
    fn more_addresses_than_six_are_six() {
        let mut figures = DialFigures::default();
        figures.ended(true, 60, Duration::ZERO);
        figures.ended(false, 0, Duration::ZERO);
        assert_eq!(figures.succeeded[6].counts[0], 1);
        assert_eq!(figures.failed[0].counts[0], 1);
    }
}
