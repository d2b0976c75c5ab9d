//! `carrick-sim`: worlds by the thousand, a world again, a world of a thousand peers, a world of a year.

use std::{
    panic,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use carrick_sim::{Book, Config, Faults, Law, Outcome, Tally, Trial};
use clap::{Parser, builder::RangedU64ValueParser};
use indicatif::{ProgressBar, ProgressStyle};

/// Runs deterministic worlds of nodes and looks whether their laws hold. Exits with 1 when one was broken, after its
/// scenario was shrunk and shown.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How many worlds, each of its own seed.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Most hosts of a world; with --days, or above 100, all of them.
    #[arg(long, default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    peers: usize,
    /// Most operations of a world: calls and faults.
    #[arg(long, default_value_t = 60)]
    ops: usize,
    /// One world of so many virtual days instead, with crashes, cuts, suspensions and clocks that jump.
    #[arg(long)]
    days: Option<u64>,
    /// One world of so many virtual seconds instead, without faults.
    #[arg(long)]
    seconds: Option<u64>,
    /// This one seed, with the end of its trace.
    #[arg(long)]
    replay: Option<u64>,
    /// Lines of the trace that --replay shows.
    #[arg(long, default_value_t = 200)]
    lines: usize,
    /// Stop after so many real seconds, however many seeds are left.
    #[arg(long)]
    limit: Option<u64>,
    /// Threads; by default as many as there are cores.
    #[arg(long)]
    threads: Option<usize>,
    /// Laws, and how often each was looked at.
    #[arg(long)]
    laws: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What all worlds came to.
#[derive(Debug, Default)]
struct Sum {
    worlds: u64,
    steps: u64,
    time: Duration,
    tally: Tally,
    book: Book,
    /// Over the hashes of all worlds, whatever their order.
    hash: u64,
    failed: Option<Outcome>,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.worlds += 1;
        self.steps += outcome.steps;
        self.time += outcome.time;
        self.tally.add(&outcome.tally);
        self.hash ^= outcome.trace_hash.rotate_left((outcome.seed % 64) as u32);
        let (sum, book) = (&mut self.book, &outcome.book);
        sum.begun += book.begun;
        sum.done += book.done;
        sum.failed += book.failed;
        sum.given_up += book.given_up;
        sum.bytes += book.bytes;
        let earlier = |failed: &Outcome| failed.seed <= outcome.seed;
        if outcome.failure.is_some() && !self.failed.as_ref().is_some_and(earlier) {
            self.failed = Some(outcome);
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    // A panic is an outcome like any other, and shown as such.
    panic::set_hook(Box::new(|_| {}));
    let begun = clock();
    let mut sum = Sum::default();
    if let Some(seed) = options.replay {
        let outcome = trial(&options, seed).showing(options.lines).run(seed);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        sum.add(outcome);
    } else if options.days.is_some() || options.seconds.is_some() {
        sum.add(trial(&options, options.from).run(options.from));
    } else {
        sum = run_all(&options);
    }
    let failed = sum.failed.take().map(|failed| {
        let seed = failed.seed;
        trial(&options, seed).shrink(failed)
    });
    report(&options, &sum, failed.as_ref(), begun.elapsed());
    match failed {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

/// Operations of a long world. Between them connections become idle and are closed, so most calls dial anew.
const CALLS_PER_HOUR: usize = 30;

/// The world of a seed.
fn trial(options: &Options, seed: u64) -> Trial<'static> {
    let Some(duration) = duration(options) else {
        return Trial::new(Config::draw(seed, options.peers, options.ops));
    };
    let quiet = options.seconds.is_some();
    let hours = duration.as_secs().div_ceil(3600) as usize;
    let config = Config {
        hosts: options.peers,
        operations: if quiet {
            options.peers * duration.as_secs() as usize / 10
        } else {
            CALLS_PER_HOUR * hours
        },
        duration,
        faults: if quiet { Faults::LAN } else { Faults::YEAR },
        kept_peers: if quiet { 3 } else { 0 },
        call_bytes_max: 1 << 14,
        ping_interval: quiet.then_some(Duration::from_secs(15)),
        ..Config::default()
    };
    let audit = if quiet { 10 } else { 600 };
    Trial::new(config).with(move |world| world.set_audit_interval(Duration::from_secs(audit)))
}

fn duration(options: &Options) -> Option<Duration> {
    let days = options.days.map(|days| days * 24 * 3600);
    days.or(options.seconds).map(Duration::from_secs)
}

/// Every seed, on all cores; worlds have nothing to do with each other.
fn run_all(options: &Options) -> Sum {
    let bar = if options.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(options.seeds)
    };
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos}/{len} worlds, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let begun = clock();
    let in_time = || {
        options
            .limit
            .is_none_or(|limit| begun.elapsed() < Duration::from_secs(limit))
    };
    thread::scope(|scope| {
        for _ in 0..options.threads.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                while in_time() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= options.seeds {
                        return;
                    }
                    let seed = options.from + at;
                    let outcome = trial(options, seed).run(seed);
                    let failed = outcome.failure.is_some();
                    sum.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .add(outcome);
                    bar.inc(1);
                    if failed {
                        next.fetch_max(options.seeds, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn report(options: &Options, sum: &Sum, failed: Option<&Outcome>, took: Duration) {
    let ratio = sum.time.as_secs_f64() / took.as_secs_f64();
    let hours = sum.time.as_secs_f64() / 3600.0;
    if options.json {
        let (row, figure, unit, target) = if options.days.is_some() {
            let figure = "virtual days without a broken law or a panic";
            (19, figure, "days", "365 days x 20 nodes")
        } else {
            let figure = "seeds of the deterministic world without a broken law";
            (14, figure, "seeds", ">= 2000, all laws hold")
        };
        let (value, enough) = match options.days {
            Some(days) => (days, days >= 365 && options.peers >= 20),
            None => (sum.worlds - u64::from(failed.is_some()), sum.worlds >= 2000),
        };
        let line = serde_json::json!({
            "row": row, "figure": figure, "value": value, "unit": unit, "target": target,
            "pass": failed.is_none() && enough, "stack": "carrick", "runs": sum.worlds,
            "detail": format!(
                "{hours:.0} virtual hours in {:.0} s, {ratio:.0} times real time; {} checks at {} places; trace {:016x}{}",
                took.as_secs_f64(), sum.tally.evaluations(), sum.tally.sites(), sum.hash,
                failed.map_or_else(String::new, |failed| format!("; seed {} failed", failed.seed)),
            ),
        });
        println!("{line}");
    } else {
        println!("worlds            {}", sum.worlds);
        println!("virtual time      {hours:.1} h");
        println!(
            "real time         {:.1} s, {ratio:.0} times faster than real time",
            took.as_secs_f64()
        );
        println!("steps             {}", sum.steps);
        println!(
            "checks            {} of {} laws at {} places",
            sum.tally.evaluations(),
            Law::ALL.len(),
            sum.tally.sites()
        );
        let book = sum.book;
        println!(
            "calls             {}: {} done, {} failed, {} given up, {} open; {} bytes verified",
            book.begun,
            book.done,
            book.failed,
            book.given_up,
            book.open(),
            book.bytes
        );
        println!("trace             {:016x}", sum.hash);
    }
    if options.laws {
        for law in Law::ALL {
            println!("{:>14} {}", sum.tally.of(*law), law.text());
        }
    }
    if let Some(failed) = failed
        && let Some(failure) = &failed.failure
    {
        eprintln!("seed {} failed: {failure}", failed.seed);
        let long = match (options.days, options.seconds) {
            (Some(days), _) => format!(" --days {days}"),
            (None, Some(seconds)) => format!(" --seconds {seconds}"),
            (None, None) => String::new(),
        };
        let (seed, peers, ops) = (failed.seed, options.peers, options.ops);
        eprintln!(
            "again: cargo run --release -p carrick-sim -- --replay {seed} --peers {peers} --ops {ops}{long}"
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long worlds take in the real one"
)]
fn clock() -> Instant {
    Instant::now()
}
