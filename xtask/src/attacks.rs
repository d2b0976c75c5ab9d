//! `cargo xtask attacks`: scripted attackers against the real binary, in network namespaces of their own.

use crate::steps::{Steps, cargo, quiet};
use std::path::Path;
use std::process::Command;

/// Builds the binary and the attackers, and lets them loose.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut steps = Steps::default();
    let build = [
        "build",
        "--release",
        "--package",
        "carrick-cli",
        "--package",
        "carrick-attacks",
    ];
    steps.run("build carrick and attacks/", quiet(&mut cargo(&build)))?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let release = Path::new(&target).join("release");
    let mut attacks = Command::new(release.join("carrick-attacks"));
    attacks
        .arg("run")
        .arg("--carrick")
        .arg(release.join("carrick"));
    steps.run("attacks", attacks.args(args))
}
