//! The message of identify and identify push, identify/README.md: what a peer says of itself.
//! Nothing in it is checked but its size; a large message may come in parts, see [`Message::merge`].

use crate::{
    DecodeError,
    pb::{self, Fields},
};

/// Longest message, in bytes, without its length.
pub const LEN_MAX: usize = 8192;
/// Most addresses in a message.
pub const ADDRESSES_MAX: usize = 512;
/// Most protocols in a message.
pub const PROTOCOLS_MAX: usize = 1024;

/// One message; in a push, what is missing has not changed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// The peer's public key as protobuf.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub public_key: Option<Vec<u8>>,
    /// Addresses the peer listens on, binary.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub listen_addrs: Vec<Vec<u8>>,
    /// Protocols the peer accepts.
    #[prost(string, repeated, tag = "3")]
    pub protocols: Vec<String>,
    /// The receiver's address as the peer sees it, binary.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub observed_addr: Option<Vec<u8>>,
    /// The network's name and version, such as `ipfs/0.1.0`.
    #[prost(string, optional, tag = "5")]
    pub protocol_version: Option<String>,
    /// The program's name and version.
    #[prost(string, optional, tag = "6")]
    pub agent_version: Option<String>,
    /// A [`crate::peer_record::PeerRecord`] in its envelope.
    #[prost(bytes = "vec", optional, tag = "8")]
    pub signed_peer_record: Option<Vec<u8>>,
}

impl Message {
    /// The message as protobuf, without its length before it.
    pub fn encode(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(self)
    }

    /// Reads a message; unknown fields are ignored.
    ///
    /// # Errors
    /// Above [`LEN_MAX`], [`ADDRESSES_MAX`] or [`PROTOCOLS_MAX`]; bad protobuf.
    pub fn decode(buf: &[u8]) -> Result<Self, DecodeError> {
        let (mut addresses, mut protocols) = (0, 0);
        for field in Fields::of("identify message", buf, LEN_MAX)? {
            match field?.0 {
                2 => addresses += 1,
                3 => protocols += 1,
                _ => {}
            }
        }
        DecodeError::check_max("addresses in an identify message", addresses, ADDRESSES_MAX)?;
        DecodeError::check_max("protocols in an identify message", protocols, PROTOCOLS_MAX)?;
        pb::decode(buf, "identify message is not valid protobuf")
    }

    /// Adds a later part, as protobuf merges: its lists are appended, its values replace ours.
    pub fn merge(&mut self, other: Self) {
        self.listen_addrs.extend(other.listen_addrs);
        self.protocols.extend(other.protocols);
        replace(&mut self.public_key, other.public_key);
        replace(&mut self.observed_addr, other.observed_addr);
        replace(&mut self.protocol_version, other.protocol_version);
        replace(&mut self.agent_version, other.agent_version);
        replace(&mut self.signed_peer_record, other.signed_peer_record);
    }
}

fn replace<T>(ours: &mut Option<T>, theirs: Option<T>) {
    if theirs.is_some() {
        *ours = theirs;
    }
}

#[cfg(test)]
mod tests;
