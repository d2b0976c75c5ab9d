//! The fuzzers' one program: how it is built, which targets it has, how one of them is started.
//!
//! What the fuzzer needs of the compiler is LLVM's own pass, so no nightly is needed. `--target` keeps the flags away from
//! build scripts, which would not link with them.

use crate::steps::{Steps, cargo, has_program, quiet};
use std::path::PathBuf;
use std::process::Command;

/// The program, built.
pub(super) struct Fuzzer {
    program: PathBuf,
}

/// A target that the program has.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) kind: String,
    pub(super) name: String,
}

impl Fuzzer {
    pub(super) fn build() -> Result<Self, String> {
        if !["c++", "g++", "clang++"].into_iter().any(has_program) {
            return Err("libFuzzer needs a C++ compiler: apt-get install g++".to_owned());
        }
        let host = host()?;
        let mut build = cargo(&["build", "--release", "--locked", "--bin", "any"]);
        build
            .args([
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--target-dir",
                DIRECTORY,
            ])
            .args(["--target", &host])
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
            .env("CARGO_INCREMENTAL", "0");
        Steps::default().run("build fuzz/", quiet(&mut build))?;
        let program = PathBuf::from(DIRECTORY).join(host).join("release/any");
        Ok(Self { program })
    }

    pub(super) fn command(&self, target: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CARRICK_FUZZ_TARGET", target);
        command
    }

    pub(super) fn list(&self) -> Result<Vec<Known>, String> {
        let output = self.command("").output();
        let output = output.map_err(|error| format!("{}: {error}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let known = text.lines().filter_map(|line| line.split_once(' '));
        Ok(known
            .map(|(kind, name)| Known {
                kind: kind.to_owned(),
                name: name.to_owned(),
            })
            .collect())
    }
}

/// The machine's name for itself.
fn host() -> Result<String, String> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = command
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "rustc -vV does not name the host".to_owned())
}

const DIRECTORY: &str = "target/fuzz";

/// As cargo-fuzz has them, but for the address sanitizer, which needs a nightly.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];
