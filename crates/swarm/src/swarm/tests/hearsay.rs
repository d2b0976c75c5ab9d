//! What peers say of others and of themselves leads to no door that they could not knock at themselves, and to
//! none too often.

use carrick_wire::peer_record::PeerRecord;
use identify::Info;

use super::*;
use crate::peer_store::PeerMetadata;

/// Where we meet a peer in the world, and one in our own network.
const WORLD: &str = "/ip4/5.5.5.5/tcp/5";
const NETWORK: &str = "/ip4/192.168.1.5/tcp/5";
const MINE: &str = "/ip4/4.4.4.4/tcp/4001";
/// Where a peer in the world must not lead us.
const NEAR: [&str; 18] = [
    "/ip4/127.0.0.1/tcp/22",
    "/ip4/169.254.169.254/tcp/80",
    "/ip4/10.0.0.1/tcp/22",
    "/ip4/172.16.0.1/tcp/22",
    "/ip4/192.168.0.1/udp/22/quic-v1",
    "/ip4/100.64.0.1/tcp/22",
    "/ip4/0.0.0.0/tcp/22",
    "/ip4/0.1.2.3/tcp/22",
    "/ip4/224.0.0.251/udp/5353/quic-v1",
    "/ip4/255.255.255.255/udp/22/quic-v1",
    "/ip6/::1/tcp/22",
    "/ip6/::/tcp/22",
    "/ip6/::ffff:10.0.0.1/tcp/22",
    "/ip6/64:ff9b::10.0.0.1/tcp/22",
    "/ip6/fd00::1/tcp/22",
    "/ip6zone/eth0/ip6/fe80::1/tcp/22",
    "/ip6/ff02::fb/udp/5353/quic-v1",
    "/memory/22",
];
const FAR: &str = "/ip4/6.6.6.6/tcp/6";

impl Node {
    fn metadata(&self, n: u8) -> PeerMetadata {
        let known = self.swarm.peer_metadata(self.now, &peer(n));
        known.unwrap_or_default()
    }

    fn known(&self, n: u8) -> Vec<String> {
        let known = self.metadata(n).addresses.into_iter();
        known.map(|known| known.address.to_string()).collect()
    }

    /// Meets a peer somewhere, hears this, and loses it.
    fn hears(&mut self, n: u8, at: &str, info: Info) {
        let (connection, _) = self.inbound(peer(n), at);
        self.event(Event::Identified { connection, info });
        self.closed(connection);
    }

    fn failures(&mut self, n: u8) -> Vec<(String, AttemptError)> {
        let (_, mut actions) = self.connect(peer(n), &[]);
        actions.extend(self.pass(seconds(31)));
        let failed = attempts(&actions).into_iter();
        failed.map(|(at, error)| (at.to_string(), error)).collect()
    }
}

fn says(addresses: &[&str]) -> Info {
    Info {
        listen_addresses: addresses.iter().map(|a| address(a)).collect(),
        ..Info::default()
    }
}

fn signs(n: u8, seq: u64, addresses: &[&str]) -> Info {
    Info {
        signed_addresses: Some(PeerRecord {
            peer: peer(n),
            seq,
            addresses: addresses.iter().map(|a| address(a)).collect(),
        }),
        ..Info::default()
    }
}

fn with_far(near: &[&'static str]) -> Vec<&'static str> {
    near.iter().copied().chain([FAR]).collect()
}

#[test]
fn a_peer_in_the_world_leads_to_no_private_address_however_it_tells_it() {
    for tell in [
        |node: &mut Node| node.hears(2, WORLD, says(&with_far(&NEAR))),
        |node: &mut Node| node.hears(2, WORLD, signs(2, 1, &with_far(&NEAR))),
        |node: &mut Node| node.learns_from(peer(2), &with_far(&NEAR), Source::Discovery, None),
        |node: &mut Node| {
            node.learns_from(peer(2), &with_far(&NEAR), Source::Discovery, Some(WORLD));
        },
    ] {
        let mut node = Node::new(Config::default());
        tell(&mut node);
        assert_eq!(node.known(2), [FAR]);
        assert_eq!(node.swarm.counters().addresses_private, 18);
        assert_eq!(dialed_addresses(&node.connect(peer(2), &[]).1), [FAR]);
    }
}

#[test]
fn a_peer_in_our_network_leads_into_it_but_not_to_this_machine() {
    let mut node = Node::new(Config::default());
    let said = [
        "/ip4/10.0.0.1/tcp/22",
        "/ip4/127.0.0.1/tcp/22",
        "/ip4/224.0.0.1/udp/1/quic-v1",
    ];
    node.hears(2, NETWORK, says(&said));
    assert_eq!(node.known(2), [said[0]]);
    // And one on this machine to everything but wildcards and groups.
    node.hears(3, "/ip4/127.0.0.1/tcp/5", says(&said));
    assert_eq!(node.known(3), [said[0], said[1]]);
}

#[test]
fn whoever_allows_it_is_led_anywhere_but_to_nobody() {
    let mut node = Node::new(Config {
        allow_private: true,
        ..Config::default()
    });
    node.hears(
        2,
        WORLD,
        says(&["/ip4/10.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1"]),
    );
    assert_eq!(node.known(2), ["/ip4/10.0.0.1/tcp/1"]);
    let (_, actions) = node.connect(peer(2), &[]);
    assert_eq!(dialed_addresses(&actions), ["/ip4/10.0.0.1/tcp/1"]);
}

#[test]
fn what_the_user_gives_is_dialed_wherever_it_leads() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &["/ip4/127.0.0.1/tcp/22"]);
    assert_eq!(dialed_addresses(&actions), ["/ip4/127.0.0.1/tcp/22"]);
    node.learns(peer(3), &["/ip4/10.0.0.1/tcp/22"]);
    let (_, actions) = node.connect(peer(3), &[]);
    assert_eq!(dialed_addresses(&actions), ["/ip4/10.0.0.1/tcp/22"]);
}

#[test]
fn a_name_that_a_peer_in_the_world_has_told_does_not_lead_home_either() {
    let mut node = Node::new(Config::default());
    node.hears(2, WORLD, says(&["/dns/rebind.example/tcp/22"]));
    let (_, actions) = node.connect(peer(2), &[]);
    let (lookup, _) = lookups(&actions)[0].clone();
    let ips = [[127, 0, 0, 1], [10, 0, 0, 1], [224, 0, 0, 1], [6, 6, 6, 6]];
    let answer = Answer::Ip(ips.map(Into::into).to_vec());
    let mut actions = node.answer(lookup, Ok(answer));
    assert_eq!(dialed_addresses(&actions), ["/ip4/6.6.6.6/tcp/22"]);
    actions = node.fail(dials(&actions)[0].0);
    let failed: Vec<_> = attempts(&actions)
        .into_iter()
        .map(|(at, error)| (at.to_string(), error))
        .collect();
    let private = AttemptError::from(Skip::PrivateFromPublic);
    assert_eq!(failed[0], ("/ip4/127.0.0.1/tcp/22".into(), private.clone()));
    assert_eq!(failed[1], ("/ip4/10.0.0.1/tcp/22".into(), private));
    let nobody = AttemptError::from(Skip::Unspecified);
    assert_eq!(failed[2], ("/ip4/224.0.0.1/tcp/22".into(), nobody));
    assert_eq!(failed[3].1, refused());
}

#[test]
fn a_dnsaddr_that_a_peer_in_the_world_has_told_does_not_lead_home_either() {
    let mut node = Node::new(Config::default());
    node.hears(2, WORLD, says(&["/dnsaddr/rebind.example"]));
    let (_, actions) = node.connect(peer(2), &[]);
    let record = "dnsaddr=/ip4/192.168.1.1/tcp/80".to_owned();
    let actions = node.answer(lookups(&actions)[0].0, Ok(Answer::Txt(vec![record])));
    assert_eq!(dials(&actions).len(), 0);
    let private = AttemptError::from(Skip::PrivateFromPublic);
    assert_eq!(attempts(&actions)[0].1, private);
    assert!(private.to_string().contains("a peer in the world"));
}

#[test]
fn a_name_that_the_user_gives_may_lead_home() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &["/dns/home.example/tcp/1"]);
    let answer = Answer::Ip(vec![[10, 0, 0, 1].into()]);
    let actions = node.answer(lookups(&actions)[0].0, Ok(answer));
    assert_eq!(dialed_addresses(&actions), ["/ip4/10.0.0.1/tcp/1"]);
}

#[test]
fn nobody_leads_us_to_ourselves() {
    let mut node = Node::new(Config::default());
    node.event(Event::Listening {
        address: address(MINE),
    });
    node.hears(2, WORLD, says(&[MINE]));
    assert_eq!(node.failures(2), [(MINE.into(), AttemptError::OwnAddress)]);
}

#[test]
fn peers_that_all_claim_one_place_have_it_dialed_once_in_ten_seconds() {
    let mut node = Node::new(Config::default());
    let victim = "/ip4/7.7.7.7/tcp/22";
    for n in 2..=50 {
        node.learns_from(peer(n), &[victim], Source::Discovery, None);
    }
    let mut knocks = 0;
    for n in 2..=50 {
        let (_, actions) = node.connect(peer(n), &[]);
        let begun = dials(&actions);
        knocks += begun.len();
        for (attempt, _) in begun {
            node.fail(attempt);
        }
        node.pass(seconds(1));
    }
    assert_eq!(knocks, 5, "49 peers within 49 seconds");
    assert_eq!(node.swarm.counters().skipped_hearsay, 44);
    // A caller who names the place is not held back.
    let (_, actions) = node.connect(peer(51), &[victim]);
    assert_eq!(dialed_addresses(&actions), [victim]);
}

#[test]
fn an_address_where_the_peer_was_reached_is_not_held_back() {
    let mut node = Node::new(Config::default());
    node.learns_from(peer(2), &[FAR], Source::Discovery, None);
    for _ in 0..3 {
        let (_, actions) = node.connect(peer(2), &[]);
        let (connection, _) = node.dialed(dials(&actions)[0].0, peer(2));
        node.closed(connection);
    }
    assert_eq!(node.metadata(2).addresses[0].source, Source::Dialed);
}

#[test]
fn an_older_record_changes_nothing_and_a_newer_one_replaces_what_was_said() {
    let mut node = Node::new(Config::default());
    node.hears(2, WORLD, signs(2, 5, &["/ip4/6.6.6.6/tcp/5"]));
    node.hears(2, WORLD, signs(2, 4, &["/ip4/6.6.6.6/tcp/4"]));
    assert_eq!(node.known(2), ["/ip4/6.6.6.6/tcp/5"]);
    assert_eq!(node.swarm.counters().records_refused, 1);
    node.hears(2, WORLD, signs(2, 6, &["/ip4/6.6.6.6/tcp/6"]));
    assert_eq!(node.known(2), ["/ip4/6.6.6.6/tcp/6"]);
}

#[test]
fn the_highest_number_locks_nobody_out_for_longer_than_its_record_lasts() {
    let mut node = Node::new(Config::default());
    node.hears(2, WORLD, signs(2, u64::MAX, &["/ip4/7.7.7.7/tcp/22"]));
    let honest = || signs(2, 1_700_000_000, &[FAR]);
    // The owner of the key is there all the time; that it is refused makes the lock no longer.
    let (connection, _) = node.inbound(peer(2), WORLD);
    for _ in 0..59 {
        node.pass(seconds(60));
        let info = honest();
        node.event(Event::Identified { connection, info });
        assert!(!node.known(2).contains(&FAR.to_owned()));
    }
    node.pass(seconds(60));
    let info = honest();
    node.event(Event::Identified { connection, info });
    assert_eq!(node.known(2), [FAR], "and what the record said is gone");
}

#[test]
fn the_lock_of_a_number_ends_over_a_restart_too() {
    let unix = seconds(1_800_000_000);
    let mut node = Node::new(Config::default());
    node.swarm.save(node.now);
    node.hears(2, WORLD, signs(2, u64::MAX, &["/ip4/7.7.7.7/tcp/22"]));
    let records = node.swarm.take_changes(node.now, unix);
    for (later, known) in [(30, "/ip4/7.7.7.7/tcp/22"), (61, FAR)] {
        let mut next = Node::new(Config::default());
        let (key, value) = &records[0];
        let unix = unix + seconds(60 * later);
        next.swarm
            .restore(next.now, unix, key, value.as_ref().unwrap());
        next.hears(2, WORLD, signs(2, 1, &[FAR]));
        assert_eq!(next.known(2), [known]);
    }
}

#[test]
fn others_do_not_say_for_how_long_they_are_to_be_believed() {
    let mut node = Node::new(Config::default());
    node.learns_from(peer(2), &[FAR], Source::Discovery, None);
    assert_eq!(node.metadata(2).addresses[0].ttl, Some(seconds(3600)));
    let many: Vec<_> = (0..1000).map(|n| format!("/ip4/6.6.6.6/tcp/{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    node.learns_from(peer(2), &many, Source::Discovery, None);
    assert_eq!(node.known(2).len(), 32);
}
