//! The peer store: what we know of peers, in memory. What a connected peer tells stays while it is
//! connected; the rest ends with its time, or with the least recently used peer when room is short.
//! Invariants: `recent` and `expiry` hold exactly the peers that are not connected; their count and
//! their bytes are within the limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use carrick_protocols::identify;
use carrick_wire::{ProtocolId, peer_record::PeerRecord};
use libp2p_identity::{PeerId, PublicKey};
use multiaddr::Multiaddr;

use crate::{
    addresses::{scope, split_peer},
    config::{Config, Counters},
    limits::Limit,
};

/// What we know of peers.
#[derive(Debug)]
pub struct PeerStore {
    config: Config,
    peers: BTreeMap<PeerId, Entry>,
    recent: BTreeMap<u64, PeerId>,
    expiry: BTreeSet<(Instant, PeerId)>,
    tick: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Entry {
    addresses: Vec<Known>,
    protocols: Vec<ProtocolId>,
    agent: Option<String>,
    key: Option<PublicKey>,
    seq: Option<u64>,
    connected: bool,
    // The rest is set when the entry is put back, see `update`.
    remembered_until: Option<Instant>,
    expires: Option<Instant>,
    tick: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    address: Multiaddr,
    expires: Instant,
    proof: Proof,
}

/// Why an address is believed; a later one is never replaced by an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Proof {
    /// Somebody said so.
    Hearsay,
    /// The peer's signed record says so.
    Signed,
    /// We have reached the peer there.
    Reached,
}

impl PeerStore {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            recent: BTreeMap::new(),
            expiry: BTreeSet::new(),
            tick: 0,
            bytes: 0,
        }
    }

    /// Where the peer may be reached, without its id at the end; what is best proven first.
    pub fn addresses(&self, peer: &PeerId, now: Instant) -> Vec<Multiaddr> {
        let Some(entry) = self.peers.get(peer) else {
            return Vec::new();
        };
        let known = entry.addresses.iter();
        let mut known: Vec<_> = known
            .filter(|k| entry.connected || k.expires > now)
            .collect();
        known.sort_by_key(|k| std::cmp::Reverse(k.proof));
        known.into_iter().map(|k| k.address.clone()).collect()
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
        counters: &mut Counters,
    ) {
        let expires = now + ttl.min(TTL_MAX);
        self.update(now, peer, counters, |entry, config, counters| {
            for address in addresses {
                let (address, owner) = split_peer(address);
                if owner.is_none_or(|owner| owner == peer) {
                    entry.insert(config, counters, address, expires, Proof::Hearsay);
                }
            }
        });
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
            if let Some(address) = reached {
                entry.insert(
                    config,
                    counters,
                    address,
                    now + config.address_ttl,
                    Proof::Reached,
                );
            }
        });
    }

    /// The peer's last connection is gone.
    pub(crate) fn disconnected(&mut self, now: Instant, peer: PeerId, counters: &mut Counters) {
        self.update(now, peer, counters, |entry, config, _| {
            entry.connected = false;
            let until = now + config.disconnected_ttl;
            entry.remembered_until = Some(until);
            // The last ones go: keep what is best proven, then what lasts longest.
            entry
                .addresses
                .sort_by_key(|k| std::cmp::Reverse((k.proof, k.expires)));
            entry.addresses.truncate(config.addresses_max);
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
        // Nobody reaches a loopback address from the world; dialing it would reach one of our own.
        let reach = scope(remote);
        let reachable = |address: &&Multiaddr| scope(address) >= reach;
        self.update(now, peer, counters, |entry, config, counters| {
            if !is_push || !info.protocols.is_empty() {
                entry.protocols.clone_from(&info.protocols);
            }
            entry.agent = info.agent.clone().or_else(|| entry.agent.take());
            entry.key = info.key.clone().or_else(|| entry.key.take());
            let expires = now + config.address_ttl;
            if let Some(record) = &info.signed_addresses {
                entry.take_record(config, counters, record, expires, reachable);
            } else if entry.seq.is_none() {
                for address in info.listen_addresses.iter().filter(reachable) {
                    entry.insert(config, counters, address.clone(), expires, Proof::Hearsay);
                }
            }
        });
    }

    /// The peer is of use: others are forgotten before it.
    pub(crate) fn touch(&mut self, now: Instant, peer: PeerId, counters: &mut Counters) {
        if self.peers.contains_key(&peer) {
            self.update(now, peer, counters, |_, _, _| ());
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

    /// The one way to change an entry: takes it out, changes it, puts it back within the limits.
    fn update(
        &mut self,
        now: Instant,
        peer: PeerId,
        counters: &mut Counters,
        change: impl FnOnce(&mut Entry, &Config, &mut Counters),
    ) {
        let mut entry = self.remove(&peer).unwrap_or_default();
        change(&mut entry, &self.config, counters);
        if !entry.connected {
            entry.addresses.retain(|known| known.expires > now);
            let ends = entry.addresses.iter().map(|known| known.expires);
            let Some(expires) = ends
                .chain(entry.remembered_until)
                .max()
                .filter(|at| *at > now)
            else {
                return;
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
            self.remove(&peer);
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

impl Entry {
    fn insert(
        &mut self,
        config: &Config,
        counters: &mut Counters,
        address: Multiaddr,
        expires: Instant,
        proof: Proof,
    ) {
        if address.is_empty() || address.len() > ADDRESS_LEN_MAX {
            counters.addresses_dropped += 1;
            return;
        }
        if let Some(known) = self.addresses.iter_mut().find(|k| k.address == address) {
            known.expires = known.expires.max(expires);
            known.proof = known.proof.max(proof);
            return;
        }
        let new = Known {
            address,
            expires,
            proof,
        };
        let (limit, max) = match self.connected {
            true => (
                Limit::PeerAddressesConnected,
                config.addresses_connected_max,
            ),
            false => (Limit::PeerAddresses, config.addresses_max),
        };
        let limits = &mut counters.limits;
        if limits.check(limit, self.addresses.len(), max).is_ok() {
            self.addresses.push(new);
            limits.saw(limit, self.addresses.len());
            return;
        }
        let weakest = self
            .addresses
            .iter_mut()
            .min_by_key(|k| (k.proof, k.expires));
        if let Some(weakest) = weakest
            && (weakest.proof, weakest.expires) < (new.proof, new.expires)
        {
            *weakest = new;
        }
    }

    /// A record replaces the ones before it and what others say, not what we have seen ourselves.
    fn take_record(
        &mut self,
        config: &Config,
        counters: &mut Counters,
        record: &PeerRecord,
        expires: Instant,
        reachable: impl Fn(&&Multiaddr) -> bool,
    ) {
        if self.seq.is_some_and(|seq| record.seq < seq) {
            counters.records_refused += 1;
            return;
        }
        if self.seq != Some(record.seq) {
            self.addresses.retain(|known| known.proof == Proof::Reached);
            self.seq = Some(record.seq);
        }
        for address in record.addresses.iter().filter(reachable) {
            self.insert(config, counters, address.clone(), expires, Proof::Signed);
        }
    }

    fn count_bytes(&self) -> usize {
        let addresses = self
            .addresses
            .iter()
            .map(|k| k.address.len() + ITEM_OVERHEAD);
        let protocols = self
            .protocols
            .iter()
            .map(|p| p.as_str().len() + ITEM_OVERHEAD);
        let agent = self.agent.as_ref().map_or(0, String::len);
        let key = self
            .key
            .as_ref()
            .map_or(0, |key| key.encode_protobuf().len());
        ENTRY_OVERHEAD + addresses.sum::<usize>() + protocols.sum::<usize>() + agent + key
    }
}

/// Longest address that is remembered, in bytes.
const ADDRESS_LEN_MAX: usize = 512;
/// Longest that an address is believed: ten years, which no clock overflows.
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// What an address or a protocol costs besides its bytes, about.
const ITEM_OVERHEAD: usize = 64;
/// What a peer costs besides its lists, about.
const ENTRY_OVERHEAD: usize = 512;

#[cfg(test)]
mod tests;
