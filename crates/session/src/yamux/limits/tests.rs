//! What a budget gives at once, and what time gives back.

use std::time::Duration;

use super::*;
use crate::testing::epoch;

#[test]
fn a_budget_gives_its_burst_and_then_what_each_second_brings() {
    let rate = Rate {
        burst: 3,
        per_second: 2,
    };
    let start = epoch();
    let mut budget = Budget::new(rate, start);
    let mut taken = |millis| {
        let now = start + Duration::from_millis(millis);
        std::iter::from_fn(|| budget.take(now)).take(10).count()
    };
    assert_eq!(taken(0), 3);
    // Whoever asks all the while does not put off what the second brings.
    assert_eq!((taken(400), taken(999)), (0, 0));
    assert_eq!(taken(1000), 2);
    assert_eq!(taken(60_000), 3, "no more than the burst");
}
