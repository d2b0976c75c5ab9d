//! The door on a made-up clock.

use super::*;
use crate::{Config, quotas::Quotas};
use carrick_wire::Keypair;

fn gate(rule: Rule) -> Arc<Gate> {
    let quotas = Quotas::new(&Config::default(), Box::new(|_| {}));
    Gate::new(rule, quotas)
}

fn peer() -> PeerId {
    Keypair::generate_ed25519().public().to_peer_id()
}

const TWO: Rule = Rule {
    in_flight: 2,
    bytes: 100,
    rate: None,
};

fn paced(burst: u32) -> Rule {
    Rule {
        in_flight: usize::MAX,
        rate: Some((burst, Duration::from_millis(100))),
        ..TWO
    }
}

#[test]
fn ten_a_second_with_a_burst_of_ten_and_the_eleventh_is_told_when_to_come_again() {
    let (gate, other_protocol) = (gate(paced(10)), gate(paced(10)));
    let (now, peer, other) = (Instant::now(), peer(), self::peer());
    for _ in 0..10 {
        gate.enter(now, peer).unwrap();
    }
    let refused = gate.enter(now, peer).unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_millis(100)));
    assert_eq!(refused.code(), Code::RATE_LIMITED);
    assert_eq!(refused.reached.limit, Limit::RequestRatePerPeer);
    assert_eq!(refused.reached.max, 10);
    // Nobody else pays for it.
    gate.enter(now, other).unwrap();
    other_protocol.enter(now, peer).unwrap();

    let later = now + Duration::from_millis(60);
    let refused = gate.enter(later, peer).unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_millis(40)));
    let on_time = now + Duration::from_millis(100);
    gate.enter(on_time, peer).unwrap();
    gate.enter(on_time, peer).unwrap_err();
    // A second without a request, and the burst is whole again.
    let rested = on_time + Duration::from_secs(1);
    for _ in 0..10 {
        gate.enter(rested, peer).unwrap();
    }
    gate.enter(rested, peer).unwrap_err();
    let usage = gate.quotas.usage(Limit::RequestRatePerPeer, None).unwrap();
    assert_eq!((usage.max, usage.peak, usage.refused), (10, 10, 4));
}

#[test]
fn whoever_keeps_to_the_pace_once_more_is_forgotten() {
    let gate = gate(paced(2));
    let now = Instant::now();
    for _ in 0..100 {
        gate.enter(now, peer()).unwrap();
    }
    assert_eq!(gate.state().whole.len(), 100);
    let later = now + Duration::from_millis(100);
    gate.enter(later, peer()).unwrap();
    let state = gate.state();
    assert_eq!((state.whole.len(), state.order.len()), (1, 1));
    assert!(state.running.is_empty(), "none of them is being answered");
}

#[test]
fn no_more_paces_are_remembered_than_there_is_room_for() {
    let gate = gate(paced(2));
    let now = Instant::now();
    let key = Keypair::generate_ed25519().public().to_peer_id();
    gate.enter(now, key).unwrap();
    gate.enter(now, key).unwrap();
    // Ids as cheap as they come.
    for n in 0..2 * PACES_MAX as u64 {
        let mut id = vec![0, 8];
        id.extend_from_slice(&n.to_be_bytes());
        gate.enter(now, PeerId::from_bytes(&id).unwrap()).unwrap();
    }
    let state = gate.state();
    assert_eq!(
        (state.whole.len(), state.order.len()),
        (PACES_MAX, PACES_MAX)
    );
    assert!(state.whole.contains_key(&key), "it has to wait longest");
}

#[test]
fn requests_and_bytes_of_one_peer_are_bounded_and_their_ends_make_room() {
    let gate = gate(TWO);
    let (now, peer, other) = (Instant::now(), peer(), self::peer());
    let mut first = gate.enter(now, peer).unwrap();
    let mut second = gate.enter(now, peer).unwrap();
    let refused = gate.enter(now, peer).unwrap_err();
    assert_eq!((refused.code(), refused.retry_after), (Code::LIMIT, None));
    assert_eq!(refused.reached.limit, Limit::RequestsInboundPerPeer);

    first.grow(60).unwrap();
    second.grow(40).unwrap();
    let refused = second.grow(1).unwrap_err();
    assert_eq!(refused.reached.limit, Limit::RequestBytesPerPeer);
    assert!(second.grow(usize::MAX).is_err());
    assert_eq!(gate.most(Limit::RequestBytesPerPeer), 100);
    gate.enter(now, other).unwrap().grow(100).unwrap();
    drop(first);
    second.grow(60).unwrap();
    let third = gate.enter(now, peer).unwrap();
    assert_eq!(gate.most(Limit::RequestsInboundPerPeer), 2);
    drop((second, third));
    assert!(gate.state().running.is_empty());
}

#[test]
fn a_pace_without_an_interval_or_with_an_endless_one_overflows_nothing() {
    let rule = |burst, interval| Rule {
        rate: Some((burst, interval)),
        ..paced(1)
    };
    let now = Instant::now();
    let free = gate(rule(u32::MAX, Duration::ZERO));
    let closed = gate(rule(2, Duration::MAX));
    for _ in 0..100 {
        free.enter(now, peer()).unwrap();
        let _ = closed.enter(now, peer());
    }
}
