//! What the user asks and says of the node's own addresses.

use std::sync::PoisonError;

use carrick_swarm::Swarm;
use carrick_wire::{Multiaddr, PeerId, Protocol};

use crate::{IntoAddress, Node, TargetError};

impl Node {
    /// What identify tells of our program, as [`Builder::agent`](crate::Builder::agent) has it.
    pub fn agent(&self) -> &str {
        &self.core().agent
    }

    /// An address of ours that others can dial, ending in our `/p2p/…`: the first one that we listen on. Without a
    /// listener it is `/p2p/…` alone.
    pub fn address(&self) -> Multiaddr {
        let first = self.listening().into_iter().next();
        first
            .unwrap_or_else(Multiaddr::empty)
            .with(Protocol::P2p(self.id()))
    }

    /// All addresses that we listen on, each ending in our `/p2p/…`: the sockets' own, with real ports and, for a wildcard,
    /// one for each interface as it is now. Behind a NAT the world reaches none of them: see
    /// [`external_addresses`](Self::external_addresses).
    pub fn addresses(&self) -> Vec<Multiaddr> {
        named(self.listening(), self.id())
    }

    /// Where else others have reached us, each ending in our `/p2p/…`: confirmed by peers in at least
    /// [`observers_min`](carrick_swarm::Config::observers_min) networks, as long as they are connected.
    pub fn external_addresses(&self) -> Vec<Multiaddr> {
        let addresses = self.core().addresses.read();
        let addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        named(addresses.external.clone(), self.id())
    }

    /// What we tell others of where we can be reached, the most useful first, each ending in our `/p2p/…`: what was
    /// [announced](Self::announce), up to eight external addresses, and where we listen. A peer is told those that mean the
    /// same to it as to us: private addresses only in a private network, loopback only on this machine. Whoever is connected
    /// hears of a change a moment later, in a signed record with a higher number.
    pub fn told_addresses(&self) -> Vec<Multiaddr> {
        let addresses = self.core().addresses.read();
        let addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        named(addresses.told.clone(), self.id())
    }

    /// Tells others that we can be reached at this address: that of a port forwarding, a proxy, a name. Nothing checks it.
    /// It may end in our `/p2p/…`.
    ///
    /// # Errors
    /// The text is not an address, or it names another peer.
    pub async fn announce(&self, address: impl IntoAddress) -> Result<(), TargetError> {
        let address = own(address.into_address()?, self.id())?;
        let announce = move |swarm: &mut Swarm, now| swarm.announce(now, address);
        self.core().with_swarm(announce).await;
        Ok(())
    }

    /// Takes back what was [announced](Self::announce); `false`: it was not.
    ///
    /// # Errors
    /// As [`announce`](Self::announce).
    pub async fn retract(&self, address: impl IntoAddress) -> Result<bool, TargetError> {
        let address = own(address.into_address()?, self.id())?;
        let retract = move |swarm: &mut Swarm, now| swarm.retract(now, address);
        Ok(self.core().with_swarm(retract).await.unwrap_or(false))
    }

    /// Whether others are told of announced addresses only; off at first.
    pub async fn announce_only(&self, only: bool) {
        let announce = move |swarm: &mut Swarm, now| swarm.announce_only(now, only);
        self.core().with_swarm(announce).await;
    }

    fn listening(&self) -> Vec<Multiaddr> {
        let addresses = self.core().addresses.read();
        let addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        addresses.listening.clone()
    }
}

/// With our name at the end, for whom they are shown to.
fn named(addresses: Vec<Multiaddr>, id: PeerId) -> Vec<Multiaddr> {
    let named = |address: Multiaddr| address.with(Protocol::P2p(id));
    addresses.into_iter().map(named).collect()
}

/// Makes sure that it is not another peer's.
fn own(address: Multiaddr, id: PeerId) -> Result<Multiaddr, TargetError> {
    match address.iter().last() {
        None => Err(TargetError::Empty),
        Some(Protocol::P2p(other)) if other != id => Err(TargetError::TwoPeers(id, other)),
        Some(_) => Ok(address),
    }
}
