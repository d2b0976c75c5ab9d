//! Frames where they lie: how far the input stands in one, and the last one of what is queued, which may still grow.

use bytes::Bytes;
use carrick_wire::yamux::{HEADER_LEN, Header};

use crate::{
    Key, Violation,
    outbox::{Mark, Outbox},
};

/// Go-away codes (hashicorp/yamux). 0 is normal; whatever else a go-away carries is libp2p's reason to close.
pub(super) const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;

/// What a go-away says that we, or the peer, did wrong.
pub(super) fn accusation(code: u32) -> Option<Violation> {
    match code {
        PROTOCOL_ERROR => Some(Violation("the peer reported a protocol error")),
        INTERNAL_ERROR => Some(Violation("the peer reported an internal error")),
        _ => None,
    }
}

/// Where in a frame the input stands.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    header: [u8; HEADER_LEN],
    held: usize,
    pub(super) body: Option<Body>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    /// Where the body goes; `None`: it is dropped.
    pub(super) key: Option<Key>,
    pub(super) left: usize,
    pub(super) fin: bool,
}

impl Decoder {
    /// Takes header bytes off `bytes` and returns the header when it is complete.
    pub(super) fn header(&mut self, bytes: &mut Bytes) -> Option<[u8; HEADER_LEN]> {
        let take = bytes.len().min(HEADER_LEN - self.held);
        self.header[self.held..self.held + take].copy_from_slice(&bytes.split_to(take));
        self.held = (self.held + take) % HEADER_LEN;
        (self.held == 0).then_some(self.header)
    }
}

/// The last data frame that was queued. While it is the last thing in the buffer it can grow: many short writes are one
/// frame then.
#[derive(Debug)]
pub(super) struct LastFrame {
    pub(super) header: Header,
    start: Mark,
    end: Mark,
    /// How much longer it may become.
    room: usize,
}

impl LastFrame {
    /// Queues a frame with all of `head` and as much of `data` as it takes, and says how much that was.
    pub(super) fn queue(
        outbox: &mut Outbox,
        mut header: Header,
        head: &[u8],
        data: &[u8],
    ) -> (Self, usize) {
        let max = outbox.frame_max().saturating_sub(HEADER_LEN + head.len());
        let data = &data[..data.len().min(max)];
        header.length = (head.len() + data.len()) as u32;
        let patchable = outbox.fits(HEADER_LEN);
        let start = outbox.mark();
        outbox.data(&[&header.encode(), head, data]);
        let frame = Self {
            header,
            start,
            end: outbox.mark(),
            room: if patchable { max - data.len() } else { 0 },
        };
        (frame, data.len())
    }

    /// Lets the frame grow by as much of `data` as it takes, and says how much that was.
    pub(super) fn grow(&mut self, outbox: &mut Outbox, data: &[u8]) -> usize {
        let data = &data[..data.len().min(self.room)];
        if self.end != outbox.mark() || data.is_empty() {
            return 0;
        }
        self.room -= data.len();
        self.header.length += data.len() as u32;
        outbox.patch(self.start, &self.header.encode());
        outbox.data(&[data]);
        self.end = outbox.mark();
        data.len()
    }
}
