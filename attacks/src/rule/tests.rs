//! Each criterion can fail, and fails alone.

use std::time::Duration;

use super::{Seen, judge};
use crate::attack::{Attack, PLAIN};

const ATTACK: Attack = Attack {
    rss_mib: 64,
    files: 10,
    ..PLAIN
};

fn good() -> Seen {
    let mut seen = Seen {
        lived: true,
        recovered: Some(Duration::ZERO),
        newcomer: true,
        stopped: Ok(Duration::ZERO),
        ..Seen::default()
    };
    seen.before.rss_kib = 10 << 10;
    seen.before.files = 5;
    seen.peak = seen.before;
    seen.after = seen.before;
    for pings in &mut seen.pings {
        pings.p99 = Duration::from_millis(1);
        pings.count = 100;
    }
    seen
}

/// The criteria that do not hold once `change` is made.
fn broken(change: impl FnOnce(&mut Seen)) -> Vec<usize> {
    broken_in(&ATTACK, change)
}

fn broken_in(attack: &Attack, change: impl FnOnce(&mut Seen)) -> Vec<usize> {
    let mut seen = good();
    change(&mut seen);
    let checks = judge(attack, &seen);
    let broken = checks.iter().enumerate().filter(|(_, check)| !check.holds);
    broken.map(|(at, _)| at).collect()
}

#[test]
fn what_is_as_before_passes() {
    assert!(broken(|_| {}).is_empty());
}

#[test]
fn what_is_just_within_its_budget_passes() {
    assert!(
        broken(|seen| {
            seen.peak.rss_kib += 64 << 10;
            seen.peak.files += 10;
            seen.pings[1].p99 = Duration::from_millis(21);
        })
        .is_empty()
    );
}

#[test]
fn each_criterion_fails_alone() {
    assert_eq!(broken(|seen| seen.panics = 1), [0]);
    assert_eq!(broken(|seen| seen.lived = false), [0]);
    assert_eq!(broken(|seen| seen.peak.rss_kib += 65 << 10), [1]);
    assert_eq!(broken(|seen| seen.after.rss_kib += 65 << 10), [2]);
    assert_eq!(broken(|seen| seen.peak.files += 11), [3]);
    let slow = Duration::from_millis(22);
    assert_eq!(broken(|seen| seen.pings[1].p99 = slow), [4]);
    assert_eq!(broken(|seen| seen.pings[1].count = 0), [4]);
    assert_eq!(broken(|seen| seen.pings[2].lost = 1), [5]);
    assert_eq!(broken(|seen| seen.recovered = None), [6]);
    assert_eq!(broken(|seen| seen.lines = 21), [7]);
    assert_eq!(broken(|seen| seen.raw = 1), [8]);
    assert_eq!(broken(|seen| seen.longest = 5000), [9]);
    assert_eq!(broken(|seen| seen.newcomer = false), [10]);
    assert_eq!(broken(|seen| seen.stopped = Err("hangs".to_owned())), [11]);
}

#[test]
fn a_log_that_is_asked_for_is_bounded_by_what_is_tried() {
    let verbose = Attack {
        args: &["-vv"],
        ..ATTACK
    };
    let logged = |lines| {
        broken_in(&verbose, |seen| {
            (seen.tried, seen.lines) = (5, lines);
        })
    };
    assert!(logged(40).is_empty());
    assert_eq!(logged(41), [7]);
}

#[test]
fn honest_peers_may_be_twice_as_slow_when_they_are_slow_anyway() {
    let slow = |during: u64| {
        broken(|seen| {
            seen.pings[0].p99 = Duration::from_millis(50);
            seen.pings[1].p99 = Duration::from_millis(during);
        })
    };
    assert!(slow(100).is_empty());
    assert_eq!(slow(101), [4]);
}
