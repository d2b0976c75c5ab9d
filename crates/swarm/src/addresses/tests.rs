//! Addresses and what they tell.

use super::*;

fn parse(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

#[test]
fn an_address_reaches_this_machine_this_network_or_the_world() {
    use Scope::{Loopback, Private, Public};
    let cases = [
        ("/memory/1", Loopback),
        ("/unix/%2Ftmp%2Fa", Loopback),
        ("/ip4/127.0.0.1/udp/1/quic-v1", Loopback),
        ("/ip4/10.0.0.1/tcp/1/ws", Private),
        ("/ip6/2001:db8::1/udp/1/quic-v1", Public),
        ("/ip4/127.1.2.3/tcp/1", Loopback),
        ("/ip4/0.0.0.0/tcp/1", Loopback),
        ("/ip6/::1/tcp/1", Loopback),
        ("/ip6/::/tcp/1", Loopback),
        ("/ip6/::ffff:127.0.0.1/tcp/1", Loopback),
        ("/ip4/10.0.0.1/tcp/1", Private),
        ("/ip4/172.16.0.1/tcp/1", Private),
        ("/ip4/192.168.0.1/tcp/1", Private),
        ("/ip4/169.254.0.1/tcp/1", Private),
        ("/ip4/100.64.0.1/tcp/1", Private),
        ("/ip4/100.127.0.1/tcp/1", Private),
        ("/ip6/fe80::1/tcp/1", Private),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", Private),
        ("/ip6/fd00::1/tcp/1", Private),
        ("/ip6/::ffff:10.0.0.1/tcp/1", Private),
        ("/ip4/0.1.2.3/tcp/1", Private),
        ("/ip4/169.254.169.254/tcp/80", Private),
        ("/ip4/192.0.0.8/tcp/1", Private),
        ("/ip4/198.19.0.1/tcp/1", Private),
        ("/ip4/224.0.0.251/udp/1/quic-v1", Private),
        ("/ip4/240.0.0.1/tcp/1", Private),
        ("/ip4/255.255.255.255/udp/1/quic-v1", Private),
        ("/ip6/::10.0.0.1/tcp/1", Private),
        ("/ip6/::127.0.0.1/tcp/1", Private),
        ("/ip6/64:ff9b::10.0.0.1/tcp/1", Private),
        ("/ip6/64:ff9b::127.0.0.1/tcp/1", Private),
        ("/ip6/64:ff9b:1::8.8.8.8/tcp/1", Private),
        ("/ip6/2002:a00:1::1/tcp/1", Private),
        ("/ip6/fec0::1/tcp/1", Private),
        ("/ip6/ff02::fb/udp/1/quic-v1", Private),
        ("/ip6/100::1/tcp/1", Private),
        ("/ip6/64:ff9b::8.8.8.8/tcp/1", Public),
        ("/ip6/2002:808:808::1/tcp/1", Public),
        ("/ip4/192.0.1.1/tcp/1", Public),
        ("/ip4/198.20.0.1/tcp/1", Public),
        ("/ip4/100.128.0.1/tcp/1", Public),
        ("/ip4/8.8.8.8/tcp/1", Public),
        ("/ip6/2001:db8::1/tcp/1", Public),
        ("/dns/example.org/tcp/1", Public),
    ];
    for (text, expected) in cases {
        assert_eq!(scope(&parse(text)), expected, "{text}");
    }
}

#[test]
fn only_the_last_peer_id_is_split_off() {
    let (relay, peer) = (PeerId::random(), PeerId::random());
    let relayed = format!("/ip4/1.1.1.1/tcp/1/p2p/{relay}/p2p-circuit");
    let whole = parse(&format!("{relayed}/p2p/{peer}"));
    assert_eq!(split_peer(whole), (parse(&relayed), Some(peer)));
    assert_eq!(split_peer(parse(&relayed)), (parse(&relayed), None));
    assert_eq!(split_peer(Multiaddr::empty()), (Multiaddr::empty(), None));
}

#[test]
fn an_address_is_carried_by_one_of_six_things() {
    let cases = [
        ("/memory/1", Carrier::Local),
        ("/unix/%2Ftmp%2Fa", Carrier::Local),
        ("/ip4/1.1.1.1/udp/1/quic-v1", Carrier::Quic),
        ("/ip4/1.1.1.1/udp/1/quic", Carrier::Quic),
        (
            "/ip4/1.1.1.1/udp/1/quic-v1/webtransport",
            Carrier::WebTransport,
        ),
        ("/ip4/1.1.1.1/tcp/1", Carrier::Tcp),
        ("/ip4/1.1.1.1/tcp/1/ws", Carrier::WebSocket),
        ("/ip4/1.1.1.1/tcp/1/wss", Carrier::WebSocket),
        ("/ip4/1.1.1.1/tcp/1/tls/sni/a.org/ws", Carrier::WebSocket),
        ("/ip4/1.1.1.1/udp/1/webrtc-direct", Carrier::Other),
        ("/ip4/1.1.1.1", Carrier::Other),
    ];
    for (text, expected) in cases {
        assert_eq!(carrier(&parse(text)), expected, "{text}");
        let relayed = format!("{text}/p2p/{}/p2p-circuit", PeerId::random());
        assert_eq!(carrier(&parse(&relayed)), expected, "{relayed}");
    }
}

#[test]
fn networks_are_those_of_the_ip_whatever_it_carries() {
    for rest in ["tcp/1", "udp/1/quic-v1", "tcp/1/ws", "tcp/1/tls/ws"] {
        let v4 = subnets(&parse(&format!("/ip4/1.2.3.4/{rest}")), true);
        assert_eq!(v4, [Some(Subnet::V4([1, 2, 3, 4].into())), None]);
        let v6 = subnets(&parse(&format!("/ip6/2001:db8::1/{rest}")), true);
        assert!(v6.iter().all(Option::is_some));
    }
    assert_eq!(subnets(&parse("/unix/%2Ftmp%2Fa"), true), [None, None]);
}

#[test]
fn a_link_local_address_needs_its_zone() {
    assert!(lacks_zone(&parse("/ip6/fe80::1/tcp/1")));
    assert!(!lacks_zone(&parse("/ip6zone/eth0/ip6/fe80::1/tcp/1")));
    assert!(!lacks_zone(&parse("/ip6/fd00::1/tcp/1")));
    assert!(!lacks_zone(&parse("/ip4/169.254.1.1/tcp/1")));
}
