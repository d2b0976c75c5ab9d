//! The peer store: what we know of peers, bounded in every direction.

use std::time::Instant;

use carrick_wire::ProtocolId;
use libp2p_identity::{PeerId, PublicKey};
use multiaddr::Multiaddr;

/// What we know of peers.
#[derive(Debug, Default)]
pub struct PeerStore {}

impl PeerStore {
    /// Where the peer may be reached, without its id at the end; the best known first.
    pub fn addresses(&self, _peer: &PeerId, _now: Instant) -> Vec<Multiaddr> {
        Vec::new()
    }
    /// What the peer accepts; empty: unknown.
    pub fn protocols(&self, _peer: &PeerId) -> &[ProtocolId] {
        &[]
    }
    /// The peer's program and version.
    pub fn agent(&self, _peer: &PeerId) -> Option<&str> {
        None
    }
    /// The peer's public key.
    pub fn key(&self, _peer: &PeerId) -> Option<&PublicKey> {
        None
    }
    /// Peers known.
    pub fn peers_count(&self) -> usize {
        0
    }
}
