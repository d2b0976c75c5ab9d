//! Our own addresses: where we listen, and where others say that they have reached us.
//! Invariants: a connection counts for one observed address; an observed address is believed only
//! while enough observers, each in another network, vouch for it.

use std::collections::{BTreeMap, BTreeSet};

use multiaddr::Multiaddr;

use crate::{
    addresses::{
        Carrier, Scope, Subnet, canonical, carrier, ip, is_relayed, is_udp, scope, split_peer,
        subnets,
    },
    event::ConnectionId,
};

/// Our own addresses.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    listening: BTreeSet<Multiaddr>,
    observers: BTreeMap<Multiaddr, BTreeSet<(Subnet, ConnectionId)>>,
    observed: BTreeMap<ConnectionId, (Multiaddr, Subnet)>,
    external: BTreeSet<Multiaddr>,
}

impl Listeners {
    /// Whether the address is new.
    pub(crate) fn open(&mut self, address: Multiaddr) -> bool {
        self.listening.insert(address)
    }

    /// Whether the address was there.
    pub(crate) fn close(&mut self, address: &Multiaddr) -> bool {
        self.listening.remove(address)
    }

    /// Whether the address, without a peer id, leads to ourselves.
    pub(crate) fn is_own(&self, address: &Multiaddr) -> bool {
        let address = canonical(address);
        let mut own = self.listening.iter().chain(&self.external);
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
        self.external.difference(&self.listening)
    }

    /// Counts where a peer at `remote` has reached us. Gives the address once it is believed.
    // Not for connections that we dialed from another socket than a listener's: there peers see a port of the
    // moment, which nobody can dial.
    pub(crate) fn observe(
        &mut self,
        connection: ConnectionId,
        remote: &Multiaddr,
        observed: &Multiaddr,
        observers_min: usize,
    ) -> Option<Multiaddr> {
        self.forget(connection, observers_min);
        let [observer, _] = subnets(remote, true);
        let (address, _) = split_peer(observed.clone());
        // Who has come by one transport cannot have reached us by another.
        let other = is_udp(&address) != is_udp(remote);
        let local = scope(&address) == Scope::Loopback;
        if local || other || is_relayed(&address) || address.is_empty() {
            return None;
        }
        let observer = observer?;
        let observers = self.observers.entry(address.clone()).or_default();
        observers.insert((observer, connection));
        self.observed
            .insert(connection, (address.clone(), observer));
        let believed = networks(observers) >= observers_min;
        (believed && self.external.insert(address.clone()) && !self.listening.contains(&address))
            .then_some(address)
    }

    /// The connection is gone. Whether an address is no longer believed.
    pub(crate) fn forget(&mut self, connection: ConnectionId, observers_min: usize) -> bool {
        let Some((address, observer)) = self.observed.remove(&connection) else {
            return false;
        };
        let Some(observers) = self.observers.get_mut(&address) else {
            return false;
        };
        observers.remove(&(observer, connection));
        let believed = networks(observers) >= observers_min;
        if observers.is_empty() {
            self.observers.remove(&address);
        }
        !believed && self.external.remove(&address)
    }
}

/// Distinct networks; the set is in their order.
fn networks(observers: &BTreeSet<(Subnet, ConnectionId)>) -> usize {
    let mut last = None;
    observers
        .iter()
        .filter(|(network, _)| last.replace(*network) != Some(*network))
        .count()
}

#[cfg(test)]
mod tests;
