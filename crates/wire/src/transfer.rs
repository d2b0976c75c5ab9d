//! `/carrick/transfer/1.0.0`, files from one peer to another: docs/transfer.md. Frames here, what is in a manifest in
//! `entry`, tickets in `ticket`. A frame is `varint length | kind | body`; the length counts kind and body.
//! Always: no frame but a group's is longer than [`FRAME_MAX`], and each value has one form.

use crate::{DecodeError, varint};

pub use entry::{Entry, EntryKind, EntryPath};
pub use ticket::Ticket;

mod entry;
mod ticket;

/// The protocol's id.
pub const PROTOCOL: &str = "/carrick/transfer/1.0.0";
/// Bytes of a group: what is verified at once. The last one of a file may be shorter.
pub const GROUP_LEN: usize = 1 << 18;
/// Longest frame that is not a group, without its length: an entry with the longest path fits.
pub const FRAME_MAX: usize = 8 << 10;
/// Longest text of a failure, in bytes.
pub const TEXT_MAX: usize = 512;
/// Most entries of a manifest.
pub const ENTRIES_MAX: u64 = 1 << 18;
/// Most bytes of a manifest: its entries as they are encoded, with their lengths.
pub const MANIFEST_MAX: usize = 32 << 20;

/// A BLAKE3 hash, or the chaining value of a part of a file.
pub type Hash = [u8; 32];
/// What authorizes the holder of a ticket.
pub type Secret = [u8; 16];

/// What the two sides say to each other. Who opens the stream begins: with [`Fetch`](Self::Fetch) if it holds a ticket, with
/// [`Offer`](Self::Offer) if it has files for the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Receiver: send me what this ticket is for.
    Fetch {
        /// What is asked for.
        root: Hash,
        /// That the ticket was given to us.
        secret: Secret,
    },
    /// Sender: this is what I have.
    Offer {
        /// BLAKE3 over the manifest.
        root: Hash,
        /// Entries of the manifest.
        entries: u64,
        /// The sizes of all files together.
        bytes: u64,
        /// The first entry's first name, for people.
        name: EntryPath,
    },
    /// Receiver: go on with the manifest.
    Accept,
    /// Sender: a file or a directory. They come in the order of their paths, each path once.
    Entry(Entry),
    /// Sender: that was the manifest.
    End,
    /// Receiver: send these groups. Those of all files are numbered in the manifest's order.
    Want {
        /// The first one.
        first: u64,
        /// How many, at least one.
        count: u64,
    },
    /// Sender: the two halves of a part of a file that is larger than a group. Their order is that of a walk from the
    /// file's hash down to the groups that are wanted, left before right.
    Node {
        /// The left half's chaining value.
        left: Hash,
        /// The right half's.
        right: Hash,
    },
    /// Sender: a group of so many bytes, which follow the frame's head and are not part of what is decoded here.
    Group {
        /// At least one byte, at most [`GROUP_LEN`].
        len: usize,
    },
    /// Receiver: I am still at work: asking somebody, verifying what I have, or writing it to the disk.
    Working,
    /// Receiver: everything is here, verified, under its final name.
    Done,
    /// Either: it has failed, and this is the last frame.
    Failed {
        /// What kind of failure.
        reason: Reason,
        /// What happened, for people.
        text: String,
    },
}

/// Why one side gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The ticket is not, or no longer, good here.
    Unauthorized = 1,
    /// Nobody agreed to receive it, or not from this peer.
    Declined = 2,
    /// Too many transfers at once.
    Busy = 3,
    /// More bytes or entries than the receiver takes.
    TooLarge = 4,
    /// The receiver cannot write: the disk is full, or not writable, or something of that name is there.
    Storage = 5,
    /// What arrived is not what the manifest promised.
    Corrupt = 6,
    /// The sender cannot read its files any more, or they have changed.
    Source = 7,
    /// The other side broke the protocol.
    Protocol = 8,
    /// Somebody stopped it.
    Cancelled = 9,
}

impl Frame {
    /// Appends the frame; of a group its head alone.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Self::Group { len } = self {
            varint::encode(*len as u64 + 1, out);
            out.push(kind::GROUP);
            return;
        }
        let mut body = Vec::new();
        self.encode_body(&mut body);
        varint::encode_prefixed(&body, out);
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Fetch { root, secret } => {
                out.push(kind::FETCH);
                out.extend_from_slice(root);
                out.extend_from_slice(secret);
            }
            Self::Offer {
                root,
                entries,
                bytes,
                name,
            } => {
                out.push(kind::OFFER);
                out.extend_from_slice(root);
                varint::encode(*entries, out);
                varint::encode(*bytes, out);
                out.extend_from_slice(name.as_str().as_bytes());
            }
            Self::Accept => out.push(kind::ACCEPT),
            Self::Entry(entry) => {
                out.push(kind::ENTRY);
                entry.encode(out);
            }
            Self::End => out.push(kind::END),
            Self::Want { first, count } => {
                out.push(kind::WANT);
                varint::encode(*first, out);
                varint::encode(*count, out);
            }
            Self::Node { left, right } => {
                out.push(kind::NODE);
                out.extend_from_slice(left);
                out.extend_from_slice(right);
            }
            Self::Group { .. } => out.push(kind::GROUP),
            Self::Working => out.push(kind::WORKING),
            Self::Done => out.push(kind::DONE),
            Self::Failed { reason, text } => {
                out.extend_from_slice(&[kind::FAILED, *reason as u8]);
                let end = text.floor_char_boundary(TEXT_MAX);
                out.extend_from_slice(text.as_bytes().get(..end).unwrap_or_default());
            }
        }
    }

    /// The frame at the start of `buf`, and the bytes it takes; `None` when `buf` ends inside it. A group is its head
    /// alone: its bytes follow.
    ///
    /// # Errors
    /// A length above the limits, an unknown kind, a body that its kind does not have.
    pub fn decode(buf: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((len, head)) = varint::decode(buf)? else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        DecodeError::check_max("group", len, GROUP_LEN + 1)?;
        let Some((&kind, rest)) = buf.get(head..).and_then(<[u8]>::split_first) else {
            return Ok(None);
        };
        if kind == kind::GROUP {
            return match len {
                0 | 1 => Err(DecodeError::Malformed("a group is empty")),
                _ => Ok(Some((Self::Group { len: len - 1 }, head + 1))),
            };
        }
        DecodeError::check_max("frame", len, FRAME_MAX)?;
        let Some(body_len) = len.checked_sub(1) else {
            return Err(DecodeError::Malformed("a frame has no kind"));
        };
        let Some(body) = rest.get(..body_len) else {
            return Ok(None);
        };
        Ok(Some((Self::decode_body(kind, Fields(body))?, head + len)))
    }

    fn decode_body(kind: u8, mut body: Fields<'_>) -> Result<Self, DecodeError> {
        let frame = match kind {
            kind::FETCH => Self::Fetch {
                root: body.array()?,
                secret: body.array()?,
            },
            kind::OFFER => Self::Offer {
                root: body.array()?,
                entries: body.number()?,
                bytes: body.number()?,
                name: EntryPath::name(body.text()?)?,
            },
            kind::ACCEPT => Self::Accept,
            kind::ENTRY => Self::Entry(Entry::decode(&mut body)?),
            kind::END => Self::End,
            kind::WANT => Self::Want {
                first: body.number()?,
                count: body.number()?,
            },
            kind::NODE => Self::Node {
                left: body.array()?,
                right: body.array()?,
            },
            kind::WORKING => Self::Working,
            kind::DONE => Self::Done,
            kind::FAILED => {
                let [reason] = body.array()?;
                let text = body.text()?;
                DecodeError::check_max("text of a failure", text.len(), TEXT_MAX)?;
                Self::Failed {
                    reason: Reason::decode(reason)?,
                    text: text.to_owned(),
                }
            }
            _ => return Err(DecodeError::Unsupported("kind of frame")),
        };
        body.end()?;
        Ok(frame)
    }
}

impl Reason {
    fn decode(byte: u8) -> Result<Self, DecodeError> {
        let known = [
            Self::Unauthorized,
            Self::Declined,
            Self::Busy,
            Self::TooLarge,
            Self::Storage,
            Self::Corrupt,
            Self::Source,
            Self::Protocol,
            Self::Cancelled,
        ];
        let found = known.into_iter().find(|reason| *reason as u8 == byte);
        found.ok_or(DecodeError::Unsupported("reason of a failure"))
    }
}

/// What is left of a body.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let (number, used) = varint::decode(self.0)?.ok_or(TOO_SHORT)?;
        self.0 = self.0.get(used..).unwrap_or_default();
        Ok(number)
    }

    fn prefixed(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, used) = varint::decode_prefixed(self.0, what, max)?.ok_or(TOO_SHORT)?;
        self.0 = self.0.get(used..).unwrap_or_default();
        Ok(bytes)
    }

    /// All that is left.
    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let text = std::str::from_utf8(std::mem::take(&mut self.0));
        text.map_err(|_| DecodeError::Malformed("a name or a text is not UTF-8"))
    }

    fn end(self) -> Result<(), DecodeError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(DecodeError::Malformed("bytes are left over")),
        }
    }
}

const TOO_SHORT: DecodeError = DecodeError::Truncated("frame of a transfer");

mod kind {
    pub(super) const FETCH: u8 = 1;
    pub(super) const OFFER: u8 = 2;
    pub(super) const ACCEPT: u8 = 3;
    pub(super) const ENTRY: u8 = 4;
    pub(super) const END: u8 = 5;
    pub(super) const WANT: u8 = 6;
    pub(super) const NODE: u8 = 7;
    pub(super) const GROUP: u8 = 8;
    pub(super) const WORKING: u8 = 9;
    pub(super) const DONE: u8 = 10;
    pub(super) const FAILED: u8 = 11;
}

#[cfg(test)]
mod tests;
