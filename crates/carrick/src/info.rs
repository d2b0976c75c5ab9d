//! What identify told of a peer, as the node's users see it.

use carrick_protocols::identify;
use carrick_wire::{Multiaddr, PeerId, ProtocolId, PublicKey, key};

/// What a peer says of itself. Only the peer id and the key are proven.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Who it is.
    pub peer: PeerId,
    /// The kind of its identity key, such as `Ed25519`.
    pub key_type: &'static str,
    /// The program's name and version; control characters are replaced.
    pub agent: Option<String>,
    /// The network's name and version.
    pub protocol_version: Option<String>,
    /// What it accepts.
    pub protocols: Vec<ProtocolId>,
    /// Where it listens.
    pub addresses: Vec<Multiaddr>,
    /// Our address as it sees it.
    pub observed_address: Option<Multiaddr>,
}

impl Info {
    pub(crate) fn new(peer: PeerId, public: &PublicKey, info: &identify::Info) -> Self {
        Self {
            peer,
            key_type: key::kind(public),
            agent: info.agent.clone(),
            protocol_version: info.protocol_version.clone(),
            protocols: info.protocols.clone(),
            addresses: info.listen_addresses.clone(),
            observed_address: info.observed_address.clone(),
        }
    }

    /// What is true after a push: missing fields have not changed.
    pub(crate) fn updated(&self, push: &identify::Info) -> Self {
        let mut info = self.clone();
        if push.agent.is_some() {
            info.agent.clone_from(&push.agent);
        }
        if !push.protocols.is_empty() {
            info.protocols.clone_from(&push.protocols);
        }
        if !push.listen_addresses.is_empty() {
            info.addresses.clone_from(&push.listen_addresses);
        }
        if push.observed_address.is_some() {
            info.observed_address.clone_from(&push.observed_address);
        }
        info
    }
}
