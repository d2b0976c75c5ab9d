//! The peer store: what we know of peers. What a connected peer tells stays while it is connected; the
//! rest ends with its time, or with the least recently used peer when room is short.
//! Invariants: `recent` and `expiry` hold exactly the peers that are not connected; their count and
//! their bytes are within the limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use carrick_protocols::identify;
use carrick_wire::ProtocolId;
use libp2p_identity::{PeerId, PublicKey};
use multiaddr::Multiaddr;

use crate::{
    addresses::{scope, split_peer},
    config::{Config, Counters},
    limits::{Limit, LimitReached},
};
pub(crate) use entry::Told;
use entry::{Entry, Known};
pub use metadata::{KnownAddress, PeerMetadata, Source};
use saved::Unsaved;

mod entry;
mod metadata;
mod saved;

/// What we know of peers.
#[derive(Debug)]
pub struct PeerStore {
    config: Config,
    peers: BTreeMap<PeerId, Entry>,
    recent: BTreeMap<u64, PeerId>,
    expiry: BTreeSet<(Instant, PeerId)>,
    tick: u64,
    bytes: usize,
    unsaved: Unsaved,
}

impl PeerStore {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            recent: BTreeMap::new(),
            expiry: BTreeSet::new(),
            tick: 0,
            bytes: 0,
            unsaved: Unsaved::default(),
        }
    }

    /// Where the peer may be reached, without its id at the end; what is best proven first.
    pub fn addresses(&self, peer: &PeerId, now: Instant) -> Vec<Multiaddr> {
        let known = self.known(peer, now);
        known.map(|(address, _)| address.clone()).collect()
    }

    /// As [`Self::addresses`], with who says so.
    pub(crate) fn known(
        &self,
        peer: &PeerId,
        now: Instant,
    ) -> impl Iterator<Item = (&Multiaddr, Told)> {
        let entry = self.peers.get(peer);
        let known = entry.into_iter().flat_map(|entry| entry.alive(now));
        let told = |known: &Known| Told {
            source: known.source,
            reach: known.reach,
        };
        let mut known: Vec<_> = known.map(|k| (&k.address, told(k))).collect();
        known.sort_by_key(|(_, told)| std::cmp::Reverse(told.source));
        known.into_iter()
    }

    /// All that is known of the peer; `None`: nothing.
    pub fn metadata(&self, peer: &PeerId, now: Instant) -> Option<PeerMetadata> {
        let entry = self.peers.get(peer)?;
        let ttl = |known: &Known| known.expires.saturating_duration_since(now);
        let known = entry.alive(now).map(|known| KnownAddress {
            address: known.address.clone(),
            source: known.source,
            ttl: (!entry.connected).then(|| ttl(known)),
        });
        let mut addresses: Vec<_> = known.collect();
        addresses.sort_by_key(|known| std::cmp::Reverse(known.source));
        Some(PeerMetadata {
            addresses,
            protocols: entry.protocols.clone(),
            agent: entry.agent.clone(),
            key: entry.key.clone(),
            rtt: entry.rtt_us.map(|us| Duration::from_micros(us.into())),
            values: entry.values.clone(),
            connected: entry.connected,
            last_seen: entry.seen(now),
        })
    }

    /// What the peer accepts; empty: unknown.
    pub fn protocols(&self, peer: &PeerId) -> &[ProtocolId] {
        self.peers.get(peer).map_or(&[], |entry| &entry.protocols)
    }

    /// The peer's program and version, safe to show.
    pub fn agent(&self, peer: &PeerId) -> Option<&str> {
        self.peers.get(peer)?.agent.as_deref()
    }

    /// The peer's public key.
    pub fn key(&self, peer: &PeerId) -> Option<&PublicKey> {
        self.peers.get(peer)?.key.as_ref()
    }

    /// Peers known.
    pub fn peers_count(&self) -> usize {
        self.peers.len()
    }

    /// Peers and bytes that count against the limits.
    pub(crate) fn used(&self) -> (usize, usize) {
        (self.recent.len(), self.bytes)
    }

    pub(crate) fn add(
        &mut self,
        now: Instant,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        ttl: Duration,
        told: Told,
        counters: &mut Counters,
    ) {
        self.update(now, peer, counters, |entry, config, counters| {
            // Others may not say for how long they are to be believed.
            let max = match told.source {
                Source::Discovery => config.address_ttl,
                _ => TTL_MAX,
            };
            let expires = now + ttl.min(max);
            for address in addresses {
                let (address, owner) = split_peer(address);
                if owner.is_none_or(|owner| owner == peer) {
                    entry.insert(config, counters, address, expires, told);
                }
            }
        });
    }

    /// Sets a value that the user keeps of the peer, or takes it away.
    pub(crate) fn set_value(
        &mut self,
        now: Instant,
        peer: PeerId,
        name: String,
        value: Option<Vec<u8>>,
        counters: &mut Counters,
    ) -> Result<(), LimitReached> {
        let mut outcome = Ok(());
        self.update(now, peer, counters, |entry, config, counters| {
            outcome = entry.set_value(config, &mut counters.limits, name, value);
        });
        outcome
    }

    /// A ping or a connection tells how far the peer is. Not worth a record of its own.
    pub(crate) fn measured(&mut self, peer: &PeerId, rtt: Duration) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.measured(rtt);
        }
    }

    /// The peer is connected; `reached`: the address we have dialed it at.
    pub(crate) fn connected(
        &mut self,
        now: Instant,
        peer: PeerId,
        reached: Option<Multiaddr>,
        counters: &mut Counters,
    ) {
        self.update(now, peer, counters, |entry, config, counters| {
            entry.connected = true;
            entry.seen = Some((now, Duration::ZERO));
            if let Some(address) = reached {
                let expires = now + config.address_ttl;
                let told = Told::surely(Source::Dialed);
                entry.insert(config, counters, address, expires, told);
            }
        });
    }

    /// The peer's last connection is gone.
    pub(crate) fn disconnected(&mut self, now: Instant, peer: PeerId, counters: &mut Counters) {
        self.update(now, peer, counters, |entry, config, _| {
            entry.connected = false;
            entry.seen = Some((now, Duration::ZERO));
            let until = now + config.disconnected_ttl;
            entry.remembered_until = Some(until);
            entry.cut(config);
            for known in &mut entry.addresses {
                known.expires = known.expires.max(until);
            }
        });
    }

    /// Somebody else, or nobody we may talk to, is at the address.
    pub(crate) fn disproved(
        &mut self,
        now: Instant,
        peer: PeerId,
        address: &Multiaddr,
        counters: &mut Counters,
    ) {
        if self.peers.contains_key(&peer) {
            self.update(now, peer, counters, |entry, _, _| {
                entry.addresses.retain(|known| known.address != *address);
            });
        }
    }

    /// What the peer says of itself on a connection to `remote`; in a push, what is missing stays.
    pub(crate) fn identified(
        &mut self,
        now: Instant,
        peer: PeerId,
        remote: &Multiaddr,
        info: &identify::Info,
        is_push: bool,
        counters: &mut Counters,
    ) {
        let reach = scope(remote);
        self.update(now, peer, counters, |entry, config, counters| {
            if !is_push || !info.protocols.is_empty() {
                entry.protocols.clone_from(&info.protocols);
            }
            entry.agent = info.agent.clone().or_else(|| entry.agent.take());
            entry.key = info.key.clone().or_else(|| entry.key.take());
            let expires = now + config.address_ttl;
            if let Some(record) = &info.signed_addresses {
                entry.take_record((now, expires), config, counters, record, reach);
            } else if entry.seq(now).is_none() {
                let source = Source::Identify;
                for address in &info.listen_addresses {
                    let told = Told { source, reach };
                    entry.insert(config, counters, address.clone(), expires, told);
                }
            }
        });
    }

    /// The peer is of use: others are forgotten before it.
    pub(crate) fn touch(&mut self, now: Instant, peer: PeerId, counters: &mut Counters) {
        if let Some(entry) = self.remove(&peer) {
            self.put(now, peer, entry, counters);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, _)| *at)
    }

    /// Forgets what has had its time.
    pub(crate) fn handle_timeout(&mut self, now: Instant, counters: &mut Counters) {
        while let Some((_, peer)) = self.expiry.first().copied().filter(|(at, _)| *at <= now) {
            // Putting it back is what checks the times, and forgets the peer when none is left.
            self.touch(now, peer, counters);
        }
    }

    /// The one way to change an entry: takes it out, changes it, puts it back.
    fn update(
        &mut self,
        now: Instant,
        peer: PeerId,
        counters: &mut Counters,
        change: impl FnOnce(&mut Entry, &Config, &mut Counters),
    ) {
        let mut entry = self.remove(&peer).unwrap_or_default();
        change(&mut entry, &self.config, counters);
        self.unsaved.changed(peer, &entry);
        self.put(now, peer, entry, counters);
    }

    /// Puts an entry back within the limits, if any of it is still to be believed.
    fn put(&mut self, now: Instant, peer: PeerId, mut entry: Entry, counters: &mut Counters) {
        if !entry.connected {
            entry.addresses.retain(|known| known.expires > now);
            let ends = entry.addresses.iter().map(|known| known.expires);
            // What the user keeps is kept until he takes it away, or room is short.
            let kept = (!entry.values.is_empty()).then(|| now + TTL_MAX);
            let Some(expires) = ends
                .chain(entry.remembered_until)
                .chain(kept)
                .max()
                .filter(|at| *at > now)
            else {
                return self.unsaved.removed(peer, &entry);
            };
            entry.expires = Some(expires);
            entry.tick = self.tick;
            entry.bytes = entry.count_bytes();
            self.tick += 1;
            self.bytes += entry.bytes;
            self.recent.insert(entry.tick, peer);
            self.expiry.insert((expires, peer));
        }
        self.peers.insert(peer, entry);
        loop {
            let limit = match (self.recent.len(), self.bytes) {
                (count, _) if count > self.config.peers_max => Limit::Peers,
                (_, bytes) if bytes > self.config.peers_bytes_max => Limit::PeersBytes,
                _ => break,
            };
            let Some((_, peer)) = self.recent.first_key_value() else {
                return;
            };
            let peer = *peer;
            if let Some(entry) = self.remove(&peer) {
                self.unsaved.removed(peer, &entry);
            }
            counters.limits.count(limit);
        }
        counters.limits.saw(Limit::Peers, self.recent.len());
        counters.limits.saw(Limit::PeersBytes, self.bytes);
    }

    fn remove(&mut self, peer: &PeerId) -> Option<Entry> {
        let mut entry = self.peers.remove(peer)?;
        if let Some(expires) = entry.expires.take() {
            self.expiry.remove(&(expires, *peer));
            self.recent.remove(&entry.tick);
            self.bytes -= entry.bytes;
        }
        Some(entry)
    }
}

/// Longest that anything is believed: ten years, which no clock overflows.
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
