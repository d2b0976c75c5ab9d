//! `cargo xtask faults`: real programs, Carrick's and those of the other stacks, in network namespaces with a bad road between
//! them (`impair/`): rows 10, 11, 13 and 24 of the scorecard. Most of the time is waiting, so several scenes play at once, each
//! on a ground of its own.

mod goodput;
pub(crate) mod ground;
mod report;
mod scene;
mod scenes;
mod stacks;

use crate::interop::cell::{Outcome, Verdict};
use crate::interop::peers::{self, Language, Missing, Peer};
use crate::programs;
use crate::steps::{Steps, cargo, quiet};
use clap::ValueEnum;
use ground::Ground;
use report::Line;
use stacks::Meeting;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer and shorter scenes, and Carrick alone: a minute.
    #[arg(long)]
    quick: bool,
    /// One JSON object per figure on stdout: of the scenes, how many hold.
    #[arg(long)]
    json: bool,
    /// Only these rows: 10, 11, 13, 24.
    #[arg(long, value_delimiter = ',', value_name = "ROWS")]
    rows: Vec<u64>,
    /// Only what has one of these words in its name, such as `quic-v1` or `rebind`.
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    only: Vec<String>,
    /// Scenes at once.
    #[arg(long, default_value_t = 12, value_name = "N")]
    at_once: usize,
    /// The programs as they are, unoptimized ones too, and without those that are not there: nothing is built.
    #[arg(long)]
    as_built: bool,
}

/// What runs.
struct Programs {
    impair: PathBuf,
    carrick: Peer,
    foreign: Vec<Peer>,
}

/// Builds, plays and reports; an error when something did not hold.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    Ground::possible()?;
    let programs = programs(args)?;
    let wanted = |row: u64, name: &str| {
        (args.rows.is_empty() || args.rows.contains(&row))
            && (args.only.is_empty() || args.only.iter().any(|word| name.contains(word.as_str())))
    };
    let start = Instant::now();
    let mut lines = play_scenes(args, &programs, &wanted);
    lines.extend(meet(args, &programs, &wanted));
    lines.extend(race(args, &programs, &wanted));
    for line in &lines {
        match args.json {
            true if line.is_figure() => println!("{}", line.json()),
            true => {}
            false => println!("{}", line.text()),
        }
    }
    eprintln!("xtask: {:.0} s", start.elapsed().as_secs_f64());
    let failed = lines.iter().filter(|line| line.pass == Some(false)).count();
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} figures do not hold", lines.len())),
    }
}

fn programs(args: &Args) -> Result<Programs, String> {
    let mut steps = Steps::default();
    let release = programs::release();
    if args.as_built {
        let folders = [release, programs::target().join("debug")];
        let built = |name: &str| {
            folders
                .iter()
                .map(|folder| folder.join(name))
                .find(|path| path.exists())
        };
        let need = |name: &str| built(name).ok_or_else(|| format!("{name} is not built"));
        let foreign = Language::value_variants()
            .iter()
            .filter_map(|language| peers::built(*language));
        return Ok(Programs {
            impair: need("carrick-impair")?,
            carrick: Peer::new("carrick", &[&need("interop-carrick")?.to_string_lossy()]),
            foreign: foreign.collect(),
        });
    }
    let build = ["build", "--release", "--package", "carrick-impair"];
    steps.run("build impair/", quiet(&mut cargo(&build)))?;
    let carrick = peers::carrick(&mut steps)?;
    let mut foreign = vec![];
    for language in Language::value_variants().iter().filter(|_| !args.quick) {
        match peers::install(*language, &mut steps) {
            Ok(peer) => foreign.push(peer),
            Err(Missing::Tool(tool)) => {
                eprintln!("xtask: this machine has no `{tool}`; a stack is left out")
            }
            Err(Missing::Failed(why)) => return Err(why),
        }
    }
    Ok(Programs {
        impair: release.join("carrick-impair"),
        carrick,
        foreign,
    })
}

/// Rows 10, 11 and 13.
fn play_scenes(args: &Args, programs: &Programs, wanted: &dyn Fn(u64, &str) -> bool) -> Vec<Line> {
    let mut scenes = scenes::scenes(args.quick);
    scenes.retain(|scene| wanted(scene.row, &format!("{} {}", scene.transport, scene.name)));
    let outcomes = at_once(args.at_once, &scenes, |scene| {
        let outcome = scene.play(programs);
        let mark = if outcome.wrong.is_empty() {
            '✔'
        } else {
            '✘'
        };
        let (transport, name, wrong) = (scene.transport, &scene.name, outcome.wrong.join("; "));
        eprintln!(
            "xtask: {mark} row {} {transport}: {name}: {wrong} ({})",
            scene.row, outcome.detail
        );
        outcome
    });
    let mut lines = vec![];
    for (scene, outcome) in scenes.iter().zip(&outcomes) {
        let (value, unit, target) = match scene.row {
            10 => (
                100.0 * outcome.done,
                "% answered",
                "the rest are errors within 30 s",
            ),
            _ => (outcome.gap, "s silent", "no request hangs, no byte differs"),
        };
        let mut detail = outcome.wrong.clone();
        detail.push(outcome.detail.clone());
        lines.push(Line {
            row: scene.row,
            stack: "carrick".to_owned(),
            figure: format!("{}: {}", scene.transport, scene.name),
            value,
            unit,
            target: target.to_owned(),
            pass: Some(outcome.wrong.is_empty()),
            spread: None,
            detail: detail.join("; "),
        });
    }
    let sums = [
        (10, "cells of loss, round trip and transport", "100 %"),
        (11, "faults survived or told within 30 s", "100 %"),
        (13, "stops after which 95 % are back within 10 s", "100 %"),
    ];
    for (row, figure, target) in sums {
        let of_row: Vec<_> = lines.iter().filter(|line| line.row == row).collect();
        if !of_row.is_empty() {
            let sum = report::sum(row, figure, target, &of_row);
            lines.push(sum);
        }
    }
    lines
}

/// Row 24.
fn meet(args: &Args, programs: &Programs, wanted: &dyn Fn(u64, &str) -> bool) -> Vec<Line> {
    if args.quick {
        return vec![];
    }
    let mut meetings = stacks::meetings(programs);
    meetings.retain(|meeting| wanted(24, &meeting.name()));
    let outcomes = at_once(args.at_once, &meetings, |meeting| {
        let outcome = meeting.hold(programs);
        match &outcome {
            Ok((outcome, _)) => eprintln!("xtask: {}: {}", meeting.name(), outcome.summary()),
            Err(why) => eprintln!("xtask: ✘ {}: {why}", meeting.name()),
        }
        outcome
    });
    let met = meetings.iter().zip(outcomes);
    let mut lines: Vec<_> = met
        .filter_map(|(meeting, outcome)| met_line(meeting, outcome))
        .collect();
    if !lines.is_empty() {
        let all: Vec<_> = lines.iter().collect();
        let sum = report::sum(24, "meetings at 5 % loss and 300 ms", "100 %", &all);
        lines.push(sum);
    }
    lines
}

/// Nothing where the two share no such protocols.
fn met_line(meeting: &Meeting, outcome: Result<(Outcome, Vec<String>), String>) -> Option<Line> {
    let (passed, of, words, fails) = match outcome {
        Ok((outcome, _)) if outcome.not_offered().is_some() => return None,
        Ok((outcome, twice)) => {
            let mut words = vec![];
            for (check, verdict) in &outcome.verdicts {
                match verdict {
                    Verdict::Failed(why) => words.push(format!("{check} FAILED: {why}")),
                    Verdict::Skipped(why) => words.push(format!("{check} skipped: {why}")),
                    Verdict::Passed(_) => {}
                }
            }
            let is = |wanted: fn(&Verdict) -> bool| {
                outcome
                    .verdicts
                    .iter()
                    .filter(|(_, verdict)| wanted(verdict))
                    .count()
            };
            words.extend(twice);
            let fails = is(|verdict| matches!(verdict, Verdict::Failed(_))) > 0;
            let passed = is(|verdict| matches!(verdict, Verdict::Passed(_)));
            (passed, outcome.verdicts.len(), words, fails)
        }
        Err(why) => (0, 1, vec![why], true),
    };
    Some(Line {
        row: 24,
        stack: "carrick".to_owned(),
        figure: meeting.name(),
        value: 100.0 * passed as f64 / of as f64,
        unit: "% of checks",
        target: "none fails".to_owned(),
        pass: Some(!fails),
        spread: None,
        detail: format!("{passed} of {of} {}", words.join("; ")),
    })
}

/// The goodput of row 10.
fn race(args: &Args, programs: &Programs, wanted: &dyn Fn(u64, &str) -> bool) -> Vec<Line> {
    if args.quick {
        return vec![];
    }
    let rivals = programs
        .foreign
        .iter()
        .filter(|peer| matches!(peer.name, "go" | "rust"));
    let peers: Vec<_> = [&programs.carrick].into_iter().chain(rivals).collect();
    let mut lines = vec![];
    for course in goodput::COURSES {
        if !wanted(10, &format!("goodput {}", course.name())) {
            continue;
        }
        let mut runs = vec![];
        for seed in 0..RUNS {
            runs.extend(peers.iter().map(|peer| (*peer, seed)));
        }
        let speeds = at_once(args.at_once, &runs, |(peer, seed)| {
            let run = course.run(programs, peer, *seed);
            // Who does not arrive is as slow as can be.
            run.unwrap_or_else(|why| {
                eprintln!("xtask: {}: {}: {why}", course.name(), peer.name);
                0.0
            })
        });
        let of = |peer: &Peer| {
            let of_peer = runs
                .iter()
                .zip(&speeds)
                .filter(|((other, _), _)| *other == peer);
            goodput::spread(of_peer.map(|(_, speed)| *speed).collect())
        };
        let spreads: Vec<_> = peers
            .iter()
            .filter_map(|peer| Some((peer.name, of(peer)?)))
            .collect();
        lines.extend(goodput::lines(&course, RUNS, &spreads));
    }
    for line in &lines {
        eprintln!("xtask: {}", line.text());
    }
    lines
}

/// Does `act` with each, so many at once; the outcomes in their order.
fn at_once<T: Sync, O: Send>(width: usize, all: &[T], act: impl Fn(&T) -> O + Sync) -> Vec<O> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..width.clamp(1, all.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(index) else { break };
                    let outcome = act(one);
                    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.push((index, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Roads of each course.
const RUNS: u64 = 5;
