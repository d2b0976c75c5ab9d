//! Packets, draft datagrams/datagrams.md of libp2p/specs pull request 680: what stands in a QUIC datagram, and what opens
//! a flow on its control stream. The stream that stands in where there are no datagrams is ours.

use crate::{DecodeError, ProtocolId, varint};

/// Largest id of a QUIC stream, RFC 9000 §2.1.
pub const ID_MAX: u64 = (1 << 62) - 1;
/// Most bytes that the id takes in a datagram.
pub const ID_LEN_MAX: usize = 8;
/// Largest packet on a stream that stands in for datagrams: what a UDP datagram could carry, too.
pub const STREAM_PACKET_MAX: usize = 65_507;

/// A datagram: the id of its flow's control stream as a QUIC varint (RFC 9000 §16), then the payload.
/// `id` is at most [`ID_MAX`].
pub fn encode(id: u64, payload: &[u8]) -> Vec<u8> {
    debug_assert!(id <= ID_MAX, "QUIC has no such stream");
    let len = id_len(id);
    let mut out = Vec::with_capacity(len + payload.len());
    let tag = (len.ilog2() as u64) << 62;
    let shift = 64 - 8 * len as u32;
    let number = (id << shift) | tag;
    out.extend(number.to_be_bytes().iter().take(len));
    out.extend_from_slice(payload);
    out
}

/// The bytes that `id` takes: 1, 2, 4 or 8.
pub fn id_len(id: u64) -> usize {
    match id {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => ID_LEN_MAX,
    }
}

/// The id at the start of a datagram, and the bytes it takes; the rest is payload. Longer forms than needed are valid.
///
/// # Errors
/// The datagram ends inside the id, which is a connection error.
#[inline]
pub fn decode(datagram: &[u8]) -> Result<(u64, usize), DecodeError> {
    let first = *datagram.first().ok_or(TOO_SHORT)?;
    let len = 1 << (first >> 6);
    let bytes = datagram.get(..len).ok_or(TOO_SHORT)?;
    let number = bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte));
    // The two bits that told the length.
    let value = number & (u64::MAX >> (66 - 8 * len as u32));
    Ok((value, len))
}

/// What opens a flow: the application's protocol with its length before it. Nothing else is on the control stream.
pub fn encode_opening(protocol: &ProtocolId, out: &mut Vec<u8>) {
    varint::encode_prefixed(protocol.as_str().as_bytes(), out);
}

/// The protocol that opens a flow, and the bytes it takes; `None` when `buf` ends inside it.
///
/// # Errors
/// A bad length, or no protocol id.
pub fn decode_opening(buf: &[u8]) -> Result<Option<(ProtocolId, usize)>, DecodeError> {
    let prefixed = varint::decode_prefixed(buf, "protocol id", ProtocolId::LEN_MAX)?;
    let Some((name, used)) = prefixed else {
        return Ok(None);
    };
    let name = std::str::from_utf8(name).map_err(|_| NOT_TEXT)?;
    Ok(Some((ProtocolId::new(name)?, used)))
}

/// A packet on a stream that stands in for datagrams: its length, then it.
pub fn encode_on_stream(payload: &[u8], out: &mut Vec<u8>) {
    varint::encode_prefixed(payload, out);
}

/// The packet at the start of `buf`, and the bytes it takes; `None` when `buf` ends inside it.
///
/// # Errors
/// A bad length, or one above [`STREAM_PACKET_MAX`].
pub fn decode_on_stream(buf: &[u8]) -> Result<Option<(&[u8], usize)>, DecodeError> {
    varint::decode_prefixed(buf, "packet", STREAM_PACKET_MAX)
}

const TOO_SHORT: DecodeError = DecodeError::Truncated("datagram");
const NOT_TEXT: DecodeError = DecodeError::Malformed("protocol id is not text");

#[cfg(test)]
mod tests;
