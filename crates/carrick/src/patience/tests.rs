//! A timer in time, and one whose process stood still.

use std::future::poll_fn;

use futures::FutureExt;

use super::*;

#[test]
fn who_is_busy_has_not_slept() {
    let now = Instant::now();
    assert_eq!(lateness(now, now), Duration::ZERO);
    assert_eq!(lateness(now + GRACE, now), Duration::ZERO);
    assert_eq!(lateness(now, now + BUSY_MAX), Duration::ZERO);
    assert_eq!(lateness(now, now + 2 * BUSY_MAX), 2 * BUSY_MAX);
}

#[tokio::test]
async fn a_timer_that_rings_far_too_late_waits_until_the_rest_was_read() {
    let begun = Instant::now();
    // As if it had been set an hour ago.
    let Some(due) = begun.checked_sub(Duration::from_secs(3600)) else {
        return eprintln!("skipped: the machine has just started");
    };
    let mut timer = Patient::new(due);
    assert!(poll_fn(|cx| timer.poll(cx)).now_or_never().is_none());
    timer.reset(begun);
    assert!(poll_fn(|cx| timer.poll(cx)).now_or_never().is_none());
    let slept = poll_fn(|cx| timer.poll(cx)).await;
    assert!(slept >= Duration::from_secs(3600));
    assert!(begun.elapsed() >= GRACE);
    // In time from here on.
    timer.reset(Instant::now());
    assert_eq!(poll_fn(|cx| timer.poll(cx)).await, Duration::ZERO);
}
