//! Which steps of the clocks are a sleep.

use super::*;

const INTERVAL: Duration = Duration::from_secs(5);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[test]
fn a_sleep_is_told_by_either_clock_and_one_that_is_set_back_tells_nothing() {
    let before = Clocks::read();
    let after = |steady: Duration, wall: SystemTime| {
        let steady = before.steady + steady;
        Clocks { steady, wall }.have_slept(before, INTERVAL)
    };
    let second = Duration::from_secs(1);
    for wall in [
        before.wall + INTERVAL,
        before.wall + INTERVAL + second,
        before.wall + INTERVAL - second,
        before.wall - second,
        before.wall - YEAR,
    ] {
        assert!(!after(INTERVAL, wall), "{wall:?}");
    }
    // Stopped, suspended, and a clock that was set forward.
    assert!(after(INTERVAL + 2 * SLEEP_MIN, before.wall));
    assert!(after(INTERVAL, before.wall + INTERVAL + 2 * SLEEP_MIN));
    assert!(after(INTERVAL, before.wall + YEAR));
    assert!(!Clocks::read().have_slept(before, Duration::MAX));
}
