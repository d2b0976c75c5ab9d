//! The peer store between two runs: which peers have changed since they were last saved, and what is
//! saved of them. The wall clock comes in as an argument, and is believed as little as a peer: one that
//! stood still or went back adds no time to anything, one that leapt ahead ends hearsay, not proof.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use carrick_wire::stored_peer::{StoredAddress, StoredPeer};
use libp2p_identity::PeerId;

use super::{
    PeerStore, TTL_MAX,
    entry::{Entry, Known},
    metadata::Source,
};
use crate::{
    addresses::Scope,
    config::{Config, Counters},
};

/// Peers that have changed since they were saved; those that wait longest come first.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// Only then anything is noted.
    pub(super) on: bool,
    peers: BTreeMap<PeerId, Waiting>,
    queue: BTreeMap<u64, PeerId>,
    tick: u64,
}

#[derive(Debug)]
struct Waiting {
    tick: u64,
    /// Whether the store may have a record of the peer.
    was_saved: bool,
}

impl Unsaved {
    pub(super) fn changed(&mut self, peer: PeerId, entry: &Entry) {
        if !self.on {
            return;
        }
        let tick = self.tick;
        let waiting = self.peers.entry(peer).or_insert_with(|| {
            self.tick += 1;
            self.queue.insert(tick, peer);
            let was_saved = false;
            Waiting { tick, was_saved }
        });
        waiting.was_saved |= entry.saved;
    }

    /// The peer is forgotten; what no store has ever seen needs no word.
    pub(super) fn removed(&mut self, peer: PeerId, entry: &Entry) {
        self.changed(peer, entry);
        if let Some(waiting) = self.peers.get(&peer).filter(|waiting| !waiting.was_saved) {
            self.queue.remove(&waiting.tick);
            self.peers.remove(&peer);
        }
    }

    fn pop(&mut self) -> Option<(PeerId, bool)> {
        let (_, peer) = self.queue.pop_first()?;
        let waiting = self.peers.remove(&peer)?;
        Some((peer, waiting.was_saved))
    }
}

impl PeerStore {
    /// From now on changes are noted, for [`Self::take_unsaved`].
    pub(crate) fn save(&mut self) {
        self.unsaved.on = true;
    }

    pub(crate) fn is_unsaved(&self) -> bool {
        !self.unsaved.peers.is_empty()
    }

    /// The peers that have changed, at most `max` of them, those first that wait longest; `None`: forget what you have.
    pub(crate) fn take_unsaved(
        &mut self,
        now: Instant,
        unix: Duration,
        max: usize,
    ) -> Vec<(PeerId, Option<Vec<u8>>)> {
        let mut changes = Vec::new();
        while changes.len() < max
            && let Some((peer, was_saved)) = self.unsaved.pop()
        {
            let entry = self.peers.get_mut(&peer);
            let record = match entry.filter(|entry| entry.is_worth_saving()) {
                Some(entry) => {
                    entry.saved = true;
                    Some(entry.record(now, unix, &self.config).encode())
                }
                None if was_saved => None,
                None => continue,
            };
            changes.push((peer, record));
        }
        changes
    }

    /// Takes in what an earlier run has saved. What is of no use is forgotten there, too.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        unix: Duration,
        peer: PeerId,
        record: &[u8],
        counters: &mut Counters,
    ) {
        let mut entry = self.remove(&peer).unwrap_or_default();
        entry.saved = true;
        match StoredPeer::decode(record) {
            Ok(record) => entry.restore(now, unix, &self.config, peer, record, counters),
            Err(_) => counters.stored_refused += 1,
        }
        self.put(now, peer, entry, counters);
    }
}

impl Entry {
    fn record(&self, now: Instant, unix: Duration, config: &Config) -> StoredPeer {
        let at = |then: Instant| millis(unix.saturating_add(then.saturating_duration_since(now)));
        // Who knows when a connection ends, if the program does not live to see it?
        let least = match self.connected {
            true => now + config.disconnected_ttl,
            false => now,
        };
        let addresses = self.addresses.iter().map(|known| StoredAddress {
            address: known.address.clone(),
            expires_ms: at(known.expires.max(least)),
            source: source_number(known.source),
            reach: known.reach as u32,
        });
        let seen = self.seen(now).map(|ago| millis(unix.saturating_sub(ago)));
        let values = self.values.iter();
        StoredPeer {
            saved_ms: millis(unix),
            connected: self.connected,
            seen_ms: seen,
            until_ms: at(self.remembered_until.unwrap_or(now).max(least)),
            addresses: addresses.collect(),
            protocols: self.protocols.clone(),
            agent: self.agent.clone(),
            key: self.key.clone(),
            seq: self.seq.map(|(seq, until)| (seq, at(until))),
            rtt_us: self.rtt_us,
            values: values.map(|(n, v)| (n.clone(), v.clone())).collect(),
        }
    }

    fn restore(
        &mut self,
        now: Instant,
        unix: Duration,
        config: &Config,
        peer: PeerId,
        record: StoredPeer,
        counters: &mut Counters,
    ) {
        let clock = Clock {
            now,
            age: millis(unix).saturating_sub(record.saved_ms),
            saved: record.saved_ms,
        };
        for known in record.addresses {
            let Some((source, reach)) = source(known.source).zip(reach(known.reach)) else {
                continue;
            };
            let mut expires = clock.until(known.expires_ms);
            // A leap of the clock looks like a long time off; then the proven ones are the way back in.
            if source >= Source::User || record.connected {
                let grace = clock.left(known.expires_ms).min(config.disconnected_ttl);
                expires = expires.max(now + grace);
            }
            self.addresses.push(Known {
                address: known.address,
                expires,
                source,
                reach,
            });
        }
        self.cut(config);
        self.protocols = record.protocols;
        self.agent = record.agent;
        self.key = record.key.filter(|key| key.to_peer_id() == peer);
        self.seq = record.seq.map(|(seq, until)| (seq, clock.until(until)));
        self.rtt_us = record.rtt_us;
        let ago = |seen| Duration::from_millis(millis(unix).saturating_sub(seen));
        self.seen = record.seen_ms.map(|seen| (now, ago(seen)));
        self.remembered_until = Some(clock.until(record.until_ms));
        for (name, value) in record.values {
            let limits = &mut counters.limits;
            if self.set_value(config, limits, name, Some(value)).is_err() {
                counters.stored_refused += 1;
            }
        }
    }
}

/// What has become of the times in a record.
struct Clock {
    now: Instant,
    /// Since it was saved, in milliseconds; never negative.
    age: u64,
    saved: u64,
}

impl Clock {
    /// How long it was to last when it was saved.
    fn left(&self, expires_ms: u64) -> Duration {
        Duration::from_millis(expires_ms.saturating_sub(self.saved)).min(TTL_MAX)
    }

    fn until(&self, expires_ms: u64) -> Instant {
        let age = Duration::from_millis(self.age);
        self.now + self.left(expires_ms).saturating_sub(age)
    }
}

fn millis(unix: Duration) -> u64 {
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

/// Numbers of the format: they stay what they are.
const fn source_number(source: Source) -> u32 {
    match source {
        Source::Discovery => 1,
        Source::Identify => 2,
        Source::SignedRecord => 3,
        Source::User => 4,
        Source::Dialed => 5,
    }
}

const fn source(number: u32) -> Option<Source> {
    Some(match number {
        1 => Source::Discovery,
        2 => Source::Identify,
        3 => Source::SignedRecord,
        4 => Source::User,
        5 => Source::Dialed,
        _ => return None,
    })
}

const fn reach(number: u32) -> Option<Scope> {
    Some(match number {
        0 => Scope::Loopback,
        1 => Scope::Private,
        2 => Scope::Public,
        _ => return None,
    })
}
