//! Any events in any order: no panic, every waiter is answered once, and nothing is left in the end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    admission::Stage,
    reputation::{Behaviour, PeerClass},
    verdict::Verdict,
};

/// One step; the numbers choose among what there is at that moment.
#[derive(Debug, Clone)]
enum Step {
    Connect {
        peer: Option<u8>,
        addresses: Vec<u8>,
        options: u8,
    },
    Progress(usize),
    Answer {
        lookup: usize,
        with: u8,
    },
    Cancel(usize),
    Fail {
        attempt: usize,
        wrong: bool,
    },
    Dialed {
        attempt: usize,
        peer: u8,
    },
    Admit(u8),
    PendingFailed(usize),
    Inbound {
        pending: usize,
        peer: u8,
    },
    Closed(usize),
    Idle {
        connection: usize,
        idle: bool,
    },
    Spared {
        connection: usize,
        held: bool,
    },
    Keeping {
        peer: u8,
        what: u8,
    },
    Standing {
        peer: u8,
        what: u8,
    },
    Identified {
        connection: usize,
        push: bool,
        observed: u8,
    },
    Addresses {
        peer: u8,
        address: u8,
        ttl: u64,
    },
    Listen {
        address: u8,
        open: bool,
    },
    ProtocolsChanged,
    Disconnect(u8),
    Pass(u64),
    // Things that must be harmless: ids that are gone, or never were.
    Stale(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, at, index) = (1..6_u8, 0..12_u8, 0..64_usize);
    prop_oneof![
        6 => (prop::option::of(peer.clone()), prop::collection::vec(0..16_u8, 0..4), 0..8_u8)
            .prop_map(|(peer, addresses, options)| Step::Connect { peer, addresses, options }),
        1 => index.clone().prop_map(Step::Progress),
        4 => (index.clone(), any::<u8>()).prop_map(|(lookup, with)| Step::Answer { lookup, with }),
        1 => index.clone().prop_map(Step::Cancel),
        3 => (index.clone(), any::<bool>()).prop_map(|(attempt, wrong)| Step::Fail { attempt, wrong }),
        4 => (index.clone(), peer.clone()).prop_map(|(attempt, peer)| Step::Dialed { attempt, peer }),
        4 => at.clone().prop_map(Step::Admit),
        1 => index.clone().prop_map(Step::PendingFailed),
        4 => (index.clone(), peer.clone()).prop_map(|(pending, peer)| Step::Inbound { pending, peer }),
        3 => index.clone().prop_map(Step::Closed),
        2 => (index.clone(), any::<bool>()).prop_map(|(connection, idle)| Step::Idle { connection, idle }),
        3 => (index.clone(), any::<bool>()).prop_map(|(connection, held)| Step::Spared { connection, held }),
        3 => (peer.clone(), 0..10_u8).prop_map(|(peer, what)| Step::Keeping { peer, what }),
        3 => (peer.clone(), 0..12_u8).prop_map(|(peer, what)| Step::Standing { peer, what }),
        2 => (index, any::<bool>(), at.clone())
            .prop_map(|(connection, push, observed)| Step::Identified { connection, push, observed }),
        1 => (peer.clone(), at.clone(), 0..100_u64)
            .prop_map(|(peer, address, ttl)| Step::Addresses { peer, address, ttl }),
        1 => (at, any::<bool>()).prop_map(|(address, open)| Step::Listen { address, open }),
        1 => Just(Step::ProtocolsChanged),
        1 => peer.prop_map(Step::Disconnect),
        3 => (0..12_000_u64).prop_map(Step::Pass),
        1 => any::<u64>().prop_map(Step::Stale),
    ]
}

fn at(n: u8) -> Multiaddr {
    let text = match n {
        0..6 => format!("/ip4/1.2.3.{n}/tcp/1"),
        6 | 7 => format!("/memory/{n}"),
        8 | 9 => format!("/ip6/2001:db8::{n}/tcp/1"),
        10 => format!("/ip4/1.2.3.4/tcp/1/p2p/{}", peer(2)),
        12 => "/dns/a.org/tcp/1".to_owned(),
        13 => format!("/dns6/b.org/udp/1/quic-v1/p2p/{}", peer(2)),
        14 => "/dnsaddr/a.org".to_owned(),
        15 => format!("/dnsaddr/b.org/p2p/{}", peer(3)),
        _ => format!("/ip4/1.2.3.4/tcp/1/p2p/{}/p2p-circuit", peer(9)),
    };
    address(&text)
}

/// The shell's side: what it was told to do, and what it has.
struct Shell {
    node: Node,
    waiting: BTreeSet<WaiterId>,
    attempts: BTreeSet<AttemptId>,
    lookups: BTreeMap<LookupId, Query>,
    pending: Vec<(PendingId, Multiaddr)>,
    open: BTreeMap<ConnectionId, PeerId>,
    preferred: BTreeMap<PeerId, ConnectionId>,
}

fn config() -> Config {
    Config {
        connections_per_peer_max: 2,
        connections_inbound_max: 6,
        connections_outbound_max: 5,
        pending_inbound_max: 3,
        connections_per_ip_max: 2,
        dials_max: 4,
        dial_addresses_max: 3,
        attempts_per_peer_max: 2,
        peers_max: 3,
        addresses_max: 2,
        addresses_connected_max: 3,
        observers_min: 2,
        inbound_watermarks: Some(Watermarks { low: 2, high: 3 }),
        trim_grace: seconds(2),
        trim_tenure: seconds(20),
        tags_per_peer_max: 3,
        tagged_peers_max: 3,
        kept_peers_max: 2,
        scores_max: 3,
        bans_max: 2,
        ban_base: seconds(5),
        ban_max: seconds(60),
        banned_peers_per_ip_max: 1,
        ..Config::default()
    }
}

impl Shell {
    fn new() -> Self {
        Self {
            node: Node::new(config()),
            waiting: BTreeSet::new(),
            attempts: BTreeSet::new(),
            lookups: BTreeMap::new(),
            pending: Vec::new(),
            open: BTreeMap::new(),
            preferred: BTreeMap::new(),
        }
    }

    fn event(&mut self, event: Event) {
        let actions = self.node.event(event);
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Dial { attempt, .. } => assert!(self.attempts.insert(attempt)),
                Action::Abort { attempt } => assert!(self.attempts.remove(&attempt)),
                Action::Resolve { waiter, result } => {
                    let own = waiter > WaiterId(u64::MAX / 2);
                    assert!(own || self.waiting.remove(&waiter), "answered once");
                    assert!(result.is_err() || self.open.contains_key(&result.unwrap()));
                }
                Action::Prefer {
                    peer,
                    connection: Some(id),
                } => {
                    assert_eq!(self.open.get(&id), Some(&peer));
                    assert_ne!(self.preferred.insert(peer, id), Some(id), "only changes");
                }
                Action::Prefer {
                    peer,
                    connection: None,
                } => {
                    assert!(self.preferred.remove(&peer).is_some());
                }
                Action::Close { connection, .. }
                | Action::CloseIdle { connection, .. }
                | Action::Keep { connection, .. }
                | Action::Identify { connection }
                | Action::PushIdentify { connection } => {
                    assert!(self.open.contains_key(&connection));
                }
                Action::LookUp { lookup, query } => {
                    assert!(self.lookups.insert(lookup, query).is_none());
                }
                Action::AbortLookUp { lookup } => {
                    assert!(self.lookups.remove(&lookup).is_some());
                }
                Action::Save | Action::Notice(_) => {}
            }
        }
        for (peer, id) in &self.preferred {
            assert_eq!(self.node.swarm.best_connection(peer), Some(*id));
            assert!(self.node.swarm.connections(peer).count() <= config().connections_per_peer_max);
        }
        assert!(self.node.swarm.peer_store().peers_count() <= config().peers_max + self.open.len());
    }

    fn established(&mut self, who: PeerId, address: Multiaddr, origin: Origin) {
        let connection = ConnectionId(self.node.id());
        self.open.insert(connection, who);
        let peer = who;
        self.event(Event::Established {
            connection,
            peer,
            address,
            origin,
        });
    }

    fn attempt(&self, index: usize) -> Option<AttemptId> {
        self.attempts
            .iter()
            .nth(index % self.attempts.len().max(1))
            .copied()
    }

    fn connection(&self, index: usize) -> Option<ConnectionId> {
        self.open
            .keys()
            .nth(index % self.open.len().max(1))
            .copied()
    }

    fn step(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Connect {
                peer: who,
                addresses,
                options,
            } => {
                let options = DialOptions {
                    force_new: options == 1,
                    only_given: options == 2,
                };
                let waiter = WaiterId(self.node.id());
                self.waiting.insert(waiter);
                let addresses = addresses.into_iter().map(at).collect();
                self.event(Event::Connect {
                    waiter,
                    peer: who.map(peer),
                    addresses,
                    options,
                });
            }
            Step::Cancel(index) => {
                let waiter = *self.waiting.iter().nth(index % self.waiting.len().max(1))?;
                self.waiting.remove(&waiter);
                self.event(Event::Cancel { waiter });
            }
            Step::Progress(attempt) => {
                let attempt = self.attempt(attempt)?;
                self.event(Event::AttemptProgress { attempt });
            }
            Step::Answer { lookup, with } => self.answer(lookup, with)?,
            Step::Fail { attempt, wrong } => {
                let attempt = self.attempt(attempt)?;
                self.attempts.remove(&attempt);
                let (expected, found) = (peer(2), peer(3));
                let error = match wrong {
                    true => AttemptError::WrongPeer { expected, found },
                    false => refused(),
                };
                self.event(Event::AttemptFailed { attempt, error });
            }
            Step::Dialed { attempt, peer: who } => {
                let attempt = self.attempt(attempt)?;
                self.attempts.remove(&attempt);
                self.established(peer(who), at(1), Origin::Attempt(attempt));
            }
            Step::Admit(n) => {
                if let Ok(pending) = self.node.swarm.admit(self.node.now, &at(n), true) {
                    self.pending.push((pending, at(n)));
                }
            }
            Step::PendingFailed(index) => {
                let index = index % self.pending.len().max(1);
                let pending = self.pending.get(index)?.0;
                self.pending.remove(index);
                self.event(Event::PendingFailed { pending });
            }
            Step::Inbound { pending, peer: who } => {
                let index = pending % self.pending.len().max(1);
                let (pending, address) = self.pending.get(index)?.clone();
                self.pending.remove(index);
                self.established(peer(who), address, Origin::Pending(pending));
            }
            Step::Closed(index) => self.close(self.connection(index)?),
            other => self.other(other)?,
        }
        Some(())
    }

    fn keeping(&mut self, peer: PeerId, what: u8) {
        let (swarm, now) = (&mut self.node.swarm, self.node.now);
        let value = i32::from(what) - 3;
        // Refusals are part of it.
        let _ = match what {
            0 => swarm.protect(now, peer, "a").is_ok(),
            1 => swarm.unprotect(&peer, "a"),
            2 => swarm.untag(&peer, "b"),
            3 => {
                swarm.trim(now);
                true
            }
            4 => swarm.keep_connected(now, peer, vec![at(1)], 7).is_ok(),
            5 => swarm.stop_keeping(&peer),
            6 | 7 => swarm.tag(now, peer, "b", Tag::fixed(-value)).is_ok(),
            _ => {
                let tag = Tag::decaying(100 * value, seconds(u64::from(what)));
                swarm.tag(now, peer, "c", tag).is_ok()
            }
        };
        let actions = self.node.drain();
        self.act(actions);
    }

    /// What peers do, whom we ban, and whom the app lets in.
    fn standing(&mut self, peer: PeerId, what: u8) {
        let (swarm, now) = (&mut self.node.swarm, self.node.now);
        let network = "1.2.3.0/30".parse().unwrap();
        match what {
            0..7 => {
                let behaviour = Behaviour::ALL[usize::from(what)];
                swarm.record_behaviour(now, peer, behaviour, "test");
            }
            7 => swarm.ban(now, peer.into(), None, String::new()),
            8 => swarm.ban(now, network, Some(seconds(3)), String::new()),
            9 => drop(swarm.unban(now, &peer.into())),
            10 => swarm.set_admission(move |stage| match stage {
                Stage::Peer { peer: found, .. } if found == peer => Verdict::reject("a test"),
                Stage::Identified { peer: found, .. } if found == peer => Verdict::Ignore,
                Stage::Address { remote, .. } if *remote == at(3) => Verdict::Retry,
                _ => Verdict::Accept,
            }),
            _ => swarm.add_peer(now, peer, PeerClass::Trusted),
        }
        let best = swarm.best_peers(usize::MAX);
        let is_banned = |peer: &PeerId| swarm.reputation().is_banned(&(*peer).into());
        assert!(!best.iter().any(is_banned));
        assert_eq!(best.len(), best.iter().collect::<BTreeSet<_>>().len());
        assert!(swarm.reputation().export().count() <= config().bans_max);
        let actions = self.node.drain();
        self.act(actions);
    }

    fn other(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Identified {
                connection,
                push,
                observed,
            } => {
                let connection = self.connection(connection)?;
                let info = identify::Info {
                    observed_address: Some(at(observed)),
                    listen_addresses: vec![at(observed), at(0)],
                    ..Default::default()
                };
                self.event(match push {
                    true => Event::Pushed { connection, info },
                    false => Event::Identified { connection, info },
                });
            }
            Step::Addresses {
                peer: who,
                address,
                ttl,
            } => {
                let (peer, addresses, ttl) = (peer(who), vec![at(address)], seconds(ttl));
                self.event(Event::Addresses {
                    peer,
                    addresses,
                    ttl,
                    source: Source::User,
                    from: None,
                });
            }
            Step::Listen {
                address,
                open: true,
            } => self.event(Event::Listening {
                address: at(address),
            }),
            Step::Listen { address, .. } => self.event(Event::ListenerClosed {
                address: at(address),
            }),
            Step::Idle { connection, idle } => {
                let connection = self.connection(connection)?;
                self.event(Event::Idle { connection, idle });
            }
            Step::Spared { connection, held } => {
                let connection = self.connection(connection)?;
                self.event(Event::Spared { connection, held });
            }
            Step::Keeping { peer: who, what } => self.keeping(peer(who), what),
            Step::Standing { peer: who, what } => self.standing(peer(who), what),
            Step::ProtocolsChanged => self.event(Event::ProtocolsChanged),
            Step::Disconnect(who) => self.event(Event::Disconnect { peer: peer(who) }),
            Step::Pass(time) => {
                let actions = self.node.pass(millis(time));
                self.act(actions);
            }
            Step::Stale(id) => self.stale(id | 1 << 63),
            _ => {}
        }
        Some(())
    }

    fn answer(&mut self, index: usize, with: u8) -> Option<()> {
        let index = index % self.lookups.len().max(1);
        let (&lookup, query) = self.lookups.iter().nth(index)?;
        let ips = (0..with % 4).map(|n| match n {
            2 => "2001:db8::1".parse().unwrap(),
            n => [1, 2, 3, n].into(),
        });
        let texts = (0..with % 32).map(|n| format!("dnsaddr={}", at(n % 16)));
        let result = match query {
            _ if with < 64 => Err("no such name".to_owned()),
            Query::Ip { .. } => Ok(Answer::Ip(ips.collect())),
            Query::Txt { .. } => Ok(Answer::Txt(texts.collect())),
        };
        self.lookups.remove(&lookup);
        self.event(Event::LookedUp { lookup, result });
        Some(())
    }

    fn stale(&mut self, id: u64) {
        let (attempt, lookup) = (AttemptId(id), LookupId(id));
        self.event(Event::AttemptProgress { attempt });
        self.event(Event::LookedUp {
            lookup,
            result: Ok(Answer::Txt(Vec::new())),
        });
        let connection = ConnectionId(id);
        self.event(Event::Cancel {
            waiter: WaiterId(id),
        });
        self.event(Event::AttemptFailed {
            attempt: AttemptId(id),
            error: refused(),
        });
        self.event(Event::PendingFailed {
            pending: PendingId(id),
        });
        self.event(Event::Closed { connection });
        self.event(Event::Idle {
            connection,
            idle: true,
        });
        for origin in [
            Origin::Attempt(AttemptId(id)),
            Origin::Pending(PendingId(id)),
        ] {
            self.established(peer(2), at(0), origin);
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        // The shell forgets a connection once the swarm knows that it is gone.
        let actions = self.node.event(Event::Closed { connection });
        self.open.remove(&connection);
        self.act(actions);
    }

    /// Everything in the world ends, and all timers run out.
    fn end(mut self) {
        for n in 1..6 {
            self.node.swarm.stop_keeping(&peer(n));
            self.node.swarm.unban(self.node.now, &peer(n).into());
        }
        let actions = self.node.drain();
        self.act(actions);
        while let Some((&connection, _)) = self.open.first_key_value() {
            self.close(connection);
        }
        for (pending, _) in std::mem::take(&mut self.pending) {
            self.event(Event::PendingFailed { pending });
        }
        let actions = self.node.pass(seconds(24 * 60 * 60));
        self.act(actions);
        assert!(self.waiting.is_empty(), "everyone is answered");
        assert!(self.attempts.is_empty(), "every attempt is aborted or over");
        assert!(self.lookups.is_empty(), "and every lookup");
        assert!(self.preferred.is_empty());
        assert_eq!(self.node.swarm.peer_store().peers_count(), 0);
        assert_eq!(self.node.swarm.poll_timeout(), None);
        self.node.assert_empty();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_sequence_of_events_answers_every_waiter_once_and_leaves_nothing(
        steps in prop::collection::vec(step(), 0..120),
        shut_down in any::<bool>(),
    ) {
        let mut shell = Shell::new();
        for step in steps {
            shell.step(step);
        }
        if shut_down {
            shell.event(Event::Shutdown);
            prop_assert!(shell.waiting.is_empty() && shell.attempts.is_empty());
            prop_assert!(shell.lookups.is_empty());
        }
        shell.end();
    }
}
