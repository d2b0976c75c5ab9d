//! The order and the delays, as tables: go-libp2p's own examples, and ours.

use super::*;

/// Milliseconds and addresses; the text of one is a line of the table.
fn check(given: &[&str], expected: &[(u64, &str)]) {
    let addresses = given.iter().map(|text| text.parse().unwrap()).collect();
    let sort = |mut list: Vec<(u64, String)>| {
        list.sort();
        list
    };
    let ranked = rank(addresses, &Config::default()).into_iter();
    let ranked = ranked.map(|(address, delay)| (delay.as_millis() as u64, address.to_string()));
    let expected = expected
        .iter()
        .map(|(delay, at)| (*delay, (*at).to_owned()));
    assert_eq!(sort(ranked.collect()), sort(expected.collect()));
}

const Q1: &str = "/ip4/1.2.3.4/udp/1/quic-v1";
const Q2: &str = "/ip4/1.2.3.4/udp/2/quic-v1";
const Q3: &str = "/ip4/1.2.3.4/udp/3/quic-v1";
const W1: &str = "/ip4/1.2.3.4/udp/1/quic-v1/webtransport";
const Q1_6: &str = "/ip6/1::2/udp/1/quic-v1";
const Q2_6: &str = "/ip6/1::2/udp/2/quic-v1";
const Q3_6: &str = "/ip6/1::2/udp/3/quic-v1";
const T1: &str = "/ip4/1.2.3.5/tcp/1";
const T2: &str = "/ip4/1.2.3.4/tcp/2";
const T3: &str = "/ip4/1.2.3.4/tcp/3";
const T1_6: &str = "/ip6/1::2/tcp/1";
const R1: &str = "/ip4/1.2.3.4/udp/1/webrtc-direct";
const R1_6: &str = "/ip6/1::2/udp/1/webrtc-direct";
const ONION: &str = "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234";

#[test]
fn quic_goes_one_by_one_and_then_all_v6_before_v4() {
    check(&[Q1, Q2, Q3], &[(0, Q1), (250, Q2), (250, Q3)]);
    check(&[Q1_6, Q2_6, Q3_6], &[(0, Q1_6), (250, Q2_6), (250, Q3_6)]);
    check(&[Q2, Q1_6], &[(0, Q1_6), (250, Q2)]);
    check(
        &[Q1_6, Q1, Q2, Q3, W1],
        &[(0, Q1_6), (250, Q1), (500, Q2), (500, Q3), (500, W1)],
    );
    check(
        &[Q1_6, Q2_6, Q3_6, W1],
        &[(0, Q1_6), (250, W1), (500, Q2_6), (500, Q3_6)],
    );
}

#[test]
fn tcp_follows_the_last_quic_with_the_same_pattern() {
    check(
        &[Q1, Q1_6, Q2_6, Q3_6, Q2, T1, T1_6, T2, T3],
        &[
            (0, Q1_6),
            (250, Q1),
            (500, Q2_6),
            (500, Q3_6),
            (500, Q2),
            (750, T1_6),
            (1000, T1),
            (1250, T2),
            (1250, T3),
        ],
    );
    check(
        &[Q1, T2, T1_6, T1],
        &[(0, Q1), (250, T1_6), (500, T1), (750, T2)],
    );
    check(
        &[Q1, T2, T3, T1],
        &[(0, Q1), (250, T1), (500, T2), (500, T3)],
    );
    check(&[Q1, T1_6, T2], &[(0, Q1), (250, T1_6), (500, T2)]);
    check(
        &[T1, T2, T1_6, T3],
        &[(0, T1_6), (250, T1), (500, T2), (500, T3)],
    );
    check(&[], &[]);
}

#[test]
fn a_relay_waits_only_for_public_addresses() {
    let relay = libp2p_identity::PeerId::random();
    let tcp = format!("/ip4/1.2.3.4/tcp/1/p2p/{relay}/p2p-circuit");
    let quic = format!("/ip4/1.2.3.4/udp/1/quic-v1/p2p/{relay}/p2p-circuit");
    check(
        &[Q1, Q2, &tcp, &quic],
        &[(0, Q1), (250, Q2), (500, &quic), (750, &tcp)],
    );
    let private = "/ip4/192.168.1.1/tcp/1";
    check(&[&tcp, private], &[(0, private), (0, &tcp)]);
}

#[test]
fn what_is_neither_quic_nor_tcp_comes_a_second_later() {
    check(
        &[Q1, Q1_6, R1, R1_6, ONION],
        &[
            (0, Q1_6),
            (250, Q1),
            (1250, R1),
            (1250, R1_6),
            (2250, ONION),
        ],
    );
    check(
        &[Q1, T1, T1_6, R1, ONION],
        &[(0, Q1), (250, T1_6), (500, T1), (1500, R1), (2500, ONION)],
    );
    check(&[ONION], &[(1000, ONION)]);
}

#[test]
fn private_addresses_run_beside_public_ones_at_a_shorter_pace() {
    check(
        &[
            T1,
            Q1,
            "/ip4/10.0.0.1/udp/1/quic-v1",
            "/ip6/fd00::1/udp/1/quic-v1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.1/udp/1/webrtc-direct",
        ],
        &[
            (0, "/ip6/fd00::1/udp/1/quic-v1"),
            (30, "/ip4/10.0.0.1/udp/1/quic-v1"),
            (60, "/ip4/127.0.0.1/tcp/1"),
            (160, "/ip4/10.0.0.1/udp/1/webrtc-direct"),
            (0, Q1),
            (250, T1),
        ],
    );
}

#[test]
fn websocket_comes_after_plain_tcp() {
    check(
        &[
            "/ip4/1.2.3.4/tcp/1/ws",
            "/ip6/1::2/tcp/1/tls/sni/example.org/ws",
            T3,
        ],
        &[
            (0, T3),
            (250, "/ip4/1.2.3.4/tcp/1/ws"),
            (250, "/ip6/1::2/tcp/1/tls/sni/example.org/ws"),
        ],
    );
}

#[test]
fn what_needs_no_network_comes_first_of_all() {
    check(
        &[Q1, "/ip4/127.0.0.1/tcp/1", "/unix/%2Ftmp%2Fa", "/memory/1"],
        &[
            (0, "/memory/1"),
            (0, "/unix/%2Ftmp%2Fa"),
            (30, "/ip4/127.0.0.1/tcp/1"),
            (30, Q1),
        ],
    );
}
