//! What happens to a world from outside: calls and faults, drawn from a seed, each by itself, so that any of them can be
//! left out.

use std::{fmt, time::Duration};

use crate::{
    chance::Chance,
    config::{Config, Faults},
};

/// Something that happens at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// When, since the world's beginning.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happens. Hosts are numbers from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are hosts, seeds and seconds")]
pub enum What {
    /// `from` calls `to`; the seed says what is said. `known`: the caller gives the address.
    Call {
        from: usize,
        to: usize,
        seed: u64,
        known: bool,
    },
    /// Nothing gets through between two hosts.
    Cut { a: usize, b: usize, seconds: u64 },
    /// A host is killed and comes back. `silent`: its machine went down with it, so nobody is told.
    Crash {
        host: usize,
        seconds: u64,
        keeps_disk: bool,
        silent: bool,
    },
    /// A host stands still.
    Suspend { host: usize, seconds: u64 },
    /// A host's wall clock is set.
    SetClock { host: usize, seconds: i64 },
    /// A pipe between two hosts is reset.
    Reset { a: usize, b: usize },
    /// One direction of a pipe goes nowhere from now on.
    Hole { a: usize, b: usize, to_dialer: bool },
    /// A bit is turned on a pipe.
    Corrupt { a: usize, b: usize, bit: u64 },
    /// A link becomes so many times slower.
    Slow {
        a: usize,
        b: usize,
        times: u64,
        seconds: u64,
    },
    /// `from` disconnects `to`.
    Disconnect { from: usize, to: usize },
    /// `from` bans `to`.
    Ban {
        from: usize,
        to: usize,
        seconds: u64,
    },
    /// A host trims its connections.
    Trim { host: usize },
    /// A host announces another address of its own.
    Announce { host: usize, port: u16 },
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} s  {:?}", self.at.as_secs_f64(), self.what)
    }
}

/// The operations of a seed, in order of time.
pub fn draw(seed: u64, config: &Config) -> Vec<Operation> {
    let chance = &mut Chance::of(seed, 0x5ce);
    let end = config.duration.as_nanos() as u64;
    let mut all: Vec<_> = (0..config.operations)
        .map(|_| Operation {
            at: Duration::from_nanos(chance.below(end.max(1))),
            what: draw_one(chance, config),
        })
        .collect();
    all.sort_by_key(|operation| operation.at);
    all
}

fn draw_one(chance: &mut Chance, config: &Config) -> What {
    let hosts = config.hosts as u64;
    let host = chance.below(hosts) as usize;
    let other = (host + 1 + chance.below(hosts.max(2) - 1) as usize) % config.hosts;
    let faults = &config.faults;
    let weights = [
        Faults::CALLS,
        faults.partitions,
        faults.crashes,
        faults.suspensions,
        faults.clock_jumps,
        faults.resets,
        faults.holes,
        faults.corruptions,
        faults.slow_links,
        faults.quarrels,
    ];
    let mut left = chance.below(weights.iter().sum());
    let mut kind = 0;
    while left >= weights[kind] {
        left -= weights[kind];
        kind += 1;
    }
    let (a, b) = (host, other);
    match kind {
        0 => What::Call {
            from: a,
            to: b,
            seed: chance.draw(),
            known: faults.is_calm() || chance.odds(700),
        },
        1 => What::Cut {
            a,
            b,
            seconds: chance.magnitude(1, 120),
        },
        2 => What::Crash {
            host,
            seconds: chance.magnitude(1, 60),
            keeps_disk: chance.odds(700),
            silent: chance.odds(500),
        },
        3 => What::Suspend {
            host,
            seconds: chance.magnitude(1, 60),
        },
        4 => What::SetClock {
            host,
            seconds: chance.between(0, 200_000) as i64 - 100_000,
        },
        5 => What::Reset { a, b },
        6 => What::Hole {
            a,
            b,
            to_dialer: chance.odds(500),
        },
        7 => What::Corrupt {
            a,
            b,
            bit: chance.draw(),
        },
        8 => What::Slow {
            a,
            b,
            times: chance.magnitude(2, 20),
            seconds: chance.magnitude(1, 60),
        },
        _ => draw_quarrel(chance, a, b),
    }
}

fn draw_quarrel(chance: &mut Chance, from: usize, to: usize) -> What {
    match chance.below(4) {
        0 => What::Disconnect { from, to },
        1 => What::Ban {
            from,
            to,
            seconds: chance.magnitude(1, 600),
        },
        2 => What::Trim { host: from },
        _ => What::Announce {
            host: from,
            port: chance.between(1, 60_000) as u16,
        },
    }
}
