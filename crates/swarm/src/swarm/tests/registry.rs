//! Every limit of the swarm at N, at N + 1 and after release. A limit without a scenario does not compile.

use super::*;
use crate::{
    kept::KeepError,
    limits::{Limit, LimitReached, Usage},
    reputation::Behaviour,
    tags::TagError,
};

/// How a limit is reached.
struct Scenario {
    /// Sets the limit to [`Scenario::max`].
    set: fn(&mut Config, usize),
    /// How many uses fill it.
    fill: usize,
    max: usize,
    kind: Kind,
    /// The nth use; what refused it.
    take: fn(&mut World, usize) -> Option<LimitReached>,
    /// Ends the first use.
    release: fn(&mut World),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The next use is refused.
    Refuses,
    /// As that, and `take` is n uses in one, which do not last.
    RefusesAtOnce,
    /// The next use is dropped, or an older one makes room.
    GivesWay,
    /// As that, and `take` is n uses in one, which do not last.
    DropsAtOnce,
    /// The next use waits.
    Waits,
}

struct World {
    node: Node,
    pending: Vec<PendingId>,
    open: Vec<ConnectionId>,
    waiters: Vec<WaiterId>,
    attempts: Vec<AttemptId>,
}

impl World {
    fn admit(&mut self, at: &str) -> Option<LimitReached> {
        match self.node.admit(at) {
            Ok(pending) => self.pending.push(pending),
            Err(Refused::LimitReached(reached)) => return Some(reached),
            Err(other) => panic!("{other}"),
        }
        None
    }

    fn fail_pending(&mut self) {
        let pending = self.pending.remove(0);
        self.node.event(Event::PendingFailed { pending });
    }

    /// Comes and goes.
    fn visit(&mut self, at: &str) -> Option<LimitReached> {
        let refused = self.admit(at);
        if refused.is_none() {
            self.fail_pending();
        }
        refused
    }

    fn inbound(&mut self, who: u8, at: &str) -> Option<LimitReached> {
        let refused = self.admit(at);
        if let Some(pending) = self.pending.pop() {
            let origin = Origin::Pending(pending);
            self.open
                .push(self.node.established(peer(who), at, origin).0);
        }
        refused
    }

    fn close(&mut self) {
        let open = self.open.remove(0);
        self.node.closed(open);
    }

    /// Dials, and ends with a connection if a dial begins.
    fn dial(&mut self, who: u8) -> Option<LimitReached> {
        let options = DialOptions {
            force_new: true,
            ..DialOptions::default()
        };
        let at = format!("/ip4/1.1.1.{who}/tcp/1");
        let (_, mut actions) = self.node.connect_with(peer(who), &[&at], options);
        if let [(attempt, _)] = dials(&actions)[..] {
            let (connection, more) = self.node.dialed(attempt, peer(who));
            actions = more;
            if closes(&actions).is_empty() {
                self.open.push(connection);
            }
        }
        refusal(&actions)
    }

    /// Begins a dial to n addresses and lets it fail; whatever is asked for is answered.
    fn dial_all(
        &mut self,
        addresses: &[String],
        answer: impl Fn(&Query) -> Answer,
    ) -> Option<LimitReached> {
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        let (_, mut actions) = self.node.connect(peer(9), &addresses);
        while resolved(&actions).is_empty() {
            let mut next = Vec::new();
            for (lookup, query) in lookups(&actions) {
                next.extend(self.node.answer(lookup, Ok(answer(&query))));
            }
            for (attempt, _) in dials(&actions) {
                next.extend(self.node.fail(attempt));
            }
            actions = next;
        }
        refusal(&actions)
    }

    fn tag(&mut self, who: u8, n: usize) -> Option<LimitReached> {
        let (swarm, tag) = (&mut self.node.swarm, Tag::fixed(1));
        match swarm.tag(self.node.now, peer(who), &n.to_string(), tag) {
            Err(TagError::LimitReached(reached)) => Some(reached),
            other => other.map(|()| None).unwrap(),
        }
    }

    fn set_value(&mut self, n: usize, value: Option<Vec<u8>>) -> Option<LimitReached> {
        let (now, name) = (self.node.now, n.to_string());
        let set = self.node.swarm.set_peer_metadata(now, peer(2), name, value);
        set.err()
    }

    /// Dials, in vain, where others say that a peer is.
    fn dial_hearsay(&mut self, n: usize) -> Option<LimitReached> {
        let (who, at) = (peer(small(n + 1)), format!("/ip4/1.1.1.{n}/tcp/1"));
        self.node.learns_from(who, &[&at], Source::Discovery, None);
        let (_, actions) = self.node.connect(who, &[]);
        for (attempt, _) in dials(&actions) {
            self.node.fail(attempt);
        }
        None
    }

    fn begin_dial(&mut self, n: u8) -> Option<LimitReached> {
        let (waiter, actions) = self
            .node
            .connect(peer(n), &[&format!("/ip4/1.1.1.{n}/tcp/1")]);
        self.waiters.push(waiter);
        refusal(&actions)
    }
}

/// Which limit a dial has failed of, or one of its addresses.
fn refusal(actions: &[Action]) -> Option<LimitReached> {
    let of_attempt = |(_, error): &(Multiaddr, AttemptError)| match error {
        AttemptError::Skipped(Skip::LimitReached(reached))
        | AttemptError::Name(NameError::LimitReached(reached)) => Some(*reached),
        _ => None,
    };
    resolved(actions)
        .iter()
        .find_map(|(_, result)| match result {
            Err(DialError::LimitReached(reached)) => Some(*reached),
            Err(DialError::Failed { attempts, .. }) => attempts.iter().find_map(of_attempt),
            _ => None,
        })
}

fn texts(n: usize, text: impl Fn(usize) -> String) -> Answer {
    Answer::Txt((0..n).map(text).collect())
}

fn addresses(n: usize, text: impl Fn(usize) -> String) -> Vec<String> {
    (1..=n).map(text).collect()
}

fn learn(world: &mut World, who: u8, n: usize) {
    let at = format!("/ip4/9.9.9.{n}/tcp/1");
    world.node.learns(peer(who), &[&at]);
}

fn small(n: usize) -> u8 {
    u8::try_from(n).unwrap()
}

const DAY: Duration = seconds(25 * 60 * 60);
/// What the peer store counts for a peer with one address.
const PEER_BYTES: usize = 512 + 64 + 8;

/// As most of them are.
const TWICE: Scenario = Scenario {
    set: |_, _| {},
    fill: 2,
    max: 2,
    kind: Kind::Refuses,
    take: |_, _| None,
    release: |_| {},
};

/// `None`: the limit is the shell's.
fn scenario(limit: Limit) -> Option<Scenario> {
    Some(match limit {
        Limit::ConnectionsInbound
        | Limit::ConnectionsOutbound
        | Limit::ConnectionsPending
        | Limit::ConnectionsPerPeer
        | Limit::ConnectionsPerIp
        | Limit::ConnectionsPerSite
        | Limit::ConnectionRatePerIp
        | Limit::ConnectionRatePerSite
        | Limit::ConnectionRateSubnets => of_connections(limit),
        Limit::Dials
        | Limit::DialAddresses
        | Limit::DialAttempts
        | Limit::DialBackoffs
        | Limit::HearsayDials => of_dials(limit),
        Limit::NameDepth
        | Limit::NameLookups
        | Limit::NameRecords
        | Limit::NameRecordBytes
        | Limit::NameAddresses => of_names(limit),
        Limit::Peers
        | Limit::PeersBytes
        | Limit::PeerAddresses
        | Limit::PeerAddressesConnected
        | Limit::PeerValues
        | Limit::PeerValuesBytes => of_peers(limit),
        Limit::FileDescriptors
        | Limit::Memory
        | Limit::MemoryPerPeer
        | Limit::ReceiveWindows
        | Limit::SendBuffer
        | Limit::StreamsInbound
        | Limit::StreamsInboundPerPeer
        | Limit::StreamsInboundPerProtocol
        | Limit::StreamsInboundPerConnection
        | Limit::StreamsOutboundPerConnection
        | Limit::Negotiations
        | Limit::NegotiationsPerConnection
        | Limit::HandlersPerProtocol
        | Limit::QueuePerProtocol
        | Limit::RequestsInboundPerPeer
        | Limit::RequestBytesPerPeer
        | Limit::RequestRatePerPeer
        | Limit::RequestsOutboundPerPeer
        | Limit::RequestsQueuedPerPeer
        | Limit::Events => return None,
        Limit::Scores | Limit::Bans => of_reputation(limit),
        Limit::TagsPerPeer | Limit::TaggedPeers | Limit::KeptPeers => of_tags(limit),
    })
}

fn of_reputation(limit: Limit) -> Scenario {
    let forgive = |world: &mut World| {
        let now = world.node.now;
        world.node.swarm.unban(now, &peer(3).into());
        world.node.swarm.unban(now, &peer(4).into());
    };
    match limit {
        Limit::Scores => Scenario {
            set: |config, max| config.scores_max = max,
            kind: Kind::GivesWay,
            take: |world, n| {
                let (swarm, who) = (&mut world.node.swarm, peer(small(n + 1)));
                swarm.record_behaviour(world.node.now, who, Behaviour::Slow, "a test");
                None
            },
            release: forgive,
            ..TWICE
        },
        _ => Scenario {
            set: |config, max| config.bans_max = max,
            kind: Kind::GivesWay,
            take: |world, n| {
                let (swarm, who) = (&mut world.node.swarm, peer(small(n + 1)));
                swarm.ban(world.node.now, who.into(), None, String::new());
                None
            },
            release: forgive,
            ..TWICE
        },
    }
}

fn of_connections(limit: Limit) -> Scenario {
    match limit {
        Limit::ConnectionsInbound => Scenario {
            set: |config, max| config.connections_inbound_max = max,
            take: |world, n| world.inbound(small(n + 1), &format!("/ip4/1.0.0.{n}/tcp/1")),
            release: World::close,
            ..TWICE
        },
        Limit::ConnectionsOutbound => Scenario {
            set: |config, max| config.connections_outbound_max = max,
            take: |world, n| world.dial(small(n + 1)),
            release: World::close,
            ..TWICE
        },
        Limit::ConnectionsPending => Scenario {
            set: |config, max| config.pending_inbound_max = max,
            take: |world, n| world.admit(&format!("/ip4/1.0.0.{n}/tcp/1")),
            release: World::fail_pending,
            ..TWICE
        },
        Limit::ConnectionsPerPeer => Scenario {
            set: |config, max| config.connections_per_peer_max = max,
            take: |world, _| world.dial(2),
            release: World::close,
            ..TWICE
        },
        Limit::ConnectionsPerIp => Scenario {
            set: |config, max| config.connections_per_ip_max = max,
            take: |world, n| world.inbound(small(n + 1), "/ip4/1.0.0.1/tcp/1"),
            release: World::close,
            ..TWICE
        },
        Limit::ConnectionsPerSite => Scenario {
            set: |config, max| config.connections_per_site_max = max,
            take: |world, n| {
                world.inbound(small(n + 1), &format!("/ip6/2001:db8:1:{n}00::1/tcp/1"))
            },
            release: World::close,
            ..TWICE
        },
        Limit::ConnectionRatePerIp => Scenario {
            set: |config, max| config.connection_burst_per_ip = max,
            take: |world, _| world.visit("/ip4/1.0.0.1/tcp/1"),
            release: |world| drop(world.node.pass(seconds(5))),
            ..TWICE
        },
        Limit::ConnectionRatePerSite => Scenario {
            set: |config, max| config.connection_burst_per_site = max,
            take: |world, n| world.visit(&format!("/ip6/2001:db8:1:{n}00::1/tcp/1")),
            release: |world| drop(world.node.pass(seconds(2))),
            ..TWICE
        },
        _ => Scenario {
            set: |config, max| config.connection_rate_subnets_max = max,
            kind: Kind::GivesWay,
            take: |world, n| world.visit(&format!("/ip4/1.0.0.{n}/tcp/1")),
            release: |world| drop(world.node.pass(seconds(5))),
            ..TWICE
        },
    }
}

fn of_dials(limit: Limit) -> Scenario {
    match limit {
        Limit::Dials => Scenario {
            set: |config, max| config.dials_max = max,
            take: |world, n| world.begin_dial(small(n + 1)),
            release: |world| {
                let waiter = world.waiters.remove(0);
                world.node.event(Event::Cancel { waiter });
            },
            ..TWICE
        },
        Limit::DialAddresses => Scenario {
            set: |config, max| config.dial_addresses_max = max,
            kind: Kind::RefusesAtOnce,
            take: |world, n| {
                let all = addresses(n, |n| format!("/ip4/1.0.0.{n}/tcp/1"));
                world.dial_all(&all, |_| Answer::Ip(Vec::new()))
            },
            ..TWICE
        },
        Limit::DialAttempts => Scenario {
            set: |config, max| config.attempts_per_peer_max = max,
            kind: Kind::Waits,
            take: |world, n| {
                let at = format!("/ip4/1.0.0.{n}/tcp/1");
                let mut actions = world.node.connect(peer(2), &[&at]).1;
                actions.extend(world.node.pass(seconds(1)));
                world
                    .attempts
                    .extend(dials(&actions).iter().map(|(attempt, _)| *attempt));
                None
            },
            release: |world| {
                let attempt = world.attempts.remove(0);
                let actions = world.node.fail(attempt);
                assert_eq!(dials(&actions).len(), 1, "the one that has waited");
            },
            ..TWICE
        },
        Limit::HearsayDials => Scenario {
            set: |config, max| config.hearsay_dials_max = max,
            kind: Kind::GivesWay,
            take: World::dial_hearsay,
            release: |world| drop(world.node.pass(seconds(10))),
            ..TWICE
        },
        _ => Scenario {
            set: |config, max| config.backoffs_max = max,
            kind: Kind::GivesWay,
            take: |world, n| {
                world.begin_dial(small(n + 1));
                let actions = world.node.pass(seconds(15));
                assert_eq!(resolved(&actions).len(), 1);
                None
            },
            release: |world| {
                // The one that failed last, as the one before it may be forgotten already.
                world.inbound(4, "/ip4/1.0.0.1/tcp/1");
                world.close();
            },
            ..TWICE
        },
    }
}

fn of_names(limit: Limit) -> Scenario {
    match limit {
        Limit::NameDepth => Scenario {
            set: |config, max| config.name_depth_max = max,
            kind: Kind::RefusesAtOnce,
            take: |world, n| {
                let first = format!("/dnsaddr/{n}.org");
                world.dial_all(&[first], |query| {
                    let Query::Txt { name } = query else {
                        panic!("{query:?}")
                    };
                    let left: usize = name["_dnsaddr.".len()..name.len() - 4].parse().unwrap();
                    texts(1, |_| match left {
                        1 => "dnsaddr=/ip4/1.0.0.1/tcp/1".to_owned(),
                        _ => format!("dnsaddr=/dnsaddr/{}.org", left - 1),
                    })
                })
            },
            ..TWICE
        },
        Limit::NameLookups => Scenario {
            set: |config, max| config.name_lookups_max = max,
            kind: Kind::RefusesAtOnce,
            take: |world, n| {
                let all = addresses(n, |n| format!("/dns4/{n}.org/tcp/1"));
                world.dial_all(&all, |_| Answer::Ip(Vec::new()))
            },
            ..TWICE
        },
        Limit::NameRecords => Scenario {
            set: |config, max| config.name_records_max = max,
            kind: Kind::DropsAtOnce,
            take: |world, n| {
                let all = ["/dnsaddr/a.org".to_owned()];
                world.dial_all(&all, |_| {
                    texts(n, |n| format!("dnsaddr=/ip4/1.0.0.{n}/tcp/1"))
                })
            },
            ..TWICE
        },
        Limit::NameRecordBytes => Scenario {
            set: |config, max| config.name_record_bytes_max = max,
            fill: 30,
            max: 30,
            kind: Kind::DropsAtOnce,
            take: |world, n| {
                let all = ["/dnsaddr/a.org".to_owned()];
                world.dial_all(&all, |_| {
                    texts(1, |_| format!("{:n$}", "dnsaddr=/ip4/1.0.0.1/tcp/1"))
                })
            },
            ..TWICE
        },
        _ => Scenario {
            set: |config, max| config.name_addresses_max = max,
            kind: Kind::RefusesAtOnce,
            take: |world, n| {
                let ips = (1..=n).map(|n| [1, 0, 0, small(n)].into());
                let ips = Answer::Ip(ips.collect());
                world.dial_all(&["/dns4/a.org/tcp/1".to_owned()], |_| ips.clone())
            },
            ..TWICE
        },
    }
}

fn of_peers(limit: Limit) -> Scenario {
    let expire = |world: &mut World| drop(world.node.pass(DAY));
    match limit {
        Limit::Peers => Scenario {
            set: |config, max| config.peers_max = max,
            kind: Kind::GivesWay,
            take: |world, n| {
                learn(world, small(n + 1), 1);
                None
            },
            release: expire,
            ..TWICE
        },
        Limit::PeersBytes => Scenario {
            set: |config, max| config.peers_bytes_max = max,
            max: 2 * PEER_BYTES,
            kind: Kind::GivesWay,
            take: |world, n| {
                learn(world, small(n + 1), 1);
                None
            },
            release: expire,
            ..TWICE
        },
        Limit::PeerAddresses => Scenario {
            set: |config, max| config.addresses_max = max,
            kind: Kind::GivesWay,
            take: |world, n| {
                learn(world, 2, n);
                None
            },
            release: expire,
            ..TWICE
        },
        Limit::PeerValues => Scenario {
            set: |config, max| config.metadata_values_max = max,
            take: |world, n| world.set_value(n, Some(vec![0; 9])),
            release: |world| assert_eq!(world.set_value(1, None), None),
            ..TWICE
        },
        Limit::PeerValuesBytes => Scenario {
            set: |config, max| config.metadata_bytes_max = max,
            max: 20,
            take: |world, n| world.set_value(n, Some(vec![0; 9])),
            release: |world| assert_eq!(world.set_value(1, None), None),
            ..TWICE
        },
        _ => Scenario {
            set: |config, max| config.addresses_connected_max = max,
            kind: Kind::GivesWay,
            take: |world, n| {
                if world.open.is_empty() {
                    world.inbound(2, "/ip4/1.0.0.1/tcp/1");
                }
                learn(world, 2, n);
                None
            },
            release: |world| {
                world.close();
                world.node.pass(DAY);
            },
            ..TWICE
        },
    }
}

fn of_tags(limit: Limit) -> Scenario {
    match limit {
        Limit::TagsPerPeer => Scenario {
            set: |config, max| config.tags_per_peer_max = max,
            take: |world, n| world.tag(2, n),
            release: |world| assert!(world.node.swarm.untag(&peer(2), "1")),
            ..TWICE
        },
        Limit::TaggedPeers => Scenario {
            set: |config, max| config.tagged_peers_max = max,
            take: |world, n| world.tag(small(n + 1), 1),
            release: |world| assert!(world.node.swarm.untag(&peer(2), "1")),
            ..TWICE
        },
        _ => Scenario {
            set: |config, max| config.kept_peers_max = max,
            take: |world, n| {
                let (swarm, who) = (&mut world.node.swarm, peer(small(n + 1)));
                match swarm.keep_connected(world.node.now, who, Vec::new(), 1) {
                    Err(KeepError::LimitReached(reached)) => Some(reached),
                    other => other.map(|()| None).unwrap(),
                }
            },
            release: |world| assert!(world.node.swarm.stop_keeping(&peer(2))),
            ..TWICE
        },
    }
}

fn usage(world: &World, limit: Limit) -> Usage {
    let all = world.node.swarm.limits(world.node.now);
    *all.iter().find(|usage| usage.limit == limit).unwrap()
}

#[test]
fn every_limit_holds_at_n_and_at_one_more_and_after_release() {
    for &limit in Limit::ALL {
        let Some(scenario) = scenario(limit) else {
            continue;
        };
        let mut config = Config::default();
        (scenario.set)(&mut config, scenario.max);
        let mut world = World {
            node: Node::new(config),
            pending: Vec::new(),
            open: Vec::new(),
            waiters: Vec::new(),
            attempts: Vec::new(),
        };
        let max = scenario.max as u64;
        let lasts = !matches!(scenario.kind, Kind::RefusesAtOnce | Kind::DropsAtOnce);
        for n in if lasts {
            1..=scenario.fill
        } else {
            scenario.fill..=scenario.fill
        } {
            assert_eq!((scenario.take)(&mut world, n), None, "{limit}");
        }
        let full = usage(&world, limit);
        assert_eq!((full.max, full.refused), (max, 0), "{limit}");
        if lasts {
            assert!(full.used.is_none_or(|used| used == max), "{full:?}");
            assert!(
                full.used.is_none() || full.is_at_limit() && full.peak == max,
                "{full:?}"
            );
        }

        world.node.drain();
        let refused = (scenario.take)(&mut world, scenario.fill + 1);
        let expected = match scenario.kind {
            Kind::Refuses | Kind::RefusesAtOnce => Some(LimitReached { limit, max }),
            Kind::GivesWay | Kind::DropsAtOnce | Kind::Waits => None,
        };
        assert_eq!(refused, expected, "{limit}");
        let beyond = usage(&world, limit);
        assert_eq!(
            beyond.refused,
            u64::from(scenario.kind != Kind::Waits),
            "{limit}"
        );
        assert!(beyond.used.is_none_or(|used| used <= max), "{beyond:?}");
        assert!(beyond.peak <= max, "{beyond:?}");

        (scenario.release)(&mut world);
        let again = if lasts {
            scenario.fill + 1
        } else {
            scenario.fill
        };
        assert_eq!(
            (scenario.take)(&mut world, again),
            None,
            "{limit} after release"
        );
        assert_eq!(
            usage(&world, limit).refused,
            beyond.refused,
            "{limit} after release"
        );
    }
}

#[test]
fn names_are_unique_and_in_snake_case() {
    let mut names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
    assert!(
        names
            .iter()
            .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    );
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Limit::ALL.len());
}
