//! Who goes when there are too many, among hundreds of peers, and who cannot be pushed out by others.

use std::collections::BTreeMap;

use super::*;

/// A node and what its shell knows of the connections.
struct Crowd {
    node: Node,
    /// Who is behind each, and whether it is in use or even held.
    open: BTreeMap<ConnectionId, (PeerId, Use)>,
    trimmed: Vec<ConnectionId>,
    cut: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Idle,
    Streams,
    Held,
}

/// A peer of its own for each number; nobody has its key.
fn person(n: u32) -> PeerId {
    let mut bytes = vec![0x12, 0x20];
    bytes.extend(n.to_be_bytes().repeat(8));
    PeerId::from_bytes(&bytes).unwrap()
}

/// 14 connections begin a trim and 12 end it.
fn small() -> Config {
    Config {
        connections_inbound_max: 16,
        connections_outbound_max: 16,
        ..Config::default()
    }
}

impl Crowd {
    fn new(config: Config) -> Self {
        Self {
            node: Node::new(config),
            open: BTreeMap::new(),
            trimmed: Vec::new(),
            cut: 0,
        }
    }

    /// A connection from a network of its own.
    fn inbound(&mut self, n: u32, using: Use) -> Option<ConnectionId> {
        let [a, b, c, d] = n.to_be_bytes();
        let at = format!("/ip4/{}.{b}.{c}.{d}/tcp/1", 1 + a);
        let pending = self.node.admit(&at).ok()?;
        let connection = ConnectionId(self.node.id());
        self.open.insert(connection, (person(n), using));
        let event = Event::Established {
            connection,
            peer: person(n),
            address: address(&at),
            origin: Origin::Pending(pending),
        };
        let actions = self.node.event(event);
        self.act(actions);
        Some(connection)
    }

    fn outbound(&mut self, n: u32, using: Use) -> ConnectionId {
        let at = format!("/memory/{}", n + 1);
        let (_, actions) = self.node.connect(person(n), &[&at]);
        let connection = ConnectionId(self.node.id());
        self.open.insert(connection, (person(n), using));
        let event = Event::Established {
            connection,
            peer: person(n),
            address: address(&at),
            origin: Origin::Attempt(dials(&actions)[0].0),
        };
        let actions = self.node.event(event);
        self.act(actions);
        connection
    }

    fn all(&mut self, people: std::ops::Range<u32>, using: Use) -> Vec<ConnectionId> {
        people.filter_map(|n| self.inbound(n, using)).collect()
    }

    fn act(&mut self, actions: Vec<Action>) {
        let mut actions = std::collections::VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::CloseIdle { connection, reason } => {
                    assert_eq!(reason, CloseReason::Trimmed);
                    let (_, using) = self.open[&connection];
                    actions.extend(match using {
                        Use::Idle => self.gone(connection),
                        using => self.node.spared(connection, using == Use::Held),
                    });
                }
                Action::Close {
                    connection,
                    reason: CloseReason::Trimmed,
                } => {
                    assert_eq!(self.open[&connection].1, Use::Streams, "held or not asked");
                    self.cut += 1;
                    actions.extend(self.gone(connection));
                }
                _ => {}
            }
        }
    }

    fn gone(&mut self, connection: ConnectionId) -> Vec<Action> {
        self.trimmed.push(connection);
        self.open.remove(&connection);
        self.node.closed(connection)
    }

    fn leave(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
        let actions = self.node.closed(connection);
        self.act(actions);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.node.now + time;
        while let Some(at) = self.node.swarm.poll_timeout().filter(|at| *at <= end) {
            let actions = self.node.pass(at - self.node.now);
            self.act(actions);
        }
        self.node.now = end;
    }

    fn left(&self, of: &[ConnectionId]) -> usize {
        of.iter().filter(|id| self.open.contains_key(id)).count()
    }

    /// Whom a round took since this was called last.
    fn taken(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.trimmed)
    }
}

#[test]
fn above_the_high_watermark_the_youngest_beyond_their_grace_go_until_the_low_one() {
    let mut crowd = Crowd::new(small());
    let old = crowd.all(0..14, Use::Idle);
    crowd.pass(seconds(60));
    assert!(
        crowd.taken().is_empty(),
        "14 are no more than the high watermark"
    );
    let new = crowd.inbound(14, Use::Idle).unwrap();
    assert_eq!(
        crowd.taken(),
        [old[13], old[12]],
        "the new one has its grace"
    );
    assert_eq!(crowd.open.len(), 13);
    crowd.pass(seconds(600));
    assert!(crowd.taken().is_empty());
    let last = crowd.all(15..17, Use::Idle);
    assert_eq!(crowd.taken(), [new], "it has none any more");
    crowd.pass(seconds(60));
    assert!(crowd.taken().is_empty());
    assert_eq!(crowd.left(&last), 2);
    assert_eq!(crowd.node.swarm.counters().closed_trimmed, 3);
}

#[test]
fn newcomers_push_nobody_out_and_when_their_grace_ends_they_go_themselves() {
    let mut crowd = Crowd::new(small());
    let old = crowd.all(0..10, Use::Idle);
    crowd.pass(seconds(31));
    let new = crowd.all(10..16, Use::Idle);
    crowd.pass(seconds(29));
    assert!(crowd.taken().is_empty(), "16 connections, and nobody goes");
    assert!(crowd.inbound(16, Use::Idle).is_none(), "that is the limit");
    crowd.pass(seconds(2));
    assert_eq!(crowd.taken(), [new[5], new[4], new[3], new[2]]);
    assert_eq!(crowd.left(&old), 10);
}

#[test]
fn values_of_tags_come_first_and_protected_ones_stay() {
    let mut crowd = Crowd::new(small());
    let all = crowd.all(0..14, Use::Idle);
    let now = crowd.node.now;
    let swarm = &mut crowd.node.swarm;
    for (n, value) in [(0, -1), (1, -5), (12, 7), (11, 1)] {
        let tag = Tag::fixed(value);
        swarm.tag(now, person(n), "worth", tag).unwrap();
    }
    swarm.protect(now, person(13), "mine").unwrap();
    swarm
        .tag(now, person(13), "worth", Tag::fixed(-100))
        .unwrap();
    crowd.pass(seconds(60));
    crowd.inbound(14, Use::Idle);
    assert_eq!(crowd.taken(), [all[1], all[0]], "the least value first");
    // Nor is what was once thought of them forever.
    let (now, swarm) = (crowd.node.now, &mut crowd.node.swarm);
    assert!(swarm.unprotect(&person(13), "other"));
    assert!(!swarm.unprotect(&person(13), "mine"));
    swarm.untag(&person(12), "worth");
    let fades = Tag::decaying(4, seconds(10));
    swarm.tag(now, person(2), "worth", fades).unwrap();
    let first = Tag::fixed(-200);
    swarm.tag(now, person(3), "worth", first).unwrap();
    crowd.pass(seconds(31));
    crowd.all(15..17, Use::Idle);
    assert_eq!(crowd.taken(), [all[3]]);
    crowd.pass(seconds(31));
    crowd.node.swarm.trim(crowd.node.now);
    let actions = crowd.node.drain();
    crowd.act(actions);
    let taken = crowd.taken();
    assert_eq!(taken[0], all[13]);
    assert_eq!(taken.len(), 2);
}

#[test]
fn idle_ones_go_before_those_in_use_and_held_ones_never() {
    let mut crowd = Crowd::new(small());
    let held = crowd.all(0..4, Use::Held);
    let idle = crowd.all(4..6, Use::Idle);
    let used = crowd.all(6..14, Use::Streams);
    crowd.pass(seconds(60));
    crowd.all(14..15, Use::Idle);
    assert_eq!((crowd.taken(), crowd.cut), (vec![idle[1], idle[0]], 0));
    crowd.all(15..17, Use::Streams);
    crowd.pass(seconds(60));
    assert_eq!(crowd.taken().len(), 3);
    assert_eq!(crowd.cut, 2, "the youngest of those in use");
    assert_eq!((crowd.left(&held), crowd.left(&used)), (4, 8));
    // More and more that nobody may close: then there are too many.
    for n in 0..4 {
        crowd.inbound(100 + n, Use::Held);
    }
    crowd.pass(seconds(120));
    crowd.taken();
    for n in 0..8 {
        crowd.inbound(200 + n, Use::Held);
        crowd.pass(seconds(60));
    }
    assert_eq!(crowd.left(&held), 4);
    assert!(crowd.open.values().all(|(_, using)| *using == Use::Held));
    assert_eq!(crowd.open.len(), 16);
    // Once they are let go of, they are found within ten seconds.
    crowd.taken();
    crowd
        .open
        .values_mut()
        .for_each(|(_, using)| *using = Use::Idle);
    crowd.pass(seconds(10));
    assert_eq!(crowd.taken().len(), 4);
}

#[test]
fn connections_of_ours_have_watermarks_of_their_own_and_go_only_when_idle() {
    let mut crowd = Crowd::new(small());
    let ours: Vec<_> = (0..8).map(|n| crowd.outbound(n, Use::Idle)).collect();
    crowd.all(50..64, Use::Idle);
    crowd.pass(seconds(60));
    assert!(crowd.taken().is_empty());
    let used: Vec<_> = (8..14).map(|n| crowd.outbound(n, Use::Streams)).collect();
    crowd.pass(seconds(60));
    crowd.outbound(20, Use::Streams);
    assert_eq!(crowd.taken(), [ours[7], ours[6]]);
    for n in 0..6 {
        crowd.outbound(30 + n, Use::Streams);
        crowd.pass(seconds(60));
    }
    assert_eq!((crowd.left(&used), crowd.cut), (6, 0));
    assert_eq!(crowd.left(&ours), 0, "all the idle ones had to go");
}

#[test]
fn a_trim_on_demand_goes_down_to_the_low_watermark() {
    let mut crowd = Crowd::new(small());
    let all = crowd.all(0..14, Use::Idle);
    crowd.node.swarm.trim(crowd.node.now);
    assert!(crowd.node.drain().is_empty(), "all have their grace");
    crowd.pass(seconds(31));
    crowd.node.swarm.trim(crowd.node.now);
    let actions = crowd.node.drain();
    crowd.act(actions);
    assert_eq!(crowd.taken(), [all[13], all[12]]);

    let mut crowd = Crowd::new(Config {
        inbound_watermarks: Some(Watermarks::NEVER),
        ..small()
    });
    crowd.all(0..16, Use::Idle);
    crowd.pass(seconds(600));
    crowd.node.swarm.trim(crowd.node.now);
    assert!(crowd.node.drain().is_empty());
}

/// An attacker with any number of ids and addresses takes every place it gets, for ten minutes, five times a second, and
/// comes back at once when it is thrown out or when it likes to. Gives how many of the honest peers are left.
fn under_churn(honest: u32, honest_use: Use, attackers_use: Use, lived: Duration) -> usize {
    let mut crowd = Crowd::new(Config::default());
    let honest = crowd.all(0..honest, honest_use);
    crowd.pass(lived);
    let mut id = 1_000_000;
    for step in 0..5 * 600_u32 {
        while crowd.inbound(id, attackers_use).is_some() {
            id += 1;
        }
        id += 1;
        if step % 25 == 0 {
            let mut theirs = crowd.open.clone();
            theirs.retain(|id, _| !honest.contains(id));
            theirs.into_keys().step_by(7).for_each(|id| crowd.leave(id));
        }
        crowd.pass(millis(200));
    }
    assert!(id > 1_002_000, "it has tried: {id}");
    crowd.left(&honest)
}

#[test]
fn whoever_reconnects_all_the_time_does_not_push_out_those_who_are_there() {
    // As many honest peers as the low watermark, and fewer; in use or idle, as long as they were there before.
    for (count, of_honest, of_attackers, lived) in [
        (384, Use::Idle, Use::Idle, 60),
        (384, Use::Streams, Use::Streams, 60),
        (384, Use::Idle, Use::Streams, 15 * 60),
        (100, Use::Idle, Use::Streams, 60),
    ] {
        let left = under_churn(count, of_honest, of_attackers, seconds(lived));
        assert!(
            left * 100 >= count as usize * 80,
            "{left} of {count} are left"
        );
        eprintln!(
            "{left} of {count} honest peers, {of_honest:?} for {lived} s, are left; attackers: {of_attackers:?}"
        );
    }
}
