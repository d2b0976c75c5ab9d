//! Who misbehaves is disconnected, banned, refused and forgiven; who is not admitted gets no further.

use super::*;
use crate::{
    admission::Stage,
    reputation::{Behaviour, PeerClass},
    subject::Subject,
    verdict::Verdict,
};

const AT: &str = "/ip4/1.2.3.4/tcp/1";

impl Node {
    fn record(&mut self, peer: PeerId, behaviour: Behaviour) -> Vec<Action> {
        self.swarm
            .record_behaviour(self.now, peer, behaviour, "test");
        self.drain()
    }

    fn ban(&mut self, subject: impl Into<Subject>, duration: Duration) -> Vec<Action> {
        let reason = "a test".to_owned();
        self.swarm
            .ban(self.now, subject.into(), Some(duration), reason);
        self.drain()
    }
}

fn told(actions: &[Action]) -> Vec<&str> {
    let told = |notice: &&Notice| match notice {
        Notice::Disfavoured { .. } => Some("disfavoured"),
        Notice::Banned { .. } => Some("banned"),
        Notice::Unbanned { .. } => Some("unbanned"),
        _ => None,
    };
    notices(actions).iter().filter_map(told).collect()
}

#[test]
fn spam_disconnects_at_the_second_and_bans_at_the_fifth() {
    let mut node = Node::new(Config::default());
    let (first, _) = node.inbound(peer(2), AT);
    assert_eq!(node.record(peer(2), Behaviour::Spam).len(), 0);
    let second = node.record(peer(2), Behaviour::Spam);
    assert_eq!(closes(&second), [(first, CloseReason::Misbehaved)]);
    assert_eq!(told(&second), ["disfavoured"]);
    node.closed(first);
    // It may come again, and is told apart from a banned one.
    let (again, _) = node.inbound(peer(2), AT);
    let third = node.record(peer(2), Behaviour::Spam);
    assert_eq!(closes(&third), [(again, CloseReason::Misbehaved)]);
    assert_eq!(told(&third), [""; 0], "once for each crossing");
    node.closed(again);
    let (last, _) = node.inbound(peer(2), AT);
    node.record(peer(2), Behaviour::Spam);
    assert!(!node.swarm.reputation().is_banned(&peer(2).into()), "4");
    let fifth = node.record(peer(2), Behaviour::Spam);
    assert_eq!(told(&fifth), ["banned"]);
    let ban = node.swarm.reputation().ban_of(&peer(2).into()).unwrap();
    assert_eq!((ban.reason.as_str(), ban.repeats), ("spam (test)", 1));
    assert_eq!(told(&node.record(peer(2), Behaviour::Spam)), [""; 0]);
    node.closed(last);
    // In the end it is let in again; for the next ban little is missing, and that lasts twice as long.
    assert_eq!(told(&node.pass(seconds(15 * 60 - 1))), [""; 0]);
    assert_eq!(told(&node.pass(seconds(1))), ["unbanned"]);
    let (_, actions) = node.inbound(peer(2), AT);
    assert_eq!(closes(&actions), []);
    node.record(peer(2), Behaviour::Protocol);
    assert_eq!(told(&node.pass(seconds(30 * 60 - 1))), [""; 0]);
    assert_eq!(told(&node.pass(seconds(1))), ["unbanned"]);
}

#[test]
fn a_malicious_peer_is_out_at_once_and_stays_out() {
    let mut node = Node::new(Config::default());
    let (connection, _) = node.inbound(peer(2), AT);
    let (waiter, dial) = node.connect_with(
        peer(2),
        &[AT],
        DialOptions {
            force_new: true,
            ..DialOptions::default()
        },
    );
    let actions = node.record(peer(2), Behaviour::Malicious);
    assert_eq!(closes(&actions), [(connection, CloseReason::Banned)]);
    let until = node
        .swarm
        .reputation()
        .ban_of(&peer(2).into())
        .unwrap()
        .until;
    let banned = DialError::Banned {
        peer: peer(2),
        until,
    };
    assert_eq!(resolved(&actions), [(waiter, Err(banned.clone()))]);
    assert_eq!(aborts(&actions).len(), dials(&dial).len());
    node.closed(connection);
    // A new dial is refused, an inbound connection ends after its handshake.
    let (_, actions) = node.connect(peer(2), &[AT]);
    assert_eq!(failure(&actions), banned);
    let (again, actions) = node.inbound(peer(2), "/ip4/9.9.9.9/tcp/1");
    assert_eq!(closes(&actions), [(again, CloseReason::Banned)]);
    assert_eq!(notices(&actions).len(), 0, "nobody has seen it");
    assert!(node.swarm.unban(node.now, &peer(2).into()));
    assert_eq!(told(&node.drain()), ["unbanned"]);
    let (_, actions) = node.inbound(peer(2), AT);
    assert_eq!(closes(&actions), []);
}

#[test]
fn who_dials_anybody_and_finds_a_banned_peer_is_told_so() {
    let mut node = Node::new(Config::default());
    node.ban(peer(2), seconds(60));
    let (_, actions) = node.connect(None, &[AT]);
    let [(attempt, _)] = dials(&actions)[..] else {
        panic!("one dial")
    };
    let (connection, actions) = node.dialed(attempt, peer(2));
    assert_eq!(closes(&actions), [(connection, CloseReason::Banned)]);
    assert_eq!(attempts(&actions)[0].1, AttemptError::Banned(peer(2)));
}

#[test]
fn a_banned_address_is_refused_before_any_limit_and_not_dialed() {
    let mut node = Node::new(Config {
        pending_inbound_max: 0,
        ..Config::default()
    });
    let network: Subject = "1.2.0.0/16".parse().unwrap();
    assert_eq!(told(&node.ban(network, seconds(60))), ["banned"]);
    assert_eq!(node.admit(AT), Err(Refused::Banned));
    assert!(matches!(
        node.admit("/ip4/1.3.3.4/tcp/1"),
        Err(Refused::LimitReached(_))
    ));
    // What a relay carries does not come from the relay's address.
    let relayed = format!("{AT}/p2p/{}/p2p-circuit", peer(9));
    assert!(matches!(
        node.admit(&relayed),
        Err(Refused::LimitReached(_))
    ));
    assert_eq!(node.swarm.counters().refused_banned, 1);
    let (_, actions) = node.connect(peer(2), &[AT]);
    assert_eq!(attempts(&actions)[0].1, Skip::Banned.into());
    assert_eq!(told(&node.pass(seconds(60))), ["unbanned"]);
    let (_, actions) = node.connect(peer(2), &[AT]);
    assert_eq!(dials(&actions).len(), 1);
}

#[test]
fn banning_a_network_closes_what_comes_from_it() {
    let mut node = Node::new(Config::default());
    let (inside, _) = node.inbound(peer(2), AT);
    let (outside, _) = node.inbound(peer(3), "/ip4/1.3.3.4/tcp/1");
    let actions = node.ban("1.2.0.0/16".parse::<Subject>().unwrap(), seconds(60));
    assert_eq!(closes(&actions), [(inside, CloseReason::Banned)]);
    assert!(node.swarm.best_connection(&peer(3)) == Some(outside));
}

#[test]
fn an_address_of_six_banned_peers_is_closed_to_all() {
    let mut node = Node::new(Config::default());
    for n in 2..8 {
        let (connection, _) = node.inbound(peer(n), AT);
        node.record(peer(n), Behaviour::Malicious);
        node.closed(connection);
    }
    assert_eq!(node.admit(AT), Err(Refused::Banned));
    node.admit("/ip4/1.2.3.5/tcp/1").unwrap();
    node.swarm.unban(node.now, &peer(4).into());
    node.inbound(peer(4), AT);
    // Those who come from elsewhere while they are banned count where they come from.
    for n in [2, 3, 5, 6, 7] {
        node.inbound(peer(n), "/ip6/2001:db8::1/tcp/1");
    }
    node.admit("/ip6/2001:db8::7/tcp/1").unwrap();
    let (sixth, _) = node.inbound(peer(8), "/ip6/2001:db8::8/tcp/1");
    node.record(peer(8), Behaviour::Malicious);
    node.closed(sixth);
    assert_eq!(node.admit("/ip6/2001:db8::7/tcp/1"), Err(Refused::Banned));
}

#[test]
fn a_trusted_peer_is_dampened_but_not_immune() {
    let mut node = Node::new(Config::default());
    node.swarm.add_peer(node.now, peer(2), PeerClass::Trusted);
    let (connection, _) = node.inbound(peer(2), AT);
    assert_eq!(node.record(peer(2), Behaviour::Malicious).len(), 0);
    let actions = node.ban(peer(2), seconds(60));
    assert_eq!(closes(&actions), [(connection, CloseReason::Banned)]);
}

#[test]
fn the_best_peers_are_connected_or_named_and_not_banned() {
    let mut node = Node::new(Config::default());
    for n in 2..7 {
        node.inbound(peer(n), &format!("/ip4/1.2.3.{n}/tcp/1"));
    }
    node.record(peer(3), Behaviour::Useful);
    node.record(peer(4), Behaviour::Slow);
    for _ in 0..3 {
        node.record(peer(5), Behaviour::Useful);
    }
    node.ban(peer(6), seconds(60));
    node.record(peer(9), Behaviour::Useful);
    node.swarm.add_peer(node.now, peer(8), PeerClass::Normal);
    node.swarm.add_peer(node.now, peer(7), PeerClass::Normal);
    node.record(peer(7), Behaviour::Useful);
    node.record(peer(7), Behaviour::Useful);
    assert_eq!(node.swarm.best_peers(9), [5, 7, 3, 2, 8, 4].map(peer));
    assert_eq!(node.swarm.best_peers(1), [peer(5)]);
    let connection = node.swarm.best_connection(&peer(5)).unwrap();
    node.closed(connection);
    assert_eq!(node.swarm.best_peers(9), [7, 3, 2, 8, 4].map(peer));
    node.swarm.remove_peer(node.now, &peer(7));
    node.inbound(peer(5), AT);
    assert_eq!(node.swarm.best_peers(2), [5, 3].map(peer));
}

#[test]
fn a_ban_ends_also_what_was_to_go_when_it_is_idle_or_done() {
    let mut node = Node::new(Config {
        inbound_watermarks: Some(Watermarks { low: 0, high: 9 }),
        trim_grace: Duration::ZERO,
        ..Config::default()
    });
    let (connection, _) = node.inbound(peer(2), AT);
    node.swarm.trim(node.now);
    let trimmed = closes(&node.drain());
    assert_eq!(trimmed, [(connection, CloseReason::Trimmed)]);
    let banned = closes(&node.ban(peer(2), seconds(60)));
    assert_eq!(banned, [(connection, CloseReason::Banned)]);
    assert_eq!(closes(&node.ban(peer(2), seconds(60))), [], "once");
    assert_eq!(closes(&node.spared(connection, false)), []);
    assert_eq!(node.swarm.best_connection(&peer(2)), None);
    assert_eq!(node.swarm.best_peers(9), []);
}

#[test]
fn forged_addresses_leave_half_of_a_network_to_those_who_prove_theirs() {
    let mut node = Node::new(Config::default());
    let forged = |node: &mut Node| node.swarm.admit(node.now, &address(AT), false);
    let fails = |node: &mut Node, pending| drop(node.event(Event::PendingFailed { pending }));
    for _ in 0..8 {
        let pending = forged(&mut node).unwrap();
        fails(&mut node, pending);
    }
    assert_eq!(forged(&mut node), Err(Refused::Unproven));
    // The pace: eight of sixteen are left.
    for _ in 0..8 {
        let pending = node.admit(AT).unwrap();
        fails(&mut node, pending);
    }
    assert!(matches!(node.admit(AT), Err(Refused::LimitReached(_))));
    assert_eq!(forged(&mut node), Err(Refused::Unproven));
    // The places: four of eight are.
    node.pass(seconds(600));
    for _ in 0..4 {
        forged(&mut node).unwrap();
    }
    assert_eq!(forged(&mut node), Err(Refused::Unproven));
    for _ in 0..4 {
        node.admit(AT).unwrap();
    }
    assert!(matches!(node.admit(AT), Err(Refused::LimitReached(_))));
}

#[test]
fn whom_the_app_does_not_let_in_yet_has_not_come_too_often() {
    let mut node = Node::new(Config {
        connection_burst_per_ip: 4,
        ..Config::default()
    });
    node.swarm.set_admission(|stage| match stage {
        Stage::Address {
            validated: false, ..
        } => Verdict::Retry,
        _ => Verdict::Accept,
    });
    for _ in 0..4 {
        let asked = node.swarm.admit(node.now, &address(AT), false);
        assert!(matches!(
            asked,
            Err(Refused::Unproven | Refused::Verdict(Verdict::Retry))
        ));
        let pending = node.admit(AT).unwrap();
        node.event(Event::PendingFailed { pending });
    }
    assert!(matches!(node.admit(AT), Err(Refused::LimitReached(_))));
}

#[test]
fn the_app_is_asked_at_each_stage_and_decides() {
    let mut node = Node::new(Config::default());
    node.swarm.set_admission(|stage| match stage {
        Stage::Address {
            validated: false, ..
        } => Verdict::Retry,
        Stage::Address { remote, .. } if remote.to_string().contains("/ip4/9.") => Verdict::Ignore,
        Stage::Address { .. } => Verdict::Accept,
        Stage::Peer { peer: found, .. } if found == peer(3) => Verdict::reject("a stranger"),
        Stage::Peer { peer: found, .. } if found == peer(4) => Verdict::Retry,
        Stage::Peer { .. } => Verdict::Accept,
        Stage::Identified {
            agent: Some("bad"), ..
        } => Verdict::reject("a bad program"),
        Stage::Identified { .. } => Verdict::Accept,
    });
    let unvalidated = node.swarm.admit(node.now, &address(AT), false);
    assert_eq!(unvalidated, Err(Refused::Verdict(Verdict::Retry)));
    let ignored = node.admit("/ip4/9.9.9.9/tcp/1");
    assert_eq!(ignored, Err(Refused::Verdict(Verdict::Ignore)));
    let (rejected, actions) = node.inbound(peer(3), AT);
    assert_eq!(closes(&actions), [(rejected, CloseReason::Rejected)]);
    assert_eq!(notices(&actions).len(), 0, "nobody has seen it");
    let (later, actions) = node.inbound(peer(4), AT);
    assert_eq!(closes(&actions), [(later, CloseReason::LimitExceeded)]);
    let (connection, actions) = node.inbound(peer(2), AT);
    assert_eq!(closes(&actions), []);
    let identified = |agent: &str| Event::Identified {
        connection,
        info: identify::Info {
            agent: Some(agent.to_owned()),
            ..identify::Info::default()
        },
    };
    assert_eq!(closes(&node.event(identified("good"))), []);
    let actions = node.event(identified("bad"));
    assert_eq!(closes(&actions), [(connection, CloseReason::Rejected)]);
    assert!(node.swarm.peer_store().agent(&peer(2)) == Some("good"));
    // One that we dial has the last two stages.
    let (_, actions) = node.connect(peer(3), &[AT]);
    let (attempt, _) = dials(&actions)[0];
    let (dialed, actions) = node.dialed(attempt, peer(3));
    assert_eq!(closes(&actions), [(dialed, CloseReason::Rejected)]);
    let error = AttemptError::Rejected(Verdict::reject("a stranger"));
    assert_eq!(attempts(&actions)[0].1, error);
    assert_eq!(node.swarm.counters().rejected, 6);
    node.closed(connection);
    node.assert_empty();
}

#[test]
fn bans_are_saved_as_they_change() {
    let mut node = Node::new(Config::default());
    node.swarm.save(node.now);
    node.inbound(peer(2), AT);
    node.record(peer(2), Behaviour::Malicious);
    node.ban("10.0.0.0/8".parse::<Subject>().unwrap(), seconds(60));
    let unix = seconds(0);
    let of_bans = |change: &(String, Option<Vec<u8>>)| change.0.starts_with("ban/");
    let saved: Vec<_> = node.swarm.take_changes(node.now, unix);
    let saved: Vec<_> = saved.into_iter().filter(of_bans).collect();
    let keys: Vec<_> = saved.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, [&format!("ban/{}", peer(2)), "ban/10.0.0.0/8"]);

    let mut next = Node::new(Config::default());
    for (key, value) in &saved {
        let value = value.as_deref().unwrap();
        next.swarm.restore(next.now, unix, key, value);
    }
    assert!(next.swarm.reputation().is_banned(&peer(2).into()));
    assert_eq!(next.admit("/ip4/10.1.2.3/tcp/1"), Err(Refused::Banned));
    assert_eq!(told(&next.pass(seconds(60))), ["unbanned"]);
    assert_eq!(told(&next.pass(seconds(14 * 60))), ["unbanned"]);
    next.admit("/ip4/10.1.2.3/tcp/1").unwrap();
    // What is no ban is counted, and nothing else.
    next.swarm.restore(next.now, unix, "ban/nobody", b"- 1 \n");
    next.swarm.restore(next.now, unix, "ban/10.0.0.0/8", b"x");
    assert_eq!(next.swarm.counters().stored_refused, 2);

    node.swarm.unban(node.now, &peer(2).into());
    node.pass(seconds(60));
    let gone = node.swarm.take_changes(node.now, unix);
    let gone: Vec<_> = gone.into_iter().filter(of_bans).collect();
    assert_eq!(
        gone,
        saved
            .into_iter()
            .map(|(key, _)| (key, None))
            .collect::<Vec<_>>()
    );
    assert!(!node.swarm.take_changes(node.now, unix).iter().any(of_bans));
}
