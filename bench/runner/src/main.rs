//! Runs the stacks in turn (A B C A B C …), a fresh server and a fresh client process for every measurement,
//! and prints one table; on demand also every measurement as JSON, and a picture. Machines drift, so only figures of
//! one run may be compared, and the ratio to rust-libp2p is taken round by round.

mod measure;
mod plan;
mod plot;
mod table;

use std::{
    fs::File,
    io::{IsTerminal, Write, stderr},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use measure::Sample;
use plan::{Row, Stack};

/// Compare Carrick with other stacks and with the physical limit
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Options {
    /// Measurements of each stack per row; 5, or 3 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Rows to run, separated by commas: a name, the start of one, such as `quic`, or `all`
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Stacks to run, separated by commas
    #[arg(long, value_delimiter = ',')]
    stacks: Vec<String>,
    /// Fewer, smaller and shorter, for a first look in a minute: no figure to quote
    #[arg(long)]
    quick: bool,
    /// Also count system calls, in a run of its own that is not timed, where bytes are moved; needs Linux's perf
    #[arg(long)]
    calls: bool,
    /// Also write every single measurement to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw the medians into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Behind the list of options.
const EXAMPLES: &str = "Examples:
  cargo xtask bench -- --quick
  cargo xtask bench -- --json bench.jsonl --plot bench.svg
  cargo xtask bench -- --rows up-1,tls --stacks carrick,limit,raw-tls --rounds 9 --calls";

impl Options {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }
}

type Work = Vec<(&'static Row, Vec<&'static Stack>)>;

fn main() -> Result<()> {
    let options = Options::parse();
    let program = std::env::current_exe()?;
    let bin = program.parent().context("this program has no folder")?;
    let work = work(&options, bin)?;
    if options.calls {
        measure::check_calls()?;
    }
    println!("{}", table::heading(&options));
    let started = Instant::now();
    let samples = run(&options, bin, &work)?;
    let (count, seconds) = (samples.len(), started.elapsed().as_secs());
    println!(
        "\n{count} measurements in {}:{:02}",
        seconds / 60,
        seconds % 60
    );
    let worked = samples.iter().any(|sample| sample.result.is_ok());
    ensure!(worked, "no measurement worked");
    if let Some(file) = &options.plot {
        let rows: Vec<&Row> = work.iter().map(|(row, _)| *row).collect();
        std::fs::write(file, plot::svg(&rows, &samples)).context("writing the plot")?;
    }
    Ok(())
}

/// What to run of what is built.
fn work(options: &Options, bin: &Path) -> Result<Work> {
    plan::check_stacks(&options.stacks)?;
    let mut skipped = Vec::new();
    let work: Work = plan::rows(&options.rows, options.quick)?
        .into_iter()
        .map(|row| {
            let built = |stack: &&Stack| bin.join(row.binary(stack)).is_file();
            let stacks = plan::stacks(row, &options.stacks);
            let (stacks, missing): (Vec<_>, Vec<_>) = stacks.into_iter().partition(built);
            skipped.extend(missing);
            (row, stacks)
        })
        .filter(|(_, stacks)| !stacks.is_empty())
        .collect();
    skipped.sort_by_key(|stack| stack.name);
    skipped.dedup_by_key(|stack| stack.name);
    for stack in skipped {
        println!("skipped: {}, {}", stack.title, stack.missing());
    }
    ensure!(
        !work.is_empty(),
        "there is nothing to run in {}",
        bin.display()
    );
    Ok(work)
}

fn run(options: &Options, bin: &Path, work: &Work) -> Result<Vec<Sample>> {
    let mut json = options
        .json
        .as_ref()
        .map(File::create)
        .transpose()
        .context("creating the JSON file")?;
    let rounds = options.rounds();
    let turns = |row: &Row| rounds + u32::from(counts_calls(options, row));
    let measurements = work
        .iter()
        .map(|(row, stacks)| stacks.len() * turns(row) as usize);
    let mut progress = Progress::new(measurements.sum());
    let mut samples = Vec::new();
    for (row, stacks) in work {
        let first = samples.len();
        for round in 0..turns(row) {
            for stack in stacks {
                progress.show(row, stack, round);
                let sample = if round < rounds {
                    measure::measure(bin, row, stack, round, options.quick)
                } else {
                    measure::count_calls(bin, row, stack, round, options.quick)
                };
                if let Some(file) = &mut json {
                    writeln!(file, "{}", sample.json())?;
                }
                samples.push(sample);
            }
        }
        progress.clear();
        print!("{}", table::block(row, stacks, &samples[first..]));
    }
    Ok(samples)
}

fn counts_calls(options: &Options, row: &Row) -> bool {
    options.calls && row.path.is_none() && row.figure.key == "mb_s"
}

/// One line on stderr that is written over and over, when somebody watches.
struct Progress {
    watched: bool,
    started: Instant,
    done: usize,
    total: usize,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self {
            watched: stderr().is_terminal(),
            started: Instant::now(),
            done: 0,
            total,
        }
    }

    fn show(&mut self, row: &Row, stack: &Stack, round: u32) {
        if self.watched {
            let left = self.started.elapsed().as_secs_f64() / self.done.max(1) as f64
                * (self.total - self.done) as f64;
            let left = if self.done == 0 {
                String::new()
            } else {
                format!(", {:.0} s left", left)
            };
            let (done, total) = (self.done + 1, self.total);
            eprint!(
                "\r\x1b[K[{done}/{total}] {}: {}, round {}{left}",
                row.title,
                stack.name,
                round + 1
            );
        }
        self.done += 1;
    }

    fn clear(&self) {
        if self.watched {
            eprint!("\r\x1b[K");
        }
    }
}
