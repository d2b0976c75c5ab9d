//! `cargo xtask coverage`: how many of the compiler's regions the tests reach, the replay of the fuzzers' corpora among them, by
//! crate and by file. At least 95 % of `wire`'s: what comes from peers is decoded nowhere else.

use crate::steps::{cannot_run, cargo};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured, and the least share of regions in percent; 0: it is only printed.
const CRATES: [(&str, f64); 3] = [("wire", 95.0), ("session", 0.0), ("protocols", 0.0)];
const PROFILES: &str = "target/coverage";
/// Set for the compiler's wrapper, which is this program as well.
const WRAPS: &str = "CARRICK_COVERAGE";

/// Which regions the tests reach.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this crate.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// A JSON object for the scorecard instead of the table.
    #[arg(long)]
    json: bool,
    /// Also print the lines that nothing reaches.
    #[arg(long)]
    missing: bool,
}

/// Regions: all, and those reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Regions {
    count: u64,
    covered: u64,
}

impl Regions {
    fn percent(self) -> f64 {
        100.0 * self.covered as f64 / self.count.max(1) as f64
    }
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let crates = CRATES
        .iter()
        .filter(|(name, _)| args.only.as_deref().is_none_or(|only| only == *name));
    let crates: Vec<_> = crates.collect();
    if crates.is_empty() {
        return Err(format!(
            "no such crate here; there are {}",
            CRATES.map(|(name, _)| name).join(", ")
        ));
    }
    let tools = Tools::find()?;
    let _ = std::fs::remove_dir_all(PROFILES);
    let names: Vec<_> = crates.iter().map(|(name, _)| *name).collect();
    let tests = build(&names)?;
    for test in &tests {
        test.run()?;
    }
    let report = tools.report(&tests)?;
    let files = files(&report, &names);
    let mut verdict = Ok(());
    for (name, least) in crates {
        let folder = folder(name);
        let of = files.iter().filter(|(file, _)| file.contains(&folder));
        let sum = of
            .clone()
            .fold(Regions::default(), |sum, (_, regions)| Regions {
                count: sum.count + regions.count,
                covered: sum.covered + regions.covered,
            });
        let (percent, pass) = (sum.percent(), sum.percent() >= *least);
        if args.json {
            print_json(name, percent, *least);
        } else {
            println!(
                "{name:<40} {:>6} of {:>6} regions {percent:>6.2} %",
                sum.covered, sum.count
            );
            for (file, regions) in of {
                let file = file
                    .split_once(&folder)
                    .map_or(file.as_str(), |parts| parts.1);
                println!(
                    "  {file:<38} {:>6} of {:>6} regions {:>6.2} %",
                    regions.covered,
                    regions.count,
                    regions.percent()
                );
            }
        }
        if !pass {
            verdict = Err(format!(
                "{name}: {percent:.2} % of the regions are reached, {least} % are demanded; --missing shows the others"
            ));
        }
    }
    if args.missing {
        tools.missing(&tests, &names)?;
    }
    verdict
}

fn print_json(name: &str, percent: f64, least: f64) {
    let object = json!({
        "row": 15, "figure": format!("regions of {name} that tests and corpus reach"),
        "value": (percent * 100.0).round() / 100.0, "unit": "%", "target": format!(">= {least}"),
        "pass": percent >= least, "stack": "carrick",
    });
    println!("{object}");
}

/// As cargo's wrapper for the crates of this workspace: the compiler with one flag more. `None`: that is not what we are.
pub(crate) fn wrap() -> Option<Result<(), String>> {
    std::env::var_os(WRAPS)?;
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next()?);
    command
        .args(args)
        .arg("-Cinstrument-coverage")
        .env_remove(WRAPS);
    Some(match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the compiler failed: {status}")),
        Err(error) => Err(cannot_run(&command, &error)),
    })
}

/// A test program, and where it expects to run.
struct Test {
    program: PathBuf,
    home: PathBuf,
}

impl Test {
    fn run(&self) -> Result<(), String> {
        let profiles = std::env::current_dir().map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.home)
            .env("CARGO_MANIFEST_DIR", &self.home)
            .env(
                "LLVM_PROFILE_FILE",
                profiles.join(PROFILES).join("%m-%p.profraw"),
            )
            .env("PROPTEST_RNG_SEED", "1")
            .arg("--quiet")
            .stdout(std::io::stderr());
        let status = command
            .status()
            .map_err(|error| cannot_run(&command, &error))?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("{} failed", self.program.display()))
    }
}

/// Builds the tests of these crates with counters in ours, and in nothing else.
fn build(names: &[&str]) -> Result<Vec<Test>, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = cargo(&[
        "test",
        "--no-run",
        "--lib",
        "--tests",
        "--message-format",
        "json",
    ]);
    for name in names {
        command.args(["--package", &format!("carrick-{name}")]);
    }
    command
        .env("RUSTC_WORKSPACE_WRAPPER", own)
        .env(WRAPS, "1")
        .env("CARGO_INCREMENTAL", "0");
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|error| cannot_run(&command, &error))?;
    if !output.status.success() {
        return Err("the tests do not build".to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(built).collect())
}

/// The test program that one of cargo's messages is about.
fn built(line: &str) -> Option<Test> {
    let message: Value = serde_json::from_str(line).ok()?;
    message["profile"]["test"].as_bool().filter(|test| *test)?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    Some(Test {
        program: message["executable"].as_str()?.into(),
        home: manifest.parent()?.into(),
    })
}

/// The regions of each file of these crates, without those of tests.
fn files(report: &Value, names: &[&str]) -> BTreeMap<String, Regions> {
    let all = report["data"][0]["files"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let file = |file: &Value| {
        let name = file["filename"].as_str()?.to_owned();
        let ours = names.iter().any(|ours| name.contains(&folder(ours)));
        let tests = TESTS.iter().any(|tests| name.contains(tests));
        let regions = &file["summary"]["regions"];
        let regions = Regions {
            count: regions["count"].as_u64()?,
            covered: regions["covered"].as_u64()?,
        };
        (ours && !tests).then_some((name, regions))
    };
    all.iter().filter_map(file).collect()
}

fn folder(name: &str) -> String {
    format!("crates/{name}/src/")
}

/// Of files that only tests have.
const TESTS: [&str; 4] = ["/tests.rs", "/tests/", "/fixtures.rs", "/testing.rs"];

/// LLVM's programs that come with the toolchain.
struct Tools {
    folder: PathBuf,
}

impl Tools {
    fn find() -> Result<Self, String> {
        let rustc = |args: &[&str]| {
            let mut command = Command::new("rustc");
            let output = command
                .args(args)
                .output()
                .map_err(|error| cannot_run(&command, &error))?;
            Ok::<_, String>(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let version = rustc(&["-vV"])?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .unwrap_or_default();
        let folder = Path::new(rustc(&["--print", "sysroot"])?.trim())
            .join("lib/rustlib")
            .join(host)
            .join("bin");
        if folder.join("llvm-cov").is_file() {
            Ok(Self { folder })
        } else {
            Err("there is no llvm-cov: rustup component add llvm-tools".to_owned())
        }
    }

    fn report(&self, tests: &[Test]) -> Result<Value, String> {
        let profiles =
            std::fs::read_dir(PROFILES).map_err(|error| format!("{PROFILES}: {error}"))?;
        let mut merge = Command::new(self.folder.join("llvm-profdata"));
        merge.args(["merge", "--sparse", "--output", MERGED]);
        merge.args(profiles.flatten().map(|profile| profile.path()));
        output(&mut merge)?;
        let mut export = self.cov("export", tests);
        let json = output(export.arg("--summary-only"))?;
        serde_json::from_slice(&json).map_err(|error| format!("llvm-cov: {error}"))
    }

    /// The lines that nothing reaches, as `file:line`.
    fn missing(&self, tests: &[Test], names: &[&str]) -> Result<(), String> {
        let report = output(&mut self.cov("export", tests))?;
        let report: Value =
            serde_json::from_slice(&report).map_err(|error| format!("llvm-cov: {error}"))?;
        let known = files(&report, names);
        for file in report["data"][0]["files"].as_array().into_iter().flatten() {
            let name = file["filename"].as_str().unwrap_or_default();
            for segment in file["segments"].as_array().into_iter().flatten() {
                let reached = segment[2] != 0 || segment[3] != true || segment[4] != true;
                if known.contains_key(name) && !reached {
                    println!("{name}:{}:{}", segment[0], segment[1]);
                }
            }
        }
        Ok(())
    }

    fn cov(&self, verb: &str, tests: &[Test]) -> Command {
        let mut command = Command::new(self.folder.join("llvm-cov"));
        command.args([verb, "--instr-profile", MERGED]);
        for test in tests {
            command.arg("--object").arg(&test.program);
        }
        command
    }
}

fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command
        .output()
        .map_err(|error| cannot_run(command, &error))?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    output
        .status
        .success()
        .then_some(output.stdout)
        .ok_or(words)
}

const MERGED: &str = "target/coverage/all.profdata";

#[cfg(test)]
mod tests;
