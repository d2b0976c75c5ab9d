//! Mplex frames, mplex/README.md: `uvarint (id << 3 | flag)`, `uvarint length`, body.

use crate::{DecodeError, varint};

/// Longest body, in bytes.
pub const DATA_MAX: usize = 1 << 20;
/// Highest stream id: what a 63-bit varint leaves beside the flag.
pub const ID_MAX: u64 = (1 << 60) - 1;

/// One frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// The stream, at most [`ID_MAX`]. Both sides count for themselves, so the same id names two
    /// streams, told apart by who opened them.
    pub id: u64,
    /// The sender of this frame opened the stream; always true for `Open`.
    pub sent_by_opener: bool,
    /// The body's bytes: the stream's name for `Open`, 0 for `Close` and `Reset`.
    pub length: usize,
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A new stream.
    Open,
    /// Bytes of a stream.
    Message,
    /// The sender writes no more.
    Close,
    /// The stream is gone, both ways.
    Reset,
}

impl Header {
    /// Appends the header.
    pub fn encode(self, out: &mut Vec<u8>) {
        debug_assert!(self.id <= ID_MAX, "ids end at 60 bits");
        let flag = match (self.kind, self.sent_by_opener) {
            (Kind::Open, _) => 0,
            (Kind::Message, false) => 1,
            (Kind::Message, true) => 2,
            (Kind::Close, false) => 3,
            (Kind::Close, true) => 4,
            (Kind::Reset, false) => 5,
            (Kind::Reset, true) => 6,
        };
        varint::encode((self.id & ID_MAX) << 3 | flag, out);
        varint::encode(self.length as u64, out);
    }

    /// The header at the start of `buf` and the bytes it takes; `None` when more are needed.
    ///
    /// # Errors
    /// A bad varint, the undefined flag 7, a body above [`DATA_MAX`], a `Close` or `Reset` with one.
    pub fn decode(buf: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((key, key_len)) = varint::decode(buf)? else {
            return Ok(None);
        };
        let (kind, sent_by_opener) = match key & 7 {
            0 => (Kind::Open, true),
            1 => (Kind::Message, false),
            2 => (Kind::Message, true),
            3 => (Kind::Close, false),
            4 => (Kind::Close, true),
            5 => (Kind::Reset, false),
            6 => (Kind::Reset, true),
            _ => return Err(DecodeError::Unsupported("mplex flag")),
        };
        let rest = buf.get(key_len..).unwrap_or_default();
        let Some((length, length_len)) = varint::decode(rest)? else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        DecodeError::check_max("mplex frame", length, DATA_MAX)?;
        if length > 0 && matches!(kind, Kind::Close | Kind::Reset) {
            return Err(DecodeError::Malformed("mplex close or reset has a body"));
        }
        Ok(Some((
            Self {
                kind,
                id: key >> 3,
                sent_by_opener,
                length,
            },
            key_len + length_len,
        )))
    }
}

#[cfg(test)]
mod tests;
