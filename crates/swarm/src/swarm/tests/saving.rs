//! What outlives the program: what is handed out when, and what comes of it in the next run.

use super::*;

const DAY: Duration = seconds(24 * 60 * 60);
/// The time of day at the start of each test.
const UNIX: Duration = seconds(1_800_000_000);

impl Node {
    fn saving(config: Config) -> Self {
        let mut node = Self::new(config);
        node.swarm.save(node.now);
        node
    }

    fn take(&mut self, unix: Duration) -> Vec<Change> {
        self.swarm.take_changes(self.now, unix)
    }

    /// The next run, which finds `records` at `unix`.
    fn next(records: &[Change], unix: Duration) -> Self {
        let mut node = Self::saving(Config::default());
        for (key, value) in records {
            if let Some(value) = value {
                node.swarm.restore(node.now, unix, key, value);
            }
        }
        node
    }

    fn known_of_two(&self) -> PeerMetadata {
        self.swarm
            .peer_metadata(self.now, &peer(2))
            .unwrap_or_default()
    }

    fn known_addresses(&self) -> Vec<String> {
        let known = self.known_of_two().addresses.into_iter();
        known.map(|known| known.address.to_string()).collect()
    }
}

fn saves(actions: &[Action]) -> usize {
    actions.iter().filter(|a| matches!(a, Action::Save)).count()
}

#[test]
fn changes_are_handed_out_at_once_and_then_once_a_second() {
    let mut node = Node::saving(Config::default());
    assert_eq!(node.swarm.poll_timeout(), None);
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    assert_eq!(saves(&node.pass(Duration::ZERO)), 1);
    assert_eq!(node.take(UNIX).len(), 1);
    assert!(node.take(UNIX).is_empty());
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/2"]);
    node.learns(peer(3), &["/ip4/1.2.3.4/tcp/2"]);
    assert_eq!(saves(&node.pass(millis(999))), 0);
    assert_eq!(saves(&node.pass(millis(1))), 1);
    // The store is busy: the changes stay, and are offered again.
    assert_eq!(saves(&node.pass(seconds(3))), 3);
    assert_eq!(node.take(UNIX).len(), 2);
    assert_eq!(saves(&node.pass(DAY / 2)), 0);
}

#[test]
fn many_changes_come_in_batches_and_the_oldest_first() {
    let mut node = Node::saving(Config::default());
    let peers: Vec<_> = (0..5000).map(|_| PeerId::random()).collect();
    for peer in &peers {
        node.learns(*peer, &["/ip4/1.2.3.4/tcp/1"]);
    }
    // What is changed again does not go to the end of the queue.
    node.learns(peers[0], &["/ip4/1.2.3.4/tcp/2"]);
    assert_eq!(saves(&node.pass(Duration::ZERO)), 1);
    let mut taken = node.take(UNIX);
    assert_eq!(taken.len(), 4096);
    assert_eq!(saves(&node.pass(millis(63))), 1);
    taken.extend(node.take(UNIX));
    let keys: Vec<_> = taken.into_iter().map(|(key, _)| key).collect();
    let expected: Vec<_> = peers.iter().map(|peer| format!("peer/{peer}")).collect();
    assert_eq!(keys, expected);
}

#[test]
fn without_a_store_nothing_is_noted() {
    let mut node = Node::new(Config::default());
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    assert!(!node.swarm.is_unsaved());
    assert!(node.take(UNIX).is_empty());
}

#[test]
fn the_next_run_knows_what_this_one_knew() {
    let mut node = Node::saving(Config::default());
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    let color = Some(b"red".to_vec());
    node.swarm
        .set_peer_metadata(node.now, peer(2), "color".into(), color)
        .unwrap();
    let before = node.known_of_two();
    let records = node.take(UNIX);
    let mut next = Node::next(&records, UNIX);
    assert_eq!(next.known_of_two(), before);
    // Half of its time has passed meanwhile.
    next = Node::next(&records, UNIX + DAY / 2);
    assert_eq!(next.known_of_two().addresses[0].ttl, Some(DAY / 2));
    assert!(next.take(UNIX).is_empty(), "nothing has changed");
}

#[test]
fn what_is_forgotten_is_forgotten_by_the_store_too() {
    let mut node = Node::saving(Config::default());
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    node.take(UNIX);
    node.pass(DAY);
    assert_eq!(node.take(UNIX), [(format!("peer/{}", peer(2)), None)]);
    // And what it never knew needs no word.
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    node.pass(DAY);
    assert!(node.take(UNIX).is_empty());
}

#[test]
fn a_record_that_makes_no_sense_is_counted_and_removed() {
    let key = format!("peer/{}", peer(2));
    let records = [
        (key.clone(), Some(vec![0xff; 100])),
        ("peer/nobody".to_owned(), Some(Vec::new())),
        ("weather".to_owned(), Some(Vec::new())),
    ];
    let mut next = Node::next(&records, UNIX);
    assert_eq!(next.swarm.counters().stored_refused, 3);
    assert_eq!(next.take(UNIX), [(key, None)]);
}

#[test]
fn a_clock_that_went_back_adds_no_time() {
    let mut node = Node::saving(Config::default());
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    let records = node.take(UNIX);
    for unix in [UNIX - 1000 * DAY, Duration::ZERO] {
        assert_eq!(
            Node::next(&records, unix).known_of_two().addresses[0].ttl,
            Some(DAY)
        );
    }
}

#[test]
fn a_clock_that_leapt_ahead_ends_hearsay_but_not_what_is_proven() {
    let mut node = Node::saving(Config::default());
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    node.learns_from(peer(2), &["/ip4/1.2.3.4/tcp/2"], Source::Discovery, None);
    let records = node.take(UNIX);
    for unix in [UNIX + 1000 * DAY, Duration::MAX] {
        let mut next = Node::next(&records, unix);
        assert_eq!(next.known_addresses(), ["/ip4/1.2.3.4/tcp/1"]);
        next.pass(seconds(15 * 60));
        assert!(next.known_addresses().is_empty());
    }
}

#[test]
fn of_too_many_addresses_the_next_run_knows_those_that_are_best_proven() {
    let mut node = Node::saving(Config::default());
    let (connection, _) = node.inbound(peer(2), "/ip4/5.5.5.5/tcp/5");
    let told: Vec<_> = (1..=63).map(|n| format!("/ip4/6.6.6.6/tcp/{n}")).collect();
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    node.learns_from(peer(2), &told, Source::Identify, None);
    node.learns(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    assert_eq!(node.known_addresses().len(), 64);
    let next = Node::next(&node.take(UNIX), UNIX);
    assert_eq!(next.known_addresses().len(), 32);
    assert_eq!(next.known_addresses()[0], "/ip4/1.2.3.4/tcp/1");
    node.closed(connection);
}

#[test]
fn what_was_told_in_the_world_leads_nowhere_private_in_the_next_run_either() {
    let mut node = Node::saving(Config::default());
    let name = "/dns/rebind.example/tcp/22";
    node.learns_from(peer(2), &[name], Source::Discovery, None);
    let mut next = Node::next(&node.take(UNIX), UNIX);
    let (_, actions) = next.connect(peer(2), &[]);
    let answer = Answer::Ip(vec![[127, 0, 0, 1].into()]);
    let actions = next.answer(lookups(&actions)[0].0, Ok(answer));
    let private = AttemptError::from(Skip::PrivateFromPublic);
    assert_eq!(attempts(&actions)[0].1, private);
}

#[test]
fn whoever_was_connected_when_the_program_was_killed_is_found_again() {
    let mut node = Node::saving(Config::default());
    let (_, actions) = node.connect(peer(2), &["/ip4/1.2.3.4/tcp/1"]);
    node.dialed(dials(&actions)[0].0, peer(2));
    let records = node.take(UNIX);
    let next = Node::next(&records, UNIX + 3 * DAY);
    let known = next.known_of_two();
    assert_eq!(next.known_addresses(), ["/ip4/1.2.3.4/tcp/1"]);
    assert_eq!((known.connected, known.last_seen), (false, Some(3 * DAY)));
    assert_eq!(known.addresses[0].source, Source::Dialed);
}
