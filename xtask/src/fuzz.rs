//! `cargo xtask fuzz`: every fuzz target for some seconds, on the toolchain that builds the rest. What it found is an error
//! with the input's path and the command that shows it again; new inputs of use are kept under `target/fuzz/corpus`.

mod build;
mod ledger;
mod log;
mod report;

use crate::steps::line;
use build::{Fuzzer, Known};
use ledger::Ledger;
use log::Run;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// The inputs that are committed, a directory per target.
const CORPUS: &str = "fuzz/corpus";
/// The inputs that are not: a directory per target, their logs, and what failed.
const FOUND: &str = "target/fuzz/corpus";
const LOGS: &str = "target/fuzz/logs";
const ARTIFACTS: &str = "target/fuzz/artifacts";

/// Run the fuzz targets.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only these targets; `--list` names them.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    target: Vec<String>,
    /// Only targets of this kind: decoder, machine or differential.
    #[arg(long, conflicts_with = "target")]
    kind: Option<String>,
    /// How many targets run at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// JSON objects for the scorecard instead of the table.
    #[arg(long)]
    json: bool,
    /// Name the targets, and their kinds.
    #[arg(long)]
    list: bool,
    /// Only run one target on this file, as to see a failure again.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Afterwards commit-worthy inputs, which reach code that the committed ones do not, join them.
    #[arg(long)]
    keep: bool,
    /// Afterwards add the executions to `fuzz/executions.tsv`.
    #[arg(long)]
    record: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let fuzzer = Fuzzer::build()?;
    let known = chosen(fuzzer.list()?, args)?;
    if args.list {
        for target in &known {
            println!("{:<12} {}", target.kind, target.name);
        }
        return Ok(());
    }
    if let (Some(input), [target, ..]) = (&args.input, &known[..]) {
        return show(&fuzzer, target, input);
    }
    for (at, name) in [FOUND, CORPUS]
        .iter()
        .flat_map(|at| known.iter().map(move |known| (at, &known.name)))
    {
        create(&Path::new(at).join(name))?;
    }
    create(Path::new(LOGS))?;
    create(Path::new(ARTIFACTS))?;
    let runs = run_all(&fuzzer, &known, args)?;
    let mut ledger = Ledger::read()?;
    ledger.add(&runs);
    if args.record {
        ledger.write()?;
    }
    if args.keep {
        for target in &known {
            keep(&fuzzer, target)?;
        }
    }
    if args.json {
        print!("{}", report::json(&runs, &ledger));
    } else {
        print!("{}", report::table(&runs, &ledger));
    }
    report::verdict(&runs)
}

/// The targets that the arguments leave. A name that does not exist is an error: fuzzing nothing would look like success.
fn chosen(mut known: Vec<Known>, args: &Args) -> Result<Vec<Known>, String> {
    for name in &args.target {
        if !known.iter().any(|target| target.name == *name) {
            return Err(format!("there is no target `{name}`; --list names them"));
        }
    }
    known.retain(|target| {
        let of_kind = args.kind.as_ref().is_none_or(|kind| *kind == target.kind);
        of_kind && (args.target.is_empty() || args.target.contains(&target.name))
    });
    if known.is_empty() {
        return Err("there is no target of this kind; --list names them".to_owned());
    }
    Ok(known)
}

fn run_all(fuzzer: &Fuzzer, known: &[Known], args: &Args) -> Result<Vec<Run>, String> {
    let (next, runs) = (Mutex::new(known.iter()), Mutex::new(Vec::new()));
    let worker = || -> Result<(), String> {
        loop {
            let target = next.lock().map_err(|_| "a worker failed")?.next();
            let Some(target) = target else { return Ok(()) };
            let run = run_one(fuzzer, target, args.seconds)?;
            eprintln!("xtask: fuzz {}", run.line());
            runs.lock().map_err(|_| "a worker failed")?.push(run);
        }
    };
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..args.jobs.max(1) {
            workers.push(scope.spawn(worker));
        }
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| "a worker failed")?)
    })?;
    let mut runs = runs.into_inner().map_err(|_| "a worker failed")?;
    runs.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    Ok(runs)
}

fn run_one(fuzzer: &Fuzzer, target: &Known, seconds: u64) -> Result<Run, String> {
    let path = Path::new(LOGS).join(format!("{}.log", target.name));
    let log = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut command = fuzzer.command(&target.name);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(artifacts(target))
        .args(LIMITS)
        .arg(Path::new(FOUND).join(&target.name))
        .arg(Path::new(CORPUS).join(&target.name))
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log);
    let ok = succeeds(&mut command)?;
    let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Run::new(target, ok, &String::from_utf8_lossy(&text), &path))
}

/// Runs a target on one input, for everybody to see.
fn show(fuzzer: &Fuzzer, target: &Known, input: &Path) -> Result<(), String> {
    let mut command = fuzzer.command(&target.name);
    if succeeds(command.env("RUST_BACKTRACE", "1").arg(input))? {
        return Ok(());
    }
    Err(format!("{} fails on {}", target.name, input.display()))
}

/// Adds to the committed inputs the fewest of the new ones that reach all the code that these reach.
fn keep(fuzzer: &Fuzzer, target: &Known) -> Result<(), String> {
    let path = Path::new(LOGS).join(format!("{}.merge.log", target.name));
    let log = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut command = fuzzer.command(&target.name);
    command
        .args(["-set_cover_merge=1", "-use_counters=0", "-max_len=2048"])
        .arg(artifacts(target))
        .arg(Path::new(CORPUS).join(&target.name))
        .arg(Path::new(FOUND).join(&target.name))
        .stderr(log);
    if succeeds(&mut command)? {
        return Ok(());
    }
    Err(format!(
        "see {}: `{}` failed",
        path.display(),
        line(&command)
    ))
}

/// Where an input goes that fails.
fn artifacts(target: &Known) -> String {
    format!("-artifact_prefix={ARTIFACTS}/{}-", target.name)
}

fn succeeds(command: &mut Command) -> Result<bool, String> {
    let status = command.status();
    let status = status.map_err(|error| format!("cannot run `{}`: {error}", line(command)))?;
    Ok(status.success())
}

fn create(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Seconds for one input, and megabytes for all that the process holds; the program itself has closer limits per input.
const LIMITS: [&str; 4] = [
    "-timeout=10",
    "-rss_limit_mb=512",
    "-max_len=4096",
    "-print_final_stats=1",
];

#[cfg(test)]
mod tests;
