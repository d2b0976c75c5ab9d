//! How many are remembered.

use carrick_wire::Keypair;

use super::*;
use crate::messages::Messages;

fn options() -> Options {
    let rate = Rate {
        per_second: 1,
        burst: 1,
    };
    Messages::builder("/words/1").rate(rate).options
}

#[test]
fn of_many_who_came_once_no_more_than_a_bound_are_remembered() {
    let (senders, options, now) = (Senders::default(), options(), Instant::now());
    let count = || lock(&senders.0).peers.len();
    let ask = |peer| {
        let state = senders.peer(peer, &options, now);
        state.keep_pace(now).is_ok()
    };
    let who = || Keypair::generate_ed25519().public().to_peer_id();
    let in_use = senders.peer(who(), &options, now);
    let first = who();
    assert!(ask(first));
    for _ in 0..PACES_MAX - 2 {
        assert!(ask(who()));
    }
    assert_eq!(count(), PACES_MAX);
    assert!(!ask(first), "its pace is remembered");
    for _ in 0..100 {
        assert!(ask(who()));
    }
    assert!(count() <= PACES_MAX + 2, "{}", count());
    drop(in_use);
}
