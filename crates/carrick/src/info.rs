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

/// What in an [`Info`] is news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Its [`agent`](Info::agent) or [`protocol_version`](Info::protocol_version).
    pub agent: bool,
    /// Its [`protocols`](Info::protocols).
    pub protocols: bool,
    /// Its [`addresses`](Info::addresses).
    pub addresses: bool,
    /// Its [`observed_address`](Info::observed_address): ours, as it sees it.
    pub observed_address: bool,
}

impl Changes {
    /// Adds what `now` says otherwise than `before`, which is nothing at first.
    pub(crate) fn add(&mut self, before: Option<&Info>, now: &Info) {
        let changed =
            |differs: fn(&Info, &Info) -> bool| before.is_none_or(|old| differs(old, now));
        self.agent |= changed(|old, now| {
            (&old.agent, &old.protocol_version) != (&now.agent, &now.protocol_version)
        });
        self.protocols |= changed(|old, now| old.protocols != now.protocols);
        self.addresses |= changed(|old, now| old.addresses != now.addresses);
        self.observed_address |= changed(|old, now| old.observed_address != now.observed_address);
    }
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
