//! Backoff: how long an address of a peer that has failed is left alone. It grows with each failure and
//! ends with a connection to the peer. Invariant: at most `max` addresses; the ones that failed longest
//! ago are forgotten first.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    config::Config,
    limits::{Ledger, Limit},
};

/// What has failed, and when it may be tried again.
#[derive(Debug, Default)]
pub(crate) struct Backoffs {
    table: BTreeMap<(PeerId, Multiaddr), Failure>,
    recent: BTreeMap<u64, (PeerId, Multiaddr)>,
    tick: u64,
}

#[derive(Debug)]
struct Failure {
    failures: u32,
    delay: Duration,
    until: Instant,
    tick: u64,
}

impl Backoffs {
    /// How long the address is still to be left alone.
    pub(crate) fn remaining(
        &self,
        now: Instant,
        peer: PeerId,
        address: &Multiaddr,
    ) -> Option<Duration> {
        let failure = self.table.get(&(peer, address.clone()))?;
        let remaining = failure.until.saturating_duration_since(now);
        (!remaining.is_zero()).then_some(remaining)
    }

    /// The address has failed once more.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        peer: PeerId,
        address: Multiaddr,
        config: &Config,
        limits: &mut Ledger,
    ) {
        let key = (peer, address);
        let before = self.table.remove(&key);
        if let Some(before) = &before {
            self.recent.remove(&before.tick);
        }
        // What failed long ago says nothing of today.
        let before = before.filter(|failure| failure.until + failure.delay > now);
        let failures = before.map_or(0, |failure| failure.failures);
        let square = failures.saturating_mul(failures);
        let more = config.backoff_step.checked_mul(square);
        let delay = more.and_then(|more| more.checked_add(config.backoff_base));
        let delay = delay.map_or(config.backoff_max, |delay| delay.min(config.backoff_max));
        let failure = Failure {
            failures: failures.saturating_add(1),
            delay,
            until: now + delay,
            tick: self.tick,
        };
        self.recent.insert(self.tick, key.clone());
        self.table.insert(key, failure);
        self.tick += 1;
        while self.table.len() > config.backoffs_max {
            let Some((_, oldest)) = self.recent.pop_first() else {
                return;
            };
            self.table.remove(&oldest);
            limits.count(Limit::DialBackoffs);
        }
        limits.saw(Limit::DialBackoffs, self.table.len());
    }

    /// Addresses that are remembered.
    pub(crate) fn count(&self) -> usize {
        self.table.len()
    }

    /// There is a connection to the peer.
    pub(crate) fn clear(&mut self, peer: PeerId) {
        let first = (peer, Multiaddr::empty());
        let of_peer = self.table.range(first..);
        let of_peer = of_peer.take_while(|((of, _), _)| *of == peer);
        let of_peer: Vec<_> = of_peer.map(|(key, _)| key.clone()).collect();
        for key in of_peer {
            if let Some(failure) = self.table.remove(&key) {
                self.recent.remove(&failure.tick);
            }
        }
    }
}

#[cfg(test)]
mod tests;
