//! What a muxer has for the outside: frames to send and events to report.
//!
//! Invariant: data waits when `send_max` bytes are unsent. Control frames do not wait, but once `control_max` bytes of
//! them are unsent the connection is congested and nothing more is read, so a peer that does not read cannot make us
//! queue answers. `control_max` holds what all streams can have to say while nothing is read: otherwise two honest peers
//! could both stop reading and wait for each other.

use std::collections::VecDeque;

use crate::{Config, Event, Key, Layout, Records, stream::Stream};

#[derive(Debug)]
pub(crate) struct Outbox {
    records: Records,
    send_max: usize,
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

impl Outbox {
    pub(crate) fn new(layout: Layout, config: &Config) -> Self {
        let streams_max = config
            .inbound_streams_max
            .saturating_add(config.outbound_streams_max);
        Self {
            records: Records::new(layout),
            send_max: config.send_buffer_max,
            control: 0,
            control_max: CONTROL_MIN.saturating_add(streams_max.saturating_mul(CONTROL_PER_STREAM)),
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

    /// Remembers a stream that waits for room.
    pub(crate) fn stall(&mut self, key: Key, stream: &mut Stream) {
        if !std::mem::replace(&mut stream.stalled, true) {
            self.stalled.push_back(key);
        }
    }

    /// Forgets a stream that is removed while it waits for room.
    pub(crate) fn forget(&mut self, key: Key, stream: &Stream) {
        if stream.stalled {
            self.stalled.retain(|stalled| *stalled != key);
        }
    }

    /// The next stream to try again, now that there is room.
    pub(crate) fn wake(&mut self) -> Option<Key> {
        let key = self.stalled.pop_front()?;
        self.events.push_back(Event::Writable(key));
        Some(key)
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
        self.control > self.control_max
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Exchanges the filled buffer for `spare`; afterwards there is room.
    pub(crate) fn take(&mut self, spare: &mut Records) -> bool {
        if self.records.is_empty() {
            // The writer comes to rest, and an idle connection keeps no buffer.
            self.records.release();
            return false;
        }
        debug_assert!(
            spare.is_empty(),
            "the spare buffer holds bytes that were not sent"
        );
        std::mem::swap(&mut self.records, spare);
        self.control = 0;
        true
    }
}
