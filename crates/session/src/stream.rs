//! What a stream is in either muxer: two halves, what was received, and who waits for what.
//!
//! ```text
//!  send:  Open ──finish──▶ Finished          recv:  Open ──peer finished──▶ Ended
//!           └──reset──▶ Failed                        ├──stop──▶ Discarding
//!                                                     └──reset──▶ Failed
//! ```
//! Invariant: a half that ended cleanly stays so, whatever comes later.

use std::time::Instant;

use bytes::Bytes;

use slab::Slab;

use crate::{StreamError, buffer::RecvQueue, event::Read};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendHalf {
    Open,
    Finished,
    Failed(StreamError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvHalf {
    Open,
    Discarding(StreamError),
    Ended,
    Failed(StreamError),
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) send: SendHalf,
    pub(crate) recv: RecvHalf,
    pub(crate) queue: RecvQueue,
    /// A read came back empty-handed; an event is owed.
    pub(crate) wants_read: bool,
    /// A write waits for the peer's credit; an event is owed.
    pub(crate) wants_write: bool,
    /// A write waits for room in the outbox, which knows it.
    pub(crate) stalled: bool,
    /// How much that write wanted to queue.
    pub(crate) wanted: usize,
    /// The outbox's turn in which the stream last wrote or was woken, and what it may still queue in it.
    pub(crate) turn: u32,
    pub(crate) allowance: usize,
    /// The user is gone.
    pub(crate) released: bool,
    /// Until when the peer may take to end a stream whose user is gone.
    pub(crate) lingers: Option<Instant>,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            send: SendHalf::Open,
            recv: RecvHalf::Open,
            queue: RecvQueue::default(),
            wants_read: false,
            wants_write: false,
            stalled: false,
            wanted: 0,
            turn: 0,
            allowance: 0,
            released: false,
            lingers: None,
        }
    }

    pub(crate) fn check_writable(&self) -> Result<(), StreamError> {
        match self.send {
            SendHalf::Open => Ok(()),
            SendHalf::Finished => Err(StreamError::Finished),
            SendHalf::Failed(error) => Err(error),
        }
    }

    pub(crate) fn read(&mut self) -> Result<Read, StreamError> {
        if let Some(bytes) = self.queue.pop() {
            return Ok(Read::Data(bytes));
        }
        match self.recv {
            RecvHalf::Open => {
                self.wants_read = true;
                Ok(Read::Blocked)
            }
            RecvHalf::Ended => Ok(Read::End),
            RecvHalf::Discarding(error) | RecvHalf::Failed(error) => Err(error),
        }
    }

    /// Why nothing can be sent any more; `None`: it can, and an event is owed when that changes.
    pub(crate) fn watch(&mut self) -> Option<StreamError> {
        if let SendHalf::Failed(error) = self.send {
            return Some(error);
        }
        self.wants_read = true;
        None
    }

    /// Queues payload for the user, or drops it where nobody reads; true when it was queued.
    pub(crate) fn deliver(&mut self, bytes: Bytes) -> bool {
        let open = self.recv == RecvHalf::Open && !self.released;
        if open {
            self.queue.push(bytes);
        }
        open
    }

    /// The peer finished its side.
    pub(crate) fn end(&mut self) {
        if self.is_receiving() {
            self.recv = RecvHalf::Ended;
        }
    }

    /// Both halves fail, except those that had ended. What was received before stays readable, unless we gave it up.
    pub(crate) fn fail(&mut self, error: StreamError) {
        if self.send == SendHalf::Open {
            self.send = SendHalf::Failed(error);
        }
        if self.is_receiving() {
            self.recv = RecvHalf::Failed(error);
            if let StreamError::ResetLocally(_) = error {
                self.queue.clear();
            }
        }
    }

    pub(crate) fn stop(&mut self, error: StreamError) {
        if self.recv == RecvHalf::Open {
            self.recv = RecvHalf::Discarding(error);
        }
        self.queue.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.send != SendHalf::Open && matches!(self.recv, RecvHalf::Ended | RecvHalf::Failed(_))
    }

    /// Whether the peer may still send.
    pub(crate) fn is_receiving(&self) -> bool {
        matches!(self.recv, RecvHalf::Open | RecvHalf::Discarding(_))
    }
}

/// Gives the memory of a table back that was large once and is empty now.
pub(crate) fn slim<T>(table: &mut Slab<T>) {
    if table.is_empty() && table.capacity() > TABLE_KEPT {
        *table = Slab::new();
    }
}

/// Places that an empty table keeps, so that streams opened one after the other do not allocate.
const TABLE_KEPT: usize = 16;
