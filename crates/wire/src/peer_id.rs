//! Peer ids as bytes and text, peer-ids/peer-ids.md. Stricter than `libp2p_identity`: a SHA-256
//! has 32 bytes, and each id has one binary form. Text may also be a CID in any multibase.

use libp2p_identity::{PeerId, PublicKey};

use crate::{DecodeError, key, varint};

/// Longest text of an id, in bytes: a CID in base 2 fits.
pub const TEXT_MAX: usize = 512;

/// Reads the multihash that a peer id is.
///
/// # Errors
/// Neither SHA-256 with 32 bytes nor an inlined key of at most 42, not minimal, bytes left over.
pub fn decode(buf: &[u8]) -> Result<PeerId, DecodeError> {
    PeerId::from_bytes(buf)
        .ok()
        .filter(|peer| is_valid(peer) && peer.to_bytes() == buf)
        .ok_or(DecodeError::Malformed(
            "peer id is not a multihash that one can be",
        ))
}

/// Reads an id written as base58 (`12D3…`, `Qm…`) or as a CID (`bafz…`, `k51…`).
///
/// # Errors
/// Another form, a CID of something else than a key (multicodec 0x72), or what [`decode`] refuses.
pub fn parse(text: &str) -> Result<PeerId, DecodeError> {
    const MALFORMED: DecodeError = DecodeError::Malformed("peer id is neither base58 nor a CID");
    DecodeError::check_max("peer id", text.len(), TEXT_MAX)?;
    if text.starts_with('1') || text.starts_with("Qm") {
        return decode(
            &multibase::Base::Base58Btc
                .decode(text)
                .map_err(|_| MALFORMED)?,
        );
    }
    let (_, cid) = multibase::decode(text).map_err(|_| MALFORMED)?;
    let Some((1, used)) = varint::decode(&cid)? else {
        return Err(MALFORMED);
    };
    let rest = cid.get(used..).unwrap_or_default();
    match varint::decode(rest)? {
        Some((LIBP2P_KEY, used)) => decode(rest.get(used..).unwrap_or_default()),
        _ => Err(DecodeError::Unsupported("content type of a peer id")),
    }
}

/// The key that a short id holds; `None` when the id is a hash or what it holds is no valid key.
pub fn public_key(peer: &PeerId) -> Option<PublicKey> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    key::decode_public(hash.digest()).ok()
}

/// Whether the digest's length fits its hash; `libp2p_identity` checks it for inlined keys only.
pub(crate) fn is_valid(peer: &PeerId) -> bool {
    let hash = peer.as_ref();
    hash.code() == IDENTITY || hash.digest().len() == 32
}

const IDENTITY: u64 = 0;
const LIBP2P_KEY: u64 = 0x72;

#[cfg(test)]
mod tests;
