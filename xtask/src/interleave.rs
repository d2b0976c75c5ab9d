//! `cargo xtask interleave`: what threads of a node share, in every order (loom) or in many (shuttle). The models are
//! `crates/carrick/src/interleaved.rs`, and they run the real code: `interleave/` builds it with locks that a checker owns.

use crate::programs;
use crate::steps::{Steps, cannot_run, cargo, line};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Try orders in which threads may meet.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Schedules of each model that has too many orders to try them all.
    #[arg(long, default_value_t = 1000)]
    pub(crate) schedules: u64,
    /// Only the models whose test has this in its name.
    #[arg(long, default_value = "interleaved")]
    only: String,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// A model and how many orders of it were tried.
struct Tried {
    name: String,
    orders: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut steps = Steps::default();
    let every = check("loom", args, &mut steps)?;
    let many = check("shuttle", args, &mut steps)?;
    let least = many.iter().map(|tried| tried.orders).min().unwrap_or(0);
    let sum = |all: &[Tried]| all.iter().map(|tried| tried.orders).sum::<u64>();
    if args.json {
        let detail = format!(
            "{} models in every order, {} orders; {} in random ones, {} orders",
            every.len(),
            sum(&every),
            many.len(),
            sum(&many)
        );
        let row = json!({
            "row": 17, "figure": "schedules of each close and drop race, none of which failed", "value": least,
            "unit": "schedules", "target": format!(">= {SCHEDULES_WANTED}"), "pass": least >= SCHEDULES_WANTED,
            "stack": "carrick", "detail": detail,
        });
        println!("{row}");
        return Ok(());
    }
    for (kind, all) in [("every order", every), ("many orders", many)] {
        for tried in all {
            println!("{kind}  {:>9}  {}", tried.orders, tried.name);
        }
    }
    print!("{}", steps.summary());
    Ok(())
}

/// Runs the models of one checker; a lost wake-up or a broken promise is its failure.
fn check(checker: &str, args: &Args, steps: &mut Steps) -> Result<Vec<Tried>, String> {
    let mut command = cargo(&["test", "--manifest-path", "interleave/Cargo.toml", "--lib"]);
    command
        .arg("--target-dir")
        .arg(programs::target().join("interleave"))
        .args(["--features", checker])
        .args([&args.only, "--", "--nocapture", "--test-threads", "1"])
        .env("CARRICK_SCHEDULES", args.schedules.to_string())
        .env("SHUTTLE_SILENCE_WARNINGS", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut tried = Vec::new();
    steps.time(&format!("models under {checker}"), || {
        let mut child = command
            .spawn()
            .map_err(|error| cannot_run(&command, &error))?;
        let said = child.stderr.take().ok_or("it has no stderr")?;
        for said in BufReader::new(said).lines() {
            let said =
                said.map_err(|error| format!("cannot read what `{checker}` says: {error}"))?;
            match figure(&said, checker) {
                Some(figure) => {
                    eprintln!("xtask: {}: {} orders", figure.name, figure.orders);
                    tried.push(figure);
                }
                None => eprintln!("{said}"),
            }
        }
        let status = child.wait().map_err(|error| cannot_run(&command, &error))?;
        if !status.success() {
            return Err(format!(
                "{checker} found an order that fails, or did not get to its end. Again: {}",
                line(&command)
            ));
        }
        Ok(())
    })?;
    if tried.is_empty() {
        return Err(format!(
            "{checker} ran no model that has {:?} in its name",
            args.only
        ));
    }
    Ok(tried)
}

/// `interleaved loom NAME ORDERS`
fn figure(said: &str, checker: &str) -> Option<Tried> {
    let figure = said.strip_prefix("interleaved ")?.strip_prefix(checker)?;
    let (name, orders) = figure.trim().rsplit_once(' ')?;
    let (name, orders) = (name.to_owned(), orders.parse().ok()?);
    Some(Tried { name, orders })
}

/// Schedules of each model in a full run.
const SCHEDULES_WANTED: u64 = 1_000_000;
