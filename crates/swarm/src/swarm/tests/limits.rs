//! What the limits count: which networks are one, what joins and what is exempt. That each of them holds is in
//! `registry.rs`.

use super::*;

use crate::limits::{Limit, LimitReached, Limits, Usage};

const fn refused(limit: Limit, max: u64) -> Refused {
    Refused::LimitReached(LimitReached { limit, max })
}

const A: &str = "/ip4/1.1.1.1/tcp/1";

#[test]
fn inbound_connections_are_limited_with_those_in_their_upgrade() {
    let mut node = Node::new(Config {
        connections_inbound_max: 2,
        ..Config::default()
    });
    let (open, _) = node.inbound(peer(2), "/ip4/1.0.0.1/tcp/1");
    let pending = node.admit("/ip4/1.0.0.2/tcp/1").unwrap();
    let error = node.admit("/ip4/1.0.0.3/tcp/1").unwrap_err();
    assert_eq!(error, refused(Limit::ConnectionsInbound, 2));
    assert_eq!(
        error.to_string(),
        "at most 2 inbound connections, with those in their upgrade (limit connections_inbound)"
    );
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
        assert_eq!(error, refused(Limit::ConnectionsPerIp, 2), "{at}");
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
    assert_eq!(error, refused(Limit::ConnectionsPerIp, 2), "one /56");
    node.admit("/ip6/2001:db8:1:101::1/tcp/1").unwrap();
    let error = node.admit("/ip6/2001:db8:1:201::1/tcp/1").unwrap_err();
    assert_eq!(error, refused(Limit::ConnectionsPerSite, 3), "one /48");
    node.event(Event::PendingFailed { pending: second });
    node.admit("/ip6/2001:db8:1:201::1/tcp/1").unwrap();
}

#[test]
fn loopback_is_exempt_from_the_limits_per_ip_unless_it_is_asked_for_and_memory_always() {
    for loopback_exempt in [true, false] {
        let mut node = Node::new(Config {
            connections_per_ip_max: 1,
            connection_burst_per_ip: 1,
            loopback_exempt,
            ..Config::default()
        });
        for at in ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1", "/memory/7"] {
            node.admit(at).unwrap();
            let again = node.admit(at);
            assert_eq!(again.is_ok(), loopback_exempt || at == "/memory/7", "{at}");
        }
    }
}

#[test]
fn who_comes_too_fast_gets_one_more_place_every_five_seconds() {
    let mut node = Node::new(Config::default());
    let come = |node: &mut Node| {
        let pending = node.admit("/ip4/1.0.0.1/tcp/1");
        pending.map(|pending| node.event(Event::PendingFailed { pending }))
    };
    for _ in 0..16 {
        come(&mut node).unwrap();
    }
    let too_fast = Err(refused(Limit::ConnectionRatePerIp, 16));
    assert_eq!(come(&mut node).map(|_| ()), too_fast);
    node.admit("/ip4/1.0.0.2/tcp/1").unwrap();
    node.pass(seconds(4));
    assert_eq!(come(&mut node).map(|_| ()), too_fast);
    node.pass(seconds(1));
    come(&mut node).unwrap();
    assert_eq!(come(&mut node).map(|_| ()), too_fast);
    node.pass(seconds(80));
    for _ in 0..16 {
        come(&mut node).unwrap();
    }
    assert_eq!(come(&mut node).map(|_| ()), too_fast);
}

#[test]
fn a_limit_is_told_once_a_second() {
    let mut node = Node::new(Config {
        pending_inbound_max: 0,
        ..Config::default()
    });
    let mut told = 0;
    for _ in 0..100 {
        node.admit("/ip4/1.0.0.1/tcp/1").unwrap_err();
        told += notices(&node.drain()).len();
        node.pass(millis(25));
    }
    assert_eq!(told, 3);
}

#[test]
fn what_limits_have_seen_is_found_by_name_and_in_order() {
    let usage = |limit, used| Usage {
        limit,
        max: 2,
        used,
        peak: 2,
        refused: 0,
    };
    let below = usage(Limit::Peers, Some(1));
    let full = usage(Limit::Dials, Some(2));
    let limits = Limits::new(vec![below, full]);
    assert_eq!(limits.get(Limit::Peers), Some(&below));
    assert_eq!(limits.get(Limit::Dials), Some(&full));
    assert_eq!(limits.get(Limit::Memory), None);
    assert_eq!(limits.iter().collect::<Vec<_>>(), [&full, &below]);
    assert!(full.is_at_limit() && !below.is_at_limit());
    assert!(!usage(Limit::Events, None).is_at_limit());
}

#[test]
fn the_most_that_was_used_is_known_when_less_is_used() {
    let mut node = Node::new(Config::default());
    let pending = node.admit("/ip4/1.0.0.1/tcp/1").unwrap();
    node.event(Event::PendingFailed { pending });
    let limits = Limits::new(node.swarm.limits(node.now));
    let usage = limits.get(Limit::ConnectionsPending).unwrap();
    assert_eq!((usage.used, usage.peak), (Some(0), 1));
}

#[test]
fn the_limits_are_shown_as_a_table() {
    let mut node = Node::new(Config {
        connections_inbound_max: 1,
        ..Config::default()
    });
    node.inbound(peer(2), "/ip4/1.0.0.1/tcp/1");
    node.admit("/ip4/1.0.0.1/tcp/1").unwrap_err();
    let table = Limits::new(node.swarm.limits(node.now)).to_string();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "limit                            level            used        max       peak   refused",
            "connections_inbound              global              1          1          1         1 <- at its limit",
        ]
    );
    assert!(table.contains(
        "peers_bytes                      global            0 B     64 MiB        0 B         0"
    ));
}

#[test]
fn a_connection_that_has_given_way_to_a_better_one_is_not_counted_while_it_ends() {
    let mut peers = [1, 2];
    peers.sort_by_key(|n| peer(*n).to_bytes());
    let [small, large] = peers;
    let config = Config {
        connections_per_peer_max: 1,
        ..Config::default()
    };
    let mut node = Node::of(large, config);
    let (_, actions) = node.connect(peer(small), &[A]);
    let (worse, _) = node.dialed(dials(&actions)[0].0, peer(small));
    let (_, actions) = node.inbound(peer(small), "/ip4/1.1.1.1/tcp/2");
    assert_eq!(closes(&actions), [(worse, CloseReason::LimitExceeded)]);
    let limits = Limits::new(node.swarm.limits(node.now));
    let usage = limits.get(Limit::ConnectionsPerPeer).unwrap();
    assert_eq!((usage.used, usage.peak), (Some(1), 1));
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
    assert!(matches!(failure(&actions), DialError::LimitReached(_)));
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
    assert!(matches!(failure(&actions), DialError::LimitReached(_)));
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
    let limits = &node.swarm.counters().limits;
    assert_eq!(limits.refused(Limit::ConnectionsPending), 10_000 - 128);
    for pending in admitted {
        node.event(Event::PendingFailed { pending });
    }
    node.assert_empty();
}
