//! `soak`: one victim for as long as one likes, with peers that come and go, packets that get lost, and one attacker of each
//! kind after another. What it holds when nobody attacks must not grow, and honest peers must not wait longer than at first.

mod churn;
mod fit;
mod leaky;
mod loss;

use std::{
    path::PathBuf,
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

pub(crate) use churn::{Args as ChurnArgs, run as churn};
pub(crate) use leaky::{Args as LeakyArgs, run as leaky};

use crate::{
    attack::{self, Attack, Check, Outcome},
    ground::{FILES_MAX, Ground, Side, VICTIM_V4},
    honest::Honest,
    rule::millis,
    sample::Sample,
    victim::{self, Victim},
};
use churn::Churn;
use fit::{Series, slope_per_hour};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long, in minutes.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Packets lost on the way in and on the way out, in percent.
    #[arg(long, default_value_t = 1.0)]
    loss: f64,
    /// Peers that come, are served and go, a second.
    #[arg(long, default_value_t = 50)]
    churn: u32,
    /// The scorecard's rows as JSON, one a line, instead of the table.
    #[arg(long)]
    json: bool,
    /// The program that must last.
    #[arg(long, value_name = "FILE", default_value = "target/release/carrick")]
    carrick: PathBuf,
    /// A victim that forgets a task and some memory for each connection, to see that this is found; red is success.
    #[arg(long)]
    leak: bool,
}

/// What was seen in one quiet moment.
#[derive(Clone, Copy)]
struct Look {
    at: Duration,
    rss_mib: f64,
    files: f64,
    tasks: f64,
    connections: f64,
    p99_ms: f64,
}

/// Runs it to its end, and judges.
pub(crate) async fn run(args: &Args) -> Result<(), String> {
    let carrick = args.carrick.canonicalize();
    let carrick = carrick.map_err(|error| format!("{}: {error}", args.carrick.display()))?;
    let ground = Ground::new()?;
    loss::lose(&ground, args.loss)?;
    let mut soak = Soak::start(args, ground, carrick).await?;
    let deadline = Instant::now() + Duration::from_secs(60 * args.minutes);
    let attackers: Vec<_> = attack::ALL.iter().filter(|one| fits(one)).collect();
    for attack in attackers.iter().cycle() {
        let round = tokio::select! {
            round = soak.round(attack) => round,
            _ = tokio::signal::ctrl_c() => Err("stopped".to_owned()),
        };
        round?;
        if Instant::now() >= deadline {
            break;
        }
    }
    let checks = soak.judge().await;
    soak.print(args, &checks);
    let holds = checks.iter().all(|check| check.holds);
    match (holds, args.leak) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => Err("something grows, or somebody was hurt".to_owned()),
        (true, true) => Err("the leak was not found".to_owned()),
    }
}

/// Attackers that ask nothing special of the victim: all the others would need one of their own.
fn fits(attack: &Attack) -> bool {
    attack.args.is_empty() && !attack.clocks && attack.files_max == FILES_MAX
}

struct Soak {
    ground: Ground,
    carrick: PathBuf,
    victim: Victim,
    honest: Honest,
    churn: Churn,
    since: Instant,
    looks: Vec<Look>,
    /// The worst that honest peers noticed while somebody attacked.
    attacked_p99_ms: Vec<f64>,
    attacks: u64,
    /// Attackers that could not do their work.
    failed: Vec<String>,
    lost: u64,
}

impl Soak {
    async fn start(args: &Args, ground: Ground, carrick: PathBuf) -> Result<Self, String> {
        let name = |path: PathBuf| path.display().to_string();
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let metrics = format!("{VICTIM_V4}:{METRICS_PORT}");
        let line = if args.leak {
            vec![name(own), "leaky".to_owned(), metrics.clone()]
        } else {
            let words = ["listen", "--metrics", &metrics].map(str::to_owned);
            [vec![name(carrick.clone())], words.to_vec()].concat()
        };
        let victim = Victim::start(&ground, &line, FILES_MAX, true).await?;
        let honest = Honest::start(&ground, true).await?;
        let churn = Churn::start(&ground, args.churn, &metrics)?;
        Ok(Self {
            ground,
            carrick,
            victim,
            honest,
            churn,
            since: Instant::now(),
            looks: Vec::new(),
            attacked_p99_ms: Vec::new(),
            attacks: 0,
            failed: Vec::new(),
            lost: 0,
        })
    }

    /// A quiet moment, a look, and one attack.
    async fn round(&mut self, attack: &'static Attack) -> Result<(), String> {
        self.honest.cut().await?;
        sleep(QUIET).await;
        let pings = self.honest.cut().await?;
        self.lost = pings.lost;
        let sample = Sample::of(self.victim.pid);
        let sample = sample.map_err(|error| format!("the victim is gone: {error}"))?;
        let gauges = self.churn.look().await?;
        let gauge = |name: &str| gauges[name].as_f64().unwrap_or(f64::NAN);
        let look = Look {
            at: self.since.elapsed(),
            rss_mib: sample.rss_kib as f64 / 1024.0,
            files: sample.files as f64,
            tasks: gauge("tasks"),
            connections: gauge("connections"),
            p99_ms: millis(pings.p99),
        };
        self.looks.push(look);
        eprintln!(
            "soak: {:>5.1} min  {:.1} MiB  {} files  {} tasks  {} connections  p99 {:.1} ms  served {}  next {}",
            look.at.as_secs_f64() / 60.0,
            look.rss_mib,
            look.files,
            look.tasks,
            look.connections,
            look.p99_ms,
            gauges["served"],
            attack.id,
        );
        self.attack(attack).await;
        let attacked = self.honest.cut().await?;
        self.attacked_p99_ms.push(millis(attacked.p99));
        Ok(())
    }

    async fn attack(&mut self, attack: &'static Attack) {
        let Ok(own) = std::env::current_exe() else {
            return;
        };
        let mut command = self.ground.process(Side::Outside, true, FILES_MAX, &own);
        command.args(["attack", attack.id, "--namespace", self.ground.victim()]);
        command.args([
            "--quick",
            "--stack",
            "carrick",
            "--pid",
            &self.victim.pid.to_string(),
        ]);
        command.arg("--carrick").arg(&self.carrick);
        let Ok(child) = victim::spawn(command.stderr(Stdio::piped())) else {
            return self.failed.push(attack.id.to_owned());
        };
        self.attacks += 1;
        let output = timeout(ATTACK_TIMEOUT, child.wait_with_output()).await;
        let said = output.map(|output| output.map(|output| output.stdout));
        let text = said.ok().and_then(Result::ok).unwrap_or_default();
        if Outcome::parse(&String::from_utf8_lossy(&text)).is_none() {
            self.failed.push(attack.id.to_owned());
        }
    }

    /// The looks after the first sixth, in which caches fill; at most ten minutes.
    fn settled(&self) -> &[Look] {
        let warm_up = (self.since.elapsed() / 6).min(Duration::from_secs(600));
        let first = self.looks.iter().position(|look| look.at >= warm_up);
        &self.looks[first.unwrap_or(0)..]
    }

    fn series(&self, of: impl Fn(&Look) -> f64) -> Series {
        let settled = self.settled().iter();
        settled.map(|look| (look.at, of(look))).collect()
    }

    async fn judge(&mut self) -> Vec<Check> {
        let slope = |of: fn(&Look) -> f64| slope_per_hour(&self.series(of));
        let [memory, files, tasks] = [
            slope(|look| look.rss_mib),
            slope(|look| look.files),
            slope(|look| look.tasks),
        ];
        let drift = fit::drift(&self.series(|look| look.p99_ms));
        let panics = self.victim.said.panics.load(Ordering::Relaxed);
        let newcomer = self.honest.newcomer().await.unwrap_or(false);
        let below = |what: &str, found: f64, most: f64| {
            let text = format!("{what}: {found:+.2} of at most {most:+.2}");
            Check::new(found <= most, text)
        };
        vec![
            Check::new(
                panics == 0 && self.victim.lives(),
                format!("{panics} panics, alive: {}", self.victim.lives()),
            ),
            below("memory, MiB an hour", memory, MEMORY_PER_HOUR),
            below("files an hour", files, COUNT_PER_HOUR),
            below("tasks an hour", tasks, COUNT_PER_HOUR),
            below("honest p99, percent", 100.0 * drift, P99_DRIFT_PERCENT),
            Check::at_most("honest peers lost", self.lost, 0),
            Check::new(newcomer, format!("a newcomer is served: {newcomer}")),
            Check::new(
                self.failed.is_empty(),
                format!("attackers that failed: {:?}", self.failed),
            ),
        ]
    }

    fn print(&self, args: &Args, checks: &[Check]) {
        let minutes = self.since.elapsed().as_secs_f64() / 60.0;
        let worst = self.attacked_p99_ms.iter().copied().fold(0.0, f64::max);
        if args.json {
            for check in checks {
                println!("{}", row(check, minutes));
            }
            return;
        }
        println!(
            "soak: {minutes:.1} min, {} % loss, {} peers a second, {} attacks, {} looks; honest p99 at worst under attack {worst:.1} ms",
            args.loss,
            args.churn,
            self.attacks,
            self.looks.len(),
        );
        for (name, of) in FIGURES {
            println!("  {name:<14} {}", fit::summary(&self.series(of)));
        }
        for check in checks {
            let verdict = if check.holds { "ok  " } else { "FAIL" };
            println!("  {verdict}  {}", check.what);
        }
    }
}

/// The scorecard's row 18.
fn row(check: &Check, minutes: f64) -> Value {
    let (figure, value) = check.what.split_once(": ").unwrap_or((&check.what, ""));
    json!({
        "row": 18, "figure": figure, "value": value, "unit": "", "target": "no growth", "pass": check.holds,
        "stack": "carrick", "detail": format!("{minutes:.0} min"),
    })
}

/// A figure's name, and where to find it.
type Figure = (&'static str, fn(&Look) -> f64);
const FIGURES: [Figure; 5] = [
    ("memory, MiB", |look| look.rss_mib),
    ("files", |look| look.files),
    ("tasks", |look| look.tasks),
    ("connections", |look| look.connections),
    ("honest p99, ms", |look| look.p99_ms),
];
/// What an allocator may still learn after the warm-up.
const MEMORY_PER_HOUR: f64 = 0.5;
/// Peers come and go, so a count is never the same twice; one that stays behind in an attack is many in an hour.
const COUNT_PER_HOUR: f64 = 5.0;
const P99_DRIFT_PERCENT: f64 = 10.0;
const METRICS_PORT: u16 = 9184;
/// What the victim has to recover in before it is looked at.
const QUIET: Duration = Duration::from_secs(4);
const ATTACK_TIMEOUT: Duration = Duration::from_secs(60);
