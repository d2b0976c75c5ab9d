//! Which addresses a dial tries and which it leaves out: options, backoff, black holes, better ones.

use super::*;

const A: &str = "/ip4/1.1.1.1/tcp/1";
const B: &str = "/ip4/2.2.2.2/tcp/2";
const QUIC: &str = "/ip4/1.1.1.1/udp/1/quic-v1";

const FORCE_NEW: DialOptions = DialOptions {
    force_new: true,
    only_given: false,
};
const ONLY_GIVEN: DialOptions = DialOptions {
    force_new: false,
    only_given: true,
};

fn skipped(at: &str, skip: Skip) -> (Multiaddr, AttemptError) {
    (address(at), skip.into())
}

#[test]
fn a_forced_dial_makes_another_connection_and_gets_that_one() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    let (first, _) = node.dialed(dials(&actions)[0].0, peer(2));
    let (waiter, actions) = node.connect_with(peer(2), &[], FORCE_NEW);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A, "what is known will do");
    // Who wants any connection gets the one that is there, and one that comes in does not end the dial.
    let (other, actions) = node.connect(peer(2), &[A]);
    assert_eq!(resolved(&actions), [(other, Ok(first))]);
    let (inbound, actions) = node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    assert!(resolved(&actions).is_empty());
    let (second, actions) = node.dialed(attempt, peer(2));
    assert_eq!(resolved(&actions), [(waiter, Ok(second))]);
    assert_eq!(node.swarm.connections(&peer(2)).count(), 3);
    for connection in [first, inbound, second] {
        node.closed(connection);
    }
    node.assert_empty();
}

#[test]
fn forced_dials_share_one_and_others_do_not_join_it() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect_with(peer(2), &[A], FORCE_NEW);
    assert_eq!(dials(&actions).len(), 1);
    assert!(
        node.connect_with(peer(2), &[A], FORCE_NEW).1.is_empty(),
        "it has joined"
    );
    let (waiter, actions) = node.connect(peer(2), &[B]);
    assert_eq!(dialed_addresses(&actions), [B]);
    // The forced one's connection will do for it.
    let forced = AttemptId(0);
    let (connection, actions) = node.dialed(forced, peer(2));
    assert_eq!(resolved(&actions).len(), 3);
    assert!(resolved(&actions).contains(&(waiter, Ok(connection))));
}

#[test]
fn a_forced_dial_keeps_to_the_limit_of_connections() {
    let config = Config {
        connections_per_peer_max: 1,
        ..Config::default()
    };
    let mut node = Node::new(config);
    node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    let (_, actions) = node.connect_with(peer(2), &[A], FORCE_NEW);
    let (connection, actions) = node.dialed(dials(&actions)[0].0, peer(2));
    // One of the two goes: which one, both ends must see alike.
    let gone = closes(&actions);
    assert_eq!(gone.len(), 1);
    let expected = match gone[0].0 == connection {
        true => Err(DialError::LimitReached(LimitReached {
            limit: Limit::ConnectionsPerPeer,
            max: 1,
        })),
        false => Ok(connection),
    };
    assert_eq!(resolved(&actions)[0].1, expected);
    assert_eq!(
        node.swarm
            .counters()
            .limits
            .refused(Limit::ConnectionsPerPeer),
        1
    );
}

#[test]
fn only_these_addresses_means_that_known_ones_are_not_tried() {
    let mut node = Node::new(Config::default());
    node.learns(peer(2), &[B]);
    let (_, actions) = node.connect_with(peer(2), &[A], ONLY_GIVEN);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A);
    assert!(node.pass(seconds(1)).is_empty());
    // Another list is another dial, and the same one is not.
    assert_eq!(
        dialed_addresses(&node.connect_with(peer(2), &[B], ONLY_GIVEN).1),
        [B]
    );
    assert!(node.connect_with(peer(2), &[A], ONLY_GIVEN).1.is_empty());
    let actions = node.fail(attempt);
    assert_eq!(resolved(&actions).len(), 2, "who waits for B waits on");
    let both = resolved(&actions).into_iter().map(|(_, result)| result);
    let error = Err(DialError::Failed {
        peer: Some(peer(2)),
        attempts: vec![(address(A), refused())],
    });
    assert!(both.into_iter().all(|result| result == error));

    let (_, actions) = node.connect_with(peer(2), &[], ONLY_GIVEN);
    assert!(matches!(failure(&actions), DialError::NoAddresses { .. }));
    // A connection that is there will do.
    let (inbound, _) = node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    let (waiter, actions) = node.connect_with(peer(2), &[A], ONLY_GIVEN);
    assert_eq!(resolved(&actions), [(waiter, Ok(inbound))]);
}

#[test]
fn a_known_address_that_failed_rests_for_a_while_and_a_given_one_never() {
    let mut node = Node::new(Config::default());
    node.learns(peer(2), &[A]);
    let (_, actions) = node.connect(peer(2), &[]);
    assert_eq!(
        attempts(&node.fail(dials(&actions)[0].0)),
        [(address(A), refused())]
    );
    node.pass(millis(1500));
    let (_, actions) = node.connect(peer(2), &[]);
    assert!(dials(&actions).is_empty());
    let remaining = millis(3500);
    assert_eq!(
        attempts(&actions),
        [skipped(A, Skip::Backoff { remaining })]
    );
    let text = failure(&actions).to_string();
    assert!(
        text.ends_with("not tried: it failed shortly before, the next try is in 3.5 s"),
        "{text}"
    );
    assert_eq!(node.swarm.counters().skipped_backoff, 1);
    // Twice explicitly, and when another connection is wanted.
    for _ in 0..2 {
        let (_, actions) = node.connect(peer(2), &[A]);
        assert_eq!(dialed_addresses(&actions), [A]);
        node.fail(dials(&actions)[0].0);
    }
    let (waiter, actions) = node.connect_with(peer(2), &[], FORCE_NEW);
    assert_eq!(dialed_addresses(&actions), [A]);
    node.event(Event::Cancel { waiter });
    // After three failures it rests for 9 s.
    node.pass(millis(8999));
    assert!(dials(&node.connect(peer(2), &[]).1).is_empty());
    node.pass(millis(1));
    let (_, actions) = node.connect(peer(2), &[]);
    let (connection, _) = node.dialed(dials(&actions)[0].0, peer(2));
    node.closed(connection);
    let (_, actions) = node.connect(peer(2), &[]);
    node.fail(dials(&actions)[0].0);
    node.pass(seconds(5));
    assert_eq!(
        dials(&node.connect(peer(2), &[]).1).len(),
        1,
        "a connection clears it"
    );
}

#[test]
fn who_joins_with_an_address_that_rests_has_it_tried() {
    let mut node = Node::new(Config::default());
    node.learns(peer(2), &[B]);
    let (_, actions) = node.connect(peer(2), &[]);
    node.fail(dials(&actions)[0].0);
    let (_, actions) = node.connect(peer(2), &[A]);
    let [(first, _)] = dials(&actions).try_into().unwrap();
    let (_, actions) = node.connect(peer(2), &[B]);
    assert!(actions.is_empty(), "its time has not come");
    let [(second, at)] = dials(&node.pass(millis(250))).try_into().unwrap();
    assert_eq!(at, B);
    node.fail(first);
    let actions = node.fail(second);
    let Err(DialError::Failed { attempts, .. }) = &resolved(&actions)[0].1 else {
        panic!("{actions:?}");
    };
    assert_eq!(
        attempts,
        &[(address(A), refused()), (address(B), refused())]
    );
}

#[test]
fn udp_that_never_works_is_left_out_unless_it_is_given() {
    let mut node = Node::new(Config::default());
    for n in 0..100_u8 {
        let at = format!("/ip4/9.9.9.{n}/udp/1/quic-v1");
        let (_, actions) = node.connect(None, &[&at]);
        node.fail(dials(&actions)[0].0);
    }
    node.learns(peer(2), &[QUIC, A]);
    let (_, actions) = node.connect(peer(2), &[]);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A, "without waiting for QUIC");
    let failed = attempts(&node.fail(attempt));
    assert!(failed.contains(&skipped(QUIC, Skip::UdpBlackHole)));
    assert_eq!(node.swarm.counters().skipped_black_hole, 1);
    let (waiter, actions) = node.connect(peer(2), &[QUIC]);
    assert_eq!(dialed_addresses(&actions), [QUIC]);
    node.event(Event::Cancel { waiter });
    // Nobody knows anything against private addresses.
    node.learns(peer(3), &["/ip4/192.168.1.1/udp/1/quic-v1"]);
    assert_eq!(dials(&node.connect(peer(3), &[]).1).len(), 1);
}

#[test]
fn an_attempt_that_loses_the_race_counts_against_its_network_and_one_given_up_does_not() {
    let six = "/ip6/2001:db8::1/tcp/1";
    let blocked = |give_up: bool| {
        let mut node = Node::new(Config::default());
        for _ in 0..100 {
            let (waiter, actions) = node.connect(peer(2), &[six, A]);
            assert_eq!(dialed_addresses(&actions), [six]);
            let [(v4, _)] = dials(&node.pass(millis(250))).try_into().unwrap();
            if give_up {
                node.event(Event::Cancel { waiter });
            } else {
                let (connection, _) = node.dialed(v4, peer(2));
                node.closed(connection);
            }
        }
        node.learns(peer(3), &[six]);
        dials(&node.connect(peer(3), &[]).1).is_empty()
    };
    assert!(blocked(false));
    assert!(!blocked(true));
}

#[test]
fn websocket_beside_plain_tcp_is_left_out_unless_it_is_all_that_is_given() {
    let ws = "/ip4/1.1.1.1/tcp/1/ws";
    let wss = "/ip4/1.1.1.1/tcp/1/tls/sni/a.org/ws";
    let elsewhere = "/ip4/1.1.1.1/tcp/2/ws";
    let mut node = Node::new(Config::default());
    let (waiter, actions) = node.connect(peer(2), &[ws, A, wss, elsewhere]);
    let mut dialed = dials(&actions);
    dialed.extend(dials(&node.pass(seconds(5))));
    let addresses: Vec<_> = dialed.iter().map(|(_, at)| at.as_str()).collect();
    assert_eq!(addresses, [A, elsewhere]);
    node.fail(dialed[0].0);
    let failed = attempts(&node.fail(dialed[1].0));
    assert!(failed.contains(&skipped(ws, Skip::PlainTcp)));
    assert!(failed.contains(&skipped(wss, Skip::PlainTcp)));
    node.event(Event::Cancel { waiter });

    node.learns(peer(2), &[A]);
    node.pass(seconds(600));
    let (_, actions) = node.connect(peer(2), &[ws]);
    let mut dialed = dialed_addresses(&actions);
    dialed.extend(dialed_addresses(&node.pass(seconds(5))));
    assert_eq!(dialed, [A, ws]);
}

#[test]
fn addresses_that_name_no_host_are_not_dialed() {
    let cases = [
        ("/ip4/0.0.0.0/tcp/1", Skip::Unspecified),
        ("/ip6/::/udp/1/quic-v1", Skip::Unspecified),
        ("/ip6/fe80::1/tcp/1", Skip::NoZone),
    ];
    let mut node = Node::new(Config::default());
    for (at, skip) in cases {
        let (_, actions) = node.connect(peer(2), &[at]);
        assert_eq!(attempts(&actions), [skipped(at, skip)]);
    }
    let zoned = "/ip6zone/eth0/ip6/fe80::1/tcp/1";
    assert_eq!(
        dialed_addresses(&node.connect(peer(2), &[zoned]).1),
        [zoned]
    );
}

#[test]
fn what_no_transport_can_dial_does_not_count() {
    let mut node = Node::new(Config::default());
    node.swarm
        .set_dialable(|address| !address.to_string().contains("udp"));
    let quic: Vec<_> = (0..100)
        .map(|n| format!("/ip4/1.1.1.1/udp/{n}/quic-v1"))
        .collect();
    let mut all: Vec<_> = quic.iter().map(String::as_str).collect();
    all.push("/dns4/a.org/udp/1/quic-v1");
    all.push(A);
    let (_, actions) = node.connect(peer(2), &all);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A);
    assert!(
        lookups(&actions).is_empty(),
        "nothing could dial what it gives"
    );
    let failed = attempts(&node.fail(attempt));
    let no_transport = failed
        .iter()
        .filter(|(_, e)| *e == AttemptError::NoTransport);
    assert_eq!(no_transport.count(), 101);
}

#[test]
fn own_addresses_are_known_in_any_spelling() {
    let mut node = Node::new(Config::default());
    node.event(Event::Listening {
        address: address("/ip4/1.1.1.1/tcp/1/tls/ws"),
    });
    for own in [
        "/ip4/1.1.1.1/tcp/1/wss",
        "/ip4/1.1.1.1/tcp/1/tls/sni/a.org/ws",
    ] {
        assert_eq!(failure(&node.connect(None, &[own]).1), DialError::LocalPeer);
    }
    assert_eq!(
        dials(&node.connect(None, &["/ip4/1.1.1.1/tcp/1/ws"]).1).len(),
        1
    );
}

#[test]
fn an_upgrade_holds_others_back_for_two_head_starts() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &["/ip6/2001:db8::1/tcp/1", A, B]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    node.pass(millis(200));
    node.event(Event::AttemptProgress { attempt });
    assert!(node.pass(millis(499)).is_empty());
    assert_eq!(dialed_addresses(&node.pass(millis(1))), [A, B]);
    // It holds nobody back once it has failed.
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A, B]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    node.event(Event::AttemptProgress { attempt });
    assert_eq!(dialed_addresses(&node.fail(attempt)), [B]);
    // Private handshakes are short.
    let mut node = Node::new(Config::default());
    let private = ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"];
    let (_, actions) = node.connect(peer(2), &private);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    assert!(node.event(Event::AttemptProgress { attempt }).is_empty());
    assert_eq!(dialed_addresses(&node.pass(millis(30))), [private[1]]);
}

#[test]
fn what_a_caller_gives_takes_the_place_of_what_is_known() {
    let known: Vec<_> = (0..30)
        .map(|n| format!("/ip4/9.9.9.{n}/udp/1/quic-v1"))
        .collect();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let mut node = Node::new(Config::default());
    node.learns(peer(2), &known);
    node.connect(peer(2), &[]);
    node.connect(peer(2), &[A]);
    let config = Config {
        attempts_per_peer_max: 100,
        ..Config::default()
    };
    let mut node = Node {
        swarm: Swarm::new(config, peer(LOCAL)),
        ..node
    };
    node.learns(peer(2), &known);
    let (_, first) = node.connect(peer(2), &[]);
    let (_, _) = node.connect(peer(2), &[A]);
    let mut dialed = dialed_addresses(&first);
    dialed.extend(dialed_addresses(&node.pass(seconds(5))));
    assert_eq!(dialed.len(), 16);
    assert!(dialed.iter().any(|at| at == A));
}

#[test]
fn an_error_names_each_address_on_a_line_of_its_own_and_counts_those_beyond_the_limit() {
    let given: Vec<_> = (1..=20).map(|n| format!("/ip4/9.9.9.9/tcp/{n}")).collect();
    let given: Vec<_> = given.iter().map(String::as_str).collect();
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &given);
    let mut open = dials(&actions);
    let mut last = Vec::new();
    while let Some((attempt, _)) = open.pop() {
        last = node.fail(attempt);
        open.extend(dials(&last));
        open.extend(dials(&node.pass(millis(300))));
    }
    let text = failure(&last).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 18, "{text}");
    assert_eq!(lines[0], format!("could not reach peer {}:", peer(2)));
    assert!(lines.contains(&"  /ip4/9.9.9.9/tcp/16: connection refused"));
    assert_eq!(
        lines[17],
        "  4 more: not tried: at most 16 addresses of one dial (limit dial_addresses)"
    );
}
