//! Black holes: a window, a share, a probe now and then.

use super::*;

const UDP: &str = "/ip4/1.2.3.4/udp/1/quic-v1";
const UDP6: &str = "/ip6/2001:db8::1/udp/1/quic-v1";
const TCP: &str = "/ip4/1.2.3.4/tcp/1";
const TCP6: &str = "/ip6/2001:db8::1/tcp/1";

fn parse(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn record(holes: &mut BlackHoles, at: &str, success: bool, times: usize) {
    for _ in 0..times {
        holes.record(&parse(at), success, &Config::default());
    }
}

fn skips(holes: &mut BlackHoles, batch: &[&str]) -> Vec<Option<Skip>> {
    let batch: Vec<_> = batch.iter().map(|text| parse(text)).collect();
    let verdict = holes.ask(batch.iter(), &Config::default());
    batch.iter().map(|address| verdict.skip(address)).collect()
}

const BLOCKED: Option<Skip> = Some(Skip::UdpBlackHole);

#[test]
fn a_hundred_attempts_with_less_than_five_successes_block() {
    let mut holes = BlackHoles::default();
    record(&mut holes, UDP, true, 4);
    record(&mut holes, UDP, false, 95);
    assert_eq!(
        skips(&mut holes, &[UDP, TCP]),
        [None, None],
        "99 are too few to tell"
    );
    record(&mut holes, UDP, false, 1);
    assert_eq!(skips(&mut holes, &[UDP, TCP, TCP6]), [BLOCKED, None, None]);

    let mut holes = BlackHoles::default();
    record(&mut holes, UDP, true, 5);
    record(&mut holes, UDP, false, 95);
    assert_eq!(skips(&mut holes, &[UDP]), [None]);
    // The window slides: the five successes leave it first.
    record(&mut holes, UDP, false, 1);
    assert_eq!(skips(&mut holes, &[UDP]), [BLOCKED]);
}

#[test]
fn one_batch_in_a_hundred_probes_and_a_success_opens_all() {
    let mut holes = BlackHoles::default();
    record(&mut holes, UDP, false, 100);
    let blocked = (1..=300).filter(|_| skips(&mut holes, &[UDP, UDP]) == [BLOCKED, BLOCKED]);
    assert_eq!(blocked.count(), 297);
    record(&mut holes, UDP, true, 1);
    record(&mut holes, UDP, false, 99);
    assert_eq!(skips(&mut holes, &[UDP]), [None], "it begins anew");
    record(&mut holes, UDP, false, 1);
    assert_eq!(skips(&mut holes, &[UDP]), [BLOCKED]);
}

#[test]
fn ipv6_is_counted_by_itself_and_a_probe_of_one_kind_is_not_held_back_by_the_other() {
    let mut holes = BlackHoles::default();
    record(&mut holes, TCP6, false, 100);
    let ipv6 = Some(Skip::Ipv6BlackHole);
    assert_eq!(skips(&mut holes, &[TCP6, TCP]), [ipv6, None]);
    // UDP is still probing, so UDP over IPv6 goes.
    assert_eq!(skips(&mut holes, &[UDP6]), [None]);
    record(&mut holes, UDP, true, 100);
    assert_eq!(skips(&mut holes, &[UDP6, UDP]), [ipv6, None]);
}

#[test]
fn only_public_addresses_count_and_are_left_out() {
    let private = [
        "/ip4/192.168.1.1/udp/1/quic-v1",
        "/ip6/::1/udp/1/quic-v1",
        "/ip6/fd00::1/tcp/1",
    ];
    let mut holes = BlackHoles::default();
    for at in private {
        record(&mut holes, at, false, 100);
    }
    assert_eq!(skips(&mut holes, &[UDP, TCP6]), [None, None]);
    record(&mut holes, UDP6, false, 100);
    assert_eq!(skips(&mut holes, &private), [None; 3]);
    assert_eq!(skips(&mut holes, &[UDP]), [BLOCKED]);
}

#[test]
fn a_window_of_nothing_never_doubts() {
    let config = Config {
        black_hole_window: 0,
        ..Config::default()
    };
    let mut holes = BlackHoles::default();
    for _ in 0..200 {
        holes.record(&parse(UDP), false, &config);
        let verdict = holes.ask([parse(UDP)].iter(), &config);
        assert_eq!(verdict.skip(&parse(UDP)), None);
    }
}
