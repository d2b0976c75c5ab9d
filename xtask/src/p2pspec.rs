//! `cargo xtask p2pspec`: the conformance cases against Carrick and the other stacks, each listening on loopback, beside what is
//! on record in `p2pspec/results/`. Carrick must pass every case of level MUST, and whatever it has passed before.

mod differences;
mod listeners;
mod record;

use crate::interop::peers::{self, Language, Missing};
use crate::programs;
use crate::steps::Steps;
use clap::ValueEnum;
use listeners::Stack;
use record::{Record, Results};
use serde_json::json;
use std::time::Instant;

/// What to run.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run only these stacks: carrick, go, rust, js, py.
    #[arg(long, value_delimiter = ',', value_name = "STACKS")]
    only: Vec<String>,
    /// Fail when one of these cannot be built here, instead of leaving it out.
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    require: Vec<Language>,
    /// Put what was found on record: `p2pspec/results/` and `p2pspec/DIFFERENCES.md`.
    #[arg(long)]
    bless: bool,
    /// One JSON object per stack on stdout, for the scorecard.
    #[arg(long)]
    json: bool,
    /// The foreign programs as they are, without those that are not there.
    #[arg(long)]
    as_built: bool,
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

/// Runs them all and compares; an error when Carrick fails what it must not, or a program does not work.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut steps = Steps::default();
    programs::build(&mut steps)?;
    let mut failures = Vec::new();
    for stack in stacks(args)? {
        let start = Instant::now();
        let results = listeners::test(&stack)?;
        let record = Record::read(stack.name)?;
        eprintln!(
            "xtask: {}: {} in {:.0} s",
            stack.name,
            results.summary(),
            start.elapsed().as_secs_f64()
        );
        let changed = record
            .as_ref()
            .map(|record| record.compare(&results))
            .unwrap_or_default();
        for line in &changed.text {
            eprintln!("xtask: {}: {line}", stack.name);
        }
        if results.unasked > 0 {
            eprintln!(
                "xtask: {}: no time was left for {} cases: not put on record",
                stack.name, results.unasked
            );
        }
        if stack.name == "carrick" {
            failures.extend(
                (results.unasked > 0).then(|| "cases without an answer in time".to_owned()),
            );
            failures.extend(results.failed_musts());
            failures.extend(changed.worse);
        }
        if args.json {
            println!("{}", row(stack.name, &results));
        }
        if args.bless && results.unasked == 0 {
            results.write(stack.name)?;
        }
    }
    if args.bless {
        differences::write()?;
    }
    failures.sort_unstable();
    failures.dedup();
    match &failures[..] {
        [] => Ok(()),
        all => Err(format!("Carrick does not conform: {}", all.join(", "))),
    }
}

/// The scorecard's row 23.
fn row(stack: &str, results: &Results) -> serde_json::Value {
    let (passed, failed) = (results.count("must", "pass"), results.count("must", "fail"));
    let stack = if stack == "carrick" {
        stack.to_owned()
    } else {
        format!("{stack}-libp2p")
    };
    json!({
        "row": 23,
        "figure": "wire cases of level MUST that fail",
        "value": failed,
        "unit": "cases",
        "target": "0, of 150 or more cases",
        "pass": failed == 0 && results.cases.len() >= 150 && passed > 0,
        "stack": stack,
        "detail": results.summary(),
    })
}

fn stacks(args: &Args) -> Result<Vec<Stack>, String> {
    let wants = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let mut stacks = Vec::new();
    if wants("carrick") {
        stacks.push(Stack::carrick());
    }
    for language in Language::value_variants()
        .iter()
        .filter(|language| wants(language.name()))
    {
        let peer = if args.as_built {
            peers::built(*language)
        } else {
            match peers::install(*language, &mut Steps::default()) {
                Ok(peer) => Some(peer),
                Err(Missing::Tool(tool)) if args.require.contains(language) => {
                    return Err(format!(
                        "{} is required, but this machine has no `{tool}`",
                        language.name()
                    ));
                }
                Err(Missing::Tool(_)) => None,
                Err(Missing::Failed(why)) => return Err(why),
            }
        };
        match peer {
            Some(peer) => stacks.push(Stack::foreign(peer)),
            None => eprintln!("xtask: {} is left out: it is not there", language.name()),
        }
    }
    Ok(stacks)
}
