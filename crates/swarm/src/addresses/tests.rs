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
