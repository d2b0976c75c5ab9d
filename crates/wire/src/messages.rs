//! Typed messages between peers, a protocol of our own: what their frames say. `docs/messages.md` has the bytes of one.
//!
//! A frame is a varint length, then the header, then the payload; the length counts both. Numbers are big-endian.
//!
//! | offset | bytes | field | says |
//! |---|---|---|---|
//! | 0 | 1 | kind | 1 request, 2 reply, 3 one-way, 4 error, 5 cancel |
//! | 1 | 1 | flags | bit 0: more replies follow, in replies only; the others are 0 |
//! | 2 | 1 | priority | 0 control, 1 high, 2 normal, 3 bulk |
//! | 3 | 2 | code | which message it is, to the application; replies, errors and cancellations repeat their request's |
//! | 5 | 4 | id | which request it is, or belongs to; the asker's choice, 0 in one-way messages |
//! | 9 | 8 | nonce | larger than that of every frame before it in this direction of the stream |
//! | 17 | 4 | tag | the application's protocol and domain, see [`tag`] |
//! | 21 | | payload | the message, in the application's own encoding; an error's is a [`Refusal`], a cancellation's is empty |
//!
//! Invariants: a frame has one form only; a length above the limit is refused before anything is allocated for it; what
//! is allocated has been received.

use bytes::Bytes;

use crate::{DecodeError, varint};

pub use self::{decoder::Decoder, refusal::Refusal};

mod decoder;
mod refusal;

/// Bytes of a header.
pub const HEADER_LEN: usize = 21;
/// Bytes of the longest length prefix and a header: what a frame adds to its payload at most.
pub const OVERHEAD_MAX: usize = varint::LEN_MAX + HEADER_LEN;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Wants replies, or an error.
    Request = 1,
    /// An answer; the last one has no [`Header::more`].
    Reply = 2,
    /// Wants nothing.
    OneWay = 3,
    /// The request is over without a last reply, mostly since it has failed.
    Error = 4,
    /// Nobody waits for the request any more.
    Cancel = 5,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Request,
        Self::Reply,
        Self::OneWay,
        Self::Error,
        Self::Cancel,
    ];
}

/// What stands before a payload; the module's table says what the fields mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// More replies follow this one.
    pub more: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// Which message of the application's it is.
    pub code: u16,
    /// Which request it is, or belongs to.
    pub id: u32,
    /// Its place in the order of its sender's frames.
    pub nonce: u64,
    /// What the conversation is about.
    pub tag: u32,
}

/// A header and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub header: Header,
    /// The message.
    pub payload: Bytes,
}

impl Header {
    /// Appends the length of the whole and the header. The payload of `payload_len` bytes follows as it is, so it can be
    /// encoded once and go to many peers.
    pub fn encode(&self, payload_len: usize, out: &mut Vec<u8>) {
        varint::encode((HEADER_LEN + payload_len) as u64, out);
        out.push(self.kind as u8);
        out.push(u8::from(self.more) * MORE);
        out.push(self.priority as u8);
        out.extend(self.code.to_be_bytes());
        out.extend(self.id.to_be_bytes());
        out.extend(self.nonce.to_be_bytes());
        out.extend(self.tag.to_be_bytes());
    }

    /// The header in these bytes, which `payload_len` bytes of payload follow.
    ///
    /// # Errors
    /// A kind, a flag or a priority that does not exist, or that this kind does not have; a payload or an id where none
    /// may be.
    #[inline]
    pub fn decode(bytes: &[u8; HEADER_LEN], payload_len: usize) -> Result<Self, DecodeError> {
        let [kind, flags, priority, rest @ ..] = *bytes;
        let ([c0, c1, rest @ ..], more) = (rest, flags == MORE);
        let [i0, i1, i2, i3, rest @ ..] = rest;
        let [n0, n1, n2, n3, n4, n5, n6, n7, t0, t1, t2, t3] = rest;
        let kind = match kind {
            1 => Kind::Request,
            2 => Kind::Reply,
            3 => Kind::OneWay,
            4 => Kind::Error,
            5 => Kind::Cancel,
            _ => return Err(DecodeError::Unsupported("kind of message")),
        };
        if flags & !MORE != 0 || more && kind != Kind::Reply {
            return Err(DecodeError::Unsupported("flag of a message"));
        }
        let priority = match priority {
            0 => Priority::Control,
            1 => Priority::High,
            2 => Priority::Normal,
            3 => Priority::Bulk,
            _ => return Err(DecodeError::Unsupported("priority of a message")),
        };
        let id = u32::from_be_bytes([i0, i1, i2, i3]);
        if kind == Kind::OneWay && id != 0 {
            return Err(DecodeError::Malformed("one-way message has an id"));
        }
        if kind == Kind::Cancel && payload_len != 0 {
            return Err(DecodeError::Malformed("cancellation has a payload"));
        }
        Ok(Self {
            kind,
            more,
            priority,
            code: u16::from_be_bytes([c0, c1]),
            id,
            nonce: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            tag: u32::from_be_bytes([t0, t1, t2, t3]),
        })
    }
}

/// The tag of an application's protocol and domain: FNV-1a, 32 bits, of the protocol's name, a zero byte, and the domain,
/// such as the network's name. It tells conversations apart that must not mix; it is no protection against forgery, which
/// the connection sees to.
pub fn tag(protocol: &str, domain: &[u8]) -> u32 {
    let bytes = protocol.bytes().chain([0]).chain(domain.iter().copied());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// How urgent a message is. Lanes of different priority share what carries them by weight, so an urgent flood slows what is
/// less urgent and never stops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// What keeps the conversation going: cancellations, shutdown, small and rare.
    Control = 0,
    /// What somebody waits for.
    High = 1,
    /// What most messages are.
    #[default]
    Normal = 2,
    /// Large or many, and nobody waits: backfill, gossip.
    Bulk = 3,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::High, Self::Normal, Self::Bulk];

    /// The number of this priority's lane, 0 for the most urgent, which is also its number on the wire.
    pub const fn lane(self) -> usize {
        self as usize
    }

    /// The turns that this lane gets in a round in which all lanes want some: 8, 4, 2, 1.
    pub const fn weight(self) -> u32 {
        8 >> (self as u32)
    }
}

/// The flag of replies that are not the last.
const MORE: u8 = 1;

#[cfg(test)]
mod tests;
