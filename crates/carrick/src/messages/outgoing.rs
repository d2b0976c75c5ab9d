//! Bytes on their way into a stream: small frames together, large payloads as they are.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use carrick_wire::messages::Frame;

use crate::{Stream, StreamError};

/// Frames that have left their lanes. There are few of them: whatever is urgent waits for these alone.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    batch: Vec<u8>,
    /// Of the batch, so much has gone.
    sent: usize,
    /// A payload that follows the batch.
    large: Bytes,
    /// When all of it must have gone.
    due: Option<Instant>,
}

/// What has happened on a stream.
pub(super) enum Moved {
    /// Bytes have come; `None`: the clean end.
    Read(Option<Bytes>),
    /// Bytes have gone.
    Wrote,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.large.is_empty()
    }

    /// From here on the other side has been too slow; only taking everything that is here ends this.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes frames while there is room.
    pub(super) fn fill(&mut self, mut next: impl FnMut() -> Option<Frame>) {
        while self.batch.len() < BATCH_BYTES && self.large.is_empty() {
            let Some(frame) = next() else { return };
            let payload = frame.payload;
            let begins = || Instant::now() + STALL_TIMEOUT;
            let share = payload.len() as f64 / f64::from(1 << 20);
            *self.due.get_or_insert_with(begins) += STALL_PER_MIB.mul_f64(share);
            frame.header.encode(payload.len(), &mut self.batch);
            if payload.len() < LARGE_BYTES {
                self.batch.extend_from_slice(&payload);
            } else {
                self.large = payload;
            }
        }
    }

    /// Writes some of it, or reads if it `may_read`, whichever can be done first; neither waits for the other, so two ends that
    /// both write go on. Waits forever if there is nothing to write and it may not read. Cancel-safe.
    pub(super) async fn exchange(
        &mut self,
        stream: &mut Stream,
        may_read: bool,
    ) -> Result<Moved, StreamError> {
        poll_fn(|cx| {
            if !self.is_empty() {
                let bytes = self.batch.get(self.sent..).unwrap_or_default();
                let bytes = if bytes.is_empty() { &self.large } else { bytes };
                if let Poll::Ready(written) = stream.poll_write_some(cx, bytes) {
                    self.advance(written?);
                    return Poll::Ready(Ok(Moved::Wrote));
                }
            }
            if may_read && let Poll::Ready(chunk) = pin!(stream.read_chunk()).poll(cx) {
                return Poll::Ready(Ok(Moved::Read(chunk?)));
            }
            Poll::Pending
        })
        .await
    }

    fn advance(&mut self, written: usize) {
        if self.sent < self.batch.len() {
            self.sent += written;
        } else {
            self.large.advance(written);
        }
        if self.sent >= self.batch.len() && self.large.is_empty() {
            self.sent = 0;
            self.large = Bytes::new();
            self.due = None;
            self.batch.clear();
            // An idle stream keeps no buffer.
            self.batch.shrink_to(IDLE_BYTES);
        }
    }
}

/// Frames are gathered up to here, which is a record of the ciphers.
const BATCH_BYTES: usize = 16 * 1024;
/// A payload of this size is worth a write of its own, and is not copied.
const LARGE_BYTES: usize = 4 * 1024;
const IDLE_BYTES: usize = 256;
/// How long a peer may leave unread what it has asked for: so long, and more for large payloads, which slow links carry, too.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const STALL_PER_MIB: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
