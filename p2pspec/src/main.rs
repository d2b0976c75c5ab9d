//! `p2pspec ADDR…`: runs the cases against a node and tells what came of them.

use std::{
    fs,
    io::{IsTerminal, Write, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use p2pspec::{
    case::{Case, Level, Outcome},
    cases,
    listener::Listener,
    report::{json, junit, text},
    run::{Done, Options, Report, run},
    select::Selection,
    target::{Place, Target},
};

/// Does a libp2p node speak as the specifications say? Dials it and runs numbered cases, each with the sentence it stands on.
#[derive(Parser)]
#[command(name = "p2pspec", version, after_help = EXAMPLES)]
struct Cli {
    /// The node's addresses, with its peer id: /ip4/…/tcp/…[/ws]/p2p/… or /ip4/…/udp/…/quic-v1/p2p/…. Cases run on the first
    /// that offers what they need.
    #[arg(value_name = "ADDR", required_unless_present_any = ["list", "listener"])]
    addresses: Vec<String>,
    /// Start the node by this command of the shell, which prints its addresses; and start it anew, and say so, whenever a case
    /// has ended it. May be repeated.
    #[arg(long, value_name = "COMMAND")]
    listener: Vec<String>,
    /// Run only these: ids, with * for anything, or what ids begin with. May be repeated.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    only: Vec<String>,
    /// Run cases that are at least this binding.
    #[arg(long, default_value = "all")]
    level: Wanted,
    /// Seconds for one case.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    timeout: f64,
    /// Seconds for the whole run: cases that have not begun by then are not asked, and the exit code is 1.
    #[arg(long, value_name = "SECONDS")]
    within: Option<f64>,
    /// Milliseconds between two connections; without it, 250, and none on loopback.
    #[arg(long, value_name = "MILLISECONDS")]
    pace: Option<u64>,
    /// Cases at a time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Exit 1 for any failure, not only those of MUST.
    #[arg(long)]
    strict: bool,
    /// Print the cases, with their rules, and run nothing.
    #[arg(long)]
    list: bool,
    /// Print the results as one JSON object.
    #[arg(long)]
    json: bool,
    /// Also write the results as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  p2pspec /ip4/127.0.0.1/tcp/4001/p2p/12D3Koo…              all cases that TCP is enough for
  p2pspec /ip4/…/tcp/4001/p2p/12D3Koo… /ip4/…/udp/4001/quic-v1/p2p/12D3Koo…
                                                            the same and QUIC's
  p2pspec --only yamux --level must ADDR                    what yamux must do
  p2pspec --only 'noise/*signature*' ADDR                   by id
  p2pspec --listener 'node listen.mjs /ip4/127.0.0.1/tcp/0'  starts it, and again when a case has ended it
  p2pspec --list --only ping                                what the cases are, and what they stand on

Exit code: 0 when no case of level MUST failed and the node still answers, 1 otherwise, 2 when it could not be reached\nor no case was asked for that exists.";

#[derive(Clone, Copy, ValueEnum)]
enum Wanted {
    /// What the specifications demand
    Must,
    /// and what they recommend
    Should,
    /// and what implementations agree on
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let selection = Selection {
        only: cli.only.clone(),
        level: match cli.level {
            Wanted::Must => Level::Must,
            Wanted::Should => Level::Should,
            Wanted::All => Level::Practice,
        },
    };
    let cases: Vec<_> = cases::all().filter(|case| selection.wants(case)).collect();
    if let Some(unknown) = selection.unknown() {
        eprintln!("p2pspec: no case is called {unknown}; --list names all");
        return ExitCode::from(2);
    }
    if cases.is_empty() {
        eprintln!("p2pspec: there is no such case; --list names all");
        return ExitCode::from(2);
    }
    if cli.list {
        cases
            .iter()
            .for_each(|case| say(text::describe(case).trim_end()));
        say(&format!("{} cases", cases.len()));
        return ExitCode::SUCCESS;
    }
    match test(&cli, &cases).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("p2pspec: {why}");
            ExitCode::from(2)
        }
    }
}

async fn test(cli: &Cli, cases: &[&'static Case]) -> Result<bool, String> {
    let mut places = Vec::new();
    for address in &cli.addresses {
        places.push(Place::parse(address).await?);
    }
    for command in &cli.listener {
        places.extend(Listener::start(command).await?.1);
    }
    let loopback = places.iter().all(|place| place.socket.ip().is_loopback());
    let options = Options {
        timeout: seconds("--timeout", cli.timeout)?,
        within: cli
            .within
            .map(|within| seconds("--within", within))
            .transpose()?,
        pace: Duration::from_millis(cli.pace.unwrap_or(if loopback { 0 } else { 250 })),
        jobs: cli.jobs,
        retries: 2,
        again: true,
    };
    let (target, agent) = Target { places }.probe(&options).await?;
    for place in &target.places {
        eprintln!("p2pspec: {}: {}", place.text, place.offers);
    }
    let bar = progress(cases.len());
    let report = run(&target, cases, &options, |done| tell(cli, &bar, done)).await;
    bar.finish_and_clear();
    if let Some(path) = &cli.junit {
        let written = fs::write(path, junit::document(&report));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if cli.json {
        say(&format!("{:#}", json::report(&report, agent.as_deref())));
    } else {
        say(&text::summary(&report));
    }
    Ok(passed(&report, cli.strict))
}

/// A line of the result. Who reads it may have gone; the exit code says how it went all the same.
fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

fn seconds(option: &str, number: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number).map_err(|error| format!("{option}: {error}"))
}

fn passed(report: &Report, strict: bool) -> bool {
    let counts = |case: &Case| strict || case.rule.level == Level::Must;
    report.count("fail", counts) == 0 && report.is_alive() && report.unasked == 0
}

fn progress(count: usize) -> ProgressBar {
    let bar = if stderr().is_terminal() {
        ProgressBar::new(count as u64)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn tell(cli: &Cli, bar: &ProgressBar, done: &Done) {
    bar.inc(1);
    bar.set_message(done.case.id);
    let line = text::line(done);
    if matches!(done.outcome, Outcome::Fail(_)) || !cli.json && !stderr().is_terminal() {
        bar.suspend(|| {
            if cli.json {
                eprintln!("{line}");
            } else {
                say(&line);
            }
        });
    }
}
