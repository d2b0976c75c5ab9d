//! Noise for libp2p, noise/README.md: the sizes of frames and the payload of the handshake.
//! Each frame is a 16-bit big-endian length and that many bytes; the session does the framing.

use prost::Message as _;

use crate::{
    DecodeError,
    pb::{self, Fields, Value},
};

/// Longest frame, in bytes, without its length.
pub const FRAME_MAX: usize = 65_535;
/// Most plaintext in one frame, in bytes.
pub const PLAINTEXT_MAX: usize = FRAME_MAX - TAG;
/// The authentication tag's length, in bytes.
pub const TAG: usize = 16;
/// Longest handshake payload that is decoded, in bytes.
pub const PAYLOAD_MAX: usize = 4096;
/// Most stream muxers in a payload.
pub const MUXERS_MAX: usize = 32;
/// Most WebTransport certificate hashes in a payload.
pub const CERTHASHES_MAX: usize = 16;
/// Stands before the X25519 static key in the bytes that the identity key signs.
pub const SIGNATURE_PREFIX: &[u8] = b"noise-libp2p-static-key:";

/// What messages 2 and 3 of the handshake carry; message 1 carries nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandshakePayload {
    /// The sender's public key as protobuf; checked by [`crate::key::decode_public`].
    pub identity_key: Vec<u8>,
    /// The identity key's signature over [`SIGNATURE_PREFIX`] and the static key.
    pub identity_sig: Vec<u8>,
    /// Muxers the sender speaks, best first; empty: multistream-select decides.
    pub stream_muxers: Vec<String>,
    /// Multihashes of the certificates that a WebTransport server uses now or soon.
    pub webtransport_certhashes: Vec<Vec<u8>>,
}

impl HandshakePayload {
    /// The payload as protobuf. Without muxers and hashes there is no extensions field at all.
    pub fn encode(&self) -> Vec<u8> {
        let extensions = ExtensionsPb {
            webtransport_certhashes: self.webtransport_certhashes.clone(),
            stream_muxers: self.stream_muxers.clone(),
        };
        PayloadPb {
            identity_key: self.identity_key.clone(),
            identity_sig: self.identity_sig.clone(),
            extensions: Some(extensions).filter(|e| *e != ExtensionsPb::default()),
        }
        .encode_to_vec()
    }

    /// Reads a payload; unknown fields and extensions are ignored.
    ///
    /// # Errors
    /// Longer than [`PAYLOAD_MAX`], more entries than [`MUXERS_MAX`] or [`CERTHASHES_MAX`], bad
    /// protobuf, key or signature missing.
    pub fn decode(buf: &[u8]) -> Result<Self, DecodeError> {
        let (mut muxers, mut hashes) = (0, 0);
        for field in Fields::of("noise payload", buf, PAYLOAD_MAX)? {
            // Repeated extensions fields merge, so the counts go over all of them.
            let (4, Value::Bytes(extensions)) = field? else {
                continue;
            };
            for field in Fields::of("noise extensions", extensions, PAYLOAD_MAX)? {
                match field?.0 {
                    1 => hashes += 1,
                    2 => muxers += 1,
                    _ => {}
                }
            }
        }
        DecodeError::check_max("muxers in a noise payload", muxers, MUXERS_MAX)?;
        DecodeError::check_max("hashes in a noise payload", hashes, CERTHASHES_MAX)?;
        let payload: PayloadPb = pb::decode(buf, "noise payload is not valid protobuf")?;
        if payload.identity_key.is_empty() || payload.identity_sig.is_empty() {
            return Err(DecodeError::Malformed(
                "noise payload has no identity key or signature",
            ));
        }
        let extensions = payload.extensions.unwrap_or_default();
        Ok(Self {
            identity_key: payload.identity_key,
            identity_sig: payload.identity_sig,
            stream_muxers: extensions.stream_muxers,
            webtransport_certhashes: extensions.webtransport_certhashes,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct PayloadPb {
    #[prost(bytes = "vec", tag = "1")]
    identity_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    identity_sig: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    extensions: Option<ExtensionsPb>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExtensionsPb {
    #[prost(bytes = "vec", repeated, tag = "1")]
    webtransport_certhashes: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "2")]
    stream_muxers: Vec<String>,
}

#[cfg(test)]
mod tests;
