//! Who gets how much memory, and that permits give back what they took.

use carrick_session::WindowPool;

use super::*;

const MIB: u32 = 1 << 20;

fn quotas(set: impl FnOnce(&mut Config)) -> Arc<Quotas> {
    let mut config = Config {
        memory_max: 100 << 20,
        ..Config::default()
    };
    set(&mut config);
    Quotas::new(&config, Box::new(|_| {}))
}

#[test]
fn the_windows_of_one_peer_grow_up_to_its_limit_and_again_when_some_was_given_back() {
    let quotas = quotas(|config| config.memory_per_peer_max = 2 << 20);
    let peer = Share::new(quotas.clone());
    assert!(peer.take(MIB) && peer.take(MIB));
    assert!(!peer.take(1));
    let usage = quotas
        .usage(Limit::MemoryPerPeer, Some(peer.memory()))
        .unwrap();
    assert!(usage.is_at_limit());
    assert_eq!((usage.peak, usage.refused), (2 << 20, 1));
    peer.give_back(MIB);
    assert!(peer.take(MIB));
    assert_eq!(quotas.used(Limit::Memory), 2 << 20);
}

#[test]
fn whoever_wants_much_leaves_most_to_those_who_come_later() {
    let quotas = quotas(|config| config.memory_per_peer_max = u64::MAX);
    let mut shares = Vec::new();
    for _ in 0..20 {
        let peer = Share::new(quotas.clone());
        while peer.take(64 << 10) {}
        shares.push(peer.memory());
    }
    // A fifth of 60 MiB, so that it is a quarter of what is left.
    assert_eq!(shares[0], 12 << 20);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    assert!(quotas.used(Limit::Memory) <= 60 << 20);
}

#[test]
fn newcomers_find_room_whatever_windows_have_taken_until_four_fifths_are_used() {
    let quotas = quotas(|config| config.memory_per_peer_max = u64::MAX);
    quotas.force(Limit::Memory, 60 << 20);
    let mut permits = Vec::new();
    let refused = loop {
        match quotas.arrival(true) {
            Ok(permit) => permits.push(permit),
            Err(reached) => break reached,
        }
    };
    assert_eq!(
        refused,
        LimitReached {
            limit: Limit::Memory,
            max: 100 << 20
        }
    );
    assert_eq!(quotas.used(Limit::Memory), 80 << 20);
    assert_eq!(quotas.used(Limit::FileDescriptors), permits.len() as u64);
    assert!(!Share::new(quotas.clone()).take(1));
    // Our own dials find room there.
    permits.push(quotas.dial(true).unwrap());
    drop(permits);
    assert_eq!(quotas.used(Limit::Memory), 60 << 20);
    assert_eq!(quotas.used(Limit::FileDescriptors), 0);
}

#[test]
fn accepting_pauses_when_a_tenth_of_the_sockets_is_left() {
    let quotas = quotas(|config| config.file_descriptors_max = 20);
    let permits: Vec<_> = (0..18).map(|_| quotas.dial(true).unwrap()).collect();
    assert!(quotas.is_short_of_sockets());
    let more = [quotas.dial(true).unwrap(), quotas.dial(true).unwrap()];
    let refused = quotas.dial(true).unwrap_err();
    assert_eq!(refused.limit, Limit::FileDescriptors);
    drop((permits, more));
    assert!(!quotas.is_short_of_sockets());
    assert_eq!(quotas.used(Limit::Memory), 0);
}

#[test]
fn a_stream_that_one_limit_refuses_counts_for_none() {
    for limit in [
        Limit::StreamsInbound,
        Limit::StreamsInboundPerPeer,
        Limit::StreamsInboundPerProtocol,
    ] {
        let quotas = quotas(|config| match limit {
            Limit::StreamsInbound => config.streams_inbound_max = 1,
            Limit::StreamsInboundPerPeer => config.streams_inbound_per_peer_max = 1,
            _ => config.streams_inbound_per_protocol_max = 1,
        });
        let (peer, protocol) = (Share::new(quotas.clone()), Arc::default());
        let permit = peer.stream(&protocol).unwrap();
        assert_eq!(peer.stream(&protocol).unwrap_err().limit, limit);
        let used = || {
            (
                peer.streams(),
                protocol.load(Relaxed),
                quotas.used(Limit::StreamsInbound),
            )
        };
        assert_eq!(used(), (1, 1, 1));
        drop(permit);
        assert_eq!(used(), (0, 0, 0));
        peer.stream(&protocol).unwrap();
    }
}
