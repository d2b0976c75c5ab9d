//! Lines and drifts whose answers are known.

use super::*;

fn series(values: impl IntoIterator<Item = f64>) -> Series {
    let every_minute = |n: u64| Duration::from_secs(60 * n);
    (0..).map(every_minute).zip(values).collect()
}

#[test]
fn a_straight_line_is_found_through_noise() {
    let noisy = series((0..60).map(|n| f64::from(n) / 10.0 + f64::from(n % 2)));
    assert!((slope_per_hour(&noisy) - 6.0).abs() < 0.1);
    assert!(slope_per_hour(&series([7.0; 30])).abs() < 1e-9);
}

#[test]
fn what_is_missing_makes_no_slope_and_so_no_verdict_holds() {
    assert!(slope_per_hour(&series([1.0, 2.0])).is_nan());
    assert!(slope_per_hour(&series([1.0, f64::NAN, 1.0])).is_nan());
    let unknown = slope_per_hour(&series([]));
    let holds = unknown <= 1.0;
    assert!(!holds);
}

#[test]
fn a_drift_compares_the_last_third_with_the_first() {
    let drifting = series([1.0, 1.0, 5.0, 5.0, 1.2, 1.2]);
    assert!((drift(&drifting) - 0.2).abs() < 1e-9);
    assert!(drift(&series([1.0])).is_nan());
}
