//! Signed envelopes, RFC 0002: a payload of a known type, signed by a peer for one domain.
//! The domain is not in the envelope, so what is signed for one use is worth nothing in another.

use libp2p_identity::{Keypair, PublicKey};
use prost::Message as _;

use crate::{DecodeError, key, pb, varint};

/// Longest envelope, in bytes.
pub const LEN_MAX: usize = 8192;

/// What an envelope held, once its signature was found to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who signed.
    pub key: PublicKey,
    /// What the payload is; compare it before decoding.
    pub payload_type: Vec<u8>,
    /// The payload, not decoded yet.
    pub payload: Vec<u8>,
}

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// RFC 0002 demands a domain.
    #[error("an envelope needs a domain")]
    EmptyDomain,
    /// The key cannot sign; only RSA keys fail.
    #[error("the key cannot sign")]
    Signing,
    /// The envelope would be longer than [`LEN_MAX`]: no one would open it.
    #[error("the payload is too long for an envelope")]
    TooLarge,
}

/// Signs a payload.
///
/// # Errors
/// See [`SealError`].
pub fn seal(
    keypair: &Keypair,
    domain: &str,
    payload_type: &[u8],
    payload: &[u8],
) -> Result<Vec<u8>, SealError> {
    if domain.is_empty() {
        return Err(SealError::EmptyDomain);
    }
    let signature = keypair
        .sign(&signed_bytes(domain, payload_type, payload))
        .map_err(|_| SealError::Signing)?;
    let bytes = EnvelopePb {
        public_key: keypair.public().encode_protobuf(),
        payload_type: payload_type.to_vec(),
        payload: payload.to_vec(),
        signature,
    }
    .encode_to_vec();
    if bytes.len() > LEN_MAX {
        Err(SealError::TooLarge)
    } else {
        Ok(bytes)
    }
}

/// Reads an envelope and verifies it for `domain`.
///
/// # Errors
/// Longer than [`LEN_MAX`], bad protobuf, a key that [`key::decode_public`] refuses, a signature
/// that does not fit.
pub fn open(buf: &[u8], domain: &str) -> Result<Opened, DecodeError> {
    open_with(buf, |_| Some(domain))
}

/// As [`open`], with the domain that belongs to the payload's type; `None`: an unknown type.
pub(crate) fn open_with<'a>(
    buf: &[u8],
    domain_of: impl FnOnce(&[u8]) -> Option<&'a str>,
) -> Result<Opened, DecodeError> {
    DecodeError::check_max("envelope", buf.len(), LEN_MAX)?;
    let envelope: EnvelopePb = pb::decode(buf, "envelope is not valid protobuf")?;
    let domain =
        domain_of(&envelope.payload_type).ok_or(DecodeError::Unsupported("payload type"))?;
    let key = key::decode_public(&envelope.public_key)?;
    let signed = signed_bytes(domain, &envelope.payload_type, &envelope.payload);
    if !key::verify(&key, &signed, &envelope.signature) {
        return Err(DecodeError::Signature("envelope"));
    }
    Ok(Opened {
        key,
        payload_type: envelope.payload_type,
        payload: envelope.payload,
    })
}

fn signed_bytes(domain: &str, payload_type: &[u8], payload: &[u8]) -> Vec<u8> {
    let parts = [domain.as_bytes(), payload_type, payload];
    let lengths = parts.len() * varint::LEN_MAX;
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + lengths);
    parts
        .iter()
        .for_each(|part| varint::encode_prefixed(part, &mut out));
    out
}

#[derive(Clone, PartialEq, prost::Message)]
struct EnvelopePb {
    // A message of its own in the RFC; as bytes, its encoding stays to be checked.
    #[prost(bytes = "vec", tag = "1")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    payload_type: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

#[cfg(test)]
mod tests;
