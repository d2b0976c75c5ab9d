//! `run`: for each attack a fresh victim and fresh honest peers; looks before, during and after it; judges; prints the table.

use std::{
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tokio::time::{sleep, timeout};

use crate::{
    attack::{self, Attack, Outcome},
    cage::Cage,
    clocks::Clocks,
    ground::{FILES_MAX, Ground, Side},
    honest::Honest,
    rule::{self, RECOVERY, Seen},
    sample::{Peak, Sample},
    stack::Stack,
    table::{self, Row},
    victim::{self, Victim},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these, such as C-01,C-02.
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    only: Vec<String>,
    /// Whose nodes are attacked, side by side. Others than Carrick's have their own defaults, and are judged by the same
    /// rule, but only Carrick's verdicts decide how this ends.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "STACK,…",
        default_value = "carrick"
    )]
    stack: Vec<Stack>,
    /// One JSON object a line instead of the table: each attack's, and, with a "row", the scorecard's.
    #[arg(long)]
    json: bool,
    /// The table as Markdown, without the criteria.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Smaller numbers, a minute in all.
    #[arg(long)]
    quick: bool,
    /// Attack a victim without the limit that answers the attack, where it is a matter of configuration. What the attacker
    /// judges must then be red, and red is success.
    #[arg(long)]
    weak: bool,
    /// The program to attack.
    #[arg(long, value_name = "FILE", default_value = "target/release/carrick")]
    carrick: PathBuf,
    /// Where `cargo xtask interop` has built the other stacks' nodes.
    #[arg(long, value_name = "DIR", default_value = "interop/.build")]
    built: PathBuf,
}

/// Runs them, one after another.
pub(crate) async fn run(args: &Args) -> Result<(), String> {
    if let Some(id) = args.only.iter().find(|id| attack::find(id).is_none()) {
        return Err(format!("there is no attack {id}"));
    }
    let carrick = args.carrick.canonicalize();
    let carrick =
        carrick.map_err(|error| format!("{}: {error}; build it first", args.carrick.display()))?;
    let stage = Stage {
        ground: Ground::new()?,
        carrick,
        built: args.built.clone(),
        scratch: Scratch::new()?,
        quick: args.quick,
        weak: args.weak,
    };
    let chosen = attack::ALL.iter().filter(|attack| {
        let named = args
            .only
            .iter()
            .any(|id| id.eq_ignore_ascii_case(attack.id));
        (named || args.only.is_empty()) && (!args.weak || attack.weaken.is_some())
    });
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for attack in chosen {
        for &stack in &args.stack {
            let (id, name, on) = (attack.id, attack.name, stack.name());
            if let (Some(why), true) = (attack.only_carrick, stack != Stack::Carrick) {
                eprintln!("attacks: {id} {name}: not on {on}: {why}");
                continue;
            }
            eprintln!("attacks: {id} {name}: {on}");
            let row = tokio::select! {
                row = stage.play(attack, stack) => row,
                _ = tokio::signal::ctrl_c() => return Err("stopped".to_owned()),
            };
            let holds = row.as_ref().map(Row::holds);
            if stack == Stack::Carrick && holds != Ok(!args.weak) {
                bad.push(id);
            }
            match row {
                Ok(row) => rows.push(row),
                Err(why) => eprintln!("attacks: {id} on {on}: {why}"),
            }
        }
    }
    print!(
        "{}",
        match (args.json, args.markdown) {
            (true, _) => table::json(&rows),
            (_, true) => table::markdown(&rows),
            _ => table::text(&rows),
        }
    );
    match (bad.is_empty(), args.weak) {
        (true, _) => Ok(()),
        (false, false) => Err(format!("not borne: {}", bad.join(", "))),
        (false, true) => Err(format!("borne even without the limit: {}", bad.join(", "))),
    }
}

struct Stage {
    ground: Ground,
    carrick: PathBuf,
    built: PathBuf,
    scratch: Scratch,
    quick: bool,
    weak: bool,
}

/// A directory for what attacks need of a disk; gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let folder = format!("carrick-attacks-{}", std::process::id());
        let scratch = Self(std::env::temp_dir().join(folder));
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.mode(0o700).create(&scratch.0);
        made.map_err(|error| format!("{}: {error}", scratch.0.display()))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    async fn play(&self, attack: &'static Attack, stack: Stack) -> Result<Row, String> {
        let since = Instant::now();
        let clocks = attack.clocks.then(Clocks::new).transpose()?;
        let cage = attack.memory_mib.map(Cage::new).transpose();
        let cage = cage.unwrap_or_else(|why| {
            eprintln!(
                "attacks: {}: {why}; the victim may take what there is",
                attack.id
            );
            None
        });
        let mut wrap = cage.as_ref().map(Cage::wrap).unwrap_or_default();
        wrap.extend(clocks.as_ref().map(Clocks::wrap).unwrap_or_default());
        let mut victim = self.victim(attack, stack, wrap).await?;
        let mut honest = Honest::start(&self.ground, stack != Stack::Carrick).await?;
        let look =
            || Sample::of(victim.pid).map_err(|error| format!("the victim is gone: {error}"));
        // Identify's streams and the first allocations are over.
        sleep(Duration::from_millis(if self.quick { 500 } else { 1000 })).await;
        honest.cut().await?;
        sleep(Duration::from_millis(if self.quick { 700 } else { 3000 })).await;
        let mut seen = Seen {
            before: look()?,
            ..Seen::default()
        };
        seen.pings[0] = honest.cut().await?;
        let peak = Peak::of(victim.pid);
        let outcome = self.attack(attack, stack, victim.pid, clocks.as_ref());
        let outcome = outcome.await?;
        seen.pings[1] = honest.cut().await?;
        seen.peak = peak.sample();
        drop(peak);
        seen.lived = victim.lives();
        if seen.lived {
            let over = Instant::now();
            while over.elapsed() < RECOVERY {
                seen.after = Sample::of(victim.pid).unwrap_or_default();
                if seen.after.files <= seen.before.files {
                    seen.recovered = Some(over.elapsed());
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
            seen.newcomer = honest.newcomer().await?;
        }
        sleep(Duration::from_millis(if self.quick { 0 } else { 1000 })).await;
        seen.pings[2] = honest.cut().await?;
        drop(honest);
        let said = victim.said.clone();
        seen.stopped = victim.stop().await;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        seen.panics = count(&said.panics);
        seen.tried = outcome.tried;
        (seen.lines, seen.raw) = (count(&said.lines), count(&said.raw));
        seen.longest = count(&said.longest);
        seen.took = since.elapsed();
        let mut checks = outcome.checks.clone();
        // Honest peers that are slower for another reason must not pass for a limit that is missed.
        if !self.weak {
            checks.extend(rule::judge(attack, &seen));
        }
        Ok(Row {
            attack,
            stack,
            seen,
            outcome,
            checks,
        })
    }

    /// Starts the victim, with `line` before its program.
    async fn victim(
        &self,
        attack: &Attack,
        stack: Stack,
        mut line: Vec<String>,
    ) -> Result<Victim, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let name = |path: &Path| path.display().to_string();
        if self.weak {
            line.extend([name(&own), "weak".to_owned(), attack.id.to_owned()]);
        } else {
            line.extend(stack.line(&self.carrick, attack.command, &self.built));
            let args = attack.args.iter().filter(|_| stack == Stack::Carrick);
            let scratch = name(&self.scratch.0);
            line.extend(args.map(|arg| arg.replace("{scratch}", &scratch)));
        }
        let heeds_signals = stack.heeds_signals();
        Victim::start(&self.ground, &line, attack.files_max, heeds_signals).await
    }

    /// Starts the attacker and waits for its end.
    async fn attack(
        &self,
        attack: &Attack,
        stack: Stack,
        pid: u32,
        clocks: Option<&Clocks>,
    ) -> Result<Outcome, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = self.ground.process(Side::Outside, true, FILES_MAX, &own);
        command.args(["attack", attack.id, "--namespace", self.ground.victim()]);
        let stack = stack.to_possible_value();
        let stack = stack.as_ref().map_or("", |value| value.get_name());
        command
            .args(["--pid", &pid.to_string(), "--stack", stack])
            .arg("--scratch")
            .arg(&self.scratch.0)
            .arg("--carrick")
            .arg(&self.carrick);
        if let Some(clocks) = clocks {
            command.arg("--shift").arg(clocks.shift_file());
        }
        if self.quick {
            command.arg("--quick");
        }
        let output = victim::spawn(command.stderr(Stdio::piped()))?.wait_with_output();
        let output = timeout(ATTACK_TIMEOUT, output).await;
        let output = output.map_err(|_| "the attacker takes too long".to_owned())?;
        let output = output.map_err(|error| error.to_string())?;
        Outcome::parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
            let why = String::from_utf8_lossy(&output.stderr);
            format!("the attacker failed: {}", why.trim())
        })
    }
}

/// Longer than any attack that works.
const ATTACK_TIMEOUT: Duration = Duration::from_secs(120);
