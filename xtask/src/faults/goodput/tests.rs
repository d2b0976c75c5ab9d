//! The middle of several runs.

use super::*;

#[test]
fn a_spread_is_the_least_the_middle_and_the_most() {
    assert_eq!(spread(vec![3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
    assert_eq!(spread(vec![]), None);
}

#[test]
fn carrick_has_to_reach_seven_tenths_of_the_fastest() {
    let passes = |ours: f64| {
        let spreads = [
            ("carrick", (0.0, ours, 900.0)),
            ("go", (0.0, 50.0, 900.0)),
            ("rust", (0.0, 100.0, 900.0)),
        ];
        let lines = lines(&COURSES[0], 5, &spreads);
        assert!(lines[1..].iter().all(|line| line.pass.is_none()));
        lines[0].pass
    };
    assert_eq!(passes(70.0), Some(true));
    assert_eq!(passes(69.0), Some(false));
}
