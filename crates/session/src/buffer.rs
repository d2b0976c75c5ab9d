//! Buffers on both sides of a muxer: `Records` on the way out, `RecvQueue` on the way in.
//!
//! Invariant: user bytes are copied once into `Records` and sealed where they lie; large inbound payloads are never
//! copied here, small ones are gathered so that no stream pins a read buffer for a few bytes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Where a cipher needs room around the plaintext of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes before the plaintext (a length prefix).
    pub head: usize,
    /// Most plaintext bytes in one record.
    pub body_max: usize,
    /// Bytes after the plaintext (an authentication tag).
    pub tail: usize,
}

/// Outgoing plaintext, laid out in records with room for what the cipher adds.
#[derive(Debug)]
pub struct Records {
    layout: Layout,
    buf: Vec<u8>,
    /// Offset of the record that is being filled.
    open: usize,
}

impl Records {
    /// An empty buffer for this layout; allocates nothing yet.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            buf: Vec::new(),
            open: 0,
        }
    }

    /// Appends plaintext, starting new records as they fill up.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.buf.len() == self.open {
                self.buf.resize(self.open + self.layout.head, 0);
            }
            let body = self.buf.len() - self.open - self.layout.head;
            let (now, later) = bytes.split_at(bytes.len().min(self.layout.body_max - body));
            self.buf.extend_from_slice(now);
            if body + now.len() == self.layout.body_max {
                self.end_record();
            }
            bytes = later;
        }
    }

    /// How long a frame may become that begins here, at most `frame_max`, so that it ends with a record: whoever opens
    /// the records then finds it in as few pieces as can be, none of them a crumb.
    pub(crate) fn frame_max(&self, frame_max: usize) -> usize {
        let room = self.room();
        let next = if room < ROOM_MIN {
            self.layout.body_max
        } else {
            0
        };
        let whole = frame_max.saturating_sub(room + next) / self.layout.body_max;
        (room + next + whole * self.layout.body_max).min(frame_max)
    }

    /// Where in the buffer the next byte will lie.
    pub(crate) fn position(&self) -> usize {
        self.buf.len().max(self.open + self.layout.head)
    }

    /// Changes bytes that were pushed before and lie in one record.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.buf[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// How many more bytes the record takes that is being filled.
    pub(crate) fn room(&self) -> usize {
        let begun = self.buf.len().saturating_sub(self.open + self.layout.head);
        self.layout.body_max - begun
    }

    /// Ends the record that is being filled and calls `seal` with each record's head, and with its body and tail.
    pub fn seal<E>(
        &mut self,
        mut seal: impl FnMut(&mut [u8], &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.buf.len() > self.open {
            self.end_record();
        }
        let Layout {
            head,
            body_max,
            tail,
        } = self.layout;
        for record in self.buf.chunks_mut(head + body_max + tail) {
            let (head, rest) = record.split_at_mut(head);
            seal(head, rest)?;
        }
        Ok(())
    }

    /// Puts a sealed record before all others, which are sealed, too.
    #[cfg(feature = "tls")]
    pub(crate) fn insert_sealed(&mut self, record: &[u8]) {
        self.buf.splice(..0, record.iter().copied());
        self.open += record.len();
    }

    /// Everything in the buffer; after [`seal`](Self::seal), what goes onto the pipe.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// Bytes in the buffer, heads and tails included.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.open = 0;
    }

    /// Takes the memory out of an empty buffer; of one that is not, nothing.
    pub fn take_memory(&mut self) -> Vec<u8> {
        if !self.buf.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.buf)
    }

    /// Goes on in this memory and returns what it had before, or the smaller one of the two.
    pub fn give_memory(&mut self, mut memory: Vec<u8>) -> Vec<u8> {
        if memory.capacity() > self.buf.capacity() {
            memory.clear();
            memory.extend_from_slice(&self.buf);
            std::mem::swap(&mut self.buf, &mut memory);
        }
        memory
    }

    /// How many more bytes fit without another allocation.
    pub fn spare_capacity(&self) -> usize {
        self.buf.capacity() - self.buf.len()
    }

    fn end_record(&mut self) {
        self.open = self.buf.len() + self.layout.tail;
        self.buf.resize(self.open, 0);
    }
}

/// A frame that is too long for the rest of a record ends with it only if the rest is at least this long.
const ROOM_MIN: usize = 2 * SLICE_MIN;

/// Payloads at least this long are kept as slices of the read buffer; shorter ones are copied together. A slice keeps its
/// whole read buffer alive, so this bounds how much more memory than unread bytes a peer can make us hold. A record of TLS
/// is 16 KiB long, and what is left of it beside a frame's header should be a slice.
const SLICE_MIN: usize = 8 << 10;

/// What a stream has received and its user has not read yet.
#[derive(Debug, Default)]
pub(crate) struct RecvQueue {
    slices: VecDeque<Bytes>,
    small: BytesMut,
    len: usize,
}

impl RecvQueue {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if bytes.len() < SLICE_MIN {
            self.small.extend_from_slice(&bytes);
            return;
        }
        if !self.small.is_empty() {
            self.slices.push_back(self.small.split().freeze());
        }
        self.slices.push_back(bytes);
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let bytes = match self.slices.pop_front() {
            Some(bytes) => bytes,
            None if self.small.is_empty() => return None,
            None => std::mem::take(&mut self.small).freeze(),
        };
        self.len -= bytes.len();
        Some(bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
