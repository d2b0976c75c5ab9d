//! Several connections to one peer: both ends prefer the same one, and its loser goes when it is idle.

use proptest::prelude::*;

use super::*;

const AT: &str = "/ip4/5.5.5.5/tcp/5";

/// The peers 1 and 2, the one with the smaller id first.
fn by_size() -> (u8, u8) {
    if peer(1).to_bytes() < peer(2).to_bytes() {
        (1, 2)
    } else {
        (2, 1)
    }
}

/// Two nodes that dial each other at the same moment: connection 0 is dialed by node 0, which has the
/// smaller id, connection 1 by node 1.
struct Pair {
    nodes: [Node; 2],
    peers: [PeerId; 2],
    attempts: [AttemptId; 2],
    waiters: [WaiterId; 2],
    // By connection and node.
    ends: [[End; 2]; 2],
    answers: [Vec<Result<ConnectionId, DialError>>; 2],
    /// Which connections carry streams.
    used: [bool; 2],
    begun: Instant,
    /// Both connections were open at both ends at the same time.
    both: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Upgrading,
    Open(ConnectionId),
    Gone,
}

impl Pair {
    fn new(config: &Config) -> Self {
        let (small, large) = by_size();
        let peers = [peer(small), peer(large)];
        let mut nodes = [small, large].map(|n| Node::of(n, config.clone()));
        let begun = [0, 1].map(|n| {
            let (waiter, actions) = nodes[n].connect(peers[1 - n], &[AT]);
            (waiter, dials(&actions)[0].0)
        });
        Self {
            begun: nodes[0].now,
            nodes,
            peers,
            attempts: begun.map(|(_, attempt)| attempt),
            waiters: begun.map(|(waiter, _)| waiter),
            ends: [[End::Upgrading; 2]; 2],
            answers: [Vec::new(), Vec::new()],
            used: [false; 2],
            both: false,
        }
    }

    /// The upgrade of a connection ends at one node.
    fn establish(&mut self, connection: usize, at: usize) {
        if self.ends[connection][at] != End::Upgrading {
            return;
        }
        let other = self.peers[1 - at];
        let (id, actions) = if connection == at {
            self.nodes[at].dialed(self.attempts[at], other)
        } else {
            self.nodes[at].inbound(other, AT)
        };
        self.ends[connection][at] = End::Open(id);
        self.act(at, actions);
        let actions = self.nodes[at].idle(id, true);
        self.act(at, actions);
        self.both |= self.open(0) && self.open(1);
    }

    /// What one node does, with what the other sees of it.
    fn act(&mut self, at: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Close { connection, .. } => {
                    let index = self.index(connection, at);
                    assert!(!self.used[index], "a stream is cut");
                    self.cut(index);
                }
                Action::CloseIdle { connection, .. } => {
                    let index = self.index(connection, at);
                    if self.used[index] {
                        let actions = self.nodes[at].spared(connection, false);
                        self.act(at, actions);
                    } else {
                        self.cut(index);
                    }
                }
                Action::Abort { .. } => self.cut(at),
                Action::Resolve { waiter, result } => {
                    assert_eq!(waiter, self.waiters[at]);
                    self.answers[at].push(result);
                }
                _ => {}
            }
        }
    }

    fn index(&self, connection: ConnectionId, at: usize) -> usize {
        let is_it = |c: &usize| self.ends[*c][at] == End::Open(connection);
        (0..2).find(is_it).unwrap()
    }

    fn cut(&mut self, connection: usize) {
        for at in 0..2 {
            if let End::Open(id) = std::mem::replace(&mut self.ends[connection][at], End::Gone) {
                let actions = self.nodes[at].closed(id);
                self.act(at, actions);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        for at in 0..2 {
            let actions = self.nodes[at].pass(time);
            self.act(at, actions);
        }
    }

    fn open(&self, connection: usize) -> bool {
        self.ends[connection]
            .iter()
            .all(|end| matches!(end, End::Open(_)))
    }

    fn preferred(&self, at: usize) -> Option<usize> {
        let best = self.nodes[at].swarm.best_connection(&self.peers[1 - at])?;
        (0..2).find(|c| self.ends[*c][at] == End::Open(best))
    }
}

/// Every order in which the four ends can be established.
fn orders() -> Vec<[(usize, usize); 4]> {
    let ends = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let mut orders = Vec::new();
    for a in 0..4 {
        for b in (0..4).filter(|b| *b != a) {
            for c in (0..4).filter(|c| *c != a && *c != b) {
                orders.push([ends[a], ends[b], ends[c], ends[6 - a - b - c]]);
            }
        }
    }
    assert_eq!(orders.len(), 24);
    orders
}

#[test]
fn simultaneous_dials_converge_on_the_connection_of_the_smaller_peer_in_every_order() {
    for order in orders() {
        let mut pair = Pair::new(&Config::default());
        for (connection, at) in order {
            pair.establish(connection, at);
        }
        assert!(
            pair.open(0) && pair.open(1),
            "{order:?}: nothing is lost meanwhile"
        );
        assert_eq!(
            (pair.preferred(0), pair.preferred(1)),
            (Some(0), Some(0)),
            "{order:?}"
        );
        assert!(
            pair.answers.iter().all(|a| matches!(a[..], [Ok(_)])),
            "{order:?}"
        );
        pair.pass(millis(4_999));
        assert!(pair.open(1), "{order:?}");
        pair.pass(millis(1));
        assert!(pair.open(0) && !pair.open(1), "{order:?}: one is left");
        pair.pass(seconds(60));
        assert!(pair.open(0), "{order:?}");
        let counters = pair
            .nodes
            .map(|node| node.swarm.counters().closed_duplicate);
        assert_eq!(counters, [0, 1], "{order:?}: who dialed it has closed it");
    }
}

#[test]
fn simultaneous_dials_converge_even_when_one_connection_is_the_limit() {
    let config = Config {
        connections_per_peer_max: 1,
        ..Config::default()
    };
    for order in orders() {
        let mut pair = Pair::new(&config);
        for (connection, at) in order {
            pair.establish(connection, at);
        }
        pair.pass(seconds(60));
        assert!(pair.open(0) && !pair.open(1), "{order:?}");
        assert_eq!(
            (pair.preferred(0), pair.preferred(1)),
            (Some(0), Some(0)),
            "{order:?}"
        );
        assert!(
            pair.answers.iter().all(|a| matches!(a[..], [Ok(_)])),
            "{order:?}"
        );
    }
}

#[test]
fn the_loser_is_closed_only_when_it_has_been_idle_for_five_seconds() {
    let mut pair = Pair::new(&Config::default());
    for (connection, at) in orders()[0] {
        pair.establish(connection, at);
    }
    let End::Open(loser) = pair.ends[1][1] else {
        panic!("it is open");
    };
    pair.pass(seconds(3));
    pair.nodes[1].idle(loser, false);
    pair.pass(seconds(600));
    assert!(pair.open(1), "a stream is open on it");
    pair.nodes[1].idle(loser, true);
    pair.pass(millis(4_999));
    assert!(pair.open(1));
    pair.pass(millis(1));
    assert!(!pair.open(1) && pair.open(0));
}

#[test]
fn a_connection_counts_as_busy_until_it_is_said_to_be_idle() {
    let (small, large) = by_size();
    let mut node = Node::of(large, Config::default());
    node.inbound(peer(small), AT);
    let (_, actions) = node.connect(None, &[AT]);
    let (loser, _) = node.dialed(dials(&actions)[0].0, peer(small));
    assert!(node.pass(seconds(600)).is_empty());
    node.idle(loser, true);
    let actions = node.pass(seconds(5));
    assert_eq!(closes(&actions), [(loser, CloseReason::Duplicate)]);
    assert_eq!(node.swarm.connections(&peer(small)).count(), 1);

    // A stream was opened on it at that moment: it stays, and may go later.
    node.spared(loser, false);
    assert_eq!(node.swarm.connections(&peer(small)).count(), 2);
    assert!(node.pass(seconds(600)).is_empty());
    node.idle(loser, true);
    assert_eq!(closes(&node.pass(seconds(5))).len(), 1);
    node.closed(loser);
    assert_eq!(node.swarm.counters().closed_duplicate, 1);
}

#[test]
fn the_loser_stays_when_the_winner_is_lost() {
    let mut pair = Pair::new(&Config::default());
    for (connection, at) in orders()[0] {
        pair.establish(connection, at);
    }
    pair.pass(seconds(3));
    pair.cut(0);
    assert_eq!((pair.preferred(0), pair.preferred(1)), (Some(1), Some(1)));
    pair.pass(seconds(60));
    assert!(pair.open(1));
}

#[test]
fn preference_moves_to_the_next_best_when_a_connection_closes() {
    let (small, large) = by_size();
    let mut node = Node::of(small, Config::default());
    let other = peer(large);
    let (inbound, actions) = node.inbound(other, AT);
    assert_eq!(prefers(&actions), [(other, Some(inbound))]);
    let (_, actions) = node.connect(other, &[AT]);
    assert!(dials(&actions).is_empty());
    let (_, actions) = node.connect(None, &[AT]);
    let (outbound, actions) = node.dialed(dials(&actions)[0].0, other);
    assert_eq!(prefers(&actions), [(other, Some(outbound))]);
    assert_eq!(node.swarm.connections(&other).count(), 2);

    let actions = node.closed(outbound);
    assert_eq!(prefers(&actions), [(other, Some(inbound))]);
    assert!(matches!(
        notices(&actions)[..],
        [Notice::ConnectionClosed { reason: None, .. }]
    ));
    let actions = node.closed(inbound);
    assert_eq!(prefers(&actions), [(other, None)]);
    assert!(matches!(
        notices(&actions)[..],
        [Notice::ConnectionClosed { .. }, Notice::Disconnected { .. }]
    ));
    node.assert_empty();
}

#[test]
fn a_direct_connection_is_preferred_to_a_relayed_one() {
    let relayed = format!("/ip4/7.7.7.7/tcp/1/p2p/{}/p2p-circuit", peer(9));
    for (local, other) in [(1, 2), (2, 1)] {
        let mut node = Node::of(local, Config::default());
        let (through, _) = node.inbound(peer(other), &relayed);
        let (direct, actions) = node.inbound(peer(other), AT);
        assert_eq!(prefers(&actions), [(peer(other), Some(direct))]);
        node.closed(direct);
        assert_eq!(node.swarm.best_connection(&peer(other)), Some(through));
    }
}

#[test]
fn what_the_other_side_dialed_is_never_ours_to_close() {
    let mut node = Node::new(Config::default());
    for _ in 0..4 {
        node.inbound(peer(2), AT);
    }
    assert!(node.pass(seconds(60)).is_empty());
    assert_eq!(node.swarm.connections(&peer(2)).count(), 4);
}

/// What may happen in between, at one of two nodes or to one of two connections.
#[derive(Debug, Clone, Copy)]
enum Step {
    Establish {
        connection: usize,
        at: usize,
    },
    /// Streams come or go: one end hears of it, the other later.
    Use {
        connection: usize,
        used: bool,
    },
    Hear {
        connection: usize,
        at: usize,
    },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (n, at) = (0..2_usize, 0..2_usize);
    prop_oneof![
        3 => (n.clone(), at.clone()).prop_map(|(connection, at)| Step::Establish { connection, at }),
        2 => (n.clone(), any::<bool>()).prop_map(|(connection, used)| Step::Use { connection, used }),
        4 => (n, at).prop_map(|(connection, at)| Step::Hear { connection, at }),
        3 => (0..7_000_u64).prop_map(Step::Pass),
    ]
}

impl Pair {
    fn upgrades(&self) -> bool {
        self.ends.iter().flatten().any(|end| *end == End::Upgrading)
    }

    fn now(&self) -> Duration {
        self.nodes[0].now - self.begun
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Establish { connection, at } => self.establish(connection, at),
            Step::Use { connection, used } => self.used[connection] = used && self.open(connection),
            Step::Hear { connection, at } => {
                if let End::Open(id) = self.ends[connection][at] {
                    let actions = self.nodes[at].idle(id, !self.used[connection]);
                    self.act(at, actions);
                }
            }
            // An upgrade that takes longer comes to nothing.
            Step::Pass(time) if self.upgrades() && self.now() + millis(time) > seconds(14) => {}
            Step::Pass(time) => self.pass(millis(time)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_happens_meanwhile_no_stream_is_cut_and_one_connection_is_left(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut pair = Pair::new(&Config::default());
        let mut was_usable = false;
        for step in steps {
            // A stream on a connection that ends meanwhile would be cut: see `act`.
            pair.step(step);
            let usable = pair.open(0) || pair.open(1);
            // The superfluous one may go a moment before the other is up at both ends: it was idle for five seconds.
            let works = usable || !was_usable || pair.upgrades();
            prop_assert!(works, "there is always one that works");
            was_usable = usable;
        }
        for (connection, at) in orders()[0] {
            pair.step(Step::Establish { connection, at });
        }
        pair.used = [false; 2];
        for (connection, at) in orders()[0] {
            pair.step(Step::Hear { connection, at });
        }
        pair.pass(seconds(60));
        let left = [pair.open(0), pair.open(1)];
        prop_assert_eq!(left.iter().filter(|open| **open).count(), 1);
        prop_assert_eq!(pair.preferred(0), pair.preferred(1));
        if pair.both {
            prop_assert_eq!(left, [true, false]);
        }
    }
}
