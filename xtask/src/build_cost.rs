//! `cargo xtask build-cost`: what it costs to build a first program, on Carrick and on rust-libp2p.
//!
//! Each program is built cold, alone in a folder of its own, with Cargo's release profile, after everything was fetched.
//! CPU seconds say more than seconds on the clock where other things run on the machine.

use crate::steps::{cannot_run, cargo, line};
use clap::Args as ClapArgs;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What is built, and how it is told.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Builds of each program, in turn; the median counts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// These programs alone: carrick, carrick-tcp, libp2p, libp2p-tcp.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// One object with all figures, instead of the table.
    #[arg(long)]
    json: bool,
}

/// A program that echoes `hi` between two nodes over TCP.
struct Program {
    name: &'static str,
    /// What it has besides TCP, Noise, yamux, ping and identify.
    has: &'static str,
    dependencies: String,
    source: &'static str,
    /// Versions that are known to build.
    lock: &'static str,
}

/// What one build took.
#[derive(Clone, Debug, PartialEq)]
struct Cost {
    seconds: f64,
    /// Of user and system together; 0 where the system does not tell.
    cpu_seconds: f64,
    crates: usize,
    bytes: u64,
    /// The crates that took longest, with their seconds on the clock.
    slowest: Vec<(String, f64)>,
}

/// Builds, and prints the table or the object.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let programs = programs();
    let wanted = |program: &&Program| {
        args.only.is_empty() || args.only.iter().any(|name| name == program.name)
    };
    let programs: Vec<&Program> = programs.iter().filter(wanted).collect();
    if programs.is_empty() {
        return Err(
            "--only names no program; there are carrick, carrick-tcp, libp2p, libp2p-tcp".into(),
        );
    }
    let folder = Folder::new()?;
    let mut builds: Vec<Vec<Cost>> = vec![Vec::new(); programs.len()];
    for program in &programs {
        prepare(program, &folder.0.join(program.name))?;
    }
    for round in 1..=args.rounds.max(1) {
        for (program, costs) in programs.iter().zip(&mut builds) {
            eprintln!("xtask: build {}, round {round}", program.name);
            costs.push(build(&folder.0.join(program.name))?);
        }
    }
    let medians = builds.iter().filter_map(|costs| median(costs));
    let rows: Vec<(&Program, Cost)> = programs.into_iter().zip(medians).collect();
    if args.json {
        println!("{}", as_json(&rows));
    } else {
        print!("{}", table(&rows));
    }
    Ok(())
}

fn programs() -> [Program; 4] {
    let carrick = |options: &str| {
        let path = xtask::source::root().join("crates/carrick");
        format!("carrick = {{ path = {path:?}{options} }}\n{TOKIO}\n")
    };
    let libp2p = |features: &str| {
        format!(
            "futures = \"0.3\"\nlibp2p = {{ version = \"0.57\", features = [{LIBP2P_TCP}{features}] }}\n\
             libp2p-stream = \"0.5.0-alpha\"\n{TOKIO}\n"
        )
    };
    let everything = "QUIC, WebSocket, TLS, DNS, private networks, keys of all types";
    let (echo, rival) = (
        include_str!("../../crates/carrick/examples/echo.rs"),
        LIBP2P,
    );
    let (ours, theirs) = ("Cargo.lock", "bench/Cargo.lock");
    let program = |name, has, dependencies, source, lock| Program {
        name,
        has,
        dependencies,
        source,
        lock,
    };
    [
        program("carrick", everything, carrick(""), echo, ours),
        program("libp2p", everything, libp2p(LIBP2P_ALL), rival, theirs),
        program(
            "carrick-tcp",
            "",
            carrick(", default-features = false"),
            echo,
            ours,
        ),
        program("libp2p-tcp", "", libp2p(""), rival, theirs),
    ]
}

/// Writes the program down and fetches what it needs.
fn prepare(program: &Program, folder: &Path) -> Result<(), String> {
    let all = if program.has.is_empty() {
        ""
    } else {
        "\"all\""
    };
    let manifest = format!(
        "[package]\nname = \"echo\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{}\
         [features]\ndefault = [{all}]\nall = []\n[profile.release]\nstrip = true\n",
        program.dependencies
    );
    let told = |error| format!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(folder.join("src")).map_err(told)?;
    fs::write(folder.join("Cargo.toml"), manifest).map_err(told)?;
    fs::write(folder.join("src/main.rs"), program.source).map_err(told)?;
    fs::copy(program.lock, folder.join("Cargo.lock")).map_err(told)?;
    // What the lock file lacks is added to it, what the program does not need is dropped.
    let mut fetch = cargo(&["fetch"]);
    fetch.current_dir(folder).stdout(std::io::stderr());
    match fetch.status().map_err(|error| cannot_run(&fetch, &error))? {
        status if status.success() => Ok(()),
        status => Err(format!(
            "{} failed ({status}) for {}",
            line(&fetch),
            program.name
        )),
    }
}

/// Builds it, and removes what was built.
fn build(folder: &Path) -> Result<Cost, String> {
    let target = folder.join("target");
    let mut build = cargo(&[
        "build",
        "--release",
        "--offline",
        "--timings",
        "--message-format=json",
    ]);
    build.current_dir(folder).stdout(Stdio::piped());
    build.env("CARGO_TARGET_DIR", &target);
    // A cache of compiled crates, or flags of this machine's, would be measured instead.
    for name in ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER", "RUSTFLAGS"] {
        build.env_remove(name);
    }
    let (start, cpu) = (Instant::now(), cpu_of_children());
    let mut child = build.spawn().map_err(|error| cannot_run(&build, &error))?;
    let packages = child.stdout.take().map(packages).unwrap_or_default();
    let status = child.wait().map_err(|error| cannot_run(&build, &error))?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!(
            "{} failed ({status}) in {}",
            line(&build),
            folder.display()
        ));
    }
    let program = target
        .join("release")
        .join(format!("echo{}", std::env::consts::EXE_SUFFIX));
    let bytes = fs::metadata(&program)
        .map_err(|error| error.to_string())?
        .len();
    let echoed = Command::new(&program).output();
    if !echoed.is_ok_and(|output| output.stdout == b"hi\n") {
        return Err(format!("{} does not print hi", program.display()));
    }
    let page = fs::read_to_string(target.join("cargo-timings/cargo-timing.html"));
    let _ = fs::remove_dir_all(&target);
    Ok(Cost {
        seconds,
        cpu_seconds: cpu_of_children() - cpu,
        // Without the program itself.
        crates: packages.len().saturating_sub(1),
        bytes,
        slowest: slowest(&page.unwrap_or_default()),
    })
}

/// The packages in Cargo's messages of which anything was compiled.
fn packages(messages: impl std::io::Read) -> BTreeSet<String> {
    let lines = BufReader::new(messages).lines().map_while(Result::ok);
    lines
        .filter_map(|line| {
            let message: Value = serde_json::from_str(&line).ok()?;
            let compiled = message["reason"] == "compiler-artifact";
            compiled.then(|| message["package_id"].as_str().map(str::to_owned))?
        })
        .collect()
}

/// CPU seconds of all processes that have ended below this one; 0 where `/proc` does not tell.
fn cpu_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold anything, the fields are counted from the third on.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(13).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// The crates that took longest, out of the page that `cargo build --timings` writes.
fn slowest(page: &str) -> Vec<(String, f64)> {
    let units = page
        .split_once("UNIT_DATA = ")
        .map_or("", |(_, units)| units);
    let units = units.split_once(";\n").map_or("", |(units, _)| units);
    let units: Vec<Value> = serde_json::from_str(units).unwrap_or_default();
    let mut crates: Vec<(String, f64)> = Vec::new();
    for unit in &units {
        let (Some(name), Some(seconds)) = (unit["name"].as_str(), unit["duration"].as_f64()) else {
            continue;
        };
        match crates.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += seconds,
            None => crates.push((name.to_owned(), seconds)),
        }
    }
    crates.sort_by(|a, b| b.1.total_cmp(&a.1));
    crates.truncate(SLOWEST_SHOWN);
    crates
}

/// The build with the median of CPU seconds.
fn median(costs: &[Cost]) -> Option<Cost> {
    let mut costs = costs.to_vec();
    costs.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    costs.get(costs.len() / 2).cloned()
}

fn table(rows: &[(&Program, Cost)]) -> String {
    let mut text = format!(
        "{:<13} {:>7} {:>7} {:>7} {:>7}\n",
        "program", "crates", "s", "CPU-s", "MB"
    );
    for (program, cost) in rows {
        text += &format!(
            "{:<13} {:>7} {:>7.0} {:>7.0} {:>7.2}  {}\n",
            program.name,
            cost.crates,
            cost.seconds,
            cost.cpu_seconds,
            cost.bytes as f64 / 1e6,
            program.has
        );
    }
    for [ours, theirs] in PAIRS {
        if let (Some(ours), Some(theirs)) = (find(rows, ours), find(rows, theirs)) {
            let ratios = ratios(ours, theirs);
            let [crates, seconds, cpu, bytes] = ratios.map(|ratio| format!("{ratio:.2}"));
            text += &format!(
                "{:<13} {crates:>7} {seconds:>7} {cpu:>7} {bytes:>7}\n",
                "ratio"
            );
        }
    }
    for (program, cost) in rows {
        let crates = cost.slowest.iter();
        let crates: Vec<String> = crates
            .map(|(name, seconds)| format!("{name} {seconds:.0} s"))
            .collect();
        text += &format!("slowest in {}: {}\n", program.name, crates.join(", "));
    }
    text
}

fn as_json(rows: &[(&Program, Cost)]) -> Value {
    let programs = rows.iter().map(|(program, cost)| {
        json!({
            "program": program.name, "has": program.has, "crates": cost.crates, "seconds": cost.seconds,
            "cpu_seconds": cost.cpu_seconds, "bytes": cost.bytes, "slowest": cost.slowest,
        })
    });
    json!({ "programs": programs.collect::<Vec<_>>() })
}

fn find<'a>(rows: &'a [(&Program, Cost)], name: &str) -> Option<&'a Cost> {
    rows.iter()
        .find(|(program, _)| program.name == name)
        .map(|(_, cost)| cost)
}

/// Crates, seconds, CPU seconds and bytes of the one over those of the other.
fn ratios(ours: &Cost, theirs: &Cost) -> [f64; 4] {
    [
        ours.crates as f64 / theirs.crates as f64,
        ours.seconds / theirs.seconds,
        ours.cpu_seconds / theirs.cpu_seconds,
        ours.bytes as f64 / theirs.bytes as f64,
    ]
}

/// A folder that is gone when this is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("carrick-build-cost-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Who is compared with whom.
const PAIRS: [[&str; 2]; 2] = [["carrick", "libp2p"], ["carrick-tcp", "libp2p-tcp"]];
const SLOWEST_SHOWN: usize = 5;
/// What Linux counts CPU time in, on every machine that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;
const TOKIO: &str = r#"tokio = { version = "1", features = ["macros", "rt-multi-thread"] }"#;
const LIBP2P: &str = include_str!("../../bench/build-cost/libp2p.rs");
const LIBP2P_TCP: &str =
    r#""tcp", "noise", "yamux", "tokio", "macros", "identify", "ping", "ed25519""#;
const LIBP2P_ALL: &str =
    r#", "quic", "websocket", "tls", "dns", "pnet", "rsa", "ecdsa", "secp256k1""#;

#[cfg(test)]
mod tests;
