//! Protection as the shell hears of it, and peers to stay connected to.

use super::*;
use crate::kept::KeepError;

const AT: &str = "/ip4/5.5.5.5/tcp/5";

fn keeps(actions: &[Action]) -> Vec<(ConnectionId, bool)> {
    let keep = |action: &Action| match action {
        Action::Keep { connection, keep } => Some((*connection, *keep)),
        _ => None,
    };
    actions.iter().filter_map(keep).collect()
}

#[test]
fn protection_reaches_every_connection_of_the_peer_those_to_come_included() {
    let mut node = Node::new(Config::default());
    node.swarm.protect(node.now, peer(2), "a").unwrap();
    assert_eq!(keeps(&node.drain()), []);
    let (first, actions) = node.inbound(peer(2), AT);
    assert_eq!(keeps(&actions), [(first, true)]);
    let (second, _) = node.inbound(peer(2), AT);
    let (_, actions) = node.inbound(peer(3), AT);
    assert_eq!(keeps(&actions), []);
    node.swarm.protect(node.now, peer(2), "b").unwrap();
    assert!(node.swarm.unprotect(&peer(2), "a"));
    let tag = Tag::decaying(100, seconds(60));
    node.swarm.tag(node.now, peer(2), "a", tag).unwrap();
    assert_eq!(node.swarm.tags_value(&peer(2)), 100);
    node.pass(seconds(60));
    assert_eq!(node.swarm.tags_value(&peer(2)), 50);
    assert_eq!(keeps(&node.drain()), [], "nothing has changed");
    assert!(!node.swarm.unprotect(&peer(2), "b"));
    assert_eq!(keeps(&node.drain()), [(first, false), (second, false)]);
}

/// Lets time pass until something happens.
fn next(node: &mut Node) -> Vec<Action> {
    let at = node.swarm.poll_timeout().unwrap();
    node.pass(at - node.now)
}

#[test]
fn a_peer_to_stay_connected_to_is_dialed_until_it_is_there_and_again_when_it_is_gone() {
    let mut node = Node::new(Config::default());
    let (who, now) = (peer(2), node.now);
    node.swarm
        .keep_connected(now, who, vec![address(AT)], 1)
        .unwrap();
    let mut actions = node.drain();
    // Not even a week in vain stops it.
    let mut count = 0;
    while node.now - now < seconds(7 * 24 * 60 * 60) {
        if let Some((attempt, at)) = dials(&actions).pop() {
            assert_eq!(at, AT);
            count += 1;
            node.fail(attempt);
        }
        actions = next(&mut node);
    }
    assert!((10_080..13_000).contains(&count), "{count}");

    // It comes by itself: nothing is dialed any more.
    let (connection, _) = node.inbound(who, AT);
    assert!(dials(&node.pass(seconds(3600))).is_empty());
    // Throwing it out does not stop it; that is said by another call.
    let actions = node.event(Event::Disconnect { peer: who });
    assert_eq!(closes(&actions), [(connection, CloseReason::Requested)]);
    assert!(dials(&node.closed(connection)).is_empty());
    let gone = node.now;
    let actions = next(&mut node);
    assert_eq!(dialed_addresses(&actions), [AT]);
    assert!(node.now - gone >= seconds(1) && node.now - gone <= millis(1250));
    let (connection, actions) = node.dialed(dials(&actions)[0].0, who);
    assert_eq!(keeps(&actions), [(connection, true)], "nor is it ever idle");

    assert!(node.swarm.stop_keeping(&who) && !node.swarm.stop_keeping(&who));
    assert_eq!(keeps(&node.drain()), [(connection, false)]);
    node.closed(connection);
    assert!(dials(&node.pass(seconds(3600))).is_empty());
    node.assert_empty();
}

#[test]
fn nobody_stays_connected_to_himself_nor_after_the_end() {
    let mut node = Node::new(Config::default());
    let now = node.now;
    let mut keep = |n| node.swarm.keep_connected(now, peer(n), Vec::new(), 1);
    assert_eq!(keep(LOCAL), Err(KeepError::LocalPeer));
    assert_eq!((keep(2), keep(2)), (Ok(()), Ok(())));
    node.event(Event::Shutdown);
    assert!(dials(&node.pass(seconds(3600))).is_empty());
    node.assert_empty();
}
