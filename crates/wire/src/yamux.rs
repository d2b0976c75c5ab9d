//! Yamux frames, yamux/README.md: the 12-byte header, big-endian.
//! `version 8 | kind 8 | flags 16 | stream 32 | length 32`

use std::ops::BitOr;

use crate::DecodeError;

/// A header's length, in bytes.
pub const HEADER_LEN: usize = 12;
/// What each side may send on a new stream before it is granted more, in bytes.
pub const INITIAL_WINDOW: u32 = 256 * 1024;
/// Longest body of a data frame, in bytes: nobody grants a larger window.
pub const DATA_MAX: u32 = 16 << 20;

/// One frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// What happens to the stream besides.
    pub flags: Flags,
    /// The stream, never 0 for `Data` and `WindowUpdate`; 0, the session, for the other two.
    pub stream: u32,
    /// `Data`: the body's bytes. `WindowUpdate`: bytes granted on top. `Ping`: an opaque value.
    /// `GoAway`: 0 normal, 1 protocol error, 2 internal error, else why (libp2p/specs `error-codes`).
    pub length: u32,
}

impl Header {
    /// The header as bytes.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let [f0, f1] = self.flags.0.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [
            VERSION,
            self.kind as u8,
            f0,
            f1,
            s0,
            s1,
            s2,
            s3,
            l0,
            l1,
            l2,
            l3,
        ]
    }

    /// Reads a header and checks what a header alone can break.
    ///
    /// # Errors
    /// Another version than 0, an unknown kind or flag, `Data` or `WindowUpdate` on stream 0, a
    /// body above [`DATA_MAX`].
    #[inline]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, DecodeError> {
        let &[version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        if version != VERSION {
            return Err(DecodeError::Unsupported("yamux version"));
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            _ => return Err(DecodeError::Unsupported("yamux frame type")),
        };
        let flags = Flags(u16::from_be_bytes([f0, f1]));
        if flags.0 & !Flags::ALL.0 != 0 {
            return Err(DecodeError::Unsupported("yamux flag"));
        }
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if stream == 0 && matches!(kind, Kind::Data | Kind::WindowUpdate) {
            return Err(DecodeError::Malformed(
                "yamux stream frame on the session's id 0",
            ));
        }
        if kind == Kind::Data {
            DecodeError::check_max("yamux data frame", length as usize, DATA_MAX as usize)?;
        }
        Ok(Self {
            kind,
            flags,
            stream,
            length,
        })
    }
}

/// Frame types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Bytes of a stream; the only kind that has a body.
    Data = 0,
    /// Grants the other side more bytes.
    WindowUpdate = 1,
    /// `SYN` asks, `ACK` echoes the same value.
    Ping = 2,
    /// No new streams; the sender goes.
    GoAway = 3,
}

/// A set of flags; only the four of the spec can be in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const EMPTY: Self = Self(0);
    /// Opens a stream, or asks in a ping.
    pub const SYN: Self = Self(1);
    /// Acknowledges a stream, or answers a ping.
    pub const ACK: Self = Self(2);
    /// The sender writes no more.
    pub const FIN: Self = Self(4);
    /// The stream is gone, both ways.
    pub const RST: Self = Self(8);

    const ALL: Self = Self(15);

    /// All flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// No flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The client opens streams with odd ids, the server with even ones.
pub const fn opened_by_client(stream: u32) -> bool {
    stream & 1 == 1
}

const VERSION: u8 = 0;

#[cfg(test)]
mod tests;
