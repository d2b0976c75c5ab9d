//! Figures from times that are made up.

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn the_slowest_stream_is_held_against_the_fastest() {
    assert_eq!(slowest_part(&[ms(50), ms(100), ms(90)]), Some(0.5));
    assert_eq!(slowest_part(&[]), None);
}

#[test]
fn a_ramp_ends_where_the_rate_is_nearly_the_final_one() {
    // Half a second of a tenth of the rate, then a second of all of it.
    let moved = |look: u64| look * 10 + look.saturating_sub(50) * 90;
    let log: Vec<_> = (0..=150).map(|look| (ms(look * 10), moved(look))).collect();
    let found = ramp_ms(&log).unwrap();
    assert!((480.0..=500.0).contains(&found), "{found}");
    assert_eq!(ramp_ms(&log[50..]).map(f64::round), Some(500.0));
}
