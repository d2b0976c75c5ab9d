//! Runs the stacks in turn (A B C A B C …), a fresh server and a fresh client process for every measurement,
//! and prints one table. Machines drift, so only figures of one run may be compared, and the ratio to
//! rust-libp2p is taken round by round.

mod measure;
mod plan;
mod table;

use std::{
    fs::File,
    io::{IsTerminal, Write, stderr},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use plan::{Row, STACKS, Stack};

/// Compare Carrick with other stacks and with the physical limit
#[derive(Parser)]
struct Options {
    /// Measurements of each stack per row; 3, or 1 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Rows to run, separated by commas: a name or the start of one, such as `quic`
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Stacks to run, separated by commas
    #[arg(long, value_delimiter = ',')]
    stacks: Vec<String>,
    /// Small and short, for a first look: no figure to quote
    #[arg(long)]
    quick: bool,
    /// Also write every single measurement to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Options {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let program = std::env::current_exe()?;
    let bin = program.parent().context("this program has no folder")?;
    plan::check_stacks(&options.stacks)?;
    let built = |stack: &Stack| bin.join(stack.binary).is_file();
    for stack in STACKS.iter().filter(|stack| !built(stack)) {
        println!("skipped: {}, {}", stack.title, stack.missing);
    }
    let work: Vec<(&Row, Vec<&Stack>)> = plan::rows(&options.rows)?
        .into_iter()
        .map(|row| {
            let mut stacks = plan::stacks(row, &options.stacks);
            stacks.retain(|stack| built(stack));
            (row, stacks)
        })
        .collect();
    let measurements = work.iter().map(|(_, stacks)| stacks.len()).sum::<usize>();
    ensure!(
        measurements > 0,
        "there is nothing to run in {}",
        bin.display()
    );
    let mut json = options
        .json
        .as_ref()
        .map(File::create)
        .transpose()
        .context("creating the JSON file")?;

    println!("{}", table::heading(&options));
    let mut progress = Progress::new(measurements * options.rounds() as usize);
    let mut worked = 0;
    for (row, stacks) in work {
        let mut samples = Vec::new();
        for round in 0..options.rounds() {
            for stack in &stacks {
                progress.show(row, stack, round);
                let sample = measure::measure(bin, row, stack, round, options.quick);
                if let Some(file) = &mut json {
                    writeln!(file, "{}", sample.json())?;
                }
                worked += usize::from(sample.result.is_ok());
                samples.push(sample);
            }
        }
        progress.clear();
        if stacks.is_empty() {
            continue;
        }
        print!("{}", table::block(row, &stacks, &samples));
    }
    ensure!(worked > 0, "no measurement worked");
    Ok(())
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
