//! The swarm.

use std::time::Instant;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::*;

/// The control plane of one node.
#[derive(Debug)]
pub struct Swarm {
    counters: Counters,
    store: PeerStore,
}

/// One established connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The other end.
    pub peer: PeerId,
    /// The other end's address.
    pub address: Multiaddr,
    /// Who dialed.
    pub direction: Direction,
    /// Since when.
    pub established: Instant,
}

impl Swarm {
    /// A swarm without connections.
    pub fn new(_config: Config, _local: PeerId) -> Self {
        Self {
            counters: Counters::default(),
            store: PeerStore::default(),
        }
    }
    /// Takes one event; drain [`Self::poll_action`] afterwards.
    pub fn handle_event(&mut self, _now: Instant, _event: Event) {}
    /// Does what is due at `now`; drain [`Self::poll_action`] afterwards.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// What to do next, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }
    /// Whether an inbound connection is let in; ask before its first byte is read.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn admit(&mut self, _now: Instant, _remote: &Multiaddr) -> Result<PendingId, Refused> {
        Err(Refused::Closed)
    }
    /// What we know of peers.
    pub fn peer_store(&self) -> &PeerStore {
        &self.store
    }
    /// What was refused so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// The connections to a peer, without those we are closing.
    pub fn connections(&self, _peer: &PeerId) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        std::iter::empty()
    }
    /// Peers we are connected to.
    pub fn peers(&self) -> impl Iterator<Item = &PeerId> {
        std::iter::empty()
    }
    /// The connection that new streams to this peer use.
    pub fn best_connection(&self, _peer: &PeerId) -> Option<ConnectionId> {
        None
    }
    /// Where we listen.
    pub fn listen_addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        std::iter::empty()
    }
    /// Where others have reached us, beside where we listen.
    pub fn external_addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        std::iter::empty()
    }
}
