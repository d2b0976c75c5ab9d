//! Peer records, RFC 0003: a peer's own addresses, numbered and signed by it.
//! The RFC's domain and type differ from those in use; the ones in use are sent, both are read.

use libp2p_identity::{Keypair, PeerId};
use multiaddr::Multiaddr;
use prost::Message as _;

use crate::{
    DecodeError, address,
    envelope::{self, SealError},
    pb::{self, Fields},
    peer_id,
};

/// Most addresses in a record that is read.
pub const ADDRESSES_MAX: usize = 256;
/// The envelope's domain.
pub const DOMAIN: &str = "libp2p-peer-record";
/// The payload's type: multicodec 0x0301, libp2p-peer-record.
pub const PAYLOAD_TYPE: &[u8] = &[3, 1];
/// The domain as the RFC has it.
pub const DOMAIN_RFC: &str = "libp2p-routing-state";
/// The payload's type as the RFC has it.
pub const PAYLOAD_TYPE_RFC: &[u8] = b"/libp2p/routing-state-record";

/// A peer's addresses, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    /// Whose addresses.
    pub peer: PeerId,
    /// Grows with each record of a peer; counts, and never tells the time.
    pub seq: u64,
    /// Where the peer can be reached.
    pub addresses: Vec<Multiaddr>,
}

impl PeerRecord {
    /// The record in an envelope; the keypair should be the peer's own.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, keypair: &Keypair) -> Result<Vec<u8>, SealError> {
        let addresses = self.addresses.iter().map(|address| AddressPb {
            multiaddr: address.to_vec(),
        });
        let payload = RecordPb {
            peer_id: self.peer.to_bytes(),
            seq: self.seq,
            addresses: addresses.collect(),
        };
        envelope::seal(keypair, DOMAIN, PAYLOAD_TYPE, &payload.encode_to_vec())
    }

    /// Opens an envelope that holds a record. Addresses that [`address::decode`] refuses are left
    /// out, the others are kept.
    ///
    /// # Errors
    /// What [`envelope::open`] refuses, another payload type, bad protobuf, more addresses than
    /// [`ADDRESSES_MAX`], a peer who is not the signer.
    pub fn open(buf: &[u8]) -> Result<Self, DecodeError> {
        let opened = envelope::open_with(buf, |payload_type| match payload_type {
            PAYLOAD_TYPE => Some(DOMAIN),
            PAYLOAD_TYPE_RFC => Some(DOMAIN_RFC),
            _ => None,
        })?;
        let mut count = 0;
        for field in Fields::of("peer record", &opened.payload, envelope::LEN_MAX)? {
            count += usize::from(field?.0 == 3);
        }
        DecodeError::check_max("addresses in a peer record", count, ADDRESSES_MAX)?;
        let record: RecordPb = pb::decode(&opened.payload, "peer record is not valid protobuf")?;
        let peer = peer_id::decode(&record.peer_id)?;
        if peer != opened.key.to_peer_id() {
            return Err(DecodeError::Malformed(
                "peer record is not signed by its peer",
            ));
        }
        let addresses = record
            .addresses
            .iter()
            .filter_map(|a| address::decode(&a.multiaddr).ok());
        Ok(Self {
            peer,
            seq: record.seq,
            addresses: addresses.collect(),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct RecordPb {
    #[prost(bytes = "vec", tag = "1")]
    peer_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(message, repeated, tag = "3")]
    addresses: Vec<AddressPb>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AddressPb {
    #[prost(bytes = "vec", tag = "1")]
    multiaddr: Vec<u8>,
}

#[cfg(test)]
mod tests;
