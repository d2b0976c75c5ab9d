//! The node's own addresses: where it listens, where others say that they reach it, what its user announces; and what of
//! these a peer is told.

use std::time::{Duration, SystemTime};

use carrick_swarm::{Swarm, scope};
use carrick_wire::{Multiaddr, Protocol};

/// What everybody may read; the control task writes it.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) listening: Vec<Multiaddr>,
    pub(crate) external: Vec<Multiaddr>,
    pub(crate) told: Vec<Multiaddr>,
    /// Numbers our signed records; it starts with the clock, so that it grows over restarts.
    seq: u64,
}

impl Addresses {
    /// Takes over what the swarm has decided; a record signed from here on is newer than all before.
    pub(crate) fn update(&mut self, swarm: &Swarm, wall: SystemTime) {
        self.external = swarm.external_addresses().cloned().collect();
        self.told = swarm.told_addresses();
        self.seq = next_seq(self.seq, wall);
    }

    /// The node is closed.
    pub(crate) fn clear(&mut self) {
        let seq = self.seq;
        *self = Self {
            seq,
            ..Self::default()
        };
    }

    /// What a peer at `remote` is told, and the number of the record that says so: none that is loopback or private here
    /// and would be another machine there.
    pub(crate) fn told_at(&self, remote: &Multiaddr) -> (Vec<Multiaddr>, u64) {
        let reach = scope(remote);
        // A path leads nowhere on another machine, and is nobody's business there.
        let is_path =
            |address: &Multiaddr| matches!(address.iter().next(), Some(Protocol::Unix(_)));
        let told = self.told.iter();
        let told = told.filter(|address| scope(address) >= reach && !is_path(address));
        (told.cloned().collect(), self.seq)
    }
}

/// It grows even when the clock does not, or is set back.
fn next_seq(last: u64, wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.as_ref().map_or(0, Duration::as_millis);
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    millis.max(last.saturating_add(1))
}

#[cfg(test)]
mod tests;
