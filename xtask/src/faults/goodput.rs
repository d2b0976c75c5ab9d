//! Row 10's second figure: how fast a stack moves bytes over a lossy road, beside others that move the same bytes between two
//! nodes of their own.

use super::Programs;
use super::ground::{Ground, LISTENER};
use super::report;
use super::scene::words;
use crate::interop::peers::Peer;
use crate::interop::process::{Line, Process};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A stack over a road.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) transport: &'static str,
    pub(super) loss_percent: u32,
    pub(super) rtt_ms: u32,
    /// Each way.
    bytes: u64,
}

pub(super) const COURSES: [Course; 4] = [
    course("tcp", 1, 100, 1 << 20),
    course("quic-v1", 1, 100, 1 << 20),
    course("tcp", 5, 100, 256 << 10),
    course("quic-v1", 5, 100, 256 << 10),
];

const fn course(transport: &'static str, loss_percent: u32, rtt_ms: u32, bytes: u64) -> Course {
    Course {
        transport,
        loss_percent,
        rtt_ms,
        bytes,
    }
}

impl Course {
    pub(super) fn name(&self) -> String {
        format!(
            "{}, loss {} %, {} ms",
            self.transport, self.loss_percent, self.rtt_ms
        )
    }

    /// KiB per second, both ways together, of one run between two programs of `peer`.
    pub(super) fn run(&self, programs: &Programs, peer: &Peer, seed: u64) -> Result<f64, String> {
        let (loss, delay) = (self.loss_percent, self.rtt_ms / 2);
        let road = format!("--loss {loss}% --delay {delay}ms --seed {seed}");
        let ground = Ground::new(&programs.impair, &words(&road))?;
        let start = |namespace: &str, args: &str| {
            let mut command = peer.within(namespace).command();
            command
                .args(words(args))
                .args(["--transport", self.transport]);
            Process::start(&mut command)
        };
        let deadline = Instant::now() + MAX;
        let listener = start(&ground.listener, "listen")?;
        let address = loop {
            match listener.line(deadline) {
                Line::Text(line) => {
                    if let Some(address) = line.strip_prefix("listening ") {
                        break address.trim().replace("127.0.0.1", LISTENER);
                    }
                }
                _ => return Err(format!("does not listen: {}", listener.last_words())),
            }
        };
        let dial = format!(
            "dial {address} --checks connect,bulk --bulk-bytes {}",
            self.bytes
        );
        let dialer = start(&ground.dialer, &dial)?;
        verdict(&dialer, deadline)?;
        let begun = Instant::now();
        verdict(&dialer, deadline)?;
        Ok(2.0 * self.bytes as f64 / 1024.0 / begun.elapsed().as_secs_f64())
    }
}

fn verdict(dialer: &Process, deadline: Instant) -> Result<(), String> {
    let Line::Text(line) = dialer.line(deadline) else {
        return Err(format!("no result: {}", dialer.last_words()));
    };
    let object: Value = serde_json::from_str(&line).unwrap_or_default();
    if object["ok"].as_bool() == Some(true) {
        return Ok(());
    }
    Err(line)
}

/// A line for each stack; Carrick's passes if it is nearly as fast as the fastest.
pub(super) fn lines(course: &Course, runs: u64, spreads: &[(&str, Spread)]) -> Vec<report::Line> {
    let rivals = spreads.iter().filter(|(name, _)| *name != "carrick");
    let best = rivals
        .map(|(_, (_, middle, _))| *middle)
        .fold(0.0, f64::max);
    let line = |(name, (min, value, max)): &(&str, Spread)| {
        let ours = *name == "carrick";
        report::Line {
            row: 10,
            stack: if ours {
                "carrick".to_owned()
            } else {
                format!("{name}-libp2p")
            },
            figure: format!("goodput {}", course.name()),
            value: *value,
            unit: "KiB/s",
            target: if ours {
                format!(">= {:.0}, 70 % of the best other", 0.7 * best)
            } else {
                String::new()
            },
            pass: (ours && best > 0.0).then_some(*value >= 0.7 * best),
            spread: Some((runs as usize, *min, *max)),
            detail: format!("{name}, {min:.0} to {max:.0}"),
        }
    };
    spreads.iter().map(line).collect()
}

/// The least, the middle and the most.
pub(super) type Spread = (f64, f64, f64);

pub(super) fn spread(mut runs: Vec<f64>) -> Option<Spread> {
    runs.sort_by(f64::total_cmp);
    Some((*runs.first()?, *runs.get(runs.len() / 2)?, *runs.last()?))
}

const MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
