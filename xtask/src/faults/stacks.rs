//! Row 24: Carrick and every other stack, both ways, with the checks of `cargo xtask interop`, over a road that loses 5 % each
//! way and takes 300 ms there and back.

use super::Programs;
use super::ground::{Ground, LISTENER};
use super::scene::words;
use crate::interop::cell::{Cell, Outcome, Road, Verdict};
use crate::interop::matrix::{BASIC, CHECKS, IP, Inside, KEY_TYPE, NOISE, Stack, TLS};

/// Who dials whom, over what, and what is checked.
#[derive(Clone)]
pub(super) struct Meeting {
    cell: Cell,
}

/// Every pair on every stack of protocols; Carrick against itself first.
pub(super) fn meetings(programs: &Programs) -> Vec<Meeting> {
    let carrick = &programs.carrick;
    let mut pairs = vec![(carrick, carrick)];
    for foreign in &programs.foreign {
        pairs.extend([(carrick, foreign), (foreign, carrick)]);
    }
    let stack = |transport, inside| Stack {
        transport,
        inside,
        key_type: KEY_TYPE,
        ip: IP,
    };
    let stacks: [(&str, Option<Inside>); 4] = [
        ("tcp", Some(NOISE)),
        ("tcp", Some(TLS)),
        ("ws", Some(NOISE)),
        ("quic-v1", None),
    ];
    let mut all = vec![];
    for (transport, inside) in stacks {
        for (dialer, listener) in &pairs {
            let checks = match dialer.name {
                // It waits long enough for all but many connections and many bytes.
                "carrick" => CHECKS[..BASIC].to_vec(),
                _ => SHORT.to_vec(),
            };
            let cell = Cell {
                dialer: (*dialer).clone(),
                listener: (*listener).clone(),
                stack: stack(transport, inside),
                checks,
                bulk_bytes: 0,
                road: Some(Road {
                    address: LISTENER,
                    slow: SLOW,
                }),
            };
            all.push(Meeting { cell });
        }
    }
    all
}

impl Meeting {
    pub(super) fn name(&self) -> String {
        self.cell.to_string()
    }

    /// Lets the two meet, and says which checks failed at first: those are tried once more, on a road with another seed, as a
    /// foreign program's deadlines are short for such a road.
    pub(super) fn hold(&self, programs: &Programs) -> Result<(Outcome, Vec<String>), String> {
        let mut outcome = self.once(programs, &self.cell, SEED)?;
        let failed = |check: &&str| matches!(outcome.verdict(check), Some(Verdict::Failed(_)));
        let checks: Vec<_> = self.cell.checks.iter().copied().filter(failed).collect();
        let twice = checks.iter().map(|check| {
            let why = match outcome.verdict(check) {
                Some(Verdict::Failed(why)) => why,
                _ => "",
            };
            format!("{check} at the second try, first: {why}")
        });
        let twice: Vec<_> = twice.collect();
        if !checks.is_empty() {
            eprintln!(
                "xtask: {}: {} (tried again)",
                self.name(),
                outcome.summary()
            );
            let again = Cell {
                checks,
                ..self.cell.clone()
            };
            let again = self.once(programs, &again, SEED + 1)?;
            // The exit code of the first run says what its checks have said.
            let known = |name: &String| self.cell.checks.contains(&name.as_str());
            outcome.verdicts.retain(|(name, _)| known(name));
            outcome.take_over(again, 2);
            self.compare(programs, &mut outcome)?;
        }
        Ok((outcome, twice))
    }

    /// What a foreign dialer cannot do with a listener of its own stack either, over such a road, is its own affair: a skip, with
    /// the words of both.
    fn compare(&self, programs: &Programs, outcome: &mut Outcome) -> Result<(), String> {
        let failed = |check: &&str| matches!(outcome.verdict(check), Some(Verdict::Failed(_)));
        let checks: Vec<_> = self.cell.checks.iter().copied().filter(failed).collect();
        if checks.is_empty() || self.cell.dialer.name == "carrick" {
            return Ok(());
        }
        let alone = Cell {
            listener: self.cell.dialer.clone(),
            checks,
            ..self.cell.clone()
        };
        let control = self.once(programs, &alone, SEED + 1)?;
        eprintln!("xtask: {alone}: {} (for comparison)", control.summary());
        for (check, verdict) in &mut outcome.verdicts {
            if let (Verdict::Failed(here), Some(Verdict::Failed(there))) =
                (&*verdict, control.verdict(check))
            {
                let name = self.cell.dialer.name;
                let why = format!("{here}, and between two nodes of {name}: {there}");
                *verdict = Verdict::Skipped(why);
            }
        }
        Ok(())
    }

    fn once(&self, programs: &Programs, cell: &Cell, seed: u64) -> Result<Outcome, String> {
        let road = format!("{ROAD} --seed {seed}");
        let ground = Ground::new(&programs.impair, &words(&road))?;
        let cell = Cell {
            dialer: cell.dialer.within(&ground.dialer),
            listener: cell.listener.within(&ground.listener),
            ..cell.clone()
        };
        Ok(cell.run())
    }
}

/// 5 % each way.
const ROAD: &str = "--loss 5% --delay 150ms";
/// Carrick waits so many times as long as on a cable.
const SLOW: u32 = 6;
const SEED: u64 = 24;
/// What a dialer that waits for half a minute can do: without a mebibyte both ways and fifty exchanges in turn.
const SHORT: [&str; 8] = [
    "connect",
    "identify",
    "ping",
    "concurrent",
    "half-close",
    "unsupported",
    "reset",
    "wrong-peer",
];
