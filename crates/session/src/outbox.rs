//! What a muxer has for the outside: frames to send and events to report.
//!
//! Invariant: data waits when `send_max` bytes are unsent. Then streams take turns: whenever the writer has taken what was
//! queued, as many of those that waited longest are woken as there is room for, each for one quantum, and nobody else
//! gets in before them. Only a short message of a stream that has sent nothing in this turn passes those who wait: so
//! what can stand before it is what the writer has taken and what is queued, however many streams there are.
//!
//! Control frames do not wait, but once `control_max` bytes of them are unsent the connection is congested and nothing
//! more is read, so a peer that does not read cannot make us queue answers. `control_max` holds what all streams can have
//! to say while nothing is read: otherwise two honest peers could both stop reading and wait for each other.

use std::collections::VecDeque;

use crate::{Config, Event, Key, Layout, Records, stream::Stream};

#[derive(Debug)]
pub(crate) struct Outbox {
    records: Records,
    send_max: usize,
    /// Counts how often the writer has taken what was queued.
    turn: u32,
    /// What streams that were woken in this turn may still queue.
    reserved: usize,
    /// What short messages may still queue in this turn beyond `send_max`.
    express: usize,
    /// The writer found nothing to send when it last looked.
    resting: bool,
    /// Data is queued, and not only what streams say of themselves.
    hurried: bool,
    control: usize,
    control_max: usize,
    /// Streams whose writes wait for room, in the order in which they came; all of them live.
    stalled: VecDeque<Key>,
    events: VecDeque<Event>,
}

/// Control bytes that may be unsent before reading pauses: some for answers to the peer, and for each stream two window
/// updates, its end and its reset.
const CONTROL_MIN: usize = 16 << 10;
const CONTROL_PER_STREAM: usize = 48;

/// What a stream may queue at once, bytes.
const QUANTUM: usize = 64 << 10;
/// What all short messages together may queue in one turn beyond `send_max`: this part of it.
const EXPRESS_PART: usize = 4;
/// A write of at most this part of `send_max` is a short message.
const SHORT_PART: usize = 64;
/// Longest data frame, bytes.
const FRAME_MAX: usize = 64 << 10;

impl Outbox {
    pub(crate) fn new(layout: Layout, config: &Config) -> Self {
        let streams_max = config
            .inbound_streams_max
            .saturating_add(config.outbound_streams_max);
        Self {
            records: Records::new(layout),
            send_max: config.send_buffer_max.max(1),
            turn: 1,
            reserved: 0,
            express: config.send_buffer_max / EXPRESS_PART,
            resting: true,
            hurried: false,
            control: 0,
            control_max: CONTROL_MIN.saturating_add(streams_max.saturating_mul(CONTROL_PER_STREAM)),
            stalled: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How much of `wanted` bytes the stream may queue now. `None`: nothing, and it will be woken.
    pub(crate) fn admit(&mut self, key: Key, stream: &mut Stream, wanted: usize) -> Option<usize> {
        let in_turn = stream.turn == self.turn;
        if in_turn && stream.allowance > 0 {
            let admitted = wanted.min(stream.allowance);
            stream.allowance -= admitted;
            self.reserved -= admitted;
            return Some(admitted);
        }
        let admitted =
            if self.stalled.is_empty() && self.records.len() + self.reserved < self.send_max {
                wanted.min(QUANTUM)
            } else if !in_turn && wanted <= self.express.min(self.send_max / SHORT_PART) {
                self.express -= wanted;
                wanted
            } else {
                stream.wanted = wanted.min(QUANTUM);
                if !std::mem::replace(&mut stream.stalled, true) {
                    self.stalled.push_back(key);
                }
                return None;
            };
        (stream.turn, stream.allowance) = (self.turn, 0);
        Some(admitted)
    }

    /// Forgets a stream that is removed while it waits for room.
    pub(crate) fn forget(&mut self, key: Key, stream: &Stream) {
        if stream.stalled {
            self.stalled.retain(|stalled| *stalled != key);
        }
    }

    /// The next stream that has its turn, now that there is room; [`grant`](Self::grant) it.
    pub(crate) fn next_in_turn(&mut self) -> Option<Key> {
        // A writer that comes to rest tells nobody when there is room again: then everybody is woken.
        let room = self.resting || self.reserved < self.send_max;
        room.then(|| self.stalled.pop_front()).flatten()
    }

    pub(crate) fn grant(&mut self, key: Key, stream: &mut Stream) {
        stream.stalled = false;
        if !self.resting {
            (stream.turn, stream.allowance) = (self.turn, stream.wanted);
            self.reserved += stream.wanted;
        }
        self.events.push_back(Event::Writable(key));
    }

    /// How long a data frame may be that begins now.
    pub(crate) fn frame_max(&self) -> usize {
        self.records.frame_max(FRAME_MAX)
    }

    /// Whether `len` bytes, queued now, lie in one record and can be patched.
    pub(crate) fn fits(&self, len: usize) -> bool {
        self.records.room() >= len
    }

    /// Where the next byte will lie, as long as nothing else is queued or sent before.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            turn: self.turn,
            at: self.records.position(),
        }
    }

    /// Changes bytes that were queued at `mark` and have not been sent.
    pub(crate) fn patch(&mut self, mark: Mark, bytes: &[u8]) {
        debug_assert_eq!(mark.turn, self.turn, "what was sent is not ours any more");
        self.records.patch(mark.at, bytes);
    }

    pub(crate) fn data(&mut self, parts: &[&[u8]]) {
        self.hurried = true;
        for part in parts {
            self.records.push(part);
        }
    }

    pub(crate) fn control(&mut self, frame: &[u8]) {
        self.control += frame.len();
        self.records.push(frame);
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.control > self.control_max
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Exchanges the filled buffer for `spare`; afterwards there is room. False when there was nothing to send.
    pub(crate) fn take(&mut self, spare: &mut Records) -> bool {
        debug_assert!(
            spare.is_empty(),
            "the spare buffer holds bytes that were not sent"
        );
        self.turn = self.turn.wrapping_add(1);
        self.reserved = 0;
        self.express = self.send_max / EXPRESS_PART;
        self.control = 0;
        self.hurried = false;
        self.resting = self.records.is_empty();
        if !self.resting {
            std::mem::swap(&mut self.records, spare);
        }
        !self.resting
    }

    /// The buffer that is being filled.
    pub(crate) fn records(&mut self) -> &mut Records {
        &mut self.records
    }
}

/// A place in what is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    turn: u32,
    at: usize,
}
