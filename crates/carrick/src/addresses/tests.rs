//! Which address is told to whom, and numbers that grow whatever the clock does.

use std::time::Instant;

use carrick_swarm::{Config, Event};

use super::*;

#[test]
fn a_record_is_newer_than_the_last_whatever_the_clock_does() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let start = SystemTime::UNIX_EPOCH + 50 * YEAR;
    let clock = [
        start,
        start + YEAR,
        start,
        start - YEAR,
        start - YEAR + Duration::from_secs(1),
        SystemTime::UNIX_EPOCH - YEAR,
        start + 2 * YEAR,
    ];
    let mut last = 0;
    for now in clock {
        let next = next_seq(last, now);
        assert!(next > last);
        last = next;
    }
    assert_eq!(u128::from(last), (52 * YEAR).as_millis());
    assert_eq!(next_seq(u64::MAX, start), u64::MAX);
}

#[test]
fn a_peer_is_told_what_means_the_same_to_it_as_to_us() {
    let own = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/192.168.1.2/tcp/1",
        "/ip4/9.9.9.9/tcp/1",
        "/dns4/example.org/tcp/1",
        "/unix/%2Ftmp%2Fcarrick",
    ];
    let id = carrick_wire::Keypair::generate_ed25519()
        .public()
        .to_peer_id();
    let mut swarm = Swarm::new(Config::default(), id);
    for text in own {
        let address = crate::target::parse_address(text).unwrap();
        swarm.handle_event(Instant::now(), Event::Listening { address });
    }
    let mut addresses = Addresses::default();
    addresses.update(&swarm, SystemTime::UNIX_EPOCH);
    let told = |remote: &str| {
        let (told, seq) = addresses.told_at(&remote.parse().unwrap());
        assert_eq!(seq, 1);
        told.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told("/ip4/127.0.0.1/tcp/5"), own[..4]);
    assert_eq!(told("/memory/5"), own[..4]);
    assert_eq!(told("/ip4/10.0.0.1/tcp/5"), own[1..4]);
    assert_eq!(told("/ip4/8.8.8.8/tcp/5"), own[2..4]);
    addresses.clear();
    assert!(
        addresses
            .told_at(&"/memory/5".parse().unwrap())
            .0
            .is_empty()
    );
}
