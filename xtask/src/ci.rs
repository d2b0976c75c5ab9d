//! `cargo xtask test`: all that needs only Rust, in order, and what the tree amounts to.

use crate::steps::{Steps, cargo};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use xtask::source::{self, File};

/// Runs every step up to the first failure.
pub(crate) fn test() -> Result<(), String> {
    let mut steps = Steps::default();
    for manifest in WORKSPACES
        .iter()
        .filter(|manifest| Path::new(manifest).exists())
    {
        let name = format!("cargo fmt --check ({manifest})");
        steps.run(
            &name,
            &mut cargo(&["fmt", "--all", "--check", "--manifest-path", manifest]),
        )?;
    }
    let clippy = [
        "clippy",
        "--workspace",
        "--all-features",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    steps.run("cargo clippy", &mut cargo(&clippy))?;
    steps.run(
        "cargo test --workspace --all-features",
        cargo(&["test", "--workspace", "--all-features"]).env("PROPTEST_RNG_SEED", SEED),
    )?;
    features(&mut steps)?;
    let mut doc = cargo(&["doc", "--workspace", "--all-features", "--no-deps"]);
    steps.run("cargo doc", doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    let skipped = deny(&mut steps)?;

    let files =
        source::tree(&source::root()).map_err(|error| format!("cannot read the tree: {error}"))?;
    println!("\n{}{skipped}\n{}", steps.summary(), sizes(&files));
    Ok(())
}

/// What a build with few features lacks must be missed nowhere. Each feature is on in one of these, and off in another.
fn features(steps: &mut Steps) -> Result<(), String> {
    let few = ["test", "-p", "carrick", "--no-default-features", "--tests"];
    steps.run(
        "cargo test -p carrick --no-default-features",
        cargo(&few).env("PROPTEST_RNG_SEED", SEED),
    )?;
    for some in [
        "quic,rsa,metrics",
        "websocket,dns,store",
        "aws-lc,pnet,ecdsa,secp256k1",
    ] {
        let name = format!("cargo clippy -p carrick --no-default-features --features {some}");
        let clippy = [
            "clippy",
            "-p",
            "carrick",
            "--no-default-features",
            "--features",
            some,
        ];
        steps.run(&name, cargo(&clippy).args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// Of the property tests here: a verdict on a change depends on the change alone. A plain `cargo test` looks for new cases.
const SEED: &str = "42";

/// Every workspace of ours: the main one, and those whose dependencies stay out of its lock file.
const WORKSPACES: [&str; 5] = [
    "Cargo.toml",
    "bench/Cargo.toml",
    "fuzz/Cargo.toml",
    "interleave/Cargo.toml",
    "interop/rust/Cargo.toml",
];

/// Checks the dependencies. Gives a line for the summary when the advisories could not be fetched.
fn deny(steps: &mut Steps) -> Result<&'static str, String> {
    let program = format!("{TOOLS}/bin/cargo-deny");
    let version = Command::new(&program).arg("--version").output();
    if !version.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with(DENY_VERSION)
    }) {
        let what =
            format!("cargo install cargo-deny {DENY_VERSION} into {TOOLS} (once, a few minutes)");
        let args = [
            "install",
            "--locked",
            "--no-default-features",
            "--root",
            TOOLS,
            "cargo-deny",
            "--version",
        ];
        steps.run(&what, cargo(&args).arg(DENY_VERSION))?;
    }
    let fetched = Command::new(&program)
        .args(["fetch", "db"])
        .stdin(Stdio::null())
        .output();
    if fetched.is_ok_and(|output| output.status.success()) {
        steps.run(
            "cargo deny check",
            Command::new(&program).args(["check", "--disable-fetch"]),
        )?;
        return Ok("");
    }
    eprintln!("xtask: the advisory database cannot be reached, offline; advisories are SKIPPED");
    let rest = ["check", "bans", "licenses", "sources"];
    steps.run(
        "cargo deny check bans licenses sources",
        Command::new(&program).args(rest),
    )?;
    Ok("  skipped      cargo deny check advisories: the database cannot be reached, offline\n")
}

const TOOLS: &str = "target/tools";
const DENY_VERSION: &str = "0.20.2";

/// Lines of code per crate, and the largest program file.
fn sizes(files: &[File]) -> String {
    let mut crates: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let folder = crate_of(&file.path, files);
        crates.entry(folder).or_default()[usize::from(file.test)] += file.code_lines();
    }
    let mut text = String::from("  lines of code   program    tests\n");
    let total = crates
        .values()
        .fold([0, 0], |sum, each| [sum[0] + each[0], sum[1] + each[1]]);
    for (name, [program, test]) in crates.into_iter().chain([("total", total)]) {
        text += &format!("  {name:<15} {program:>7}  {test:>7}\n");
    }
    let program = files.iter().filter(|file| file.is_rust() && !file.test);
    if let Some(largest) = program.max_by_key(|file| file.code_lines()) {
        text += &format!(
            "  largest file: {} with {} lines of code",
            largest.path,
            largest.code_lines()
        );
    }
    text
}

/// The folder of the crate that holds `path`.
fn crate_of<'a>(path: &'a str, files: &[File]) -> &'a str {
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    let is_crate = |folder: &&str| {
        files
            .iter()
            .any(|file| file.path.strip_suffix("/Cargo.toml") == Some(*folder))
    };
    folders.rev().find(is_crate).unwrap_or("other")
}
