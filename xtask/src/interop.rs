//! `cargo xtask interop`: every foreign peer dials Carrick and is dialed by it, on every transport, security and muxer.
//!
//! A check that a stack says it cannot do is a skip, and a skip counts only when the same check does not pass
//! between two nodes of the foreign stack either. So each cell with a skip is run once more, X against itself.

mod cell;
mod defects;
mod matrix;
mod peers;
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

impl Row {
    /// The verdict between two nodes of the foreign stack that proves a skip: any but a pass, of this check or of another that
    /// the same defect spoils.
    fn proof(&self, check: &str) -> Option<&Verdict> {
        let control = self.control.as_ref()?;
        let same = defects::known(&self.cell, check).map_or(&[][..], Defect::proofs);
        let mut verdicts = [check]
            .into_iter()
            .chain(same.iter().copied())
            .filter_map(|check| control.verdict(check));
        verdicts.find(|verdict| !matches!(verdict, Verdict::Passed(_)))
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
        let outcome = cell.run();
        eprintln!(
            "xtask: {cell}: {:.1} s {}",
            outcome.took.as_secs_f64(),
            outcome.summary()
        );
        let control = control(&cell, &outcome).map(|alone| {
            controls
                .entry(format!("{alone} {}", alone.checks.join(",")))
                .or_insert_with(|| run_control(&alone))
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
        match defects::known(cell, check) {
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

/// A defect that shows only now and then has several chances to show.
fn run_control(alone: &Cell) -> Outcome {
    let mut outcome = alone.run();
    for _ in 1..CONTROL_RUNS_MAX {
        eprintln!("xtask: {alone}: {} (for comparison)", outcome.summary());
        if !outcome.all_passed() {
            break;
        }
        outcome = alone.run();
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
