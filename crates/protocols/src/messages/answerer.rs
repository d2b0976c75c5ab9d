//! The end of a stream that is asked: which requests nobody has answered yet, and what is sent back.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use carrick_wire::messages::{Frame, Kind, Priority, Refusal};

use super::{
    Limits, NotTaken, Violation,
    inbox::Inbox,
    outbox::{Outbox, What},
};

/// What the peer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An answer: [`Answerer::reply`] or [`Answerer::refuse`], once or, with more to follow, until the last.
    Request {
        /// Which request.
        id: u32,
        /// Which message it is.
        code: u16,
        /// How urgent it is, and its answer.
        priority: Priority,
        /// The message.
        payload: Bytes,
    },
    /// Nothing.
    OneWay {
        /// Which message it is.
        code: u16,
        /// How urgent it is.
        priority: Priority,
        /// The message.
        payload: Bytes,
    },
    /// No answer to this request any more.
    Cancelled {
        /// Which request.
        id: u32,
    },
}

/// The asked end of one stream.
#[derive(Debug)]
pub struct Answerer {
    inbox: Inbox,
    outbox: Outbox,
    in_flight_max: usize,
    retry_after: Duration,
    serving: BTreeMap<u32, Serving>,
    /// Refusals of our own that wait to be sent.
    refusals: usize,
    refused: u64,
}

/// A request that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Which message it is.
    pub code: u16,
    /// How urgent it is.
    pub priority: Priority,
}

impl Answerer {
    /// Nothing asked yet.
    pub fn new(tag: u32, limits: &Limits) -> Self {
        Self {
            inbox: Inbox::new(tag, limits),
            outbox: Outbox::new(tag, limits),
            in_flight_max: limits.in_flight_max,
            retry_after: limits.retry_after,
            serving: BTreeMap::new(),
            refusals: 0,
            refused: 0,
        }
    }

    /// Takes received bytes, once [`poll_event`](Self::poll_event) has given `None` and [`is_clogged`](Self::is_clogged) is
    /// false.
    pub fn recv(&mut self, chunk: Bytes) {
        self.inbox.recv(chunk);
    }

    /// The bytes of the message that has begun to come, once [`poll_event`](Self::poll_event) has given `None`.
    pub fn expects(&self) -> Option<usize> {
        self.inbox.expects()
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// It comes inside a message.
    pub fn finish(&self) -> Result<(), Violation> {
        self.inbox.finish()
    }

    /// What the peer wants next, in what was received; `None`: more bytes are needed, or the peer must first take what waits
    /// for it. Requests beyond the limit are refused here, as [`Refusal::Busy`].
    ///
    /// # Errors
    /// The stream cannot go on.
    pub fn poll_event(&mut self) -> Result<Option<Asked>, Violation> {
        while !self.is_clogged() {
            let Some(frame) = self.inbox.frame()? else {
                return Ok(None);
            };
            let (header, payload) = (frame.header, frame.payload);
            let (id, code, priority) = (header.id, header.code, header.priority);
            match header.kind {
                Kind::Request if self.serving.contains_key(&id) => {
                    return Err(Violation::IdInUse(id));
                }
                Kind::Request => {
                    let full = self.serving.len() >= self.in_flight_max;
                    self.serving.insert(id, Serving { code, priority });
                    if full {
                        self.refused += 1;
                        let retry_after = Some(self.retry_after);
                        self.refuse(id, &Refusal::Busy { retry_after });
                        continue;
                    }
                    return Ok(Some(Asked::Request {
                        id,
                        code,
                        priority,
                        payload,
                    }));
                }
                Kind::OneWay => {
                    return Ok(Some(Asked::OneWay {
                        code,
                        priority,
                        payload,
                    }));
                }
                // It may have crossed the answer.
                Kind::Cancel => {
                    if self.serving.remove(&id).is_some() {
                        return Ok(Some(Asked::Cancelled { id }));
                    }
                }
                Kind::Reply | Kind::Error => return Err(Violation::Direction(header.kind)),
            }
        }
        Ok(None)
    }

    /// Whether the peer sends requests that are refused faster than it reads that they are: nothing more is taken from it.
    pub fn is_clogged(&self) -> bool {
        self.refusals >= REFUSALS_MAX
    }

    /// Whether a reply of so many bytes to this request would be taken now; to one that is over it would, and be dropped.
    ///
    /// # Errors
    /// There is no room now, or it is too large.
    pub fn check(&self, id: u32, payload_len: usize) -> Result<(), NotTaken> {
        let serving = self.serving.get(&id);
        serving.map_or(Ok(()), |serving| {
            self.outbox.check(serving.priority, payload_len)
        })
    }

    /// Answers a request; unless `more` are to follow, it is over. To one that is over already nothing is sent.
    ///
    /// # Errors
    /// There is no room now, or the reply is too large; the request is not over.
    pub fn reply(&mut self, id: u32, payload: Bytes, more: bool) -> Result<(), NotTaken> {
        self.check(id, payload.len())?;
        let Some(&Serving { code, priority }) = self.serving.get(&id) else {
            return Ok(());
        };
        if !more {
            self.serving.remove(&id);
        }
        let what = What {
            more,
            code,
            id,
            payload,
        };
        self.outbox.push(Kind::Reply, priority, what);
        Ok(())
    }

    /// Ends a request with an error, which follows the replies that were given before.
    pub fn refuse(&mut self, id: u32, why: &Refusal) {
        let Some(Serving { code, priority }) = self.serving.remove(&id) else {
            return;
        };
        self.refusals += 1;
        let what = What {
            more: false,
            code,
            id,
            payload: why.encode().into(),
        };
        self.outbox.push(Kind::Error, priority, what);
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        let frame = self.outbox.pop(|_| false)?;
        if frame.header.kind == Kind::Error {
            self.refusals -= 1;
        }
        Some(frame)
    }

    /// Whether nothing waits to be sent.
    pub fn is_sent(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The request, if nobody has answered it yet.
    pub fn serving(&self, id: u32) -> Option<Serving> {
        self.serving.get(&id).copied()
    }

    /// How many requests are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.serving.len()
    }

    /// How many requests were refused here so far, as beyond the limit.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// Refusals that may wait to be sent before nothing more is read.
const REFUSALS_MAX: usize = 128;
