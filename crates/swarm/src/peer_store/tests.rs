//! What is remembered, for how long, and what has to go when room is short.

use super::*;
use crate::addresses::Scope;
use carrick_protocols::identify::Info;

fn peer(n: u16) -> PeerId {
    let mut digest = [0; 34];
    digest[..2].copy_from_slice(&[0x12, 32]);
    digest[32..].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(&digest).unwrap()
}

fn address(n: usize) -> Multiaddr {
    format!("/ip4/9.9.{}.{}/tcp/1", n / 256, n % 256)
        .parse()
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

const MINUTE: Duration = Duration::from_secs(60);

struct Setup {
    store: PeerStore,
    counters: Counters,
    now: Instant,
}

impl Setup {
    fn new(config: Config) -> Self {
        Self {
            store: PeerStore::new(config),
            counters: Counters::default(),
            now: start(),
        }
    }

    fn add(&mut self, n: u16, addresses: impl IntoIterator<Item = usize>, ttl: Duration) {
        let addresses = addresses.into_iter().map(address).collect();
        let told = Told {
            source: Source::Discovery,
            reach: Scope::Public,
        };
        let counters = &mut self.counters;
        self.store
            .add(self.now, peer(n), addresses, ttl, told, counters);
    }

    fn connect(&mut self, n: u16, reached: Option<usize>) {
        let reached = reached.map(address);
        self.store
            .connected(self.now, peer(n), reached, &mut self.counters);
    }

    fn disconnect(&mut self, n: u16) {
        self.store
            .disconnected(self.now, peer(n), &mut self.counters);
    }

    fn identified(&mut self, n: u16, info: &Info) {
        let remote = address(0);
        self.store
            .identified(self.now, peer(n), &remote, info, false, &mut self.counters);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.store.handle_timeout(self.now, &mut self.counters);
    }

    fn known(&self, n: u16) -> Vec<Multiaddr> {
        self.store.addresses(&peer(n), self.now)
    }

    fn assert_empty(&self) {
        let store = &self.store;
        assert!(store.peers.is_empty() && store.recent.is_empty() && store.expiry.is_empty());
        assert_eq!((store.bytes, store.poll_timeout()), (0, None));
    }
}

#[test]
fn an_address_lives_as_long_as_it_was_said_to() {
    let mut s = Setup::new(Config::default());
    s.add(1, [1], MINUTE);
    s.add(1, [2], 2 * MINUTE);
    assert_eq!(s.known(1), [address(1), address(2)]);
    s.pass(MINUTE - Duration::from_nanos(1));
    assert_eq!(s.known(1).len(), 2);
    s.now += Duration::from_nanos(1);
    assert_eq!(s.known(1), [address(2)], "even before the timer has run");
    assert_eq!(s.store.poll_timeout(), Some(s.now + MINUTE));
    s.pass(MINUTE);
    s.assert_empty();
}

#[test]
fn a_shorter_time_does_not_shorten_a_longer_one() {
    let mut s = Setup::new(Config::default());
    s.add(1, [1], 2 * MINUTE);
    s.add(1, [1], MINUTE);
    s.pass(MINUTE);
    assert_eq!(s.known(1), [address(1)]);
}

#[test]
fn no_time_is_too_long_and_none_is_nothing() {
    let mut s = Setup::new(Config::default());
    s.add(1, [1], Duration::MAX);
    s.add(2, [1], Duration::ZERO);
    assert_eq!(s.store.peers_count(), 1);
}

#[test]
fn a_connected_peer_is_kept_and_remembered_for_a_while_afterwards() {
    let mut s = Setup::new(Config::default());
    s.connect(1, Some(1));
    s.add(1, [2], MINUTE);
    s.pass(1000 * MINUTE);
    assert_eq!(s.known(1), [address(1), address(2)]);
    assert_eq!(s.store.poll_timeout(), None);
    s.disconnect(1);
    s.pass(15 * MINUTE - Duration::from_secs(1));
    assert_eq!(s.known(1).len(), 2);
    s.pass(Duration::from_secs(1));
    s.assert_empty();
}

#[test]
fn a_connected_peer_has_64_addresses_and_another_one_32() {
    let mut s = Setup::new(Config::default());
    s.add(1, 0..32, MINUTE);
    let refused = |s: &Setup, limit| s.counters.limits.refused(limit);
    assert_eq!(refused(&s, Limit::PeerAddresses), 0);
    s.add(1, [32], MINUTE);
    assert_eq!(
        (s.known(1).len(), refused(&s, Limit::PeerAddresses)),
        (32, 1)
    );
    s.connect(1, None);
    s.add(1, 32..65, MINUTE);
    let refused = refused(&s, Limit::PeerAddressesConnected);
    assert_eq!((s.known(1).len(), refused), (64, 1));
    s.disconnect(1);
    assert_eq!(s.known(1).len(), 32);
}

#[test]
fn what_is_proven_stays_when_hearsay_floods_in() {
    let mut s = Setup::new(Config::default());
    s.connect(1, Some(1));
    s.add(1, 100..10_000, 10 * MINUTE);
    s.disconnect(1);
    s.add(1, 100..10_000, 100 * MINUTE);
    assert_eq!(s.known(1)[0], address(1));
    assert_eq!(s.known(1).len(), 32);
}

#[test]
fn hearsay_never_replaces_proof_however_long_it_is_to_last() {
    let mut s = Setup::new(Config {
        addresses_connected_max: 2,
        ..Config::default()
    });
    s.connect(1, Some(1));
    s.connect(1, Some(2));
    s.add(1, 3..100, Duration::MAX);
    assert_eq!(s.known(1), [address(1), address(2)]);
}

#[test]
fn the_peers_not_used_for_longest_are_forgotten_first() {
    let mut s = Setup::new(Config {
        peers_max: 3,
        ..Config::default()
    });
    for n in 1..=3 {
        s.add(n, [1], MINUTE);
    }
    assert_eq!(s.counters.limits.refused(Limit::Peers), 0);
    s.store.touch(s.now, peer(1), &mut s.counters);
    s.add(4, [1], MINUTE);
    assert_eq!(
        (
            s.store.peers_count(),
            s.counters.limits.refused(Limit::Peers)
        ),
        (3, 1)
    );
    assert!(s.known(2).is_empty());
    assert!(!s.known(1).is_empty());
    // After release there is room again.
    s.pass(MINUTE);
    s.assert_empty();
    for n in 1..=3 {
        s.add(n, [1], MINUTE);
    }
    assert_eq!(s.counters.limits.refused(Limit::Peers), 1);
}

#[test]
fn connected_peers_are_never_forgotten_for_want_of_room() {
    let mut s = Setup::new(Config {
        peers_max: 2,
        ..Config::default()
    });
    for n in 1..=5 {
        s.connect(n, Some(1));
    }
    for n in 6..1000 {
        s.add(n, [1], MINUTE);
    }
    assert_eq!(s.store.peers_count(), 7);
    assert!((1..=5).all(|n| !s.known(n).is_empty()));
    (1..=5).for_each(|n| s.disconnect(n));
    assert_eq!(s.store.peers_count(), 2);
}

#[test]
fn the_memory_of_all_peers_is_bounded() {
    let mut s = Setup::new(Config {
        peers_bytes_max: 100_000,
        ..Config::default()
    });
    let protocols = (0..256).map(|n| ProtocolId::new(&format!("/{n:0>200}")).unwrap());
    let large = Info {
        protocols: protocols.collect(),
        ..Info::default()
    };
    for n in 1..=3 {
        s.connect(n, None);
        s.identified(n, &large);
        s.disconnect(n);
    }
    assert!(s.store.bytes <= 100_000);
    assert_eq!(s.counters.limits.refused(Limit::PeersBytes), 2);
    assert_eq!(s.store.protocols(&peer(3)).len(), 256);
}

#[test]
fn an_address_that_is_too_long_or_anothers_is_not_remembered() {
    let mut s = Setup::new(Config::default());
    let long: Multiaddr = format!("/dns/{}/tcp/1", "a".repeat(510)).parse().unwrap();
    let other = format!("{}/p2p/{}", address(1), peer(2)).parse().unwrap();
    let all = vec![long, other, Multiaddr::empty()];
    let told = Told::surely(Source::User);
    s.store
        .add(s.now, peer(1), all, MINUTE, told, &mut s.counters);
    s.assert_empty();
    assert_eq!(s.counters.addresses_dropped, 2);
}

#[test]
fn an_address_where_somebody_else_answers_is_forgotten() {
    let mut s = Setup::new(Config::default());
    s.add(1, [1, 2], MINUTE);
    s.store
        .disproved(s.now, peer(1), &address(1), &mut s.counters);
    s.store
        .disproved(s.now, peer(2), &address(1), &mut s.counters);
    assert_eq!(s.known(1), [address(2)]);
    assert_eq!(s.store.peers_count(), 1);
}

#[test]
fn a_peers_metadata_is_all_that_is_known_of_it() {
    let mut s = Setup::new(Config::default());
    assert_eq!(s.store.metadata(&peer(1), s.now), None);
    s.add(1, [2], 2 * MINUTE);
    s.connect(1, Some(1));
    let info = Info {
        protocols: vec![ProtocolId::from_static("/echo/1")],
        agent: Some("other/1".into()),
        ..Info::default()
    };
    s.identified(1, &info);
    s.store.measured(&peer(1), Duration::from_millis(80));
    s.store.measured(&peer(1), Duration::from_millis(160));
    s.pass(MINUTE);
    let known = s.store.metadata(&peer(1), s.now).unwrap();
    assert_eq!(known.rtt, Some(Duration::from_millis(90)));
    assert_eq!(known.protocols, info.protocols);
    assert_eq!(known.agent, info.agent);
    assert_eq!(
        (known.connected, known.last_seen),
        (true, Some(Duration::ZERO))
    );
    let sources: Vec<_> = known.addresses.iter().map(|k| (k.source, k.ttl)).collect();
    let expected = [(Source::Dialed, None), (Source::Discovery, None)];
    assert_eq!(sources, expected);
    s.disconnect(1);
    s.pass(MINUTE);
    let known = s.store.metadata(&peer(1), s.now).unwrap();
    assert_eq!((known.connected, known.last_seen), (false, Some(MINUTE)));
    assert_eq!(known.addresses[1].ttl, Some(14 * MINUTE));
}

#[test]
fn a_users_value_keeps_its_peer_until_it_is_taken_away() {
    let mut s = Setup::new(Config::default());
    let set = |s: &mut Setup, value: Option<&[u8]>| {
        let value = value.map(<[u8]>::to_vec);
        s.store
            .set_value(s.now, peer(1), "color".into(), value, &mut s.counters)
            .unwrap();
    };
    set(&mut s, Some(b"red"));
    s.pass(1_000_000 * MINUTE);
    let known = s.store.metadata(&peer(1), s.now).unwrap();
    assert_eq!(known.values["color"], b"red");
    set(&mut s, None);
    s.assert_empty();
}
