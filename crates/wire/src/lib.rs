//! Values and bytes: one file per spec of libp2p. Pure functions, no clock, no I/O, no chance.
//! Invariants: no input panics; every size and count is checked before anything is allocated for it.

#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod der;
mod error;
#[cfg(test)]
mod fixtures;
pub mod varint;

pub mod mplex;
pub mod multistream;
pub mod noise;
mod protocol_id;
pub mod yamux;

pub mod address;
pub mod certificate;
pub mod key;
pub mod peer_id;
#[cfg(feature = "pnet")]
pub mod pnet;

pub mod envelope;
pub mod identify;
pub mod messages;
pub mod p2pd;
pub mod packets;
mod pb;
pub mod peer_record;
pub mod stored_peer;
pub mod transfer;

pub use error::DecodeError;
pub use libp2p_identity::{Keypair, PeerId, PublicKey};
pub use multiaddr::{Multiaddr, Protocol};
pub use protocol_id::ProtocolId;
