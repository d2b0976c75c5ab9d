//! Kills victims at every step, or freezes them, and judges what the survivor has left of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::{
    closing::close_beside,
    deed::{self, IDLE},
    round::{End, Fate, Stage},
    table::{self, Road, Side},
};

/// How much is to be done.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Victims at each step, on each side and road.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// So many of them at the same time.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    together: u32,
    /// Freeze instead of killing.
    #[arg(long)]
    freeze: bool,
    /// Freeze, and close the survivor meanwhile; one victim at each step.
    #[arg(long)]
    close: bool,
    /// Only this side.
    #[arg(long)]
    side: Option<Side>,
    /// Only this road.
    #[arg(long)]
    road: Option<Road>,
    /// Only steps whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// One JSON object for each result on stdout.
    #[arg(long)]
    json: bool,
}

/// What all of them have shown.
#[derive(Debug, Default)]
struct Outcome {
    victims: u32,
    steps: usize,
    recovered: Vec<Duration>,
    rejoined: Vec<Duration>,
    closed: Vec<Duration>,
    failures: Vec<String>,
}

pub(crate) async fn run(args: &Args) -> Result<(), String> {
    let mut outcome = Outcome::default();
    for side in [Side::Dialer, Side::Listener] {
        for road in [Road::Tcp, Road::Quic] {
            if args.side.is_none_or(|only| only == side)
                && args.road.is_none_or(|only| only == road)
            {
                on(args, side, road, &mut outcome).await?;
            }
        }
    }
    if outcome.steps == 0 {
        return Err(format!("no step has {:?} in its name", args.only));
    }
    outcome.tell(args)
}

async fn on(args: &Args, side: Side, road: Road, outcome: &mut Outcome) -> Result<(), String> {
    let folder = format!("carrick-kills-{}-{side:?}-{road:?}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(folder));
    if args.close {
        close(args, side, road, &folder.0, outcome).await;
        return Ok(());
    }
    let homes = (0..args.together.min(args.kills)).map(|home| folder.0.join(home.to_string()));
    let stage = Stage::set(homes.collect(), side, road, deed::config()).await?;
    for (step, passages) in table::steps(side, road) {
        if !format!("{step:?}").contains(&args.only) {
            continue;
        }
        let before = outcome.victims;
        for batch in 0..args.kills.div_ceil(args.together) {
            let fate = Fate {
                step,
                passage: 1 + batch % passages,
                freeze: args.freeze,
            };
            if let Err(why) = one(&stage, fate, outcome).await {
                outcome
                    .failures
                    .push(format!("{side:?} {road:?} {fate:?}: {why}"));
            }
        }
        eprintln!(
            "{side:?} {road:?} {step:?}: {} victims",
            outcome.victims - before
        );
        outcome.steps += 1;
    }
    drop(stage);
    Ok(())
}

/// What the victims keep; gone when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One victim at each step, each beside a survivor of its own, which is closed.
async fn close(args: &Args, side: Side, road: Road, folder: &Path, outcome: &mut Outcome) {
    for (step, _) in table::steps(side, road) {
        if !format!("{step:?}").contains(&args.only) {
            continue;
        }
        let fate = Fate {
            step,
            passage: 1,
            freeze: true,
        };
        match close_beside(&folder.join(format!("{step:?}")), side, road, fate).await {
            Ok(took) => outcome.closed.extend(took),
            Err(why) => outcome
                .failures
                .push(format!("{side:?} {road:?} {step:?}: {why}")),
        }
        eprintln!(
            "{side:?} {road:?} {step:?}: closed in {:?}",
            outcome.closed.last()
        );
        outcome.victims += 1;
        outcome.steps += 1;
    }
}

/// Some victims, what they leave behind, and their return.
async fn one(stage: &Stage, fate: Fate, outcome: &mut Outcome) -> Result<(), String> {
    let (mut victims, mut frozen) = (0, Vec::new());
    for life in stage.all(Some(fate)).await {
        match life?.0 {
            // It may take more or less flights and pieces to do the same, but never none.
            End::Orderly if fate.passage == 1 => return Err("the step was not passed".to_owned()),
            End::Orderly => continue,
            End::Killed => {}
            End::Frozen(child) => frozen.push(child),
        }
        victims += 1;
    }
    if victims == 0 {
        return Ok(());
    }
    outcome.victims += victims;
    outcome.recovered.push(stage.survivor.recover().await?);
    for mut child in frozen {
        child.kill().await.map_err(deed::text)?;
    }
    for life in stage.all(None).await {
        let (End::Orderly, Some(done)) = life? else {
            return Err("one did not come back".to_owned());
        };
        outcome.rejoined.push(done);
    }
    stage.survivor.recover().await?;
    Ok(())
}

impl Outcome {
    fn tell(&self, args: &Args) -> Result<(), String> {
        let bound = (IDLE + Duration::from_secs(1)).as_secs_f64();
        let in_time = if args.close {
            let figure = "closing a node beside a peer frozen at any step and a stream in use";
            self.line(args, 25, figure, &self.closed, 5.0)
        } else {
            let (row, what) = if args.freeze {
                (3, "frozen")
            } else {
                (12, "killed")
            };
            let figure = format!("until nothing is left of a peer {what} at any step");
            let gone = self.line(args, row, &figure, &self.recovered, bound);
            let figure = format!("until a peer {what} at any step is back");
            self.line(args, row, &figure, &self.rejoined, 5.0) && gone
        };
        self.failures
            .iter()
            .for_each(|failure| eprintln!("{failure}"));
        match (self.failures.is_empty(), in_time) {
            (true, true) => return Ok(()),
            (true, false) => return Err("it took longer than it may".to_owned()),
            (false, _) => {}
        }
        Err(format!(
            "{} of {} failed",
            self.failures.len(),
            self.victims
        ))
    }

    /// Prints a figure; whether it holds.
    fn line(&self, args: &Args, row: u32, figure: &str, all: &[Duration], bound: f64) -> bool {
        let worst = all.iter().max().copied().unwrap_or_default().as_secs_f64();
        let least = all.iter().min().copied().unwrap_or_default().as_secs_f64();
        let pass = worst <= bound && self.failures.is_empty() && self.victims > 0;
        let (victims, steps) = (self.victims, self.steps);
        if args.json {
            let detail = format!(
                "{victims} victims at {steps} steps of each side and road; keys, stores, permits, tasks and sockets looked at after each: {} failures",
                self.failures.len()
            );
            println!(
                "{}",
                json!({
                    "row": row, "figure": figure, "value": worst, "unit": "s",
                    "target": format!("<= {bound}"), "pass": pass, "stack": "carrick",
                    "runs": all.len(), "min": least, "max": worst, "detail": detail,
                })
            );
        } else {
            println!(
                "{figure}: {worst:.3} s at most (<= {bound}), {victims} victims at {steps} steps"
            );
        }
        pass
    }
}
