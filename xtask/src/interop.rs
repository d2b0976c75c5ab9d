//! `cargo xtask interop`: every foreign peer dials Carrick and is dialed by it, on every security and muxer.
//!
//! A check that a stack says it cannot do is a skip, and a skip counts only when the same check does not pass
//! between two nodes of the foreign stack either. So each cell with a skip is run once more, X against itself.

mod cell;
mod peers;
mod process;
mod report;

use crate::steps::Steps;
use cell::{Cell, Outcome, Verdict};
use clap::ValueEnum;
use peers::{Language, Missing, Peer};
use std::collections::BTreeMap;

/// What to run.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run only these peers.
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    only: Vec<Language>,
    /// Fail when one of these peers cannot be built here, instead of leaving it out.
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    require: Vec<Language>,
    /// One JSON object per check on stdout instead of the table.
    #[arg(long)]
    json: bool,
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
    /// The foreign peer against itself, on the same security and muxer; only for what did not pass.
    control: Option<Outcome>,
}

impl Row {
    /// Whether a skipped check passes between two nodes of the foreign stack, or nothing shows that it does not.
    fn is_unproven(&self, check: &str) -> bool {
        match &self.control {
            Some(control) => matches!(control.verdict(check), None | Some(Verdict::Passed(_))),
            None => true,
        }
    }
}

/// Installs, runs and reports; an error when a check failed, or a skip is not proven, or a required peer is missing.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let carrick = peers::carrick(&mut Steps::default())?;
    let (foreign, missing) = install(args)?;
    let mut rows = vec![];
    let mut controls = BTreeMap::new();
    for cell in cells(&carrick, &foreign) {
        let outcome = cell.run();
        eprintln!("xtask: {cell}: {}", outcome.summary());
        let control = cell
            .foreign()
            .filter(|_| !outcome.all_passed())
            .map(|peer| {
                let alone = Cell {
                    dialer: peer.clone(),
                    listener: peer.clone(),
                    ..cell.clone()
                };
                // A defect that shows only now and then has several chances to show.
                let run = || {
                    let mut outcome = alone.run();
                    for _ in 1..CONTROL_RUNS_MAX {
                        eprintln!("xtask: {alone}: {} (for comparison)", outcome.summary());
                        if !outcome.all_passed() {
                            break;
                        }
                        outcome = alone.run();
                    }
                    outcome
                };
                controls
                    .entry(alone.to_string())
                    .or_insert_with(run)
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

/// Carrick against itself, then each peer, both ways, on each security and muxer.
fn cells(carrick: &Peer, foreign: &[Peer]) -> Vec<Cell> {
    let pairs = foreign
        .iter()
        .flat_map(|peer| [(carrick, peer), (peer, carrick)]);
    let mut cells = vec![];
    for (dialer, listener) in [(carrick, carrick)].into_iter().chain(pairs) {
        for security in SECURITIES {
            for muxer in MUXERS {
                cells.push(Cell {
                    dialer: dialer.clone(),
                    listener: listener.clone(),
                    security,
                    muxer,
                });
            }
        }
    }
    cells
}

const CONTROL_RUNS_MAX: usize = 10;
const SECURITIES: [&str; 1] = ["noise"];
const MUXERS: [&str; 2] = ["yamux", "mplex"];

/// The peers that can run here, and a line for each that cannot.
fn install(args: &Args) -> Result<(Vec<Peer>, Vec<String>), String> {
    let wanted = Language::value_variants().iter().filter(|language| {
        args.only.is_empty() || args.only.contains(language) || args.require.contains(language)
    });
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
