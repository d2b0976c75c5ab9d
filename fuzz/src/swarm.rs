//! Promises of the control plane under any events on a made-up clock: every waiter is answered once, nothing is asked of what
//! does not exist, tables stay within their limits, and in the end nothing is left. The tests of `swarm` run this over the
//! corpus as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::{Duration, Instant},
};

use carrick_protocols::identify::Collector;
use carrick_swarm::{
    Action, Answer, AttemptError, AttemptId, Behaviour, Config, ConnectionId, DialOptions, Event,
    Limit, LookupId, Origin, PeerClass, PendingId, Query, Source as From, Stage, Swarm, Tag,
    Verdict, WaiterId, Watermarks,
};
use libp2p_identity::{Keypair, PeerId};
use multiaddr::Multiaddr;

use crate::{
    source::Source,
    target::{EPOCH, Target},
};

/// Every target of this file.
pub const TARGETS: [Target; 2] = [("swarm", swarm), ("peer_store", peer_store)];

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
        trim_grace: Duration::from_secs(2),
        trim_tenure: Duration::from_secs(20),
        tags_per_peer_max: 3,
        tagged_peers_max: 3,
        kept_peers_max: 2,
        scores_max: 3,
        bans_max: 2,
        ban_base: Duration::from_secs(5),
        ban_max: Duration::from_secs(60),
        banned_peers_per_ip_max: 1,
        ..Config::default()
    }
}

/// The swarm, its clock, and what its shell has.
struct Shell {
    swarm: Swarm,
    now: Instant,
    ids: u64,
    waiting: BTreeSet<WaiterId>,
    attempts: BTreeSet<AttemptId>,
    lookups: BTreeMap<LookupId, Query>,
    pending: Vec<(PendingId, Multiaddr)>,
    open: BTreeMap<ConnectionId, PeerId>,
    preferred: BTreeMap<PeerId, ConnectionId>,
    /// Something was said that holds until it is taken back.
    lasting: bool,
}

/// Any events.
pub fn swarm(data: &[u8]) {
    let mut source = Source::new(data);
    let mut shell = Shell::new();
    if source.bool() {
        shell.swarm.save(shell.now);
        shell.lasting = true;
    }
    for _ in 0..STEPS_MAX {
        if source.is_empty() {
            break;
        }
        shell.step(&mut source);
        shell.act();
    }
    if source.bool() {
        shell.event(Event::Shutdown);
        assert!(shell.waiting.is_empty() && shell.attempts.is_empty() && shell.lookups.is_empty());
    }
    shell.end();
}

impl Shell {
    fn new() -> Self {
        Self {
            swarm: Swarm::new(config(), PEERS[1]),
            now: *EPOCH,
            ids: 0,
            waiting: BTreeSet::new(),
            attempts: BTreeSet::new(),
            lookups: BTreeMap::new(),
            pending: Vec::new(),
            open: BTreeMap::new(),
            preferred: BTreeMap::new(),
            lasting: false,
        }
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn event(&mut self, event: Event) {
        self.swarm.handle_event(self.now, event);
        self.act();
    }

    /// Does what the swarm wants, which must be possible.
    fn act(&mut self) {
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Dial { attempt, .. } => assert!(self.attempts.insert(attempt)),
                Action::Abort { attempt } => assert!(self.attempts.remove(&attempt)),
                Action::Resolve { waiter, result } => {
                    let own = waiter > WaiterId(u64::MAX / 2);
                    assert!(own || self.waiting.remove(&waiter), "answered once");
                    assert!(result.is_err() || result.is_ok_and(|id| self.open.contains_key(&id)));
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
                Action::AbortLookUp { lookup } => assert!(self.lookups.remove(&lookup).is_some()),
                Action::Save => drop(self.swarm.take_changes(self.now, UNIX)),
                Action::Notice(_) => {}
            }
        }
        for (peer, id) in &self.preferred {
            assert_eq!(self.swarm.best_connection(peer), Some(*id));
            assert!(self.swarm.connections(peer).count() <= config().connections_per_peer_max);
        }
        assert!(self.swarm.peer_store().peers_count() <= config().peers_max + self.open.len());
        assert!(self.swarm.reputation().export().count() <= config().bans_max);
    }

    fn step(&mut self, source: &mut Source<'_>) {
        let which = |len: usize, n: u8| (len > 0).then(|| usize::from(n) % len);
        let (op, n) = (source.u8() % 24, source.u8());
        let attempt =
            which(self.attempts.len(), n).and_then(|at| self.attempts.iter().nth(at).copied());
        match (op, attempt) {
            (0 | 1, _) => self.connect(source, n),
            (2, _) => {
                if let Some(waiter) =
                    which(self.waiting.len(), n).and_then(|at| self.waiting.iter().nth(at).copied())
                {
                    self.waiting.remove(&waiter);
                    self.event(Event::Cancel { waiter });
                }
            }
            (3, Some(attempt)) => self.event(Event::AttemptProgress { attempt }),
            (4, Some(attempt)) => {
                self.attempts.remove(&attempt);
                let error = match source.u8() % 2 {
                    0 => AttemptError::WrongPeer {
                        expected: PEERS[2],
                        found: PEERS[3],
                    },
                    _ => AttemptError::NoTransport,
                };
                self.event(Event::AttemptFailed { attempt, error });
            }
            (5 | 6, Some(attempt)) => {
                self.attempts.remove(&attempt);
                let (peer, address) = (peer(source), address(source));
                self.established(peer, address, Origin::Attempt(attempt));
            }
            (7 | 8, _) => {
                let (address, proven) = (address(source), source.bool());
                if let Ok(pending) = self.swarm.admit(self.now, &address, proven) {
                    self.pending.push((pending, address));
                }
            }
            (9, _) => {
                if let Some(at) = which(self.pending.len(), n) {
                    let pending = self.pending.remove(at).0;
                    self.event(Event::PendingFailed { pending });
                }
            }
            (10 | 11, _) => {
                if let Some(at) = which(self.pending.len(), n) {
                    let (pending, address) = self.pending.remove(at);
                    self.established(peer(source), address, Origin::Pending(pending));
                }
            }
            _ => self.other(source, op, n),
        }
    }

    fn other(&mut self, source: &mut Source<'_>, op: u8, n: u8) {
        let at = usize::from(n) % self.open.len().max(1);
        match (op, self.open.keys().nth(at).copied()) {
            (12, Some(connection)) => self.close(connection),
            (13, Some(connection)) => {
                let idle = source.bool();
                self.event(Event::Idle { connection, idle });
            }
            (14, Some(connection)) => {
                let held = source.bool();
                self.event(Event::Spared { connection, held });
            }
            (15, Some(connection)) => self.identified(source, connection),
            (16, _) => self.answer(source, n),
            (17, _) => {
                let (peer, addresses, from) =
                    (peer(source), vec![address(source)], address(source));
                let told = source.one(&[From::User, From::Discovery]);
                let ttl = Duration::from_secs(u64::from(n));
                let (source, from) = (told, Some(from));
                self.event(Event::Addresses {
                    peer,
                    addresses,
                    ttl,
                    source,
                    from,
                });
            }
            (18, _) => self.keeping(source, n),
            (19, _) => self.standing(source, n),
            (20, _) => self.own(source, n),
            (21, _) => self.pass(Duration::from_millis(u64::from(n) * u64::from(source.u8()))),
            (22, _) => self.stale(u64::from(n) | 1 << 63),
            (23, _) => {
                let (key, value) = (
                    format!("peer/{}", peer(source)),
                    source.bytes(usize::from(n)),
                );
                self.swarm.restore(self.now, UNIX, &key, value);
                self.lasting = true;
            }
            _ => {}
        }
    }

    fn connect(&mut self, source: &mut Source<'_>, n: u8) {
        let waiter = WaiterId(self.id());
        self.waiting.insert(waiter);
        let options = DialOptions {
            force_new: n % 8 == 1,
            only_given: n % 8 == 2,
        };
        let peer = (n < 200).then(|| peer(source));
        let addresses = (0..n / 8 % 4).map(|_| address(source)).collect();
        self.event(Event::Connect {
            waiter,
            peer,
            addresses,
            options,
        });
    }

    fn established(&mut self, peer: PeerId, address: Multiaddr, origin: Origin) {
        let connection = ConnectionId(self.id());
        self.open.insert(connection, peer);
        self.event(Event::Established {
            connection,
            peer,
            address,
            origin,
        });
    }

    fn close(&mut self, connection: ConnectionId) {
        // The shell forgets a connection once the swarm knows that it is gone.
        self.swarm
            .handle_event(self.now, Event::Closed { connection });
        self.open.remove(&connection);
        self.act();
    }

    /// What a peer says of itself: any bytes that identify takes.
    fn identified(&mut self, source: &mut Source<'_>, connection: ConnectionId) {
        let mut collector = Collector::new(self.open[&connection]);
        let push = source.bool();
        let len = usize::from(source.u8());
        let Ok(mut info) = collector
            .recv(source.bytes(len))
            .and_then(|()| collector.finish())
        else {
            return;
        };
        if source.bool() {
            info.observed_address = Some(address(source));
            info.listen_addresses.push(address(source));
        }
        self.event(match push {
            true => Event::Pushed { connection, info },
            false => Event::Identified { connection, info },
        });
    }

    fn answer(&mut self, source: &mut Source<'_>, n: u8) {
        let at = usize::from(n) % self.lookups.len().max(1);
        let Some((&lookup, query)) = self.lookups.iter().nth(at) else {
            return;
        };
        let with = source.u8();
        let ips = (0..with % 4).map(|n| match n {
            2 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
            n => [1, 2, 3, n].into(),
        });
        let texts = (0..with % 32).map(|_| format!("dnsaddr={}", address(source)));
        let result = match query {
            _ if with < 64 => Err("no such name".to_owned()),
            Query::Ip { .. } => Ok(Answer::Ip(ips.collect())),
            Query::Txt { .. } => Ok(Answer::Txt(texts.collect())),
        };
        self.lookups.remove(&lookup);
        self.event(Event::LookedUp { lookup, result });
    }

    /// What the app thinks of peers. Refusals are part of it.
    fn keeping(&mut self, source: &mut Source<'_>, n: u8) {
        let (swarm, now, peer) = (&mut self.swarm, self.now, peer(source));
        match n % 10 {
            0 => _ = swarm.protect(now, peer, "a"),
            1 => _ = swarm.unprotect(&peer, "a"),
            2 => _ = swarm.untag(&peer, "b"),
            3 => swarm.trim(now),
            4 => _ = swarm.keep_connected(now, peer, vec![address(source)], 7),
            5 => _ = swarm.stop_keeping(&peer),
            6 => _ = swarm.tag(now, peer, "b", Tag::fixed(i32::from(source.u8()) - 100)),
            7 => {
                let value = source.bytes(40).to_vec();
                _ = swarm.set_peer_metadata(now, peer, "name".to_owned(), Some(value));
                self.lasting = true;
            }
            8 => swarm.remove_peer(now, &peer),
            _ => {
                let tag = Tag::decaying(
                    100 * i32::from(source.u8()),
                    Duration::from_secs(u64::from(n)),
                );
                _ = swarm.tag(now, peer, "c", tag);
            }
        }
    }

    /// What peers do, whom we ban, and whom the app lets in.
    fn standing(&mut self, source: &mut Source<'_>, n: u8) {
        let (swarm, now, peer) = (&mut self.swarm, self.now, peer(source));
        match n % 13 {
            at @ 0..7 => swarm.record_behaviour(now, peer, Behaviour::ALL[usize::from(at)], "fuzz"),
            7 => swarm.ban(now, peer.into(), None, String::new()),
            8 => {
                let network = "1.2.3.0/30".parse().expect("a network");
                swarm.ban(now, network, Some(Duration::from_secs(3)), String::new());
            }
            9 => _ = swarm.unban(now, &peer.into()),
            10 => swarm.set_admission(move |stage| match stage {
                Stage::Peer { peer: found, .. } if found == peer => Verdict::reject("a test"),
                Stage::Identified { peer: found, .. } if found == peer => Verdict::Ignore,
                Stage::Address { remote, .. } if *remote == ADDRESSES[3] => Verdict::Retry,
                _ => Verdict::Accept,
            }),
            _ => swarm.add_peer(now, peer, PeerClass::Trusted),
        }
        let best = swarm.best_peers(usize::MAX);
        assert!(
            !best
                .iter()
                .any(|peer| swarm.reputation().is_banned(&(*peer).into()))
        );
        assert_eq!(best.len(), best.iter().collect::<BTreeSet<_>>().len());
    }

    fn own(&mut self, source: &mut Source<'_>, n: u8) {
        let address = address(source);
        match n % 8 {
            0 => self.event(Event::Listening { address }),
            1 => self.event(Event::ListenerClosed { address }),
            2 => self.event(Event::ProtocolsChanged),
            3 => self.event(Event::NetworkChanged),
            4 => self.event(Event::Slept {
                time: Duration::from_secs(u64::from(n)),
            }),
            5 => {
                self.swarm.announce(self.now, address);
                self.lasting = true;
            }
            6 => drop(self.swarm.retract(self.now, address)),
            _ => self.event(Event::Disconnect { peer: peer(source) }),
        }
        assert!(self.swarm.told_addresses().len() <= 64);
    }

    /// Things that must be harmless: ids that are gone, or never were.
    fn stale(&mut self, id: u64) {
        let (attempt, lookup, connection) = (AttemptId(id), LookupId(id), ConnectionId(id));
        self.event(Event::AttemptProgress { attempt });
        self.event(Event::LookedUp {
            lookup,
            result: Ok(Answer::Txt(Vec::new())),
        });
        self.event(Event::Cancel {
            waiter: WaiterId(id),
        });
        self.event(Event::AttemptFailed {
            attempt,
            error: AttemptError::NoTransport,
        });
        self.event(Event::PendingFailed {
            pending: PendingId(id),
        });
        self.event(Event::Closed { connection });
        self.event(Event::Idle {
            connection,
            idle: true,
        });
        for origin in [Origin::Attempt(attempt), Origin::Pending(PendingId(id))] {
            self.established(PEERS[2], ADDRESSES[0].clone(), origin);
        }
    }

    /// Lets time pass, with all timers on the way at their moments.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.swarm.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.swarm.handle_timeout(self.now);
            assert!(
                self.swarm.poll_timeout().is_none_or(|next| next > self.now),
                "no timer is left"
            );
            self.act();
        }
        self.now = end;
    }

    /// Everything in the world ends, and all timers run out.
    fn end(mut self) {
        for peer in PEERS.iter() {
            self.swarm.stop_keeping(peer);
            self.swarm.unban(self.now, &(*peer).into());
        }
        self.act();
        while let Some((&connection, _)) = self.open.first_key_value() {
            self.close(connection);
        }
        for (pending, _) in std::mem::take(&mut self.pending) {
            self.event(Event::PendingFailed { pending });
        }
        self.pass(Duration::from_secs(24 * 60 * 60));
        assert!(self.waiting.is_empty(), "everyone is answered");
        assert!(self.attempts.is_empty(), "every attempt is aborted or over");
        assert!(self.lookups.is_empty(), "and every lookup");
        assert!(self.preferred.is_empty());
        for usage in self.swarm.limits(self.now) {
            if CONNECTING.contains(&usage.limit) {
                assert_eq!(usage.used, Some(0), "{:?}", usage.limit);
            }
        }
        if !self.lasting {
            assert_eq!(self.swarm.peer_store().peers_count(), 0);
            assert_eq!(self.swarm.external_addresses().count(), 0);
            assert_eq!(self.swarm.poll_timeout(), None, "nothing is waited for");
        }
    }
}

/// What a store gives back: any records. What is kept of them is handed out, and taken in again as it is.
pub fn peer_store(data: &[u8]) {
    let mut source = Source::new(data);
    let now = *EPOCH;
    let mut first = Swarm::new(config(), PEERS[1]);
    first.save(now);
    while !source.is_empty() {
        let key = match source.u8() % 8 {
            0 => "ban/1.2.3.0/24".to_owned(),
            1 => format!("ban/{}", peer(&mut source)),
            2 => String::from_utf8_lossy(source.bytes(12)).into_owned(),
            _ => format!("peer/{}", peer(&mut source)),
        };
        let len = usize::from(source.u16() % 600);
        first.restore(now, UNIX, &key, source.bytes(len));
    }
    // Told anew, so that it is handed out.
    for peer in &PEERS[2..5] {
        let (addresses, ttl) = (vec![ADDRESSES[0].clone()], Duration::from_secs(1000));
        let event = Event::Addresses {
            peer: *peer,
            addresses,
            ttl,
            source: From::User,
            from: None,
        };
        first.handle_event(now, event);
    }
    let changes = first.take_changes(now, UNIX);
    let mut second = Swarm::new(config(), PEERS[1]);
    second.save(now);
    for (key, value) in &changes {
        if let Some(value) = value {
            second.restore(now, UNIX, key, value);
        }
    }
    assert_eq!(second.counters().stored_refused, 0, "we read what we wrote");
    for peer in &PEERS[2..5] {
        if changes
            .iter()
            .any(|(key, value)| *key == format!("peer/{peer}") && value.is_some())
        {
            assert_eq!(
                first.peer_store().addresses(peer, now),
                second.peer_store().addresses(peer, now)
            );
        }
    }
}

fn peer(source: &mut Source<'_>) -> PeerId {
    PEERS[1 + source.index(PEERS.len() - 1)]
}

/// One of a few addresses, or whatever the bytes are.
fn address(source: &mut Source<'_>) -> Multiaddr {
    let n = usize::from(source.u8());
    let Some(address) = ADDRESSES.get(n % 32) else {
        let len = source.index(40);
        let any = carrick_wire::address::decode(source.bytes(len));
        return any.unwrap_or_else(|_| ADDRESSES[0].clone());
    };
    address.clone()
}

static PEERS: LazyLock<Vec<PeerId>> = LazyLock::new(|| {
    let key = |n| Keypair::ed25519_from_bytes([n; 32]).expect("any 32 bytes are a key");
    (0..7).map(|n| key(n).public().to_peer_id()).collect()
});

static ADDRESSES: LazyLock<Vec<Multiaddr>> = LazyLock::new(|| {
    let mut texts: Vec<_> = (0..6).map(|n| format!("/ip4/1.2.3.{n}/tcp/1")).collect();
    texts.extend((6..8).map(|n| format!("/memory/{n}")));
    texts.extend((8..12).map(|n| format!("/ip6/2001:db8:{n}::{n}/udp/1/quic-v1")));
    texts.extend(
        [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/9.9.9.9/udp/4/quic-v1",
        ]
        .map(str::to_owned),
    );
    texts.push(format!("/ip4/1.2.3.4/tcp/1/p2p/{}", PEERS[2]));
    texts.push("/dns/a.org/tcp/1".to_owned());
    texts.push(format!("/dns6/b.org/udp/1/quic-v1/p2p/{}", PEERS[2]));
    texts.push("/dnsaddr/a.org".to_owned());
    texts.push(format!("/dnsaddr/b.org/p2p/{}", PEERS[3]));
    texts.push(format!("/ip4/1.2.3.4/tcp/1/p2p/{}/p2p-circuit", PEERS[5]));
    texts
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect()
});

/// What connections and dials take.
const CONNECTING: [Limit; 7] = [
    Limit::ConnectionsInbound,
    Limit::ConnectionsOutbound,
    Limit::ConnectionsPending,
    Limit::ConnectionsPerPeer,
    Limit::ConnectionsPerIp,
    Limit::ConnectionsPerSite,
    Limit::Dials,
];
const UNIX: Duration = Duration::from_secs(1_700_000_000);
const STEPS_MAX: usize = 400;
