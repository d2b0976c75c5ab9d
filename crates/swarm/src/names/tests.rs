//! Names: what they lead to, and what keeps hostile ones within bounds.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// A name system of a test.
#[derive(Default)]
struct Zone {
    ips: BTreeMap<String, Vec<IpAddr>>,
    texts: BTreeMap<String, Vec<String>>,
}

/// What came of one address.
#[derive(Debug, Default)]
struct Run {
    found: Vec<String>,
    failed: Vec<(String, NameError)>,
    asked: Vec<Query>,
}

impl Zone {
    fn ip(mut self, name: &str, ips: &[&str]) -> Self {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        self.ips.insert(name.to_owned(), ips);
        self
    }

    fn txt(mut self, name: &str, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let texts = texts.into_iter().map(Into::into).collect();
        self.texts.insert(format!("_dnsaddr.{name}"), texts);
        self
    }

    fn answer(&self, query: &Query) -> Result<Answer, NameError> {
        let nothing = || NameError::Resolver("no such name".to_owned());
        match query {
            Query::Ip { name, .. } => self.ips.get(name).cloned().map(Answer::Ip),
            Query::Txt { name } => self.texts.get(name).cloned().map(Answer::Txt),
        }
        .ok_or_else(nothing)
    }

    fn follow(&self, addresses: &[&str], peer: Option<PeerId>) -> Run {
        let (mut names, config) = (Names::default(), Config::default());
        let mut run = Run::default();
        let mut open = Vec::new();
        let mut take = |outcome: Outcome, open: &mut Vec<Query>| {
            let found = outcome.found.into_iter();
            run.found
                .extend(found.map(|(address, _)| address.to_string()));
            for (origin, error) in outcome.failed {
                let failure = (origin.address.to_string(), error);
                // As the dial does.
                if !run.failed.contains(&failure) {
                    run.failed.push(failure);
                }
            }
            run.asked.extend(outcome.questions.clone());
            open.extend(outcome.questions);
        };
        for address in addresses {
            let origin = Origin::given(address.parse().unwrap());
            take(names.follow(origin, peer, &config), &mut open);
        }
        while let Some(query) = open.pop() {
            let result = self.answer(&query);
            take(names.answered(query, result, peer, &config), &mut open);
        }
        assert_eq!(names.pending().count(), 0, "everything is answered");
        run
    }
}

fn reached(limit: Limit, max: u64) -> NameError {
    LimitReached { limit, max }.into()
}

fn peer(n: u8) -> PeerId {
    let key = libp2p_identity::Keypair::ed25519_from_bytes([n; 32]).unwrap();
    key.public().to_peer_id()
}

#[test]
fn only_the_name_is_replaced_with_ips_of_the_family_that_is_asked_for() {
    let zone = Zone::default().ip("a.org", &["1.2.3.4", "2001:db8::1", "5.6.7.8"]);
    let id = peer(2);
    let cases = [
        ("dns4", vec!["/ip4/1.2.3.4", "/ip4/5.6.7.8"]),
        ("dns6", vec!["/ip6/2001:db8::1"]),
        (
            "dns",
            vec!["/ip4/1.2.3.4", "/ip6/2001:db8::1", "/ip4/5.6.7.8"],
        ),
    ];
    for (kind, ips) in cases {
        for rest in ["/tcp/1".to_owned(), format!("/udp/1/quic-v1/p2p/{id}")] {
            let run = zone.follow(&[&format!("/{kind}/a.org{rest}")], None);
            let expected: Vec<_> = ips.iter().map(|ip| format!("{ip}{rest}")).collect();
            assert_eq!(run.found, expected);
            assert_eq!((run.failed.len(), run.asked.len()), (0, 1));
        }
    }
}

#[test]
fn tls_around_websocket_keeps_the_name_for_the_certificate() {
    let zone = Zone::default()
        .ip("a.org", &["1.2.3.4"])
        .ip("a.org.", &["1.2.3.4"]);
    let id = peer(2);
    let cases = [
        (
            "/dns/a.org/tcp/443/wss",
            "/ip4/1.2.3.4/tcp/443/tls/sni/a.org/ws",
        ),
        (
            "/dns4/a.org./tcp/443/tls/ws",
            "/ip4/1.2.3.4/tcp/443/tls/sni/a.org/ws",
        ),
        (
            "/dns/a.org/tcp/443/tls/sni/b.org/ws",
            "/ip4/1.2.3.4/tcp/443/tls/sni/b.org/ws",
        ),
        (
            "/dns4/a.org/tcp/443/tls/ws/http-path/a%2Fb",
            "/ip4/1.2.3.4/tcp/443/tls/sni/a.org/ws/http-path/a%2Fb",
        ),
        (
            "/dns4/a.org/tcp/443/x-parity-wss/%2Fpath",
            "/ip4/1.2.3.4/tcp/443/tls/sni/a.org/x-parity-ws/%2Fpath",
        ),
        ("/dns4/a.org/tcp/80/ws", "/ip4/1.2.3.4/tcp/80/ws"),
        ("/dns4/a.org/tcp/1/tls", "/ip4/1.2.3.4/tcp/1/tls"),
    ];
    for (asked, expected) in cases {
        let suffix = format!("/p2p/{id}");
        let run = zone.follow(&[&format!("{asked}{suffix}")], None);
        assert_eq!(run.found, [format!("{expected}{suffix}")]);
    }
}

#[test]
fn dnsaddr_follows_its_records_to_the_end() {
    let zone = Zone::default()
        .txt(
            "a.org",
            [
                "dnsaddr=/dnsaddr/b.org",
                "v=spf1 -all",
                "dnsaddr=/ip4/9.9.9.9/tcp/9",
            ],
        )
        .txt(
            "b.org",
            [
                "dnsaddr=/dns4/c.org/tcp/1",
                "dnsaddr=/ip6/::1/udp/1/quic-v1",
            ],
        )
        .ip("c.org", &["1.2.3.4"]);
    let mut run = zone.follow(&["/dnsaddr/a.org"], None);
    run.found.sort();
    let expected = [
        "/ip4/1.2.3.4/tcp/1",
        "/ip4/9.9.9.9/tcp/9",
        "/ip6/::1/udp/1/quic-v1",
    ];
    assert_eq!(run.found, expected);
    assert_eq!((run.failed.len(), run.asked.len()), (0, 3));
}

// P-06, row 204: a mismatching suffix.
#[test]
fn records_of_other_peers_or_with_another_ending_are_dropped() {
    let (right, wrong) = (peer(2), peer(3));
    let records = [
        format!("dnsaddr=/ip4/1.1.1.1/tcp/1/p2p/{right}"),
        format!("dnsaddr=/ip4/2.2.2.2/tcp/1/p2p/{wrong}"),
        "dnsaddr=/ip4/3.3.3.3/tcp/1".to_owned(),
    ];
    let zone = Zone::default().txt("a.org", records);
    // By its address: only what ends in the same id.
    let run = zone.follow(&[&format!("/dnsaddr/a.org/p2p/{right}")], Some(right));
    assert_eq!(run.found, [format!("/ip4/1.1.1.1/tcp/1/p2p/{right}")]);
    // By the peer alone: what does not name another one; the handshake decides.
    let run = zone.follow(&["/dnsaddr/a.org"], Some(right));
    assert_eq!(run.found.len(), 2);
    // Nobody in particular: all.
    assert_eq!(zone.follow(&["/dnsaddr/a.org"], None).found.len(), 3);
    let asked = format!("/dnsaddr/a.org/p2p/{}", peer(4));
    let run = zone.follow(&[&asked], Some(peer(4)));
    assert_eq!(run.failed, [(asked, NameError::OtherPeers)]);
}

// P-06: a self-loop, and a circle.
#[test]
fn names_that_lead_in_a_circle_end() {
    let zone = Zone::default()
        .txt("a.org", ["dnsaddr=/dnsaddr/a.org"])
        .txt("b.org", ["dnsaddr=/dnsaddr/c.org"])
        .txt(
            "c.org",
            ["dnsaddr=/dnsaddr/b.org", "dnsaddr=/ip4/1.1.1.1/tcp/1"],
        );
    let run = zone.follow(&["/dnsaddr/a.org"], None);
    assert_eq!((run.found.len(), run.asked.len()), (0, 1));
    assert_eq!(
        run.failed,
        [("/dnsaddr/a.org".to_owned(), NameError::NothingNew)]
    );
    let run = zone.follow(&["/dnsaddr/b.org"], None);
    assert_eq!((run.found.len(), run.asked.len()), (1, 2));
}

// Row 204: depth.
#[test]
fn four_names_may_lead_to_each_other_and_a_fifth_not() {
    let chain = |length: usize| {
        let link = |zone: Zone, n: usize| {
            let next = format!("dnsaddr=/dnsaddr/n{}.org", n + 1);
            zone.txt(&format!("n{n}.org"), [next])
        };
        let zone = (1..length).fold(Zone::default(), link);
        let run = zone
            .txt(&format!("n{length}.org"), ["dnsaddr=/ip4/1.1.1.1/tcp/1"])
            .follow(&["/dnsaddr/n1.org"], None);
        (run.found.len(), run.asked.len(), run.failed)
    };
    assert_eq!(chain(4), (1, 4, Vec::new()));
    let too_deep = ("/dnsaddr/n1.org".to_owned(), reached(Limit::NameDepth, 4));
    assert_eq!(chain(5), (0, 4, vec![too_deep.clone()]));
    assert_eq!(chain(1000), (0, 4, vec![too_deep]));
}

// P-06: fan-out 100^n.
#[test]
fn a_fan_out_is_cut_at_sixteen_records_and_thirty_two_lookups() {
    let mut zone = Zone::default();
    let mut names = vec!["root.org".to_owned()];
    for level in 0..2 {
        let mut below = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let children = (0..100).map(|n| format!("l{level}-{index}-{n}.org"));
            let children: Vec<_> = children.collect();
            zone = zone.txt(
                name,
                children
                    .iter()
                    .map(|name| format!("dnsaddr=/dnsaddr/{name}")),
            );
            below.extend(children);
        }
        names = below;
    }
    let run = zone.follow(&["/dnsaddr/root.org"], None);
    assert_eq!(run.asked.len(), 32);
    let root = "/dnsaddr/root.org".to_owned();
    assert!(
        run.failed
            .contains(&(root, reached(Limit::NameLookups, 32)))
    );
    assert!(
        run.failed.len() < 4,
        "one line for each reason: {:?}",
        run.failed
    );

    let many = (0..100).map(|n| format!("dnsaddr=/ip4/1.1.1.{n}/tcp/1"));
    let run = Zone::default()
        .txt("a.org", many)
        .follow(&["/dnsaddr/a.org"], None);
    assert_eq!(run.found.len(), 16);
}

// Row 204: more than a hundred addresses.
#[test]
fn a_hundred_addresses_are_taken_and_not_one_more() {
    let ips = |count: u8| {
        let ips: Vec<_> = (0..count).map(|n| format!("1.2.3.{n}")).collect();
        let ips: Vec<_> = ips.iter().map(String::as_str).collect();
        let zone = Zone::default().ip("a.org", &ips);
        let run = zone.follow(&["/dns4/a.org/tcp/1"], None);
        (run.found.len(), run.failed)
    };
    assert_eq!(ips(100), (100, Vec::new()));
    let told = (
        "/dns4/a.org/tcp/1".to_owned(),
        reached(Limit::NameAddresses, 100),
    );
    assert_eq!(ips(101), (100, vec![told.clone()]));
    assert_eq!(ips(255), (100, vec![told]));
    // Over all names of a dial, too.
    let all: Vec<_> = (0..60).map(|n| format!("1.2.3.{n}")).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let zone = Zone::default().ip("a.org", &all).ip("b.org", &all);
    let run = zone.follow(&["/dns4/a.org/tcp/1", "/dns4/b.org/tcp/1"], None);
    assert_eq!(run.found.len(), 100);
}

// P-06: 64 KB TXT. Row 204: TXT without `dnsaddr=`.
#[test]
fn records_that_are_long_or_no_addresses_are_dropped() {
    let long = format!("dnsaddr=/dns4/{}/tcp/1", "a".repeat(64 << 10));
    let limit = |length: usize| {
        let path = "b".repeat(length - "/unix/".len());
        Zone::default()
            .txt("a.org", [format!("dnsaddr=/unix/{path}")])
            .follow(&["/dnsaddr/a.org"], None)
            .found
            .len()
    };
    assert_eq!((limit(1024), limit(1025)), (1, 0));
    let junk = [
        long.as_str(),
        "",
        "dnsaddr=",
        "dnsaddr=nonsense",
        "dnsaddr=/ip4/300.0.0.1/tcp/1",
        "/ip4/1.1.1.1/tcp/1",
        "DNSADDR /ip4/1.1.1.1/tcp/1",
    ];
    let run = Zone::default()
        .txt("a.org", junk)
        .follow(&["/dnsaddr/a.org"], None);
    assert!(run.found.is_empty());
    assert_eq!(
        run.failed,
        [("/dnsaddr/a.org".to_owned(), NameError::NoRecords)]
    );
    // Junk takes nobody's place.
    let some = junk.iter().copied().cycle().take(10_000);
    let some = some.chain(["dnsaddr=/ip4/1.1.1.1/tcp/1"]);
    let run = Zone::default()
        .txt("a.org", some)
        .follow(&["/dnsaddr/a.org"], None);
    assert_eq!(run.found.len(), 1);
}

#[test]
fn a_name_that_leads_nowhere_says_why() {
    let zone = Zone::default()
        .ip("v4.org", &["1.2.3.4"])
        .ip("none.org", &[]);
    let long = format!("/dns4/{}/tcp/1", "a".repeat(254));
    let resolver = NameError::Resolver("no such name".to_owned());
    let cases = [
        ("/dns4/unknown.org/tcp/1", resolver.clone()),
        ("/dnsaddr/unknown.org", resolver),
        ("/dns6/v4.org/tcp/1", NameError::NoRecords),
        ("/dns/none.org/tcp/1", NameError::NoRecords),
        (&long, NameError::NotAName),
    ];
    for (address, error) in cases {
        let run = zone.follow(&[address], None);
        assert_eq!(run.failed, [(address.to_owned(), error)]);
        assert!(run.found.is_empty());
    }
}

#[test]
fn the_same_name_is_asked_for_once() {
    let zone = Zone::default().ip("a.org", &["1.2.3.4"]);
    let addresses = [
        "/dns4/a.org/tcp/1",
        "/dns4/a.org/udp/1/quic-v1",
        "/dns4/a.org/tcp/2/ws",
    ];
    let run = zone.follow(&addresses, None);
    assert_eq!((run.found.len(), run.asked.len()), (3, 1));
}

#[test]
fn names_behind_a_relay_are_the_relays_to_look_up() {
    let relay = peer(9);
    let address = format!("/ip4/1.1.1.1/tcp/1/p2p/{relay}/p2p-circuit/dns4/a.org");
    assert!(!is_name(&address.parse().unwrap()));
    assert!(is_name(&"/dns4/a.org/tcp/1".parse().unwrap()));
}

proptest! {
    // P-06: whatever the records are, and however they refer to each other.
    #[test]
    fn any_zone_is_followed_within_the_limits(
        zone in prop::collection::vec(prop::collection::vec((0..8_u8, 0..12_u8), 0..40), 8),
        given in prop::collection::vec((0..8_u8, 0..12_u8), 1..4),
        wanted in any::<bool>(),
    ) {
        let text = |(kind, n): (u8, u8)| match kind {
            0 => format!("/ip4/1.1.1.{n}/tcp/1"),
            1 => format!("/dns4/h{n}.org/tcp/1"),
            2 => format!("/ip4/2.2.2.{n}/tcp/1/p2p/{}", peer(2)),
            3 => format!("/ip4/3.3.3.{n}/tcp/1/p2p/{}", peer(3)),
            4 => format!("/dnsaddr/n{n}.org/p2p/{}", peer(2)),
            _ => format!("/dnsaddr/n{n}.org"),
        };
        let mut names = Zone::default();
        for (n, records) in zone.into_iter().enumerate() {
            let records = records.into_iter().map(|record| format!("dnsaddr={}", text(record)));
            let hosts = ["9.9.9.9", "8.8.8.8"];
            names = names.txt(&format!("n{n}.org"), records).ip(&format!("h{n}.org"), &hosts);
        }
        let given: Vec<_> = given.into_iter().map(text).collect();
        let given: Vec<_> = given.iter().map(String::as_str).collect();
        let run = names.follow(&given, wanted.then(|| peer(2)));
        prop_assert!(run.asked.len() <= 32 && run.found.len() <= 100);
        let distinct: BTreeSet<_> = run.asked.iter().collect();
        prop_assert_eq!(distinct.len(), run.asked.len());
        let told = |at: &&str| run.failed.iter().any(|(failed, _)| failed == at);
        // Nothing that was asked for is lost without a word.
        prop_assert!(!run.found.is_empty() || given.iter().all(told));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    // What a TXT record holds is parsed; whatever it is, it is an address or it is dropped.
    #[test]
    fn any_text_in_a_record_is_an_address_or_dropped(
        words in prop::collection::vec((0..WORDS.len(), "[ -~]{0,9}|[a-z2-7]{40,60}|\\PC{0,9}"), 1..6),
    ) {
        let text: String = words.iter().map(|(at, value)| format!("/{}/{value}", WORDS[*at])).collect();
        let bare: String = words.iter().map(|(at, _)| format!("/{}", WORDS[*at])).collect();
        let records = [format!("dnsaddr={text}"), format!("dnsaddr={bare}"), text];
        let zone = Zone::default().txt("a.org", records).ip("a.org", &["1.2.3.4"]);
        let run = zone.follow(&["/dnsaddr/a.org"], None);
        prop_assert!(run.found.len() + run.failed.len() > 0);
        for found in run.found {
            prop_assert!(found.parse::<Multiaddr>().is_ok(), "{}", found);
        }
    }
}

const WORDS: [&str; 28] = [
    "ip4",
    "ip6",
    "ip6zone",
    "ipcidr",
    "dns",
    "dns4",
    "dns6",
    "dnsaddr",
    "tcp",
    "udp",
    "p2p",
    "ipfs",
    "p2p-circuit",
    "quic-v1",
    "webtransport",
    "certhash",
    "webrtc-direct",
    "ws",
    "wss",
    "x-parity-ws",
    "x-parity-wss",
    "tls",
    "sni",
    "http-path",
    "unix",
    "onion3",
    "garlic64",
    "memory",
];
