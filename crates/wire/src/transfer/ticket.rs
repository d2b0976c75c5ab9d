//! Tickets: a text that says who has something, where, what it is, and that its holder may have it. `carrick1`, then in
//! lower-case base32 (RFC 4648, no padding): peer id, root hash, secret, addresses, checksum.

use std::{fmt, str::FromStr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};
use multibase::Base;

use super::{Fields, Hash, Secret};
use crate::{DecodeError, address, peer_id, varint};

/// What a receiver needs, in a text to be copied or scanned. Whoever holds it may receive; it is as secret as what it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Who sends.
    pub peer: PeerId,
    /// The hash over the manifest.
    pub root: Hash,
    /// What the sender wants to see.
    pub secret: Secret,
    /// Where the sender can be reached, without its `/p2p/…`; at most [`ADDRESSES_MAX`](Self::ADDRESSES_MAX).
    pub addresses: Vec<Multiaddr>,
}

impl Ticket {
    /// Most addresses of a ticket.
    pub const ADDRESSES_MAX: usize = 16;
    /// Longest text, in bytes.
    pub const TEXT_MAX: usize = 4096;

    /// A ticket; of `addresses` the first [`ADDRESSES_MAX`](Self::ADDRESSES_MAX) are kept, without the peer's id.
    pub fn new(
        peer: PeerId,
        root: Hash,
        secret: Secret,
        addresses: impl IntoIterator<Item = Multiaddr>,
    ) -> Self {
        let mut addresses: Vec<Multiaddr> =
            addresses.into_iter().take(Self::ADDRESSES_MAX).collect();
        for address in &mut addresses {
            if matches!(address.iter().last(), Some(Protocol::P2p(id)) if id == peer) {
                address.pop();
            }
        }
        Self {
            peer,
            root,
            secret,
            addresses,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::encode_prefixed(&self.peer.to_bytes(), &mut out);
        out.extend_from_slice(&self.root);
        out.extend_from_slice(&self.secret);
        for address in &self.addresses {
            varint::encode_prefixed(address.as_ref(), &mut out);
        }
        out.extend_from_slice(&crc32(&out).to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (body, sum) = bytes.split_last_chunk().ok_or(DAMAGED)?;
        if crc32(body) != u32::from_be_bytes(*sum) {
            return Err(DAMAGED);
        }
        let mut body = Fields(body);
        let peer = peer_id::decode(body.prefixed("peer id", PEER_MAX)?)?;
        let (root, secret) = (body.array()?, body.array()?);
        let mut addresses = Vec::new();
        while !body.0.is_empty() {
            let len = addresses.len() + 1;
            DecodeError::check_max("addresses in a ticket", len, Self::ADDRESSES_MAX)?;
            addresses.push(address::decode(body.prefixed("address", Self::TEXT_MAX)?)?);
        }
        Ok(Self {
            peer,
            root,
            secret,
            addresses,
        })
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Base::Base32Lower.encode(self.encode()))
    }
}

/// In either case, as QR codes are shorter with capitals alone.
impl FromStr for Ticket {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        DecodeError::check_max("ticket", text.len(), Self::TEXT_MAX)?;
        let text = text.trim().to_ascii_lowercase();
        let body = text.strip_prefix(PREFIX).ok_or(DecodeError::Malformed(
            "it is no ticket, which begins with carrick1",
        ))?;
        Self::decode(&Base::Base32Lower.decode(body).map_err(|_| DAMAGED)?)
    }
}

/// Without the secret, which must not end in a log.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("peer", &self.peer)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// CRC-32 (IEEE 802.3), bit by bit: it finds typing errors, and a ticket is short.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

const PREFIX: &str = "carrick1";
/// Longest peer id.
const PEER_MAX: usize = 64;
const DAMAGED: DecodeError =
    DecodeError::Malformed("the ticket is damaged: a part of it is missing or was changed");
