//! The framing of TLS records (RFC 8446, section 5): a header of five bytes, then as many as it says.

use bytes::BytesMut;

use crate::SecureError;

/// Type, version, length.
pub(super) const HEAD: usize = 5;
/// Most plaintext in a record.
pub(super) const PLAIN_MAX: usize = 1 << 14;
/// Most that a cipher may add to it: the inner type, padding and the tag.
const EXPANSION_MAX: usize = 256;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Splits the next complete record off, header included.
pub(super) fn next_record(buf: &mut BytesMut) -> Result<Option<BytesMut>, SecureError> {
    let len = next_len(buf)?;
    let len = len.filter(|len| buf.len() >= *len);
    Ok(len.map(|len| buf.split_to(len)))
}

/// The length of the record that begins here, header included, once that is known.
pub(super) fn next_len(buf: &[u8]) -> Result<Option<usize>, SecureError> {
    let Some([kind, major, _, high, low]) = buf.first_chunk() else {
        return Ok(None);
    };
    if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(kind) || *major != 3 {
        return Err(SecureError::Misbehaved("what it sends is not a TLS record"));
    }
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if len > PLAIN_MAX + EXPANSION_MAX {
        return Err(SecureError::Misbehaved("a record is too long"));
    }
    Ok(Some(HEAD + len))
}
