//! A queue of packets, of which the newest matter. Invariant: never more than so many packets and so many bytes.

use std::collections::VecDeque;

use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Queue {
    packets: VecDeque<Bytes>,
    bytes: usize,
    packets_max: usize,
    bytes_max: usize,
}

impl Queue {
    pub(super) fn with_max(packets: usize, bytes: usize) -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
            packets_max: packets,
            bytes_max: bytes,
        }
    }

    /// Adds a packet and drops the oldest ones for which there is no room any more; how many. One that is larger than
    /// the whole queue is dropped itself.
    pub(super) fn push(&mut self, packet: Bytes) -> u64 {
        if packet.len() > self.bytes_max || self.packets_max == 0 {
            return 1;
        }
        let mut dropped = 0;
        while self.packets.len() >= self.packets_max || self.bytes + packet.len() > self.bytes_max {
            self.pop();
            dropped += 1;
        }
        self.bytes += packet.len();
        self.packets.push_back(packet);
        dropped
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.len();
        // An idle flow keeps no memory for the burst that it once saw.
        if self.packets.is_empty() && self.packets.capacity() > IDLE_CAPACITY_MAX {
            self.packets = VecDeque::new();
        }
        Some(packet)
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }
}

const IDLE_CAPACITY_MAX: usize = 16;
