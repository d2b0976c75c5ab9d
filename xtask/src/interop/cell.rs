//! One cell of the matrix: a listener, a dialer, and what the dialer says of each check.

use super::defects;
use super::matrix::Stack;
use super::peers::Peer;
use super::process::{Line, Process};
use serde_json::Value;
use std::fmt;
use std::time::{Duration, Instant};

/// Who dials whom, over what.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) dialer: Peer,
    pub(crate) listener: Peer,
    pub(crate) stack: Stack,
    pub(crate) checks: Vec<&'static str>,
    /// What the bulk check sends each way.
    pub(crate) bulk_bytes: u64,
    /// What lies between them, unless it is nothing.
    pub(crate) road: Option<Road>,
}

/// A network that is slow on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Road {
    /// Where the dialer finds what the listener serves on its loopback address.
    pub(crate) address: &'static str,
    /// How many times as long as usual Carrick waits; others cannot be told.
    pub(crate) slow: u32,
}

/// What became of one check; each with the words of the one who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed(String),
    Failed(String),
    Skipped(String),
}

/// What became of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// In the order of the checks.
    pub(crate) verdicts: Vec<(String, Verdict)>,
    pub(crate) took: Duration,
    /// The last stderr lines of a cell in which something failed.
    pub(crate) log: Vec<String>,
    /// The checks that passed, but not at once.
    pub(crate) late: Vec<Late>,
}

/// A check that a foreign stack's defect spoiled before it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) check: String,
    /// Which try passed; the first is 1.
    pub(crate) tries: usize,
    /// The defect, and what the last try before said.
    pub(crate) why: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pair(), self.stack)
    }
}

impl Cell {
    /// Who dials whom.
    pub(crate) fn pair(&self) -> String {
        format!("{} → {}", self.dialer.name, self.listener.name)
    }

    /// The peer in it that is not Carrick.
    pub(crate) fn foreign(&self) -> Option<&Peer> {
        [&self.dialer, &self.listener]
            .into_iter()
            .find(|peer| peer.name != "carrick")
    }

    /// Starts both programs, gathers the verdicts, and stops what still runs. What a foreign stack is known to get wrong
    /// counts as skipped, which the stack against itself has to prove.
    pub(crate) fn run(&self) -> Outcome {
        let start = Instant::now();
        let (mut verdicts, log) = self.verdicts().unwrap_or_else(|ended_early| ended_early);
        for (check, verdict) in &mut verdicts {
            let defect = defects::known(self, check);
            if let (Verdict::Failed(why), Some(defect)) = (&*verdict, defect)
                && defect.explains(why)
            {
                *verdict = Verdict::Skipped(format!("{} ({why})", defect.what));
            }
        }
        Outcome {
            verdicts,
            took: start.elapsed(),
            log,
            late: vec![],
        }
    }

    /// As `run`, and what a defect spoiled is tried again alone: some spoil a check only now and then.
    pub(crate) fn run_patiently(&self) -> Outcome {
        let mut outcome = self.run();
        for tries in 2..=TRIES_MAX {
            let spoiled = |check: &&str| outcome.spoiled(self, check).is_some();
            let checks: Vec<_> = self.checks.iter().copied().filter(spoiled).collect();
            if checks.is_empty() {
                break;
            }
            eprintln!("xtask: {self}: {} (tried again)", outcome.summary());
            let again = Self {
                checks,
                ..self.clone()
            };
            outcome.take_over(again.run(), tries);
        }
        outcome
    }

    fn verdicts(&self) -> Result<Verdicts, Verdicts> {
        let start = |peer: &Peer, args: &[&str]| {
            let mut command = peer.command();
            command.args(args).args(self.stack.options());
            command.args(self.slow(peer));
            Process::start(&mut command).map_err(|why| single(START, Verdict::Failed(why)))
        };
        let mut listener = start(
            &self.listener,
            &[&["listen"], self.stack.listener_files()].concat(),
        )?;
        let address = self.dialed(address(&mut listener, self.listener.name)?);
        let (checks, bytes) = (self.checks.join(","), self.bulk_bytes.to_string());
        let args = [
            "dial",
            &address,
            "--checks",
            &checks,
            "--bulk-bytes",
            &bytes,
        ];
        let mut dialer = start(&self.dialer, &[&args, self.stack.dialer_files()].concat())?;
        let mut verdicts = vec![];
        let patience = self.patience();
        let deadline = Instant::now() + patience;
        loop {
            match dialer.line(deadline) {
                Line::Text(line) => verdicts.extend(verdict(&line)),
                Line::End => break,
                Line::Late => {
                    let why = format!(
                        "the dialer was still running after {} s",
                        patience.as_secs()
                    );
                    verdicts.push((END.to_owned(), Verdict::Failed(why)));
                    break;
                }
            }
        }
        let code = dialer.ended(deadline).and_then(|status| status.code());
        let words = dialer.last_words();
        if let Some(reason) = declined(&verdicts, self.checks.len(), code, &words) {
            let reason = format!("{}: {reason}", self.dialer.name);
            return Err(single(START, Verdict::Skipped(reason)));
        }
        complete(&mut verdicts, &self.checks, code, &words);
        let failed = verdicts
            .iter()
            .any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)));
        let mut lines = vec![];
        let logs = [(&self.dialer, dialer), (&self.listener, listener)];
        for (peer, mut process) in logs.into_iter().filter(|_| failed) {
            process.stop();
            let log = process.log();
            lines.extend(log.iter().map(|line| format!("{}: {line}", peer.name)));
        }
        Ok((verdicts, lines))
    }

    /// How patient a program is to be.
    fn slow(&self, peer: &Peer) -> Vec<String> {
        let road = self.road.filter(|_| peer.name == "carrick");
        road.map_or_else(Vec::new, |road| {
            vec!["--slow".to_owned(), road.slow.to_string()]
        })
    }

    /// What the dialer is given for the address that the listener prints.
    fn dialed(&self, printed: String) -> String {
        let address = self.stack.dialed(printed, self.dialer.name);
        match self.road {
            Some(road) => address.replace("127.0.0.1", road.address),
            None => address,
        }
    }

    /// Programs stop themselves after three minutes, and what the long checks may take; this is for those that do not.
    fn patience(&self) -> Duration {
        let has = |check| self.checks.contains(&check);
        let connections = Duration::from_secs(if has("connections") { 60 } else { 0 });
        let bulk = Duration::from_secs(if has("bulk") {
            self.bulk_bytes >> 20
        } else {
            0
        });
        (DIALER_MAX + connections + bulk) * self.road.map_or(1, |road| road.slow)
    }
}

impl Outcome {
    /// What became of `check`; where the programs did not start, of that.
    pub(crate) fn verdict(&self, check: &str) -> Option<&Verdict> {
        let find = |wanted: &str| self.verdicts.iter().find(|(name, _)| name == wanted);
        find(check)
            .or_else(|| find(START))
            .map(|(_, verdict)| verdict)
    }

    /// The words of a check that failed in the way of a known defect.
    pub(crate) fn spoiled(&self, cell: &Cell, check: &str) -> Option<&str> {
        let defect = defects::known(cell, check)?;
        match self.verdict(check)? {
            Verdict::Skipped(reason) if reason.starts_with(defect.what) => Some(reason),
            _ => None,
        }
    }

    /// What another try says of some of the checks. One that fails there in another way has failed.
    pub(crate) fn take_over(&mut self, again: Self, tries: usize) {
        for (check, verdict) in again.verdicts {
            let known = self.verdicts.iter_mut().find(|(name, _)| *name == check);
            match (known, &verdict) {
                (Some((_, before)), Verdict::Passed(_)) => {
                    if let Verdict::Skipped(why) = std::mem::replace(before, verdict) {
                        self.late.push(Late { check, tries, why });
                    }
                }
                (Some((_, before)), _) => *before = verdict,
                // The exit code or the start.
                (None, _) => self.verdicts.push((check, verdict)),
            }
        }
        self.took += again.took;
        self.log.extend(again.log);
    }

    pub(crate) fn all_passed(&self) -> bool {
        self.verdicts
            .iter()
            .all(|(_, verdict)| matches!(verdict, Verdict::Passed(_)))
    }

    /// The reason why the cell did not run at all.
    pub(crate) fn not_offered(&self) -> Option<&str> {
        match self.verdicts.as_slice() {
            [(check, Verdict::Skipped(reason))] if check == START => Some(reason),
            _ => None,
        }
    }

    /// How many passed, and the names of the rest.
    pub(crate) fn summary(&self) -> String {
        if let Some(reason) = self.not_offered() {
            return format!("○ not offered: {reason}");
        }
        let names = |wanted: fn(&Verdict) -> bool| {
            let all = self.verdicts.iter().filter(|(_, verdict)| wanted(verdict));
            all.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
        };
        let passed = names(|verdict| matches!(verdict, Verdict::Passed(_)));
        let failed = names(|verdict| matches!(verdict, Verdict::Failed(_)));
        let skipped = names(|verdict| matches!(verdict, Verdict::Skipped(_)));
        let mark = match (failed.is_empty(), skipped.is_empty()) {
            (false, _) => '✘',
            (true, true) => '✔',
            (true, false) => '○',
        };
        let mut text = format!(
            "{mark} {:>2} of {} passed",
            passed.len(),
            self.verdicts.len()
        );
        for (word, names) in [("FAILED", failed), ("skipped", skipped)] {
            if !names.is_empty() {
                text += &format!(", {word}: {}", names.join(" "));
            }
        }
        text
    }
}

/// Verdicts in order, and the stderr that may explain them.
type Verdicts = (Vec<(String, Verdict)>, Vec<String>);

/// Stands for the programs' start, and for the dialer's end, where something is wrong with them.
const START: &str = "start";
const END: &str = "end";
/// A program's exit code when its stack lacks the muxer or the security asked for.
const NO_SUCH: i32 = 3;
/// Within this a listener says where it listens; a cold interpreter on a busy machine takes seconds.
const LISTENER_MAX: Duration = Duration::from_secs(60);
/// A program that closed its stdout has ended within this.
const ENDED_MAX: Duration = Duration::from_secs(10);
/// Three minutes and some.
const DIALER_MAX: Duration = Duration::from_secs(210);
/// How often a check that a known defect spoils is tried.
const TRIES_MAX: usize = 3;

fn single(name: &str, verdict: Verdict) -> Verdicts {
    (vec![(name.to_owned(), verdict)], vec![])
}

/// The first address that the listener prints.
fn address(listener: &mut Process, name: &str) -> Result<String, Verdicts> {
    let deadline = Instant::now() + LISTENER_MAX;
    let why = loop {
        match listener.line(deadline) {
            Line::Text(line) => {
                if let Some(address) = line.strip_prefix("listening ") {
                    return Ok(address.trim().to_owned());
                }
            }
            Line::End => break "ended without an address",
            Line::Late => break "gave no address in time",
        }
    };
    let code = listener
        .ended(Instant::now() + ENDED_MAX)
        .and_then(|status| status.code());
    let words = listener.last_words();
    if code == Some(NO_SUCH) {
        return Err(single(START, Verdict::Skipped(format!("{name}: {words}"))));
    }
    let failed = Verdict::Failed(format!(
        "the listener {name} {why} (exit code {code:?}): {words}"
    ));
    Err((vec![(START.to_owned(), failed)], listener.log()))
}

/// One line of the dialer. A line that is none of the contract's fails by itself.
fn verdict(line: &str) -> Option<(String, Verdict)> {
    if line.is_empty() {
        return None;
    }
    let object: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    let verdict = match (object["ok"].as_bool(), text("skip")) {
        (Some(true), None) => Verdict::Passed(text("detail").unwrap_or_default()),
        (Some(false), None) => Verdict::Failed(text("detail").unwrap_or_default()),
        (None, Some(reason)) => Verdict::Skipped(reason),
        _ => Verdict::Failed(format!("not a result: {line}")),
    };
    Some((text("check").unwrap_or_else(|| END.to_owned()), verdict))
}

/// Why a dialer does nothing at all: it says so by its exit code, or skips every check for one reason.
fn declined(
    verdicts: &[(String, Verdict)],
    checks: usize,
    code: Option<i32>,
    words: &str,
) -> Option<String> {
    match verdicts {
        [] if code == Some(NO_SUCH) => Some(words.to_owned()),
        [(_, Verdict::Skipped(reason)), rest @ ..] if checks > 1 && rest.len() + 1 == checks => {
            let same = |each: &Verdict| matches!(each, Verdict::Skipped(other) if other == reason);
            rest.iter()
                .all(|(_, each)| same(each))
                .then(|| reason.clone())
        }
        _ => None,
    }
}

/// A check without a verdict has failed, and so has a dialer whose exit code says other than its lines.
fn complete(
    verdicts: &mut Vec<(String, Verdict)>,
    checks: &[&str],
    code: Option<i32>,
    words: &str,
) {
    let any_failed = |all: &[(String, Verdict)]| {
        all.iter()
            .any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
    };
    let contradicts = any_failed(verdicts) == (code == Some(0));
    for check in checks.iter().copied() {
        if !verdicts.iter().any(|(name, _)| name == check) {
            verdicts.push((
                check.to_owned(),
                Verdict::Failed(format!("no result (dialer's last words: {words})")),
            ));
        }
    }
    if contradicts {
        let why = format!(
            "the dialer's exit code {code:?} contradicts its results (last words: {words})"
        );
        verdicts.push((END.to_owned(), Verdict::Failed(why)));
    }
    let place = |name: &str| {
        checks
            .iter()
            .position(|check| *check == name)
            .unwrap_or(checks.len())
    };
    verdicts.sort_by_key(|(name, _)| place(name));
}

#[cfg(test)]
mod tests;
