//! Backoff: how it grows, ends and forgets.

use super::*;

const A: &str = "/ip4/1.1.1.1/tcp/1";

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

fn address(n: u8) -> Multiaddr {
    format!("/ip4/1.1.1.{n}/tcp/1").parse().unwrap()
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn it_grows_with_the_square_of_the_failures_up_to_five_minutes() {
    let (mut backoffs, config) = (Backoffs::default(), Config::default());
    let (mut now, peer, a) = (start(), PeerId::random(), A.parse().unwrap());
    assert_eq!(backoffs.remaining(now, peer, &a), None);
    for delay in [5, 6, 9, 14, 21, 30, 41] {
        backoffs.failed(now, peer, a.clone(), &config, &mut Ledger::default());
        assert_eq!(backoffs.remaining(now, peer, &a), Some(seconds(delay)));
        now += seconds(delay);
        assert_eq!(backoffs.remaining(now, peer, &a), None, "it may be tried");
    }
    for _ in 0..100 {
        backoffs.failed(now, peer, a.clone(), &config, &mut Ledger::default());
    }
    assert_eq!(backoffs.remaining(now, peer, &a), Some(seconds(300)));
    // Another peer at the same address, or another address of the peer, is not concerned.
    assert_eq!(backoffs.remaining(now, PeerId::random(), &a), None);
    assert_eq!(backoffs.remaining(now, peer, &address(2)), None);
}

#[test]
fn a_failure_that_is_long_past_counts_no_more() {
    let (mut backoffs, config) = (Backoffs::default(), Config::default());
    let (now, peer) = (start(), PeerId::random());
    for _ in 0..4 {
        backoffs.failed(now, peer, address(1), &config, &mut Ledger::default());
    }
    let later = now + seconds(28);
    backoffs.failed(later, peer, address(1), &config, &mut Ledger::default());
    assert_eq!(
        backoffs.remaining(later, peer, &address(1)),
        Some(seconds(5))
    );
}

#[test]
fn a_connection_clears_the_peer_and_nobody_else() {
    let (mut backoffs, config) = (Backoffs::default(), Config::default());
    let (now, peer, other) = (start(), PeerId::random(), PeerId::random());
    for n in 0..9 {
        backoffs.failed(now, peer, address(n), &config, &mut Ledger::default());
        backoffs.failed(now, other, address(n), &config, &mut Ledger::default());
    }
    backoffs.clear(peer);
    for n in 0..9 {
        assert_eq!(backoffs.remaining(now, peer, &address(n)), None);
        assert!(backoffs.remaining(now, other, &address(n)).is_some());
    }
    assert_eq!((backoffs.table.len(), backoffs.recent.len()), (9, 9));
}

#[test]
fn beyond_the_limit_the_oldest_failure_is_forgotten() {
    let config = Config {
        backoffs_max: 2,
        ..Config::default()
    };
    let (mut backoffs, now, peer) = (Backoffs::default(), start(), PeerId::random());
    for n in [1, 2, 1, 3] {
        backoffs.failed(now, peer, address(n), &config, &mut Ledger::default());
    }
    let held = |n| backoffs.remaining(now, peer, &address(n)).is_some();
    assert_eq!([held(1), held(2), held(3)], [true, false, true]);
    assert_eq!((backoffs.table.len(), backoffs.recent.len()), (2, 2));
}

#[test]
fn no_setting_overflows_it() {
    let config = Config {
        backoff_step: Duration::MAX,
        backoff_base: Duration::MAX,
        backoff_max: seconds(7),
        ..Config::default()
    };
    let (mut backoffs, now, peer) = (Backoffs::default(), start(), PeerId::random());
    for _ in 0..3 {
        backoffs.failed(now, peer, address(1), &config, &mut Ledger::default());
        assert_eq!(backoffs.remaining(now, peer, &address(1)), Some(seconds(7)));
    }
}
