//! What waits to be sent: a lane for each priority. Lanes take turns by weight, so the urgent passes and nothing starves.

use std::collections::VecDeque;

use bytes::Bytes;
use carrick_wire::messages::{Frame, HEADER_LEN, Header, Kind, Priority};

use super::{Limits, NotTaken};

#[derive(Debug)]
pub(super) struct Outbox {
    tag: u32,
    nonce: u64,
    lane_bytes_max: usize,
    payload_max: usize,
    lanes: [Lane; Priority::ALL.len()],
}

#[derive(Debug)]
struct Lane {
    frames: VecDeque<Frame>,
    bytes: usize,
    weight: u32,
    /// Left of this round.
    turns: u32,
}

impl Outbox {
    pub(super) fn new(tag: u32, limits: &Limits) -> Self {
        let lane = |priority: Priority| Lane {
            frames: VecDeque::new(),
            bytes: 0,
            weight: priority.weight(),
            turns: priority.weight(),
        };
        Self {
            tag,
            nonce: 0,
            lane_bytes_max: limits.lane_bytes_max,
            payload_max: limits.payload_max,
            lanes: Priority::ALL.map(lane),
        }
    }

    /// Whether a payload of so many bytes would be taken.
    pub(super) fn check(&self, priority: Priority, payload_len: usize) -> Result<(), NotTaken> {
        let lane = &self.lanes[priority.lane()];
        if payload_len > self.payload_max {
            return Err(NotTaken::TooLarge(self.payload_max));
        }
        // One that is larger than the lane passes alone.
        if lane.bytes > 0 && lane.bytes + size(payload_len) > self.lane_bytes_max {
            return Err(NotTaken::LaneFull);
        }
        Ok(())
    }

    /// Queues a frame, whether there is room or not.
    pub(super) fn push(&mut self, kind: Kind, priority: Priority, what: What) {
        let What {
            more,
            code,
            id,
            payload,
        } = what;
        let lane = &mut self.lanes[priority.lane()];
        lane.bytes += size(payload.len());
        let header = Header {
            kind,
            more,
            priority,
            code,
            id,
            // Given when it leaves.
            nonce: 0,
            tag: self.tag,
        };
        lane.frames.push_back(Frame { header, payload });
    }

    /// The next frame whose turn it is; those that `is_over` are left out.
    pub(super) fn pop(&mut self, mut is_over: impl FnMut(&Header) -> bool) -> Option<Frame> {
        loop {
            let mut frame = self.next()?;
            if !is_over(&frame.header) {
                self.nonce += 1;
                frame.header.nonce = self.nonce;
                return Some(frame);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.frames.is_empty())
    }

    fn next(&mut self) -> Option<Frame> {
        for round in [false, true] {
            if round {
                self.lanes
                    .iter_mut()
                    .for_each(|lane| lane.turns = lane.weight);
            }
            let mut lanes = self.lanes.iter_mut();
            if let Some(lane) = lanes.find(|lane| lane.turns > 0 && !lane.frames.is_empty()) {
                lane.turns -= 1;
                let frame = lane.frames.pop_front()?;
                lane.bytes -= size(frame.payload.len());
                if lane.frames.is_empty() && lane.frames.capacity() > IDLE_CAPACITY_MAX {
                    lane.frames = VecDeque::new();
                }
                return Some(frame);
            }
        }
        None
    }
}

/// The rest of a frame.
#[derive(Debug)]
pub(super) struct What {
    pub(super) more: bool,
    pub(super) code: u16,
    pub(super) id: u32,
    pub(super) payload: Bytes,
}

/// What a frame counts for, so that empty ones are not free.
fn size(payload_len: usize) -> usize {
    HEADER_LEN + payload_len
}

/// An idle stream keeps no memory for the burst that it once saw.
const IDLE_CAPACITY_MAX: usize = 16;
