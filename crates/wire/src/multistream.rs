//! multistream-select 1.0: length, text, newline. What both ends say before a protocol speaks.
//! Invariant: a caller that drops its buffer on `Err` never holds more than `LISTING_MAX` + 2 bytes.

use crate::{DecodeError, ProtocolId, varint};

/// Longest message but for the reply to `ls`, in bytes, newline included, length not.
pub const MESSAGE_MAX: usize = 1024;
/// Longest reply to `ls`, in bytes: what a two-byte length can say.
pub const LISTING_MAX: usize = 16_383;
/// Most protocols in a reply to `ls`.
pub const PROTOCOLS_MAX: usize = 1000;

/// One message of either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `/multistream/1.0.0`, the first message of both ends.
    Header,
    /// `na`: the proposal is refused, another one may follow.
    NotAvailable,
    /// `ls`: asks for a list of protocols.
    ListProtocols,
    /// The initiator proposes, the responder agrees by sending the same.
    Protocol(ProtocolId),
    /// The reply to `ls`, never empty.
    Protocols(Vec<ProtocolId>),
}

impl Message {
    /// Appends the message with its length. A list is cut at [`PROTOCOLS_MAX`] and [`LISTING_MAX`];
    /// an empty one has no form of its own and becomes `na`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let text = match self {
            Self::Header => HEADER,
            Self::NotAvailable => NOT_AVAILABLE,
            Self::ListProtocols => LIST_PROTOCOLS,
            Self::Protocol(id) => id.as_str(),
            Self::Protocols(ids) if ids.is_empty() => NOT_AVAILABLE,
            Self::Protocols(ids) => return varint::encode_prefixed(&listing(ids), out),
        };
        varint::encode(text.len() as u64 + 1, out);
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }

    /// The message at the start of `buf` and the bytes it takes; `None` when more are needed.
    ///
    /// # Errors
    /// A length above the limits, text without its newline, an id that [`ProtocolId::new`] refuses.
    /// An empty text is an error too: no proposal matches it.
    pub fn decode(buf: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((len, used)) = varint::decode(buf)? else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        DecodeError::check_max("multistream message", len, LISTING_MAX)?;
        let rest = buf.get(used..).unwrap_or_default();
        if len > MESSAGE_MAX && entry(rest).is_err() {
            return Err(DecodeError::TooLarge {
                what: "multistream message",
                len,
                max: MESSAGE_MAX,
            });
        }
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        let Some((b'\n', text)) = body.split_last() else {
            return Err(DecodeError::Malformed(
                "multistream message does not end in a newline",
            ));
        };
        let message = match text {
            _ if text == HEADER.as_bytes() => Self::Header,
            _ if text == NOT_AVAILABLE.as_bytes() => Self::NotAvailable,
            _ if text == LIST_PROTOCOLS.as_bytes() => Self::ListProtocols,
            // No id holds a newline, every listing does: its entries end in one.
            _ if text.contains(&b'\n') => Self::Protocols(protocols(text)?),
            _ => Self::Protocol(protocol(text)?),
        };
        Ok(Some((message, used + len)))
    }
}

fn listing(ids: &[ProtocolId]) -> Vec<u8> {
    let mut body = Vec::new();
    for id in ids.iter().take(PROTOCOLS_MAX).map(ProtocolId::as_str) {
        // Two bytes of length, two newlines.
        if body.len() + id.len() + 4 > LISTING_MAX {
            break;
        }
        varint::encode(id.len() as u64 + 1, &mut body);
        body.extend_from_slice(id.as_bytes());
        body.push(b'\n');
    }
    body.push(b'\n');
    body
}

fn protocols(mut text: &[u8]) -> Result<Vec<ProtocolId>, DecodeError> {
    let mut ids = Vec::new();
    while !text.is_empty() {
        DecodeError::check_max("protocols in a listing", ids.len() + 1, PROTOCOLS_MAX)?;
        let (id, used) = entry(text)?.ok_or(DecodeError::Truncated("listing"))?;
        ids.push(protocol(id)?);
        text = text.get(used..).unwrap_or_default();
    }
    Ok(ids)
}

/// The first entry of a listing without its newline, and the bytes it takes.
fn entry(text: &[u8]) -> Result<Option<(&[u8], usize)>, DecodeError> {
    match varint::decode_prefixed(text, "entry of a listing", ProtocolId::LEN_MAX + 1)? {
        None => Ok(None),
        Some((body, used)) => match body.split_last() {
            Some((b'\n', id)) => Ok(Some((id, used))),
            _ => Err(DecodeError::Malformed(
                "entry of a listing does not end in a newline",
            )),
        },
    }
}

fn protocol(text: &[u8]) -> Result<ProtocolId, DecodeError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| DecodeError::Malformed("protocol id is not UTF-8"))?;
    ProtocolId::new(text)
}

const HEADER: &str = "/multistream/1.0.0";
const NOT_AVAILABLE: &str = "na";
const LIST_PROTOCOLS: &str = "ls";

#[cfg(test)]
mod tests;
