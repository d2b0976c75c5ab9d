//! Values that add up, fade and are bounded.

use super::*;

fn tags() -> (Tags, Ledger) {
    (Tags::new(&Config::default()), Ledger::default())
}

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

#[test]
fn values_add_up_and_one_of_the_same_name_is_replaced() {
    let ((mut tags, mut limits), now) = (tags(), start());
    tags.tag(now, peer(1), "a", Tag::fixed(10), &mut limits)
        .unwrap();
    tags.tag(now, peer(1), "b", Tag::fixed(-3), &mut limits)
        .unwrap();
    assert_eq!(tags.standing(&peer(1)).value, 7);
    tags.tag(now, peer(1), "a", Tag::fixed(1), &mut limits)
        .unwrap();
    assert_eq!(tags.standing(&peer(1)).value, -2);
    assert!(tags.untag(&peer(1), "b") && !tags.untag(&peer(1), "b"));
    tags.tag(now, peer(1), "a", Tag::fixed(0), &mut limits)
        .unwrap();
    assert!(tags.peers.is_empty() && tags.halvings.is_empty());
    for name in ["a", "b", "c"] {
        tags.tag(now, peer(1), name, Tag::fixed(i32::MAX), &mut limits)
            .unwrap();
    }
    assert_eq!(tags.standing(&peer(1)).value, 3 * i64::from(i32::MAX));
}

#[test]
fn a_value_is_halved_until_it_is_gone() {
    let ((mut tags, mut limits), now) = (tags(), start());
    let hour = Duration::from_secs(3600);
    tags.tag(now, peer(1), "a", Tag::decaying(100, hour), &mut limits)
        .unwrap();
    tags.tag(now, peer(1), "b", Tag::fixed(1000), &mut limits)
        .unwrap();
    tags.tag(now, peer(2), "a", Tag::decaying(-5, hour), &mut limits)
        .unwrap();
    let mut seen = Vec::new();
    while let Some(at) = tags.poll_timeout() {
        assert_eq!(tags.halve_due(at - Duration::from_millis(1)), None);
        while tags.halve_due(at).is_some() {}
        seen.push((tags.standing(&peer(1)).value, tags.standing(&peer(2)).value));
    }
    let expected = [50, 25, 12, 6, 3, 1, 0].map(|value| 1000 + value);
    let theirs = [-2, -1, 0, 0, 0, 0, 0];
    assert_eq!(seen, expected.into_iter().zip(theirs).collect::<Vec<_>>());
    assert_eq!(tags.peers.len(), 1, "only the value that stays is left");

    // A clock that jumps has halved as often; one that is asked late, too.
    let tag = Tag::decaying(i32::MIN, Duration::ZERO);
    tags.tag(now, peer(3), "a", tag, &mut limits).unwrap();
    let soon = now + Duration::from_secs(3);
    while tags.halve_due(soon).is_some() {}
    assert_eq!(tags.standing(&peer(3)).value, i64::from(i32::MIN / 8));
    assert!(tags.untag(&peer(3), "a"));
    assert_eq!(tags.poll_timeout(), None);
}

#[test]
fn each_name_protects_by_itself() {
    let (mut tags, mut limits) = tags();
    tags.protect(peer(1), "a", &mut limits).unwrap();
    tags.protect(peer(1), "b", &mut limits).unwrap();
    tags.protect(peer(1), "a", &mut limits).unwrap();
    assert!(tags.is_protected(&peer(1), None) && tags.is_protected(&peer(1), Some("a")));
    assert!(tags.unprotect(&peer(1), "a"), "b still does");
    assert!(!tags.is_protected(&peer(1), Some("a")));
    assert!(!tags.unprotect(&peer(1), "b"));
    assert!(!tags.is_protected(&peer(1), None) && !tags.unprotect(&peer(2), "a"));
    assert!(tags.peers.is_empty());
}

#[test]
fn names_are_bounded_and_what_is_there_already_needs_no_room() {
    let config = Config {
        tags_per_peer_max: 1,
        tagged_peers_max: 1,
        ..Config::default()
    };
    let (mut tags, now, mut limits) = (Tags::new(&config), start(), Ledger::default());
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let tag = Tag::fixed(1);
    let refused = tags.tag(now, peer(1), &long, tag, &mut limits);
    assert_eq!(refused, Err(TagError::NameTooLong));
    let name = &long[1..];
    tags.tag(now, peer(1), name, tag, &mut limits).unwrap();
    tags.tag(now, peer(1), name, Tag::fixed(2), &mut limits)
        .unwrap();
    tags.protect(peer(1), name, &mut limits).unwrap();
    assert!(tags.protect(peer(1), "a", &mut limits).is_err());
    assert!(tags.protect(peer(2), "a", &mut limits).is_err());
    assert_eq!(limits.refused(Limit::TagsPerPeer), 1);
    assert_eq!(limits.refused(Limit::TaggedPeers), 1);
}
