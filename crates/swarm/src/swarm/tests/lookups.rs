//! Names in a dial: when they are asked for, and what becomes of the answers.

use super::*;

const NAMED: &str = "/dns4/a.org/tcp/1";
const A: &str = "/ip4/1.1.1.1/tcp/1";

fn ips(list: &[&str]) -> Result<Answer, &'static str> {
    Ok(Answer::Ip(
        list.iter().map(|ip| ip.parse().unwrap()).collect(),
    ))
}

fn texts(list: &[&str]) -> Result<Answer, &'static str> {
    let texts = list.iter().map(|text| format!("dnsaddr={text}"));
    Ok(Answer::Txt(texts.collect()))
}

fn aborted_lookups(actions: &[Action]) -> Vec<LookupId> {
    let abort = |action: &Action| match action {
        Action::AbortLookUp { lookup } => Some(*lookup),
        _ => None,
    };
    actions.iter().filter_map(abort).collect()
}

fn one(actions: &[Action]) -> LookupId {
    let [(lookup, _)] = lookups(actions).try_into().unwrap();
    lookup
}

#[test]
fn a_name_is_asked_for_and_its_addresses_are_dialed_by_rank_from_then_on() {
    let mut node = Node::new(Config::default());
    let (waiter, actions) = node.connect(peer(2), &["/dns/a.org/udp/1/quic-v1"]);
    let query = Query::Ip {
        name: "a.org".to_owned(),
        family: Family::Any,
    };
    let [(lookup, asked)] = lookups(&actions).try_into().unwrap();
    assert_eq!(asked, query);
    node.pass(seconds(3));
    let actions = node.answer(lookup, ips(&["1.1.1.1", "2001:db8::1", "2.2.2.2"]));
    assert_eq!(
        dialed_addresses(&actions),
        ["/ip6/2001:db8::1/udp/1/quic-v1"]
    );
    let attempt = dials(&actions)[0].0;
    for at in ["/ip4/1.1.1.1/udp/1/quic-v1", "/ip4/2.2.2.2/udp/1/quic-v1"] {
        assert!(node.pass(millis(249)).is_empty());
        assert_eq!(dialed_addresses(&node.pass(millis(1))), [at]);
    }
    let (connection, actions) = node.dialed(attempt, peer(2));
    assert_eq!(resolved(&actions), [(waiter, Ok(connection))]);
    assert_eq!(aborts(&actions).len(), 2);
    node.closed(connection);
    node.assert_empty();
}

#[test]
fn addresses_do_not_wait_for_names_and_a_success_ends_the_lookup() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[NAMED, A]);
    let lookup = one(&actions);
    let [(attempt, at)] = dials(&actions).try_into().unwrap();
    assert_eq!(at, A);
    let (connection, actions) = node.dialed(attempt, peer(2));
    assert_eq!(aborted_lookups(&actions), [lookup]);
    assert!(
        node.answer(lookup, ips(&["1.2.3.4"])).is_empty(),
        "too late"
    );
    node.closed(connection);
    node.assert_empty();
}

#[test]
fn a_lookup_that_fails_is_listed_with_the_address_that_was_given() {
    let mut node = Node::new(Config::default());
    let whole = format!("{NAMED}/p2p/{}", peer(2));
    let (_, actions) = node.connect(peer(2), &[&whole, "/dnsaddr/b.org"]);
    let [(ip, _), (txt, _)] = lookups(&actions).try_into().unwrap();
    assert!(node.answer(ip, Err("no such name")).is_empty());
    let actions = node.answer(txt, texts(&["/dns4/c.org/tcp/1"]));
    let actions = node.answer(one(&actions), Err("server failure"));
    let text = failure(&actions).to_string();
    let expected = format!(
        "could not reach peer {}:\n  {NAMED}: name lookup failed: no such name\n  /dnsaddr/b.org: name lookup failed: server failure",
        peer(2)
    );
    assert_eq!(text, expected);
    node.assert_empty();
}

// P-06: a slow resolver.
#[test]
fn all_lookups_of_a_dial_have_five_seconds_together() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &["/dnsaddr/a.org", NAMED]);
    let [(txt, _), (ip, _)] = lookups(&actions).try_into().unwrap();
    node.pass(seconds(3));
    let actions = node.answer(txt, texts(&["/dnsaddr/b.org", "/ip4/1.1.1.1/tcp/1"]));
    let next = one(&actions);
    let [(attempt, _)] = dials(&actions).try_into().unwrap();
    assert!(node.pass(millis(1999)).is_empty());
    let actions = node.pass(millis(1));
    assert_eq!(aborted_lookups(&actions), [ip, next]);
    assert_eq!(node.swarm.counters().lookups_timed_out, 2);
    assert!(resolved(&actions).is_empty(), "an attempt is in flight");
    let failed = attempts(&node.fail(attempt));
    let timeout = AttemptError::Name(NameError::Timeout);
    assert!(failed.contains(&(address(NAMED), timeout.clone())));
    assert!(failed.contains(&(address("/dnsaddr/a.org"), timeout)));
    assert_eq!(failed.len(), 3);
    node.assert_empty();
}

#[test]
fn cancelling_ends_the_lookups_and_so_does_another_connection() {
    let mut node = Node::new(Config::default());
    let (waiter, actions) = node.connect(peer(2), &[NAMED]);
    let lookup = one(&actions);
    let actions = node.event(Event::Cancel { waiter });
    assert_eq!(aborted_lookups(&actions), [lookup]);
    node.assert_empty();

    let (waiter, actions) = node.connect(peer(2), &[NAMED]);
    let lookup = one(&actions);
    let (connection, actions) = node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    assert_eq!(resolved(&actions), [(waiter, Ok(connection))]);
    assert_eq!(aborted_lookups(&actions), [lookup]);
    node.closed(connection);
    node.assert_empty();
}

#[test]
fn a_name_that_was_dialed_is_answered_by_its_connection() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(None, &[NAMED]);
    let actions = node.answer(one(&actions), ips(&["1.1.1.1"]));
    let (connection, _) = node.dialed(dials(&actions)[0].0, peer(2));
    let (waiter, actions) = node.connect(None, &[NAMED]);
    assert_eq!(resolved(&actions), [(waiter, Ok(connection))]);
}

#[test]
fn a_record_that_names_a_peer_is_held_to_it() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(None, &["/dnsaddr/a.org"]);
    let record = format!("{A}/p2p/{}", peer(3));
    let actions = node.answer(one(&actions), texts(&[&record]));
    let dial = actions
        .iter()
        .find(|action| matches!(action, Action::Dial { .. }));
    let Some(Action::Dial {
        attempt, expected, ..
    }) = dial
    else {
        panic!("{actions:?}");
    };
    assert_eq!(*expected, Some(peer(3)));
    let (connection, actions) = node.dialed(*attempt, peer(2));
    assert_eq!(closes(&actions), [(connection, CloseReason::WrongPeer)]);
}

#[test]
fn what_names_lead_to_is_sorted_out_as_what_is_given() {
    let mut node = Node::new(Config::default());
    node.event(Event::Listening {
        address: address(A),
    });
    let (_, actions) = node.connect(peer(2), &[NAMED]);
    let found = ["1.1.1.1", "0.0.0.0", "8.8.8.8"];
    let actions = node.answer(one(&actions), ips(&found));
    assert_eq!(dialed_addresses(&actions), ["/ip4/8.8.8.8/tcp/1"]);
    let failed = attempts(&node.fail(dials(&actions)[0].0));
    assert!(failed.contains(&(address(A), AttemptError::OwnAddress)));
    let unspecified = (address("/ip4/0.0.0.0/tcp/1"), Skip::Unspecified.into());
    assert!(failed.contains(&unspecified));
}

#[test]
fn known_names_are_looked_up_too() {
    let mut node = Node::new(Config::default());
    node.learns(peer(2), &[NAMED]);
    let (_, actions) = node.connect(peer(2), &[]);
    let actions = node.answer(one(&actions), ips(&["1.2.3.4"]));
    assert_eq!(dialed_addresses(&actions), ["/ip4/1.2.3.4/tcp/1"]);
    node.fail(dials(&actions)[0].0);
    // What they lead to is not given, so it rests after a failure.
    let (_, actions) = node.connect(peer(2), &[]);
    let actions = node.answer(one(&actions), ips(&["1.2.3.4"]));
    assert!(matches!(
        attempts(&actions)[..],
        [(_, AttemptError::Skipped(Skip::Backoff { .. }))]
    ));
}

#[test]
fn shutting_down_ends_lookups() {
    let mut node = Node::new(Config::default());
    let (waiter, actions) = node.connect(peer(2), &[NAMED]);
    let lookup = one(&actions);
    let actions = node.event(Event::Shutdown);
    assert_eq!(aborted_lookups(&actions), [lookup]);
    assert_eq!(resolved(&actions), [(waiter, Err(DialError::Closed))]);
    node.assert_empty();
}
