//! What a muxer has for the outside: frames to send and events to report.
//!
//! Invariant: data waits when `send_max` bytes are unsent. Control frames do not wait, but once `CONTROL_MAX` bytes of
//! them are unsent the connection is congested and nothing more is read, so a peer that does not read cannot make us
//! queue answers.

use std::collections::VecDeque;

use crate::{Event, Key, Layout, Records};

#[derive(Debug)]
pub(crate) struct Outbox {
    records: Records,
    send_max: usize,
    control: usize,
    /// Streams whose writes wait for room, in the order in which they came.
    stalled: VecDeque<Key>,
    events: VecDeque<Event>,
}

/// Unsent control bytes at which reading pauses: some 1,300 yamux frames.
const CONTROL_MAX: usize = 16 << 10;

impl Outbox {
    pub(crate) fn new(layout: Layout, send_max: usize) -> Self {
        Self {
            records: Records::new(layout),
            send_max,
            control: 0,
            stalled: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.records.len() < self.send_max
    }

    /// Remembers a stream that waits for room; the caller sees to it that it waits only once.
    pub(crate) fn stall(&mut self, key: Key) {
        self.stalled.push_back(key);
    }

    pub(crate) fn data(&mut self, parts: [&[u8]; 3]) {
        for part in parts {
            self.records.push(part);
        }
    }

    pub(crate) fn control(&mut self, frame: &[u8]) {
        self.control += frame.len();
        self.records.push(frame);
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.control > CONTROL_MAX
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn take(&mut self, spare: &mut Records) -> bool {
        if self.records.is_empty() {
            return false;
        }
        debug_assert!(
            spare.is_empty(),
            "the spare buffer holds bytes that were not sent"
        );
        std::mem::swap(&mut self.records, spare);
        if self.is_congested() {
            self.events.push_back(Event::Resumed);
        }
        self.control = 0;
        self.events
            .extend(self.stalled.drain(..).map(Event::Writable));
        true
    }
}
