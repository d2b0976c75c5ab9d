//! One way of the path: packets go in when they are sent and come out when they arrive, by a clock that is told. Nothing
//! else happens here, so the same seed, packets and times give the same arrivals.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::dice::{Dice, For};
use crate::faults::Faults;
use crate::packet;

/// Packets on their way.
#[derive(Debug)]
pub(crate) struct Way {
    seed: u64,
    index: usize,
    /// Packets sent so far: the number of the next one.
    sent: u64,
    held: BinaryHeap<Reverse<Held>>,
    /// Tells copies that arrive at once apart.
    sequence: u64,
    /// When the last packet has left the queue before the rate.
    free_at: Duration,
    /// Arrivals keep their order, unless one is kept back.
    last: Duration,
    in_burst: bool,
    pub(crate) tally: Tally,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) black_holed: u64,
    pub(crate) queue_full: u64,
    pub(crate) too_long: u64,
    /// For a port that the NAT has forgotten.
    pub(crate) forgotten: u64,
    pub(crate) kept_back: u64,
    pub(crate) duplicated: u64,
    pub(crate) corrupted: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    at: Duration,
    sequence: u64,
    packet: Vec<u8>,
}

impl Way {
    pub(crate) fn new(seed: u64, index: usize) -> Self {
        Self {
            seed,
            index,
            sent: 0,
            held: BinaryHeap::new(),
            sequence: 0,
            free_at: Duration::ZERO,
            last: Duration::ZERO,
            in_burst: false,
            tally: Tally::default(),
        }
    }

    /// A packet is sent.
    pub(crate) fn send(&mut self, now: Duration, mut packet: Vec<u8>, faults: &Faults) {
        let dice = Dice::new(self.seed, self.index, self.sent);
        self.sent += 1;
        if self.is_lost(dice, faults) {
            self.tally.lost += 1;
            return;
        }
        let Some(left) = self.pass(now, packet.len(), faults.rate, faults.queue) else {
            self.tally.queue_full += 1;
            return;
        };
        if dice.happens(For::Corrupt, faults.corrupt) && corrupt(&mut packet, dice, faults) {
            self.tally.corrupted += 1;
        }
        let jitter = faults.jitter.mul_f64(dice.fraction(For::Jitter));
        let mut at = (left + faults.delay + jitter).max(self.last);
        if dice.happens(For::Reorder, faults.reorder) {
            self.tally.kept_back += 1;
            at += faults.reorder_by;
        } else {
            self.last = at;
        }
        if dice.happens(For::Duplicate, faults.duplicate) {
            self.tally.duplicated += 1;
            self.hold(at, packet.clone());
        }
        self.hold(at, packet);
    }

    /// A router's own packet: at once, and without chance.
    pub(crate) fn answer(&mut self, now: Duration, packet: Vec<u8>) {
        self.hold(now, packet);
    }

    /// A packet that has arrived by now; the earliest first.
    pub(crate) fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let is_due = self.held.peek().is_some_and(|held| held.0.at <= now);
        let packet = is_due.then(|| self.held.pop())??.0.packet;
        self.tally.delivered += 1;
        self.tally.bytes += packet.len() as u64;
        Some(packet)
    }

    /// When the next one arrives.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.held.peek().map(|held| held.0.at)
    }

    /// With bursts, a state that lasts so many packets and loses them all: as many are lost as without.
    fn is_lost(&mut self, dice: Dice, faults: &Faults) -> bool {
        if faults.burst <= 1.0 || faults.loss >= 1.0 {
            return dice.happens(For::Loss, faults.loss);
        }
        let ends = 1.0 / faults.burst;
        let begins = ends * faults.loss / (1.0 - faults.loss);
        self.in_burst = if self.in_burst {
            !dice.happens(For::Burst, ends)
        } else {
            dice.happens(For::Loss, begins)
        };
        self.in_burst
    }

    /// When the packet has been sent at that rate; nothing if the queue before it is full.
    fn pass(&mut self, now: Duration, len: usize, rate: u64, queue: Duration) -> Option<Duration> {
        if self.held.len() >= PACKETS_MAX {
            return None;
        }
        if rate == 0 {
            return Some(now);
        }
        let start = self.free_at.max(now);
        if start - now > queue {
            return None;
        }
        self.free_at = start + Duration::from_secs_f64(len as f64 * 8.0 / rate as f64);
        Some(self.free_at)
    }

    fn hold(&mut self, at: Duration, packet: Vec<u8>) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.held.push(Reverse(Held {
            at,
            sequence,
            packet,
        }));
    }
}

/// Flips a bit; whether there was one to flip.
fn corrupt(bytes: &mut [u8], dice: Dice, faults: &Faults) -> bool {
    let range = if faults.fix_checksums {
        packet::payload(bytes)
    } else {
        Some(0..bytes.len())
    };
    let Some(range) = range.filter(|range| !range.is_empty()) else {
        return false;
    };
    let place = range.start + dice.below(For::Place, range.len());
    bytes[place] ^= 1 << dice.below(For::Bit, 8);
    if faults.fix_checksums {
        packet::fix_checksums(bytes);
    }
    true
}

/// On one way at once: a second of a gigabit.
const PACKETS_MAX: usize = 1 << 17;

#[cfg(test)]
mod tests;
