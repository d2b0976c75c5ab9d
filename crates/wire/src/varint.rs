//! Unsigned varints, multiformats/unsigned-varint: at most 9 bytes (63 bits), minimal form only.

use crate::DecodeError;

/// Longest varint, in bytes.
pub const LEN_MAX: usize = 9;

/// Appends `value`, which must be below 2^63.
pub fn encode(mut value: u64, out: &mut Vec<u8>) {
    debug_assert!(value <= i64::MAX as u64, "the spec ends at 63 bits");
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The varint at the start of `buf` and the bytes it takes; `None` when `buf` ends inside it.
///
/// # Errors
/// More than [`LEN_MAX`] bytes, or more bytes than the value needs.
#[inline]
pub fn decode(buf: &[u8]) -> Result<Option<(u64, usize)>, DecodeError> {
    let mut value = 0;
    for (i, &byte) in buf.iter().take(LEN_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            if byte == 0 && i > 0 {
                return Err(DecodeError::Varint("is not minimal"));
            }
            return Ok(Some((value, i + 1)));
        }
    }
    if buf.len() < LEN_MAX {
        Ok(None)
    } else {
        Err(DecodeError::Varint("is longer than 9 bytes"))
    }
}

/// The length-prefixed bytes at the start of `buf`, and how many bytes prefix and body take
/// together; `None` when `buf` ends inside them. The length is checked against `max` first.
///
/// # Errors
/// A bad varint, or a length above `max`, which `what` names.
pub fn decode_prefixed<'a>(
    buf: &'a [u8],
    what: &'static str,
    max: usize,
) -> Result<Option<(&'a [u8], usize)>, DecodeError> {
    let Some((len, used)) = decode(buf)? else {
        return Ok(None);
    };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    DecodeError::check_max(what, len, max)?;
    Ok(buf
        .get(used..)
        .and_then(|rest| rest.get(..len))
        .map(|body| (body, used + len)))
}

/// Appends `body` with its length before it.
pub fn encode_prefixed(body: &[u8], out: &mut Vec<u8>) {
    encode(body.len() as u64, out);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests;
