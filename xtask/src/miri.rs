//! `cargo xtask miri`: our tests under the interpreter that finds undefined behaviour, in us and in the Rust below us. C and
//! assembly it cannot run, so what calls aws-lc or ring is left out. Needs a nightly toolchain; no part of `ci`.

use crate::programs;
use crate::steps::{Steps, cannot_run, line};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Run tests under Miri.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the parts whose name has this in it, such as `wire`.
    #[arg(long, default_value = "")]
    only: String,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// What one run covers: a crate's own tests, without those whose names have one of these words.
struct Part {
    package: &'static str,
    features: &'static str,
    skipped: &'static [&'static str],
}

/// Tests share fixtures with keys of every kind.
const WIRE: &str = "carrick-wire/ecdsa,carrick-wire/rsa,carrick-wire/secp256k1,carrick-wire/pnet";

/// A signature is checked by C or takes minutes here; TLS is C throughout.
const PARTS: [Part; 4] = [
    Part {
        package: "carrick-wire",
        features: "ecdsa,rsa,secp256k1,pnet",
        skipped: &[
            "key::",
            "certificate::",
            "envelope::",
            "peer_record::",
            "pnet::",
            "short_keys_can_be_read_from_their_ids",
        ],
    },
    Part {
        package: "carrick-protocols",
        features: WIRE,
        skipped: &[],
    },
    Part {
        package: "carrick-session",
        features: WIRE,
        skipped: &["noise::", "upgrade", "proofs", "tls::"],
    },
    Part {
        package: "carrick-swarm",
        features: WIRE,
        skipped: &["random", "thousand", "peer_store::"],
    },
];

pub(crate) fn run(args: &Args) -> Result<(), String> {
    needs_miri()?;
    let mut steps = Steps::default();
    let (mut total, mut rows) = (0, Vec::new());
    for part in PARTS
        .iter()
        .filter(|part| part.package.contains(&args.only))
    {
        let (mut passed, start) = (0, Instant::now());
        steps.time(&format!("{} under Miri", part.package), || {
            passed = part.run()?;
            Ok(())
        })?;
        total += passed;
        rows.push(format!(
            "{} {passed} in {} s",
            part.package,
            start.elapsed().as_secs()
        ));
    }
    if args.json {
        let row = json!({
            "row": 1, "figure": "tests under Miri, none of which showed undefined behaviour", "value": total,
            "unit": "tests", "target": ">= 100", "pass": total >= 100, "stack": "carrick", "detail": rows.join(", "),
        });
        println!("{row}");
    } else {
        println!("{}\n{}", rows.join("\n"), steps.summary());
    }
    Ok(())
}

impl Part {
    /// How many tests passed.
    fn run(&self) -> Result<u64, String> {
        let mut command = nightly(&["miri", "test", "--lib", "--no-default-features"]);
        command
            .args(["--package", self.package, "--features", self.features])
            .arg("--target-dir")
            .arg(programs::target().join("miri"))
            .arg("--")
            .args(self.skipped.iter().flat_map(|word| ["--skip", word]))
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .env("PROPTEST_CASES", "4")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| cannot_run(&command, &error))?;
        let said = child.stdout.take().ok_or("it has no stdout")?;
        let mut passed = 0;
        for said in BufReader::new(said).lines() {
            let said = said.map_err(|error| format!("cannot read what Miri says: {error}"))?;
            eprintln!("{said}");
            let result = said.strip_prefix("test result: ok. ");
            let count =
                result.and_then(|result| result.split_once(" passed")?.0.parse::<u64>().ok());
            passed += count.unwrap_or(0);
        }
        let status = child.wait().map_err(|error| cannot_run(&command, &error))?;
        if !status.success() {
            return Err(format!("Miri found something. Again: {}", line(&command)));
        }
        Ok(passed)
    }
}

/// Cargo of the nightly toolchain, without what the stable one that runs us says of itself.
fn nightly(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO") && name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command
}

fn needs_miri() -> Result<(), String> {
    let version = nightly(&["miri", "--version"]).output();
    if version.is_ok_and(|version| version.status.success()) {
        return Ok(());
    }
    Err("Miri is missing: rustup toolchain install nightly --component miri,rust-src".to_owned())
}
