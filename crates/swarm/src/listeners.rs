//! Our own addresses: where we listen, where others say that they have reached us, and what the user announces.
//! Invariants: a connection counts for one observed address; an observed address is believed only
//! while enough observers, each in another network, vouch for it.

use std::collections::{BTreeMap, BTreeSet};

use multiaddr::Multiaddr;

use crate::{
    addresses::{
        Carrier, Scope, Subnet, canonical, carrier, ip, is_relayed, is_udp, neighbourhood, scope,
        split_peer,
    },
    event::ConnectionId,
};

/// Our own addresses.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    listening: Vec<Multiaddr>,
    /// With how many connections of each network vouch for it.
    observers: BTreeMap<Multiaddr, BTreeMap<Subnet, usize>>,
    observed: BTreeMap<ConnectionId, (Multiaddr, Subnet)>,
    external: BTreeSet<Multiaddr>,
    announced: Vec<Multiaddr>,
    only_announced: bool,
}

/// What an observation, or its end, has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Belief {
    /// An address that is believed from now on.
    pub(crate) gained: Option<Multiaddr>,
    /// One that is not any more.
    pub(crate) lost: Option<Multiaddr>,
}

impl Listeners {
    /// Whether the address is new.
    pub(crate) fn open(&mut self, address: Multiaddr) -> bool {
        insert(&mut self.listening, address)
    }

    /// Whether the address was there.
    pub(crate) fn close(&mut self, address: &Multiaddr) -> bool {
        remove(&mut self.listening, address)
    }

    /// Whether the address is new.
    pub(crate) fn announce(&mut self, address: Multiaddr) -> bool {
        insert(&mut self.announced, address)
    }

    /// Whether the address was there.
    pub(crate) fn retract(&mut self, address: &Multiaddr) -> bool {
        remove(&mut self.announced, address)
    }

    /// Whether that is a change.
    pub(crate) fn announce_only(&mut self, only: bool) -> bool {
        std::mem::replace(&mut self.only_announced, only) != only
    }

    /// What others are told, the most useful first: what the user announces, then what is believed, best vouched for first,
    /// then where we listen.
    pub(crate) fn told(&self) -> Vec<Multiaddr> {
        let mut told = self.announced.clone();
        if self.only_announced {
            return told;
        }
        let mut external: Vec<_> = self.external().collect();
        let voices = |address: &&Multiaddr| self.observers.get(*address).map_or(0, BTreeMap::len);
        external.sort_by_key(|address| std::cmp::Reverse(voices(address)));
        let external = external.into_iter().take(EXTERNAL_MAX);
        for address in external.chain(&self.listening) {
            insert(&mut told, address.clone());
        }
        told
    }

    /// Whether the address, without a peer id, leads to ourselves.
    pub(crate) fn is_own(&self, address: &Multiaddr) -> bool {
        let address = canonical(address);
        let own = self.listening.iter().chain(&self.announced);
        let mut own = own.chain(&self.external);
        own.any(|own| canonical(own) == address)
    }

    /// Whether a dial to `remote` leaves from a port that we listen on, so that the peer sees an address
    /// that others can dial. So it is with QUIC, whose one socket does both, and with TCP when asked for.
    pub(crate) fn shares_port(&self, remote: &Multiaddr, tcp_port_reused: bool) -> bool {
        let shared = match carrier(remote) {
            Carrier::Quic => true,
            Carrier::Tcp => tcp_port_reused,
            _ => false,
        };
        let kind = |address| {
            let loopback = scope(address) == Scope::Loopback;
            (
                carrier(address),
                ip(address).map(|ip| ip.is_ipv4()),
                loopback,
            )
        };
        let mut listening = self.listening.iter();
        shared && listening.any(|own| kind(own) == kind(remote))
    }

    pub(crate) fn listening(&self) -> impl Iterator<Item = &Multiaddr> {
        self.listening.iter()
    }

    pub(crate) fn external(&self) -> impl Iterator<Item = &Multiaddr> {
        let external = self.external.iter();
        external.filter(|address| !self.listening.contains(address))
    }

    /// Counts where a peer at `remote` has reached us.
    // Not for connections that we dialed from another socket than a listener's: there peers see a port of the
    // moment, which nobody can dial.
    pub(crate) fn observe(
        &mut self,
        connection: ConnectionId,
        remote: &Multiaddr,
        observed: &Multiaddr,
        observers_min: usize,
    ) -> Belief {
        let (address, _) = split_peer(observed.clone());
        // Who has come by one transport cannot have reached us by another.
        let other = is_udp(&address) != is_udp(remote);
        let local = scope(&address) == Scope::Loopback;
        let vain = local || other || is_relayed(&address) || address.is_empty();
        let observer = neighbourhood(remote).filter(|_| !vain);
        let said = observer.map(|observer| (address, observer));
        if self.observed.get(&connection) == said.as_ref() {
            return Belief::default();
        }
        let mut belief = self.forget(connection, observers_min);
        let Some((address, observer)) = said else {
            return belief;
        };
        let observers = self.observers.entry(address.clone()).or_default();
        *observers.entry(observer).or_default() += 1;
        let believed = observers.len() >= observers_min;
        self.observed
            .insert(connection, (address.clone(), observer));
        if believed && self.external.insert(address.clone()) && !self.listening.contains(&address) {
            belief.gained = Some(address);
        }
        belief
    }

    /// The connection is gone, and its voice with it.
    pub(crate) fn forget(&mut self, connection: ConnectionId, observers_min: usize) -> Belief {
        let mut belief = Belief::default();
        let Some((address, observer)) = self.observed.remove(&connection) else {
            return belief;
        };
        let Some(observers) = self.observers.get_mut(&address) else {
            return belief;
        };
        if let Some(count) = observers.get_mut(&observer) {
            *count -= 1;
            if *count == 0 {
                observers.remove(&observer);
            }
        }
        let believed = observers.len() >= observers_min;
        if observers.is_empty() {
            self.observers.remove(&address);
        }
        if !believed && self.external.remove(&address) && !self.listening.contains(&address) {
            belief.lost = Some(address);
        }
        belief
    }
}

fn insert(all: &mut Vec<Multiaddr>, address: Multiaddr) -> bool {
    let new = !all.contains(&address);
    if new {
        all.push(address);
    }
    new
}

fn remove(all: &mut Vec<Multiaddr>, address: &Multiaddr) -> bool {
    let before = all.len();
    all.retain(|own| own != address);
    all.len() < before
}

/// Believed addresses that are told: whoever has many networks can make us believe many, but not drown those that more
/// vouch for.
const EXTERNAL_MAX: usize = 8;

#[cfg(test)]
mod tests;
