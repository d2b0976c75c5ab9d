//! What is kept of a peer between two runs of a program: our own format, read by us alone, and still
//! as carefully as what peers send: the file may be damaged, or somebody else's.
//! Times are unix times in milliseconds: an `Instant` means nothing to the next run.

use libp2p_identity::PublicKey;
use multiaddr::Multiaddr;
use prost::Message as _;

use crate::{
    DecodeError, ProtocolId, address, key,
    pb::{self, Fields},
};

/// Longest record, in bytes.
pub const LEN_MAX: usize = 512 * 1024;
/// Most addresses, protocols or values in a record, each.
pub const ITEMS_MAX: usize = 1024;
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// What is kept of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredPeer {
    /// When this was written.
    pub saved_ms: u64,
    /// Whether the peer was connected then.
    pub connected: bool,
    /// When the peer was last connected.
    pub seen_ms: Option<u64>,
    /// Until when it is remembered without an address.
    pub until_ms: u64,
    /// Where it may be reached.
    pub addresses: Vec<StoredAddress>,
    /// What it accepts.
    pub protocols: Vec<ProtocolId>,
    /// Its program and version.
    pub agent: Option<String>,
    /// Its public key.
    pub key: Option<PublicKey>,
    /// The number of its last signed record, and until when older ones are refused.
    pub seq: Option<(u64, u64)>,
    /// Its smoothed round trip time, in microseconds.
    pub rtt_us: Option<u32>,
    /// What the user keeps of it.
    pub values: Vec<(String, Vec<u8>)>,
}

/// One address of a stored peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAddress {
    /// Without the peer id at its end.
    pub address: Multiaddr,
    /// Until when it is believed.
    pub expires_ms: u64,
    /// Why it is believed: a number of the reader's own.
    pub source: u32,
    /// How near the one who told it was: a number of the reader's own.
    pub reach: u32,
}

impl StoredPeer {
    /// The record as protobuf.
    pub fn encode(&self) -> Vec<u8> {
        let addresses = self.addresses.iter().map(|known| AddressPb {
            address: known.address.to_vec(),
            expires_ms: known.expires_ms,
            source: known.source,
            reach: known.reach,
        });
        let values = self.values.iter().map(|(name, value)| ValuePb {
            name: name.clone(),
            value: value.clone(),
        });
        let protocols = self.protocols.iter();
        PeerPb {
            version: VERSION,
            saved_ms: self.saved_ms,
            connected: self.connected,
            seen_ms: self.seen_ms,
            until_ms: self.until_ms,
            addresses: addresses.collect(),
            protocols: protocols.map(|p| p.as_str().to_owned()).collect(),
            agent: self.agent.clone(),
            key: self.key.as_ref().map(PublicKey::encode_protobuf),
            seq: self.seq.map(|(seq, _)| seq),
            seq_until_ms: self.seq.map_or(0, |(_, until)| until),
            rtt_us: self.rtt_us,
            values: values.collect(),
        }
        .encode_to_vec()
    }

    /// Reads a record. Addresses, protocols and keys that are none are left out, the others are kept.
    ///
    /// # Errors
    /// Above [`LEN_MAX`] or [`ITEMS_MAX`]; bad protobuf; another [`VERSION`].
    pub fn decode(buf: &[u8]) -> Result<Self, DecodeError> {
        let (mut addresses, mut protocols, mut values) = (0, 0, 0);
        for field in Fields::of("stored peer", buf, LEN_MAX)? {
            match field?.0 {
                6 => addresses += 1,
                7 => protocols += 1,
                13 => values += 1,
                _ => {}
            }
        }
        DecodeError::check_max("addresses of a stored peer", addresses, ITEMS_MAX)?;
        DecodeError::check_max("protocols of a stored peer", protocols, ITEMS_MAX)?;
        DecodeError::check_max("values of a stored peer", values, ITEMS_MAX)?;
        let peer: PeerPb = pb::decode(buf, "stored peer is not valid protobuf")?;
        if peer.version != VERSION {
            return Err(DecodeError::Malformed("stored peer has another version"));
        }
        let addresses = peer.addresses.into_iter().filter_map(|known| {
            Some(StoredAddress {
                address: address::decode(&known.address).ok()?,
                expires_ms: known.expires_ms,
                source: known.source,
                reach: known.reach,
            })
        });
        let protocols = peer.protocols.iter();
        let values = peer.values.into_iter();
        Ok(Self {
            saved_ms: peer.saved_ms,
            connected: peer.connected,
            seen_ms: peer.seen_ms,
            until_ms: peer.until_ms,
            addresses: addresses.collect(),
            protocols: protocols.filter_map(|p| ProtocolId::new(p).ok()).collect(),
            agent: peer.agent,
            key: peer.key.and_then(|bytes| key::decode_public(&bytes).ok()),
            seq: peer.seq.map(|seq| (seq, peer.seq_until_ms)),
            rtt_us: peer.rtt_us,
            values: values.map(|v| (v.name, v.value)).collect(),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct PeerPb {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    saved_ms: u64,
    #[prost(bool, tag = "3")]
    connected: bool,
    #[prost(uint64, optional, tag = "4")]
    seen_ms: Option<u64>,
    #[prost(uint64, tag = "5")]
    until_ms: u64,
    #[prost(message, repeated, tag = "6")]
    addresses: Vec<AddressPb>,
    #[prost(string, repeated, tag = "7")]
    protocols: Vec<String>,
    #[prost(string, optional, tag = "8")]
    agent: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    key: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "10")]
    seq: Option<u64>,
    #[prost(uint64, tag = "11")]
    seq_until_ms: u64,
    #[prost(uint32, optional, tag = "12")]
    rtt_us: Option<u32>,
    #[prost(message, repeated, tag = "13")]
    values: Vec<ValuePb>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AddressPb {
    #[prost(bytes = "vec", tag = "1")]
    address: Vec<u8>,
    #[prost(uint64, tag = "2")]
    expires_ms: u64,
    #[prost(uint32, tag = "3")]
    source: u32,
    #[prost(uint32, tag = "4")]
    reach: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ValuePb {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[cfg(test)]
mod tests;
