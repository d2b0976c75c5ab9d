//! What is known of one peer. Which address goes when there are too many: the least believed, then the
//! one that ends first.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use carrick_wire::{ProtocolId, peer_record::PeerRecord};
use libp2p_identity::PublicKey;
use multiaddr::Multiaddr;

use super::metadata::Source;
use crate::{
    addresses::{Scope, is_nobody, scope},
    config::{Config, Counters},
    limits::{Ledger, Limit, LimitReached},
};

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) addresses: Vec<Known>,
    pub(super) protocols: Vec<ProtocolId>,
    pub(super) agent: Option<String>,
    pub(super) key: Option<PublicKey>,
    /// The last record's number, and until when older ones are refused.
    pub(super) seq: Option<(u64, Instant)>,
    pub(super) rtt_us: Option<u32>,
    /// What the user keeps.
    pub(super) values: BTreeMap<String, Vec<u8>>,
    /// When it was last connected: this long before that moment.
    pub(super) seen: Option<(Instant, Duration)>,
    pub(super) connected: bool,
    /// Whether the store may have a record of it.
    pub(super) saved: bool,
    // The rest is set when the entry is put back, see `PeerStore::put`.
    pub(super) remembered_until: Option<Instant>,
    pub(super) expires: Option<Instant>,
    pub(super) tick: u64,
    pub(super) bytes: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) address: Multiaddr,
    pub(super) expires: Instant,
    pub(super) source: Source,
    /// How far the one was away who told it: nobody leads us to what is nearer to us than he is.
    pub(super) reach: Scope,
}

/// Who says where a peer is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) source: Source,
    pub(crate) reach: Scope,
}

impl Told {
    /// The user, or our own experience: believed whatever it is.
    pub(crate) const fn surely(source: Source) -> Self {
        let reach = Scope::Loopback;
        Self { source, reach }
    }
}

impl Entry {
    pub(super) fn insert(
        &mut self,
        config: &Config,
        counters: &mut Counters,
        address: Multiaddr,
        expires: Instant,
        told: Told,
    ) {
        let Told { source, reach } = told;
        if address.is_empty() || address.len() > ADDRESS_LEN_MAX {
            counters.addresses_dropped += 1;
            return;
        }
        if source < Source::User {
            // Dialing what is nearer than the teller would reach one of our own in the peer's place.
            let near = scope(&address) < reach && !config.allow_private;
            if near || is_nobody(&address) {
                counters.addresses_private += 1;
                return;
            }
        }
        if let Some(known) = self.addresses.iter_mut().find(|k| k.address == address) {
            known.expires = known.expires.max(expires);
            known.source = known.source.max(source);
            known.reach = known.reach.min(reach);
            return;
        }
        let new = Known {
            address,
            expires,
            source,
            reach,
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
        let rank = |known: &Known| (known.source, known.expires);
        let weakest = self.addresses.iter_mut().min_by_key(|known| rank(known));
        if let Some(weakest) = weakest
            && rank(weakest) < rank(&new)
        {
            *weakest = new;
        }
    }

    /// The last ones go: keep what is best proven, then what lasts longest.
    pub(super) fn cut(&mut self, config: &Config) {
        let rank = |known: &Known| std::cmp::Reverse((known.source, known.expires));
        self.addresses.sort_by_key(rank);
        self.addresses.truncate(config.addresses_max);
    }

    /// The number of the record that older ones are measured by. It lapses: else whoever once signs the
    /// highest number, by mistake or with a stolen key, could never be told from its past again.
    pub(super) fn seq(&self, now: Instant) -> Option<u64> {
        let (seq, until) = self.seq?;
        (until > now).then_some(seq)
    }

    /// A record replaces the ones before it and what others say, not what we have seen ourselves.
    pub(super) fn take_record(
        &mut self,
        (now, expires): (Instant, Instant),
        config: &Config,
        counters: &mut Counters,
        record: &PeerRecord,
        reach: Scope,
    ) {
        if self.seq(now).is_some_and(|seq| record.seq < seq) {
            counters.records_refused += 1;
            return;
        }
        if self.seq.is_none_or(|(seq, _)| seq != record.seq) {
            self.addresses.retain(|known| known.source >= Source::User);
        }
        self.seq = Some((record.seq, expires));
        let source = Source::SignedRecord;
        for address in &record.addresses {
            let told = Told { source, reach };
            self.insert(config, counters, address.clone(), expires, told);
        }
    }

    /// The addresses that are believed.
    pub(super) fn alive(&self, now: Instant) -> impl Iterator<Item = &Known> {
        let known = self.addresses.iter();
        known.filter(move |known| self.connected || known.expires > now)
    }

    /// How long ago it was connected.
    pub(super) fn seen(&self, now: Instant) -> Option<Duration> {
        let (at, before) = self.seen?;
        Some(match self.connected {
            true => Duration::ZERO,
            false => before.saturating_add(now.saturating_duration_since(at)),
        })
    }

    pub(super) fn measured(&mut self, rtt: Duration) {
        let new = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        // As TCP smooths it (RFC 6298 §2.3).
        let smoothed = |old: u32| (7 * u64::from(old) + u64::from(new)) / 8;
        let rtt = self.rtt_us.map_or_else(|| new.into(), smoothed);
        self.rtt_us = u32::try_from(rtt).ok();
    }

    /// Sets a value of the user's, or takes it away.
    pub(super) fn set_value(
        &mut self,
        config: &Config,
        limits: &mut Ledger,
        name: String,
        value: Option<Vec<u8>>,
    ) -> Result<(), LimitReached> {
        let Some(value) = value else {
            self.values.remove(&name);
            return Ok(());
        };
        let others = || self.values.iter().filter(|(other, _)| **other != name);
        limits.check(
            Limit::PeerValues,
            others().count(),
            config.metadata_values_max,
        )?;
        let used: usize = others().map(|(name, value)| name.len() + value.len()).sum();
        let used = used + name.len() + value.len();
        if used > config.metadata_bytes_max {
            return Err(limits.refuse(Limit::PeerValuesBytes, config.metadata_bytes_max));
        }
        self.values.insert(name, value);
        limits.saw(Limit::PeerValues, self.values.len());
        limits.saw(Limit::PeerValuesBytes, used);
        Ok(())
    }

    /// Whether anything of it is of use to another run.
    pub(super) fn is_worth_saving(&self) -> bool {
        !self.addresses.is_empty() || !self.values.is_empty() || self.seq.is_some()
    }

    pub(super) fn count_bytes(&self) -> usize {
        let addresses = self
            .addresses
            .iter()
            .map(|k| k.address.len() + ITEM_OVERHEAD);
        let protocols = self
            .protocols
            .iter()
            .map(|p| p.as_str().len() + ITEM_OVERHEAD);
        let values = self.values.iter();
        let values = values.map(|(name, value)| name.len() + value.len() + ITEM_OVERHEAD);
        let agent = self.agent.as_ref().map_or(0, String::len);
        let key = self
            .key
            .as_ref()
            .map_or(0, |key| key.encode_protobuf().len());
        let lists = addresses.sum::<usize>() + protocols.sum::<usize>() + values.sum::<usize>();
        ENTRY_OVERHEAD + lists + agent + key
    }
}

/// Longest address that is remembered, in bytes.
const ADDRESS_LEN_MAX: usize = 512;
/// What an address or a protocol costs besides its bytes, about.
const ITEM_OVERHEAD: usize = 64;
/// What a peer costs besides its lists, about.
const ENTRY_OVERHEAD: usize = 512;
