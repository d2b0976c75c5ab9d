//! The pace of log lines that a peer can cause: whoever attacks must not fill a disk.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// One place in the code that logs; it has ten lines a second.
#[derive(Debug)]
pub struct Pace {
    /// The second, and in the lower half how many lines it has had.
    state: AtomicU64,
}

impl Pace {
    const MAX: u64 = 10;

    /// It has had none yet.
    pub const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
        }
    }

    /// Whether one more line may be written now.
    pub fn allows(&self) -> bool {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.allows_in(START.elapsed().as_secs())
    }

    fn allows_in(&self, second: u64) -> bool {
        let change = |state: u64| {
            let (of, count) = (state >> 32, state & u64::from(u32::MAX));
            let count = if of == second { count } else { 0 };
            (count < Self::MAX).then_some(second << 32 | (count + 1))
        };
        let order = Ordering::Relaxed;
        self.state.fetch_update(order, order, change).is_ok()
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_ten_lines_a_second_however_often_it_is_reached() {
        let pace = Pace::new();
        for second in [0, 1, 7, u64::from(u32::MAX)] {
            let written = (0..100_000).filter(|_| pace.allows_in(second)).count();
            assert_eq!(written, 10);
        }
    }

    #[test]
    fn two_places_do_not_share() {
        let (one, other) = (Pace::new(), Pace::new());
        while one.allows_in(3) {}
        assert!(other.allows_in(3));
    }
}
