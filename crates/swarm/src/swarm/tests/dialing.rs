//! Dials: sharing, order, caps, deadlines, failures.

use super::*;

const A: &str = "/ip4/1.1.1.1/tcp/1";
const B: &str = "/ip4/2.2.2.2/tcp/2";

fn public(count: u8) -> Vec<String> {
    (1..=count)
        .map(|n| format!("/ip4/9.9.9.{n}/tcp/1"))
        .collect()
}

fn strs(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

#[test]
fn many_waiters_share_one_dial_and_are_answered_in_order() {
    let mut node = Node::new(Config::default());
    let (first, actions) = node.connect(peer(2), &[A]);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A);
    let mut waiters = vec![first];
    for _ in 0..99 {
        let (waiter, actions) = node.connect(peer(2), &[A]);
        assert!(actions.is_empty());
        waiters.push(waiter);
    }
    let (connection, actions) = node.dialed(attempt, peer(2));
    let all: Vec<Resolved> = waiters.into_iter().map(|w| (w, Ok(connection))).collect();
    assert_eq!(resolved(&actions), all);
    assert_eq!(prefers(&actions), [(peer(2), Some(connection))]);
    assert!(matches!(
        notices(&actions)[..],
        [Notice::Connected {
            direction: Direction::Outbound,
            ..
        }]
    ));
    let (waiter, actions) = node.connect(peer(2), &[]);
    assert_eq!(resolved(&actions), [(waiter, Ok(connection))]);
    assert!(dials(&actions).is_empty(), "a connection is there");
}

#[test]
fn dials_to_different_peers_run_at_the_same_time() {
    let mut node = Node::new(Config::default());
    for n in 2..100 {
        assert_eq!(dials(&node.connect(peer(n), &[A]).1).len(), 1);
    }
}

#[test]
fn every_waiter_gets_the_failure_with_every_address_and_its_error() {
    let mut node = Node::new(Config::default());
    let (first, actions) = node.connect(peer(2), &[A]);
    let [(a, _)] = dials(&actions).try_into().unwrap();
    let (second, _) = node.connect(peer(2), &[B]);
    let [(b, _)] = dials(&node.pass(millis(250))).try_into().unwrap();
    assert!(resolved(&node.fail(a)).is_empty());
    let error = AttemptError::Upgrade("no common muxer".into());
    let actions = node.event(Event::AttemptFailed {
        attempt: b,
        error: error.clone(),
    });
    let expected = DialError::Failed {
        peer: Some(peer(2)),
        attempts: vec![(address(A), refused()), (address(B), error)],
    };
    let both = [
        (first, Err(expected.clone())),
        (second, Err(expected.clone())),
    ];
    assert_eq!(resolved(&actions), both);
    assert_eq!(
        expected.to_string(),
        format!(
            "could not reach peer {}:\n  {A}: connection refused\n  {B}: upgrade failed: no common muxer",
            peer(2)
        )
    );
    assert!(matches!(notices(&actions)[..], [Notice::DialFailed { .. }]));
    node.assert_empty();
}

#[test]
fn an_inbound_connection_satisfies_waiters_and_no_further_address_is_tried() {
    let mut node = Node::new(Config::default());
    let (waiter, actions) = node.connect(peer(2), &[A, B]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (connection, actions) = node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    assert_eq!(resolved(&actions), [(waiter, Ok(connection))]);
    assert!(dials(&node.pass(seconds(5))).is_empty());
    // What is in flight ends by itself: the other side may already use it.
    assert!(aborts(&actions).is_empty());
    let actions = node.fail(attempt);
    assert!(actions.is_empty(), "nobody waits: {actions:?}");
    assert!(node.swarm.dialer.is_empty());
}

#[test]
fn a_waiter_who_comes_when_that_inbound_connection_is_gone_joins_what_is_in_flight() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (inbound, _) = node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    node.closed(inbound);
    let (waiter, _) = node.connect(peer(2), &[B]);
    assert_eq!(dialed_addresses(&node.pass(millis(250))), [B]);
    let (connection, actions) = node.dialed(attempt, peer(2));
    assert_eq!(resolved(&actions), [(waiter, Ok(connection))]);
    assert_eq!(aborts(&actions).len(), 1);
}

#[test]
fn cancelling_the_last_waiter_aborts_and_the_others_do_not() {
    let mut node = Node::new(Config::default());
    let (first, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (second, _) = node.connect(peer(2), &[]);
    assert!(node.event(Event::Cancel { waiter: first }).is_empty());
    let actions = node.event(Event::Cancel { waiter: second });
    assert_eq!(aborts(&actions), [attempt]);
    assert!(resolved(&actions).is_empty());
    node.assert_empty();
    assert!(node.event(Event::Cancel { waiter: second }).is_empty());
}

#[test]
fn a_connection_of_an_aborted_attempt_is_closed() {
    let mut node = Node::new(Config::default());
    let (waiter, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    node.event(Event::Cancel { waiter });
    let (connection, actions) = node.dialed(attempt, peer(2));
    assert_eq!(closes(&actions), [(connection, CloseReason::Unwanted)]);
    assert!(node.closed(connection).is_empty());
    node.assert_empty();
}

#[test]
fn addresses_are_tried_at_the_times_of_their_rank() {
    let relayed = format!("/ip4/7.7.7.7/tcp/1/p2p/{}/p2p-circuit", peer(9));
    let given = [
        relayed.as_str(),
        "/ip4/8.8.8.8/tcp/1",
        "/ip6/2001:db8::1/tcp/1",
        "/ip4/8.8.8.8/udp/1/quic-v1",
        "/ip4/192.168.1.1/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/memory/1",
    ];
    // Since the dial's start, all in milliseconds.
    let expected = [
        (0, vec![7]),
        (30, vec![5, 3]),
        (60, vec![4]),
        (90, vec![6]),
        (280, vec![2]),
        (530, vec![1, 0]),
    ];
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &given);
    let mut started = dialed_addresses(&actions);
    let mut at = 0;
    for (time, which) in expected {
        if time > at {
            assert!(
                node.pass(millis(time - at - 1)).is_empty(),
                "before {time} ms"
            );
            started = dialed_addresses(&node.pass(millis(1)));
        }
        at = time;
        let which: Vec<_> = which.into_iter().map(|index| given[index]).collect();
        assert_eq!(started, which, "at {time} ms");
    }
}

#[test]
fn when_nothing_is_in_flight_the_next_starts_at_once_and_the_others_keep_their_times() {
    let mut node = Node::new(Config::default());
    let addresses = public(4);
    let (_, actions) = node.connect(peer(2), &strs(&addresses));
    let [(first, _)] = dials(&actions).try_into().unwrap();
    node.pass(millis(100));
    // The other three share their time.
    let actions = node.fail(first);
    assert_eq!(dialed_addresses(&actions), addresses[1..]);

    let mut node = Node::new(Config::default());
    let six = "/ip6/2001:db8::1/tcp/1";
    let (_, actions) = node.connect(peer(2), &[six, A, B]);
    let [(first, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, six);
    node.pass(millis(100));
    assert_eq!(dialed_addresses(&node.fail(first)), [A]);
    assert!(node.pass(millis(399)).is_empty());
    assert_eq!(dialed_addresses(&node.pass(millis(1))), [B]);
}

#[test]
fn at_most_8_addresses_are_in_flight_and_16_are_tried() {
    let mut node = Node::new(Config::default());
    let addresses = public(17);
    let (_, actions) = node.connect(peer(2), &strs(&addresses));
    let mut started = dials(&actions);
    started.extend(dials(&node.pass(seconds(5))));
    assert_eq!(started.len(), 8);
    // Each end makes room for one more, until none of the sixteen is left.
    let mut last = Vec::new();
    for index in 0..16 {
        let (attempt, _) = started[index];
        last = node.fail(attempt);
        started.extend(dials(&last));
        assert_eq!(started.len(), (8 + index + 1).min(16));
    }
    let DialError::Failed { attempts, .. } = failure(&last) else {
        panic!("{last:?}");
    };
    assert_eq!(attempts.len(), 17);
    let (limit, max) = (Limit::DialAddresses, 16);
    let beyond = Skip::LimitReached(LimitReached { limit, max });
    let not_tried = (address(&addresses[16]), beyond.into());
    assert!(attempts.contains(&not_tried));
    assert_eq!(
        node.swarm.counters().limits.refused(Limit::DialAddresses),
        1
    );
    node.assert_empty();
    // After release there are sixteen again.
    let (_, actions) = node.connect(peer(2), &strs(&addresses[..16]));
    assert_eq!(dials(&actions).len(), 1);
    assert_eq!(
        node.swarm.counters().limits.refused(Limit::DialAddresses),
        1
    );
}

#[test]
fn an_attempt_times_out_after_fifteen_seconds_and_a_dial_after_thirty() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    assert!(node.pass(millis(14_999)).is_empty());
    let actions = node.pass(millis(1));
    assert_eq!(aborts(&actions), [attempt]);
    let DialError::Failed { attempts, .. } = failure(&actions) else {
        panic!("{actions:?}");
    };
    assert_eq!(attempts, [(address(A), AttemptError::Timeout)]);
    assert_eq!(node.swarm.counters().attempts_timed_out, 1);
    node.assert_empty();

    let config = Config {
        attempts_per_peer_max: 1,
        ..Config::default()
    };
    let mut node = Node::new(config);
    let (_, actions) = node.connect(peer(2), &strs(&public(9)));
    assert_eq!(dials(&actions).len(), 1);
    assert!(resolved(&node.pass(millis(29_999))).is_empty());
    let actions = node.pass(millis(1));
    let DialError::Failed { attempts, .. } = failure(&actions) else {
        panic!("{actions:?}");
    };
    assert_eq!(attempts.len(), 9);
    assert!(
        attempts
            .iter()
            .all(|(_, error)| *error == AttemptError::Timeout)
    );
    node.assert_empty();
}

#[test]
fn a_success_aborts_the_other_attempts() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A, B]);
    let [(slow, _)] = dials(&actions).try_into().unwrap();
    let [(fast, _)] = dials(&node.pass(millis(250))).try_into().unwrap();
    let (_, actions) = node.dialed(fast, peer(2));
    assert_eq!(aborts(&actions), [slow]);
    assert!(node.swarm.dialer.is_empty());
}

#[test]
fn dialing_ourselves_fails_by_id_and_by_own_address() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(LOCAL), &[A]);
    assert_eq!(failure(&actions), DialError::LocalPeer);
    let with_id = format!("{A}/p2p/{}", peer(LOCAL));
    let (_, actions) = node.connect(None, &[&with_id]);
    assert_eq!(failure(&actions), DialError::LocalPeer);

    node.event(Event::Listening {
        address: address(A),
    });
    let (_, actions) = node.connect(None, &[A]);
    assert_eq!(failure(&actions), DialError::LocalPeer);
    assert!(dials(&actions).is_empty());
    // Somebody else cannot be there either, but other addresses may lead to them.
    let (_, actions) = node.connect(peer(2), &[A, B]);
    assert_eq!(dialed_addresses(&actions), [B]);
    let actions = node.fail(dials(&actions)[0].0);
    let DialError::Failed { attempts, .. } = failure(&actions) else {
        panic!("{actions:?}");
    };
    assert_eq!(attempts[0], (address(A), AttemptError::OwnAddress));

    node.event(Event::ListenerClosed {
        address: address(A),
    });
    assert_eq!(dialed_addresses(&node.connect(None, &[A]).1), [A]);
}

#[test]
fn an_unknown_address_that_leads_to_ourselves_is_closed_on_both_ends() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(None, &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (inbound, actions) = node.inbound(peer(LOCAL), "/ip4/5.5.5.5/tcp/5");
    assert_eq!(closes(&actions), [(inbound, CloseReason::LocalPeer)]);
    let (outbound, actions) = node.dialed(attempt, peer(LOCAL));
    assert_eq!(closes(&actions), [(outbound, CloseReason::LocalPeer)]);
    assert_eq!(failure(&actions), DialError::LocalPeer);
    node.assert_empty();
}

#[test]
fn a_wrong_peer_is_an_error_that_names_both() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (expected, found) = (peer(2), peer(3));
    let error = AttemptError::WrongPeer { expected, found };
    let actions = node.event(Event::AttemptFailed { attempt, error });
    let text = failure(&actions).to_string();
    assert!(
        text.contains(&peer(2).to_string()) && text.contains(&peer(3).to_string()),
        "{text}"
    );

    // The swarm itself looks, too.
    let (_, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (connection, actions) = node.dialed(attempt, peer(3));
    assert_eq!(closes(&actions), [(connection, CloseReason::WrongPeer)]);
    assert_eq!(failure(&actions).to_string(), text);
    node.assert_empty();
}

#[test]
fn an_address_that_names_another_peer_is_not_dialed_and_says_so() {
    let mut node = Node::new(Config::default());
    let other = format!("{A}/p2p/{}", peer(3));
    let right = format!("{B}/p2p/{}", peer(2));
    let (_, actions) = node.connect(peer(2), &[&other, &right]);
    assert_eq!(dialed_addresses(&actions), [B]);
    let actions = node.fail(dials(&actions)[0].0);
    let DialError::Failed { attempts, .. } = failure(&actions) else {
        panic!("{actions:?}");
    };
    let (expected, found) = (peer(2), peer(3));
    let error = AttemptError::WrongPeer { expected, found };
    assert_eq!(
        attempts,
        [(address(&other), error), (address(B), refused())]
    );
    // Alone, it fails at once.
    let (_, actions) = node.connect(peer(2), &[&other]);
    assert!(matches!(failure(&actions), DialError::Failed { .. }));
    node.assert_empty();
}

#[test]
fn the_peer_may_be_named_by_the_address_alone() {
    let mut node = Node::new(Config::default());
    let named = format!("{A}/p2p/{}", peer(2));
    let (_, actions) = node.connect(None, &[&named]);
    assert!(matches!(&actions[..], [Action::Dial { expected: Some(id), .. }] if *id == peer(2)));
    let (_, actions) = node.connect(peer(2), &[]);
    assert!(actions.is_empty(), "it has joined");
}

#[test]
fn an_unsupported_transport_is_skipped_and_the_total_failure_lists_it() {
    let mut node = Node::new(Config::default());
    let quic = "/ip4/3.3.3.3/udp/1/quic-v1";
    let (_, actions) = node.connect(peer(2), &[quic, A]);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, quic);
    let error = AttemptError::NoTransport;
    let actions = node.event(Event::AttemptFailed { attempt, error });
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A, "at once");
    let text = failure(&node.fail(attempt)).to_string();
    let listed = format!("\n  {quic}: no transport for this address\n  {A}: connection refused");
    assert!(text.ends_with(&listed), "{text}");
}

#[test]
fn without_any_address_there_is_nothing_to_dial() {
    let mut node = Node::new(Config::default());
    let error = failure(&node.connect(peer(2), &[]).1);
    assert_eq!(
        error,
        DialError::NoAddresses {
            peer: Some(peer(2))
        }
    );
    assert_eq!(
        error.to_string(),
        format!("no addresses for peer {}", peer(2))
    );
    assert_eq!(
        failure(&node.connect(None, &[]).1),
        DialError::NoAddresses { peer: None }
    );
    node.assert_empty();
}

#[test]
fn a_peer_is_dialed_at_the_addresses_that_are_known_of_it() {
    let mut node = Node::new(Config::default());
    node.event(Event::Addresses {
        peer: peer(2),
        addresses: vec![address(A), address(&format!("{B}/p2p/{}", peer(2)))],
        ttl: seconds(60),
        source: Source::User,
        from: None,
    });
    let (_, actions) = node.connect(peer(2), &[]);
    let mut dialed = dialed_addresses(&actions);
    dialed.extend(dialed_addresses(&node.pass(seconds(1))));
    assert_eq!(dialed, [A, B]);
}

#[test]
fn an_address_without_a_peer_id_is_answered_by_the_connection_that_was_dialed_there() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(None, &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (_, actions) = node.connect(None, &[A]);
    assert!(actions.is_empty(), "it has joined");
    let (connection, actions) = node.dialed(attempt, peer(2));
    assert_eq!(resolved(&actions).len(), 2);
    let (waiter, actions) = node.connect(None, &[A]);
    assert_eq!(resolved(&actions), [(waiter, Ok(connection))]);
    node.closed(connection);
    assert_eq!(dials(&node.connect(None, &[A]).1).len(), 1);
}

#[test]
fn a_dial_by_address_answers_those_who_wait_for_the_peer() {
    let mut node = Node::new(Config::default());
    let (by_id, _) = node.connect(peer(2), &[B]);
    let (by_address, actions) = node.connect(None, &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let (connection, actions) = node.dialed(attempt, peer(2));
    assert_eq!(
        resolved(&actions),
        [(by_address, Ok(connection)), (by_id, Ok(connection))]
    );
}

#[test]
fn disconnect_stops_the_dial_and_closes_every_connection() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let actions = node.event(Event::Disconnect { peer: peer(2) });
    assert_eq!(aborts(&actions), [attempt]);
    assert!(failure(&actions).to_string().ends_with("aborted"));

    let (connection, _) = node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    let actions = node.event(Event::Disconnect { peer: peer(2) });
    assert_eq!(closes(&actions), [(connection, CloseReason::Requested)]);
    assert_eq!(prefers(&actions), [(peer(2), None)]);
    // It is on its way out, so a new waiter gets a new one.
    assert_eq!(dials(&node.connect(peer(2), &[A]).1).len(), 1);
    let actions = node.closed(connection);
    assert!(matches!(
        notices(&actions)[..],
        [
            Notice::ConnectionClosed {
                reason: Some(CloseReason::Requested),
                ..
            },
            Notice::Disconnected { .. }
        ]
    ));
}

#[test]
fn after_shutdown_everyone_is_answered_and_nothing_begins() {
    let mut node = Node::new(Config::default());
    let (open, _) = node.inbound(peer(3), "/ip4/5.5.5.5/tcp/5");
    let pending = node.admit("/ip4/5.5.5.6/tcp/5").unwrap();
    let (waiter, actions) = node.connect(peer(2), &[A]);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    let actions = node.event(Event::Shutdown);
    assert_eq!(resolved(&actions), [(waiter, Err(DialError::Closed))]);
    assert_eq!(aborts(&actions), [attempt]);
    assert_eq!(closes(&actions), [(open, CloseReason::Shutdown)]);

    assert_eq!(failure(&node.connect(peer(2), &[A]).1), DialError::Closed);
    assert_eq!(node.admit("/ip4/5.5.5.6/tcp/5"), Err(Refused::Closed));
    let (late, actions) = node.established(peer(4), A, Origin::Pending(pending));
    assert_eq!(closes(&actions), [(late, CloseReason::Shutdown)]);
    let (late, actions) = node.dialed(attempt, peer(2));
    assert_eq!(closes(&actions), [(late, CloseReason::Shutdown)]);
    node.closed(open);
    node.assert_empty();
}

#[test]
fn who_joins_a_dial_neither_hurries_nor_prolongs_it() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A, B]);
    assert_eq!(dials(&actions).len(), 1);
    node.pass(millis(100));
    let (_, actions) = node.connect(peer(2), &["/ip4/3.3.3.3/tcp/3"]);
    assert!(actions.is_empty(), "the head start is not over");
    assert_eq!(dials(&node.pass(millis(400))).len(), 2);

    let config = Config {
        attempt_timeout: seconds(100),
        ..Config::default()
    };
    let mut node = Node::new(config);
    node.connect(peer(2), &[A]);
    node.pass(seconds(29));
    node.connect(peer(2), &[A]);
    assert_eq!(resolved(&node.pass(seconds(1))).len(), 2);
}

#[test]
fn an_address_that_worked_is_used_again_and_one_that_led_to_another_peer_is_not() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    let (connection, _) = node.dialed(dials(&actions)[0].0, peer(2));
    node.closed(connection);
    let (_, actions) = node.connect(peer(2), &[]);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A);
    let (_, actions) = node.dialed(attempt, peer(3));
    assert!(matches!(failure(&actions), DialError::Failed { .. }));
    let (_, actions) = node.connect(peer(2), &[]);
    assert!(matches!(failure(&actions), DialError::NoAddresses { .. }));
}
