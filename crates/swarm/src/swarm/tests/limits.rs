//! Every limit at N, at N + 1 and after release, with its error and its counter.

use super::*;

const A: &str = "/ip4/1.1.1.1/tcp/1";

#[test]
fn pending_inbound_connections_are_limited() {
    let mut node = Node::new(Config {
        pending_inbound_max: 2,
        ..Config::default()
    });
    let first = node.admit("/ip4/1.0.0.1/tcp/1").unwrap();
    let second = node.admit("/ip4/1.0.0.2/tcp/1").unwrap();
    let error = node.admit("/ip4/1.0.0.3/tcp/1").unwrap_err();
    assert_eq!(error, Refused::PendingMax { max: 2 });
    assert_eq!(
        error.to_string(),
        "2 inbound connections are being upgraded"
    );
    assert_eq!(node.swarm.counters().refused_pending, 1);
    node.event(Event::PendingFailed { pending: first });
    node.event(Event::PendingFailed { pending: first });
    node.admit("/ip4/1.0.0.3/tcp/1").unwrap();
    assert!(node.admit("/ip4/1.0.0.4/tcp/1").is_err());
    node.established(peer(2), "/ip4/1.0.0.2/tcp/1", Origin::Pending(second));
    node.admit("/ip4/1.0.0.4/tcp/1").unwrap();
}

#[test]
fn inbound_connections_are_limited_with_those_in_their_upgrade() {
    let mut node = Node::new(Config {
        connections_inbound_max: 2,
        ..Config::default()
    });
    let (open, _) = node.inbound(peer(2), "/ip4/1.0.0.1/tcp/1");
    let pending = node.admit("/ip4/1.0.0.2/tcp/1").unwrap();
    let error = node.admit("/ip4/1.0.0.3/tcp/1").unwrap_err();
    assert_eq!(error, Refused::InboundMax { max: 2 });
    assert_eq!(node.swarm.counters().refused_inbound, 1);
    node.closed(open);
    let (_, actions) = node.established(peer(3), "/ip4/1.0.0.2/tcp/1", Origin::Pending(pending));
    assert!(closes(&actions).is_empty());
    node.inbound(peer(4), "/ip4/1.0.0.3/tcp/1");
    assert!(node.admit("/ip4/1.0.0.3/tcp/1").is_err());
}

#[test]
fn connections_of_one_ip_are_limited_from_admission_to_their_end() {
    for at in [
        "/ip4/1.0.0.1/tcp/1",
        "/ip6/::ffff:1.0.0.1/tcp/1",
        "/ip6/2001:db8::7/tcp/1",
    ] {
        let mut node = Node::new(Config {
            connections_per_ip_max: 2,
            ..Config::default()
        });
        let pending = node.admit(at).unwrap();
        let (open, _) = node.inbound(peer(2), at);
        let error = node.admit(at).unwrap_err();
        assert_eq!(error, Refused::SubnetMax { max: 2 }, "{at}");
        assert_eq!(node.swarm.counters().refused_subnet, 1);
        node.admit("/ip4/1.0.0.2/tcp/1").unwrap();
        node.event(Event::PendingFailed { pending });
        let again = node.admit(at).unwrap();
        assert!(node.admit(at).is_err());
        node.closed(open);
        node.admit(at).unwrap();
        // Established, it still counts, once.
        node.established(peer(3), at, Origin::Pending(again));
        assert!(node.admit(at).is_err());
    }
}

#[test]
fn a_mapped_ipv4_address_counts_as_the_ipv4_address() {
    let mut node = Node::new(Config {
        connections_per_ip_max: 1,
        ..Config::default()
    });
    node.admit("/ip4/1.0.0.1/tcp/1").unwrap();
    assert!(node.admit("/ip6/::ffff:1.0.0.1/tcp/1").is_err());
}

#[test]
fn an_ipv6_network_is_limited_as_one_however_many_addresses_it_has() {
    let mut node = Node::new(Config {
        connections_per_ip_max: 2,
        connections_per_site_max: 3,
        ..Config::default()
    });
    node.admit("/ip6/2001:db8:1:1::1/tcp/1").unwrap();
    let second = node.admit("/ip6/2001:db8:1:2::1/tcp/1").unwrap();
    let error = node.admit("/ip6/2001:db8:1:3::1/tcp/1").unwrap_err();
    assert_eq!(error, Refused::SubnetMax { max: 2 }, "one /56");
    node.admit("/ip6/2001:db8:1:101::1/tcp/1").unwrap();
    let error = node.admit("/ip6/2001:db8:1:201::1/tcp/1").unwrap_err();
    assert_eq!(error, Refused::SubnetMax { max: 3 }, "one /48");
    node.event(Event::PendingFailed { pending: second });
    node.admit("/ip6/2001:db8:1:201::1/tcp/1").unwrap();
}

#[test]
fn loopback_and_memory_are_exempt_from_the_limit_per_ip() {
    let mut node = Node::new(Config {
        connections_per_ip_max: 1,
        ..Config::default()
    });
    for at in ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1", "/memory/7"] {
        for _ in 0..3 {
            node.admit(at).unwrap();
        }
    }
}

#[test]
fn connections_to_one_peer_are_limited() {
    let mut node = Node::new(Config::default());
    let mut open = Vec::new();
    for _ in 0..4 {
        let (connection, actions) = node.inbound(peer(2), "/ip4/1.0.0.1/tcp/1");
        assert!(closes(&actions).is_empty());
        open.push(connection);
    }
    let (fifth, actions) = node.inbound(peer(2), "/ip4/1.0.0.1/tcp/1");
    assert_eq!(closes(&actions), [(fifth, CloseReason::LimitExceeded)]);
    assert_eq!(node.swarm.counters().closed_per_peer, 1);
    assert!(node.closed(fifth).is_empty());
    assert!(closes(&node.inbound(peer(3), "/ip4/1.0.0.1/tcp/1").1).is_empty());
    node.closed(open[0]);
    let (_, actions) = node.inbound(peer(2), "/ip4/1.0.0.1/tcp/1");
    assert!(closes(&actions).is_empty());
}

#[test]
fn a_waiter_whose_own_connection_is_one_too_many_gets_the_peers_best() {
    let mut node = Node::new(Config {
        connections_per_peer_max: 1,
        ..Config::default()
    });
    let (_, actions) = node.connect(None, &[A]);
    let (first, _) = node.dialed(dials(&actions)[0].0, peer(2));
    let (waiter, actions) = node.connect(None, &["/ip4/1.1.1.1/tcp/2"]);
    let (second, actions) = node.dialed(dials(&actions)[0].0, peer(2));
    assert_eq!(closes(&actions), [(second, CloseReason::LimitExceeded)]);
    assert_eq!(resolved(&actions), [(waiter, Ok(first))]);
}

#[test]
fn dials_are_limited() {
    let mut node = Node::new(Config {
        dials_max: 2,
        ..Config::default()
    });
    let (first, _) = node.connect(peer(2), &[A]);
    node.connect(peer(3), &[A]);
    let (_, actions) = node.connect(peer(4), &[A]);
    assert_eq!(failure(&actions), DialError::TooManyDials);
    assert_eq!(node.swarm.counters().refused_dials, 1);
    assert!(
        node.connect(peer(3), &[A]).1.is_empty(),
        "joining is not a dial"
    );
    node.event(Event::Cancel { waiter: first });
    assert_eq!(dials(&node.connect(peer(4), &[A]).1).len(), 1);
}

#[test]
fn outbound_connections_are_limited_with_the_running_dials() {
    let mut node = Node::new(Config {
        connections_outbound_max: 2,
        ..Config::default()
    });
    let (_, actions) = node.connect(peer(2), &[A]);
    let (open, _) = node.dialed(dials(&actions)[0].0, peer(2));
    node.connect(peer(3), &[A]);
    let (_, actions) = node.connect(peer(4), &[A]);
    assert_eq!(failure(&actions), DialError::TooManyConnections);
    assert_eq!(node.swarm.counters().refused_outbound, 1);
    node.inbound(peer(5), "/ip4/1.0.0.1/tcp/1");
    node.closed(open);
    assert_eq!(dials(&node.connect(peer(4), &[A]).1).len(), 1);
}

#[test]
fn a_flood_of_inbound_connections_leaves_nothing_behind() {
    let mut node = Node::new(Config::default());
    let mut admitted = Vec::new();
    for n in 0..10_000_u32 {
        let at = format!("/ip4/{}/tcp/1", std::net::Ipv4Addr::from(0x0100_0000 + n));
        admitted.extend(node.admit(&at));
    }
    assert_eq!(admitted.len(), Config::default().pending_inbound_max);
    assert_eq!(node.swarm.counters().refused_pending, 10_000 - 128);
    for pending in admitted {
        node.event(Event::PendingFailed { pending });
    }
    node.assert_empty();
}
