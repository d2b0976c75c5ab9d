//! What happens around a node: sleep, and networks that change.

use super::*;

const A: &str = "/ip4/1.1.1.1/tcp/1";

/// Time passes while nobody can do anything.
fn pause(node: &mut Node, time: Duration) -> Vec<Action> {
    node.now += time;
    let mut actions = node.event(Event::Slept { time });
    actions.extend(node.pass(Duration::ZERO));
    actions
}

#[test]
fn deadlines_do_not_pass_in_sleep() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    assert_eq!(dials(&actions).len(), 1);
    let before = node.swarm.poll_timeout().unwrap();
    for hours in [0, 1, 24 * 365] {
        assert!(pause(&mut node, seconds(hours * 3600)).is_empty());
    }
    let after = node.swarm.poll_timeout().unwrap();
    assert_eq!(after - before, seconds((1 + 24 * 365) * 3600));
    // What is left of its time it has.
    let timeout = Config::default().attempt_timeout;
    assert!(node.pass(timeout - millis(1)).is_empty());
    assert!(!node.pass(millis(1)).is_empty());
}

#[test]
fn a_sleep_closes_no_connection_and_keeps_the_order_of_what_is_due() {
    let mut node = Node::new(Config::default());
    for n in 2..50 {
        node.inbound(peer(n), &format!("/ip4/5.5.5.{n}/tcp/1"));
    }
    node.event(Event::ProtocolsChanged);
    let actions = pause(&mut node, seconds(24 * 3600));
    let closes = |actions: &[Action]| {
        let closes = actions
            .iter()
            .filter(|action| matches!(action, Action::Close { .. }));
        closes.count()
    };
    assert_eq!(closes(&actions), 0);
    assert_eq!(closes(&node.pass(seconds(1))), 0);
    assert_eq!(node.swarm.peers().count(), 48);
    assert!(pause(&mut node, Duration::ZERO).is_empty());
}

#[test]
fn what_failed_in_another_network_is_tried_again_at_once() {
    let mut node = Node::new(Config::default());
    node.learns(peer(2), &[A]);
    let (_, actions) = node.connect(peer(2), &[]);
    node.fail(dials(&actions)[0].0);
    let (_, actions) = node.connect(peer(2), &[]);
    assert!(dials(&actions).is_empty(), "it rests");
    node.event(Event::NetworkChanged);
    let (_, actions) = node.connect(peer(2), &[]);
    assert_eq!(dials(&actions).len(), 1);
}
