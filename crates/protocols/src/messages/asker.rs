//! The end of a stream that asks: which requests are under way, whose reply this is, who has waited for too long.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use bytes::Bytes;
use carrick_wire::messages::{Frame, Header, Kind, Priority, Refusal};

use super::{
    Limits, NotTaken, Violation,
    inbox::Inbox,
    outbox::{Outbox, What},
};

/// A message to send.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which message it is.
    pub code: u16,
    /// How urgent it is.
    pub priority: Priority,
    /// The message.
    pub payload: Bytes,
}

/// What has become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A reply.
    Reply {
        /// To which request.
        id: u32,
        /// The reply.
        payload: Bytes,
        /// More are to come; otherwise the request is over.
        more: bool,
    },
    /// The request is over: it has failed, or has no more replies.
    Refused {
        /// Which request.
        id: u32,
        /// Why.
        why: Refusal,
    },
}

/// Answers that nobody waited for; they were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// To requests that were given up before: cancelled, or out of time.
    pub late: u64,
    /// To requests that were answered before.
    pub duplicate: u64,
    /// To requests that were never made, or so long ago that nobody remembers.
    pub unknown: u64,
}

/// The asking end of one stream.
#[derive(Debug)]
pub struct Asker {
    inbox: Inbox,
    outbox: Outbox,
    in_flight_max: usize,
    next_id: u32,
    pending: BTreeMap<u32, Pending>,
    deadlines: BTreeSet<(Instant, u32)>,
    /// The requests that were over last, and whether they were answered.
    over: VecDeque<(u32, bool)>,
    strays: Strays,
}

#[derive(Debug)]
struct Pending {
    code: u16,
    deadline: Instant,
    /// Takes more replies than one.
    many: bool,
    sent: bool,
}

impl Asker {
    /// Nothing asked yet.
    pub fn new(tag: u32, limits: &Limits) -> Self {
        Self {
            inbox: Inbox::new(tag, limits),
            outbox: Outbox::new(tag, limits),
            in_flight_max: limits.in_flight_max,
            next_id: 1,
            pending: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            over: VecDeque::new(),
            strays: Strays::default(),
        }
    }

    /// Asks; what comes back has this id. At `deadline` the request is over, however many replies have come. `many`: more than
    /// one may come.
    ///
    /// # Errors
    /// There is no room now, or the message is too large.
    pub fn request(&mut self, deadline: Instant, many: bool, ask: Ask) -> Result<u32, NotTaken> {
        let Ask {
            code,
            priority,
            payload,
        } = ask;
        self.outbox.check(priority, payload.len())?;
        if self.pending.len() >= self.in_flight_max {
            return Err(NotTaken::TooMany);
        }
        let id = self.free_id();
        let pending = Pending {
            code,
            deadline,
            many,
            sent: false,
        };
        self.pending.insert(id, pending);
        self.deadlines.insert((deadline, id));
        let what = What {
            more: false,
            code,
            id,
            payload,
        };
        self.outbox.push(Kind::Request, priority, what);
        Ok(id)
    }

    /// Tells something that needs no answer.
    ///
    /// # Errors
    /// There is no room now, or the message is too large.
    pub fn one_way(&mut self, ask: Ask) -> Result<(), NotTaken> {
        self.outbox.check(ask.priority, ask.payload.len())?;
        let what = What {
            more: false,
            code: ask.code,
            id: 0,
            payload: ask.payload,
        };
        self.outbox.push(Kind::OneWay, ask.priority, what);
        Ok(())
    }

    /// Nobody waits for this request any more. The peer is told, unless the request has not left yet and never will.
    pub fn cancel(&mut self, id: u32) {
        let Some(pending) = self.end(id, false) else {
            return;
        };
        if pending.sent {
            let what = What {
                more: false,
                code: pending.code,
                id,
                payload: Bytes::new(),
            };
            // There are never more of these than requests that were under way when the stream stalled.
            self.outbox.push(Kind::Cancel, Priority::Control, what);
        }
    }

    /// Takes received bytes, once [`poll_event`](Self::poll_event) has given `None`.
    pub fn recv(&mut self, chunk: Bytes) {
        self.inbox.recv(chunk);
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// It comes inside a message.
    pub fn finish(&self) -> Result<(), Violation> {
        self.inbox.finish()
    }

    /// The next answer in what was received; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The stream cannot go on.
    pub fn poll_event(&mut self) -> Result<Option<Answer>, Violation> {
        while let Some(frame) = self.inbox.frame()? {
            let answer = self.answer(&frame.header, frame.payload)?;
            if answer.is_some() {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        let pending = &mut self.pending;
        self.outbox.pop(|header| {
            if header.kind != Kind::Request {
                return false;
            }
            match pending.get_mut(&header.id) {
                Some(pending) => {
                    pending.sent = true;
                    false
                }
                // It was given up while it waited.
                None => true,
            }
        })
    }

    /// Whether nothing waits to be sent.
    pub fn is_sent(&self) -> bool {
        self.outbox.is_empty()
    }

    /// When the next request will have waited for too long.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A request that has waited for too long; it is over, and the peer is told. Call it until there is none.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<u32> {
        let (deadline, id) = *self.deadlines.first()?;
        if now < deadline {
            return None;
        }
        self.cancel(id);
        Some(id)
    }

    /// Whether this request is under way, and has left.
    pub fn has_left(&self, id: u32) -> bool {
        self.pending.get(&id).is_some_and(|pending| pending.sent)
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Answers that were dropped so far.
    pub fn strays(&self) -> Strays {
        self.strays
    }

    fn answer(&mut self, header: &Header, payload: Bytes) -> Result<Option<Answer>, Violation> {
        let Header { kind, id, .. } = *header;
        if !matches!(kind, Kind::Reply | Kind::Error) {
            return Err(Violation::Direction(kind));
        }
        let Some(pending) = self.pending.get(&id) else {
            self.stray(id);
            return Ok(None);
        };
        let (asked, code) = (pending.code, header.code);
        if code != asked {
            return Err(Violation::Code { asked, code });
        }
        if kind == Kind::Error {
            let why = Refusal::decode(&payload)?;
            self.end(id, true);
            return Ok(Some(Answer::Refused { id, why }));
        }
        let more = header.more;
        if more && !pending.many {
            let why = Refusal::Malformed("many replies instead of one".to_owned());
            self.cancel(id);
            return Ok(Some(Answer::Refused { id, why }));
        }
        if !more {
            self.end(id, true);
        }
        Ok(Some(Answer::Reply { id, payload, more }))
    }

    fn stray(&mut self, id: u32) {
        let over = self.over.iter().rev().find(|(over, _)| *over == id);
        match over {
            Some((_, true)) => self.strays.duplicate += 1,
            Some((_, false)) => self.strays.late += 1,
            None => self.strays.unknown += 1,
        }
    }

    fn end(&mut self, id: u32, answered: bool) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.deadlines.remove(&(pending.deadline, id));
        if self.over.len() >= OVER_MAX {
            self.over.pop_front();
        }
        self.over.push_back((id, answered));
        Some(pending)
    }

    /// The next id that nobody uses; 0 is that of one-way messages.
    fn free_id(&mut self) -> u32 {
        loop {
            let id = self.next_id;
            self.next_id = id.wrapping_add(1);
            if id != 0 && !self.pending.contains_key(&id) {
                return id;
            }
        }
    }
}

/// Requests that are remembered after their end, to tell what is late from what makes no sense.
const OVER_MAX: usize = 256;

#[cfg(test)]
impl Asker {
    /// As if so many requests had been made before.
    pub(super) fn set_next_id(&mut self, id: u32) {
        self.next_id = id;
    }
}
