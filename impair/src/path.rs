//! The whole path: both ways, what is done to them at the moment, and what is to be done later.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::Faults;
use crate::packet;
use crate::script::{Command, Line};
use crate::translation::Translation;
use crate::way::{Tally, Way};

/// The side that dials, behind the NAT.
pub(crate) const A: usize = 0;
/// The side that listens.
pub(crate) const B: usize = 1;

/// Two ways, by a clock that is told.
#[derive(Debug)]
pub(crate) struct Path {
    faults: Faults,
    /// By the side that sends.
    ways: [Way; 2],
    translation: Translation,
    black_until: [Duration; 2],
    /// The last is the next.
    plan: Vec<(Duration, Command)>,
    rebindings: u64,
}

impl Path {
    pub(crate) fn new(seed: u64, faults: Faults, translation: Translation) -> Self {
        Self {
            faults,
            ways: [A, B].map(|side| Way::new(seed, side)),
            translation,
            black_until: [Duration::ZERO; 2],
            plan: vec![],
            rebindings: 0,
        }
    }

    /// Takes a command for its time, or does it now.
    pub(crate) fn command(&mut self, now: Duration, (at, command): Line) {
        match at.filter(|at| *at > now) {
            Some(at) => {
                self.plan.push((at, command));
                self.plan.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            }
            None => self.execute(now, &command),
        }
    }

    /// Side `from` sends a packet.
    pub(crate) fn send(&mut self, now: Duration, from: usize, mut packet: Vec<u8>) {
        self.catch_up(now);
        let way = &mut self.ways[from];
        if now < self.black_until[from] {
            way.tally.black_holed += 1;
            return;
        }
        if self.faults.mtu > 0 && packet.len() > self.faults.mtu {
            way.tally.too_long += 1;
            let mtu = u16::try_from(self.faults.mtu).unwrap_or(u16::MAX);
            let answer = self.faults.too_big.then(|| packet::too_big(&packet, mtu));
            if let Some(answer) = answer.flatten() {
                self.ways[1 - from].answer(now, answer);
            }
            return;
        }
        if from == A {
            self.translation.outbound(&mut packet);
        } else if !self.translation.inbound(&mut packet) {
            way.tally.forgotten += 1;
            return;
        }
        way.send(now, packet, &self.faults);
    }

    /// A packet that has arrived by now, and at which side.
    pub(crate) fn arrived(&mut self, now: Duration) -> Option<(usize, Vec<u8>)> {
        self.catch_up(now);
        [A, B].into_iter().find_map(|from| {
            let packet = self.ways[from].arrived(now)?;
            Some((1 - from, packet))
        })
    }

    /// When something happens by itself.
    pub(crate) fn next(&self) -> Option<Duration> {
        let planned = self.plan.last().map(|(at, _)| *at);
        let arrivals = self.ways.iter().filter_map(Way::next);
        arrivals.chain(planned).min()
    }

    /// What became of all packets.
    pub(crate) fn summary(&self) -> Value {
        let [a, b] = [A, B].map(|side| describe(&self.ways[side].tally));
        json!({"a_to_b": a, "b_to_a": b, "rebindings": self.rebindings})
    }

    fn catch_up(&mut self, now: Duration) {
        while let Some((at, command)) = self.plan.pop_if(|(at, _)| *at <= now) {
            self.execute(at, &command);
        }
    }

    fn execute(&mut self, now: Duration, command: &Command) {
        match command {
            Command::BlackHole { time, way } => {
                for side in [A, B]
                    .into_iter()
                    .filter(|side| way.is_none_or(|w| w == *side))
                {
                    self.black_until[side] = now + *time;
                }
            }
            Command::Rebind { address } => {
                self.rebindings += 1;
                self.translation.rebind(*address);
            }
            Command::Set { name, value } => {
                // The parser has tried it.
                let _ = self.faults.set(name, value);
            }
            Command::Report => println!("{}", self.summary()),
        }
    }
}

fn describe(tally: &Tally) -> Value {
    json!({
        "delivered": tally.delivered,
        "bytes": tally.bytes,
        "lost": tally.lost,
        "black_holed": tally.black_holed,
        "queue_full": tally.queue_full,
        "too_long": tally.too_long,
        "forgotten": tally.forgotten,
        "kept_back": tally.kept_back,
        "duplicated": tally.duplicated,
        "corrupted": tally.corrupted,
    })
}

#[cfg(test)]
mod tests;
