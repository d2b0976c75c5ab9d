//! `cargo xtask interop`: every foreign peer dials Carrick and is dialed by it, on every transport, security and muxer.
//!
//! A check that a stack says it cannot do is a skip, and a skip counts only when the same check does not pass
//! between two nodes of the foreign stack either. So each cell with a skip is run once more, X against itself. Of a known
//! defect the place in the foreign source is told as well, which is enough where luck hides it.

pub(crate) mod cell;
mod defects;
pub(crate) mod matrix;
pub(crate) mod peers;
pub(crate) mod process;
mod report;

use crate::steps::Steps;
use cell::{Cell, Outcome, Verdict};
use clap::ValueEnum;
use defects::Defect;
use matrix::Word;
use peers::{Language, Missing, Peer};
use std::collections::BTreeMap;

/// What to run.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run only these: peers (go, rust, js, py), transports (tcp, ws, wss, quic-v1), securities (noise, tls), muxers (yamux,
    /// mplex), rows (keys, ipv6). `go,js,quic-v1` is QUIC with either of the two.
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    only: Vec<Word>,
    /// Fail when one of these peers cannot be built here, instead of leaving it out.
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    require: Vec<Language>,
    /// One JSON object per check on stdout instead of the table.
    #[arg(long)]
    json: bool,
    /// Send 1 GiB each way where it is 64 MiB otherwise.
    #[arg(long)]
    full: bool,
}

impl Args {
    /// Every language, and each must be there.
    pub(crate) fn require_all() -> Self {
        Self {
            require: Language::value_variants().to_vec(),
            ..Self::default()
        }
    }
}

/// One cell of the matrix, with what came of it.
struct Row {
    cell: Cell,
    outcome: Outcome,
    /// The foreign peer against itself, over the same protocols; only for what did not pass.
    control: Option<Outcome>,
}

/// What speaks for a skip.
enum Proof<'a> {
    /// The verdict between two nodes of the foreign stack: any but a pass, of this check or of another that the same defect
    /// spoils.
    Shown(&'a Verdict),
    /// The stack against itself passed each time, but here is known to go wrong.
    Known(&'static Defect),
}

impl Row {
    fn proof(&self, check: &str) -> Option<Proof<'_>> {
        let control = self.control.as_ref()?;
        let defect = self
            .outcome
            .spoiled(&self.cell, check)
            .and_then(|_| defects::known(&self.cell, check));
        let same = defect.map_or(&[][..], Defect::proofs);
        let mut verdicts = [check]
            .into_iter()
            .chain(same.iter().copied())
            .filter_map(|check| control.verdict(check));
        let shown = verdicts.find(|verdict| !matches!(verdict, Verdict::Passed(_)));
        shown.map(Proof::Shown).or_else(|| defect.map(Proof::Known))
    }
}

/// Installs, runs and reports; an error when a check failed, or a skip is not proven, or a required peer is missing.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let carrick = peers::carrick(&mut Steps::default())?;
    peers::certificates(&carrick, &mut Steps::default())?;
    let (foreign, missing) = install(args)?;
    let mut rows = vec![];
    let mut controls = BTreeMap::new();
    for cell in matrix::cells(&carrick, &foreign, &args.only, args.full) {
        let outcome = cell.run_patiently();
        eprintln!(
            "xtask: {cell}: {:.1} s {}",
            outcome.took.as_secs_f64(),
            outcome.summary()
        );
        let control = control(&cell, &outcome).map(|alone| {
            controls
                .entry(format!("{alone} {}", alone.checks.join(",")))
                .or_insert_with(|| run_control(&alone, &spoilers(&cell, &outcome)))
                .clone()
        });
        rows.push(Row {
            cell,
            outcome,
            control,
        });
    }
    let text = if args.json {
        report::json(&rows, &missing)
    } else {
        report::table(&rows, &missing)
    };
    print!("{text}");
    report::judge(&rows)
}

/// The foreign stack against itself, with the checks that did not pass.
fn control(cell: &Cell, outcome: &Outcome) -> Option<Cell> {
    let peer = cell.foreign().filter(|_| !outcome.all_passed())?;
    let open = |check: &&str| !matches!(outcome.verdict(check), Some(Verdict::Passed(_)));
    let mut checks = vec![];
    for check in cell.checks.iter().copied().filter(open) {
        match outcome
            .spoiled(cell, check)
            .and_then(|_| defects::known(cell, check))
        {
            Some(defect) => checks.extend(defect.proofs()),
            None => checks.push(check),
        }
    }
    checks.sort_unstable();
    checks.dedup();
    Some(Cell {
        dialer: peer.clone(),
        listener: peer.clone(),
        checks: if checks.is_empty() {
            cell.checks.clone()
        } else {
            checks
        },
        ..cell.clone()
    })
}

/// The known defects that spoiled something.
fn spoilers(cell: &Cell, outcome: &Outcome) -> Vec<&'static Defect> {
    let spoiled = |check: &&str| outcome.spoiled(cell, check).is_some();
    let checks = cell.checks.iter().copied().filter(spoiled);
    checks
        .filter_map(|check| defects::known(cell, check))
        .collect()
}

/// A defect that shows only now and then has several chances to show.
fn run_control(alone: &Cell, defects: &[&Defect]) -> Outcome {
    let mut outcome = alone.run();
    for tries in 2..=CONTROL_RUNS_MAX {
        eprintln!("xtask: {alone}: {} (for comparison)", outcome.summary());
        let passed = |check: &&str| matches!(outcome.verdict(check), Some(Verdict::Passed(_)));
        let hidden = |defect: &&&Defect| defect.proofs().iter().all(passed);
        let hidden = defects.iter().filter(hidden);
        let mut checks: Vec<_> = hidden.flat_map(|defect| defect.proofs()).copied().collect();
        if checks.is_empty() {
            break;
        }
        checks.sort_unstable();
        checks.dedup();
        let again = Cell {
            checks,
            ..alone.clone()
        };
        outcome.take_over(again.run(), tries);
    }
    outcome
}

const CONTROL_RUNS_MAX: usize = 10;

/// The peers that can run here, and a line for each that cannot.
fn install(args: &Args) -> Result<(Vec<Peer>, Vec<String>), String> {
    let wanted = Language::value_variants()
        .iter()
        .filter(|language| matrix::wants(&args.only, language.name()));
    let (mut peers, mut missing) = (vec![], vec![]);
    for language in wanted {
        match peers::install(*language, &mut Steps::default()) {
            Ok(peer) => peers.push(peer),
            Err(Missing::Tool(tool)) if !args.require.contains(language) => {
                let line = format!("{}: this machine has no `{tool}`", language.name());
                eprintln!("xtask: {line}; left out");
                missing.push(line);
            }
            Err(Missing::Tool(tool)) => {
                return Err(format!(
                    "{} is required, but this machine has no `{tool}`",
                    language.name()
                ));
            }
            Err(Missing::Failed(why)) => return Err(why),
        }
    }
    Ok((peers, missing))
}
