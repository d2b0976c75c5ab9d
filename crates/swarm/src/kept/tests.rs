//! When a kept peer is dialed again.

use super::*;

fn peer(n: u8) -> PeerId {
    let mut bytes = vec![0x12, 0x20];
    bytes.extend([n; 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The waits between `count` dials in vain.
fn waits(kept: &mut Kept, count: usize) -> Vec<Duration> {
    let mut at = kept.poll_timeout().unwrap();
    let mut waits = Vec::new();
    for _ in 0..count {
        assert!(kept.due(at - Duration::from_nanos(1)).is_none());
        assert!(kept.due(at).is_some() && kept.due(at).is_none());
        let next = kept.poll_timeout().unwrap();
        waits.push(next - at);
        at = next;
    }
    waits
}

#[test]
fn the_wait_doubles_up_to_a_minute_with_up_to_a_quarter_by_chance() {
    let mut all = BTreeSet::new();
    for seed in 0..200 {
        let mut kept = Kept::default();
        kept.keep(start(), peer(1), Vec::new(), seed, false);
        let waits = waits(&mut kept, 10);
        let least = [1, 2, 4, 8, 16, 32, 48, 48, 48, 48].map(seconds);
        for (wait, least) in waits.iter().zip(least) {
            assert!(least <= *wait && *wait <= least * 5 / 4, "{waits:?}");
            assert!(*wait <= seconds(60));
        }
        all.extend(waits);
    }
    assert!(all.len() > 1900, "chance tells them apart: {}", all.len());
}

#[test]
fn only_a_connection_that_lasts_makes_the_wait_short_again() {
    let mut kept = Kept::default();
    kept.keep(start(), peer(1), Vec::new(), 1, false);
    waits(&mut kept, 5);
    let mut now = kept.poll_timeout().unwrap();
    for (lasts, at_least, at_most) in [
        (Duration::from_millis(14_999), 32, 40),
        (seconds(0), 48, 60),
        (seconds(15), 1, 2),
    ] {
        assert!(kept.due(now).is_some());
        kept.connected(now, &peer(1));
        assert_eq!(kept.poll_timeout(), None, "it is connected");
        // A second connection changes nothing.
        kept.connected(now + lasts / 2, &peer(1));
        kept.disconnected(now + lasts, &peer(1));
        let next = kept.poll_timeout().unwrap();
        let wait = next - (now + lasts);
        assert!(
            seconds(at_least) <= wait && wait <= seconds(at_most),
            "{lasts:?}: {wait:?}"
        );
        now = next;
    }
}

#[test]
fn a_kept_peer_is_never_forgotten_until_the_app_says_so() {
    let mut kept = Kept::default();
    let address: Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
    kept.keep(start(), peer(1), vec![address.clone()], 1, false);
    waits(&mut kept, 10_000);
    let other: Multiaddr = "/ip4/1.2.3.4/tcp/2".parse().unwrap();
    let at = kept.poll_timeout().unwrap();
    kept.keep(at, peer(1), vec![other.clone(), address.clone()], 1, false);
    assert_eq!(kept.due(at), Some((peer(1), vec![address, other])));
    assert!(kept.forget(&peer(1)) && !kept.forget(&peer(1)));
    assert_eq!((kept.poll_timeout(), kept.count()), (None, 0));
    // Whoever is not kept is nobody's concern.
    kept.connected(at, &peer(2));
    kept.disconnected(at, &peer(2));
    assert_eq!(kept.poll_timeout(), None);
}
