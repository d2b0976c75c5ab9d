//! What peers say of themselves and of us: identify, pushes, observed addresses.

use carrick_wire::{ProtocolId, peer_record::PeerRecord};
use identify::Info;

use carrick_protocols::identify::PUSH_PROTOCOL;

use super::*;

const AT: &str = "/ip4/5.5.5.5/tcp/5";
const A: &str = "/ip4/1.1.1.1/tcp/1";
const B: &str = "/ip4/2.2.2.2/tcp/2";

fn info() -> Info {
    Info {
        listen_addresses: vec![address(A)],
        protocols: vec![ProtocolId::from_static("/echo/1.0.0"), PUSH_PROTOCOL],
        agent: Some("other/1".into()),
        ..Info::default()
    }
}

pub(super) fn record(seq: u64, at: &str) -> Info {
    Info {
        signed_addresses: Some(PeerRecord {
            peer: peer(2),
            seq,
            addresses: vec![address(at)],
        }),
        ..info()
    }
}

fn pushes(actions: &[Action]) -> usize {
    let push = |action: &&Action| matches!(action, Action::PushIdentify { .. });
    actions.iter().filter(push).count()
}

fn identifies(actions: &[Action]) -> usize {
    let identify = |action: &&Action| matches!(action, Action::Identify { .. });
    actions.iter().filter(identify).count()
}

#[test]
fn every_new_connection_is_asked_and_the_answer_is_remembered() {
    let mut node = Node::new(Config::default());
    let (connection, actions) = node.inbound(peer(2), AT);
    assert_eq!(identifies(&actions), 1);
    let actions = node.event(Event::Identified {
        connection,
        info: info(),
    });
    assert!(matches!(notices(&actions)[..], [Notice::Identified { .. }]));
    let store = node.swarm.peer_store();
    assert_eq!(store.protocols(&peer(2)), info().protocols);
    assert_eq!(store.agent(&peer(2)), Some("other/1"));
    assert_eq!(store.addresses(&peer(2), node.now), [address(A)]);
}

#[test]
fn a_push_with_missing_fields_keeps_the_old_values() {
    let mut node = Node::new(Config::default());
    let (connection, _) = node.inbound(peer(2), AT);
    node.event(Event::Identified {
        connection,
        info: info(),
    });
    let agent = Some("other/2".to_owned());
    let pushed = Info {
        agent,
        ..Info::default()
    };
    node.event(Event::Pushed {
        connection,
        info: pushed,
    });
    let store = node.swarm.peer_store();
    assert_eq!(store.agent(&peer(2)), Some("other/2"));
    assert_eq!(store.protocols(&peer(2)), info().protocols);
    assert_eq!(store.addresses(&peer(2), node.now), [address(A)]);
}

#[test]
fn a_flood_of_pushes_is_ignored_and_its_last_word_is_asked_for_once() {
    let mut node = Node::new(Config::default());
    let (connection, _) = node.inbound(peer(2), AT);
    let push = || Event::Pushed {
        connection,
        info: info(),
    };
    for _ in 0..10 {
        assert_eq!(notices(&node.event(push())).len(), 1);
    }
    for _ in 0..1000 {
        assert!(node.event(push()).is_empty());
    }
    assert_eq!(node.swarm.counters().pushes_ignored, 1000);
    assert_eq!(identifies(&node.pass(millis(4_999))), 0);
    assert_eq!(identifies(&node.pass(millis(1))), 1);
    assert_eq!(
        notices(&node.event(push())).len(),
        1,
        "one per five seconds"
    );
    assert!(node.event(push()).is_empty());
    node.closed(connection);
    node.assert_empty();
}

#[test]
fn a_signed_record_replaces_unsigned_addresses_and_an_older_one_is_refused() {
    let mut node = Node::new(Config::default());
    let (connection, _) = node.inbound(peer(2), AT);
    let known = |node: &Node| node.swarm.peer_store().addresses(&peer(2), node.now);
    node.event(Event::Identified {
        connection,
        info: info(),
    });
    assert_eq!(known(&node), [address(A)]);
    node.event(Event::Identified {
        connection,
        info: record(7, B),
    });
    assert_eq!(known(&node), [address(B)]);
    node.event(Event::Identified {
        connection,
        info: record(6, A),
    });
    assert_eq!(known(&node), [address(B)], "an older record");
    assert_eq!(node.swarm.counters().records_refused, 1);
    node.event(Event::Identified {
        connection,
        info: info(),
    });
    assert_eq!(known(&node), [address(B)], "a record is worth more");
    node.event(Event::Identified {
        connection,
        info: record(8, A),
    });
    assert_eq!(known(&node), [address(A)]);
}

#[test]
fn a_signed_record_does_not_replace_where_we_have_reached_the_peer() {
    let mut node = Node::new(Config::default());
    let (_, actions) = node.connect(peer(2), &[A]);
    let (connection, _) = node.dialed(dials(&actions)[0].0, peer(2));
    node.event(Event::Identified {
        connection,
        info: record(1, B),
    });
    let known = node.swarm.peer_store().addresses(&peer(2), node.now);
    assert_eq!(known, [address(A), address(B)]);
}

#[test]
fn an_address_that_cannot_be_reached_from_where_the_peer_is_heard_is_not_believed() {
    let all = ["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.1/tcp/1", A];
    let said = Info {
        listen_addresses: all.map(address).to_vec(),
        ..Info::default()
    };
    for (remote, kept) in [
        ("/ip4/127.0.0.1/tcp/9", 3),
        ("/ip4/10.0.0.1/tcp/9", 2),
        (AT, 1),
    ] {
        let mut node = Node::new(Config::default());
        let (connection, _) = node.inbound(peer(2), remote);
        node.event(Event::Identified {
            connection,
            info: said.clone(),
        });
        let known = node.swarm.peer_store().addresses(&peer(2), node.now);
        assert_eq!(
            known,
            all[3 - kept..]
                .iter()
                .map(|a| address(a))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_change_of_ours_is_pushed_once_to_each_peer_who_takes_pushes() {
    let mut node = Node::new(Config::default());
    for (n, protocols) in [
        (2, vec![PUSH_PROTOCOL]),
        (3, vec![identify::PROTOCOL]),
        (4, vec![]),
    ] {
        let (connection, _) = node.inbound(peer(n), AT);
        let info = Info {
            protocols,
            ..Info::default()
        };
        node.event(Event::Identified { connection, info });
    }
    node.inbound(peer(2), AT);
    for _ in 0..5 {
        assert!(node.event(Event::ProtocolsChanged).is_empty());
    }
    node.event(Event::Listening {
        address: address(A),
    });
    assert_eq!(pushes(&node.pass(millis(99))), 0);
    assert_eq!(pushes(&node.pass(millis(1))), 2, "the peers 2 and 4");
    assert_eq!(pushes(&node.pass(seconds(60))), 0);
}

#[test]
fn our_own_pushes_keep_to_the_pace_that_others_grant() {
    let mut node = Node::new(Config::default());
    node.inbound(peer(2), AT);
    let mut pushed = 0;
    for _ in 0..100 {
        node.event(Event::ProtocolsChanged);
        pushed += pushes(&node.pass(millis(100)));
    }
    assert!((10..=12).contains(&pushed), "{pushed} in ten seconds");
    node.event(Event::ProtocolsChanged);
    assert_eq!(pushes(&node.pass(seconds(6))), 1, "the last change is told");
}

#[test]
fn an_address_of_ours_is_believed_when_four_networks_vouch_for_it_and_only_so_long() {
    let mut node = Node::new(Config::default());
    let observed = |at: &str| Info {
        observed_address: Some(address(at)),
        ..Info::default()
    };
    // One network is one witness, however many peers it has.
    for n in 10..16 {
        let (connection, _) = node.inbound(peer(n), &format!("/ip4/6.6.6.{n}/tcp/1"));
        node.event(Event::Identified {
            connection,
            info: observed(A),
        });
    }
    // A liar, and a connection that we dialed, where a port of the moment is seen.
    let (connection, _) = node.inbound(peer(20), "/ip4/6.6.6.7/tcp/1");
    node.event(Event::Identified {
        connection,
        info: observed(B),
    });
    let (_, actions) = node.connect(peer(21), &["/ip4/6.6.6.8/tcp/1"]);
    let (connection, _) = node.dialed(dials(&actions)[0].0, peer(21));
    node.event(Event::Identified {
        connection,
        info: observed(A),
    });
    let mut last = None;
    for n in 2..5 {
        assert_eq!(node.swarm.external_addresses().count(), 0);
        let (connection, _) = node.inbound(peer(n), &format!("/ip4/6.6.{n}.1/tcp/1"));
        let actions = node.event(Event::Identified {
            connection,
            info: observed(A),
        });
        last = Some((connection, actions));
    }
    let (connection, actions) = last.unwrap();
    assert!(matches!(
        notices(&actions)[..],
        [
            Notice::ExternalAddress { .. },
            Notice::AddressesChanged,
            Notice::Identified { .. }
        ]
    ));
    assert_eq!(
        node.swarm.external_addresses().collect::<Vec<_>>(),
        [&address(A)]
    );
    assert_eq!(failure(&node.connect(None, &[A]).1), DialError::LocalPeer);
    assert_eq!(node.swarm.told_addresses(), [address(A)]);
    let actions = node.closed(connection);
    let notices = notices(&actions);
    assert!(
        matches!(
            notices[notices.len() - 2..],
            [
                Notice::ExternalAddressExpired { .. },
                Notice::AddressesChanged
            ]
        ),
        "{notices:?}"
    );
    assert_eq!(node.swarm.external_addresses().count(), 0);
    assert_eq!(node.swarm.told_addresses(), []);
}

#[test]
fn a_thousand_liars_in_one_network_convince_nobody() {
    let mut node = Node::new(Config {
        connections_inbound_max: 2000,
        connections_per_ip_max: 2000,
        connections_per_site_max: 2000,
        connection_burst_per_ip: 2000,
        connection_burst_per_site: 2000,
        ..Config::default()
    });
    for n in 0..1000_u64 {
        node.pass(seconds(1));
        let at = match n % 2 {
            0 => format!("/ip4/6.6.6.{}/tcp/{}", n % 256, 1024 + n),
            _ => format!("/ip6/2001:db8:6:{n:x}::{n:x}/tcp/1"),
        };
        let (connection, _) = node.inbound(PeerId::random(), &at);
        let info = Info {
            observed_address: Some(address(A)),
            ..Info::default()
        };
        node.event(Event::Identified { connection, info });
    }
    assert_eq!(node.swarm.external_addresses().count(), 0);
    assert_eq!(node.swarm.told_addresses(), []);
}

#[test]
fn a_confirmed_address_is_pushed_and_so_is_its_end() {
    let mut node = Node::new(Config::default());
    let mut last = None;
    for n in 2..6 {
        let (connection, _) = node.inbound(peer(n), &format!("/ip4/6.6.{n}.1/tcp/1"));
        let info = Info {
            observed_address: Some(address(A)),
            ..Info::default()
        };
        assert_eq!(pushes(&node.pass(seconds(1))), 0);
        node.event(Event::Identified { connection, info });
        last = Some(connection);
    }
    assert_eq!(pushes(&node.pass(seconds(1))), 4);
    node.closed(last.unwrap());
    assert_eq!(pushes(&node.pass(seconds(1))), 3);
}

#[test]
fn what_the_user_announces_is_told_first_or_alone_and_leads_to_ourselves() {
    let mut node = Node::new(Config::default());
    node.inbound(peer(2), AT);
    node.event(Event::Listening {
        address: address(B),
    });
    node.pass(seconds(1));
    let now = node.now;
    node.swarm.announce(now, address(A));
    node.swarm.announce(now, address(A));
    assert_eq!(node.swarm.told_addresses(), [address(A), address(B)]);
    assert_eq!(notices(&node.drain()).len(), 1, "once is news");
    assert_eq!(pushes(&node.pass(seconds(1))), 1);
    assert_eq!(failure(&node.connect(None, &[A]).1), DialError::LocalPeer);
    node.swarm.announce_only(now, true);
    assert_eq!(node.swarm.told_addresses(), [address(A)]);
    assert_eq!(pushes(&node.pass(seconds(1))), 1);
    assert!(node.swarm.retract(now, address(A)));
    assert!(!node.swarm.retract(now, address(A)));
    assert_eq!(node.swarm.told_addresses(), []);
    node.swarm.announce_only(now, false);
    assert_eq!(node.swarm.told_addresses(), [address(B)]);
}

#[test]
fn those_whom_we_dialed_from_a_listeners_port_are_witnesses_too() {
    const QUIC: &str = "udp/4001/quic-v1";
    const TCP: &str = "tcp/4001";
    let count = |listen: &str, rest: &str, tcp_port_reused: bool| {
        let mut node = Node::new(Config {
            tcp_port_reused,
            ..Config::default()
        });
        let listen = address(listen);
        node.event(Event::Listening { address: listen });
        for n in 2..6_u8 {
            let at = format!("/ip4/6.6.{n}.1/{rest}");
            let (_, actions) = node.connect(peer(n), &[&at]);
            let origin = Origin::Attempt(dials(&actions)[0].0);
            let (connection, _) = node.established(peer(n), &at, origin);
            let info = Info {
                observed_address: Some(address(&format!("/ip4/9.9.9.9/{rest}"))),
                ..Info::default()
            };
            node.event(Event::Identified { connection, info });
        }
        node.swarm.external_addresses().count()
    };
    assert_eq!(count("/ip4/192.168.1.1/udp/4001/quic-v1", QUIC, false), 1);
    assert_eq!(count("/ip4/192.168.1.1/tcp/4001", TCP, true), 1);
    // From elsewhere they see a port of the moment.
    assert_eq!(count("/ip4/192.168.1.1/tcp/4001", TCP, false), 0);
    assert_eq!(count("/ip4/192.168.1.1/tcp/4001", QUIC, true), 0);
    assert_eq!(count("/ip6/2001:db8::1/udp/4001/quic-v1", QUIC, false), 0);
    assert_eq!(count("/ip4/127.0.0.1/udp/4001/quic-v1", QUIC, false), 0);
}

#[test]
fn what_is_said_on_a_connection_that_is_gone_is_not_heard() {
    let mut node = Node::new(Config::default());
    let (connection, _) = node.inbound(peer(2), AT);
    node.closed(connection);
    assert!(
        node.event(Event::Identified {
            connection,
            info: info()
        })
        .is_empty()
    );
    assert!(
        node.event(Event::Pushed {
            connection,
            info: info()
        })
        .is_empty()
    );
    assert!(node.swarm.peer_store().protocols(&peer(2)).is_empty());
}
