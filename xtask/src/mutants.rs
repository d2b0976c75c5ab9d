//! `cargo xtask mutants`: changes to the wire and limit code, one at a time, and which of them no test notices. What is
//! changed, and what is not and why, stands in `.cargo/mutants.toml`. Needs `cargo-mutants`, and hours for all of it.

use crate::programs;
use crate::steps::{cannot_run, cargo, line};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Change the code and see whether a test notices.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the k-th of n parts, such as `0/20`: each has mutants of every file.
    #[arg(long)]
    shard: Option<String>,
    /// Only files whose path has this regular expression in it, such as `wire/src/varint`.
    #[arg(long)]
    file: Vec<String>,
    /// Nothing is run: the score of what was run last.
    #[arg(long)]
    last: bool,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Mutants of one file.
#[derive(Default)]
struct Score {
    killed: usize,
    missed: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let base = std::path::absolute(programs::target())
        .map_err(|error| format!("no target folder: {error}"))?;
    let output = base.join("mutants");
    if !args.last {
        mutate(args, &base, &output)?;
    }
    let path = output.join("mutants.out/outcomes.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; nothing was run yet?", path.display()))?;
    let outcomes =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let (scores, survivors) = judged(&outcomes);
    let (killed, missed) = scores.values().fold((0, 0), |(killed, missed), score| {
        (killed + score.killed, missed + score.missed)
    });
    if killed + missed == 0 {
        return Err("no mutant could be built".to_owned());
    }
    let percent = 100.0 * killed as f64 / (killed + missed) as f64;
    if args.json {
        let row = json!({
            "row": 26, "figure": "mutants of wire and limit code that a test noticed", "value": percent, "unit": "%",
            "target": ">= 85", "pass": percent >= 85.0, "stack": "carrick",
            "detail": format!("{killed} of {}, shard {}", killed + missed, args.shard.as_deref().unwrap_or("all")),
        });
        println!("{row}");
        return Ok(());
    }
    for (file, Score { killed, missed }) in &scores {
        println!("{killed:>5} of {:>5}  {file}", killed + missed);
    }
    println!(
        "{killed:>5} of {:>5}  {percent:.1} % noticed",
        killed + missed
    );
    for survivor in survivors {
        println!("  nobody noticed: {survivor}");
    }
    Ok(())
}

fn mutate(args: &Args, base: &Path, output: &PathBuf) -> Result<(), String> {
    let mut command = cargo(&[
        "mutants",
        "--workspace",
        "--jobs",
        "1",
        "--baseline",
        "skip",
        "--timeout",
        "120",
    ]);
    command
        .args(["--no-shuffle", "--colors", "never", "--output"])
        .arg(output)
        .env("CARGO_TARGET_DIR", base)
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        .env("PROPTEST_RNG_SEED", "42");
    for file in &args.file {
        command.args(["--re", file]);
    }
    if let Some(shard) = &args.shard {
        command.args(["--shard", shard, "--sharding", "round-robin"]);
    }
    std::fs::create_dir_all(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let status = command
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| cannot_run(&command, &error))?;
    // 2: some were missed; 3: some ran too long, which is noticed.
    match status.code() {
        Some(0 | 2 | 3) => Ok(()),
        _ => Err(format!(
            "cargo-mutants failed ({status}); is it there (cargo install cargo-mutants)? Again: {}",
            line(&command)
        )),
    }
}

/// By file, and what nobody noticed. What did not build is no mutant.
fn judged(outcomes: &Value) -> (BTreeMap<String, Score>, Vec<String>) {
    let (mut scores, mut survivors) = (BTreeMap::<String, Score>::new(), Vec::new());
    let outcomes = outcomes["outcomes"].as_array().into_iter().flatten();
    for outcome in outcomes {
        let mutant = &outcome["scenario"]["Mutant"];
        let Some(file) = mutant["file"].as_str() else {
            continue;
        };
        let score = scores.entry(file.to_owned()).or_default();
        match outcome["summary"].as_str() {
            Some("CaughtMutant" | "Timeout") => score.killed += 1,
            Some("MissedMutant") => {
                score.missed += 1;
                survivors.push(mutant["name"].as_str().unwrap_or(file).to_owned());
            }
            _ => {}
        }
    }
    (scores, survivors)
}
