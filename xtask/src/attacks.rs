//! `cargo xtask attacks` and `cargo xtask soak`: scripted attackers against the real binary, in network namespaces of their own.

use crate::faults::ground::namespaces_possible;
use crate::interop::peers::{self, Language, Missing};
use crate::programs;
use crate::steps::{Steps, cargo, quiet};
use clap::ValueEnum;
use std::process::Command;

/// Builds the binary, the attackers and the other stacks' nodes that are asked for, and lets the attackers loose: `role` is
/// `run`, for a judgement of each, or `soak`.
pub(crate) fn run(role: &str, args: &[String]) -> Result<(), String> {
    if !args.iter().any(|arg| arg == "--help" || arg == "-h") {
        namespaces_possible()?;
    }
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
    for language in foreign(args) {
        peers::install(language, &mut steps).map_err(|missing| match missing {
            Missing::Tool(tool) => format!("`{tool}` is missing"),
            Missing::Failed(why) => why,
        })?;
    }
    let release = programs::release();
    let mut attacks = Command::new(release.join("carrick-attacks"));
    attacks
        .arg(role)
        .arg("--carrick")
        .arg(release.join("carrick"));
    steps.run(role, attacks.args(args))
}

/// The stacks behind `--stack`, but for Carrick.
fn foreign(args: &[String]) -> Vec<Language> {
    let mut named = args.iter().skip_while(|arg| !arg.starts_with("--stack"));
    let names = match named.next().map(|arg| arg.split_once('=')) {
        Some(Some((_, names))) => names,
        Some(None) => named.next().map_or("", String::as_str),
        None => "",
    };
    let languages = names.split(',').map(|name| Language::from_str(name, false));
    languages.filter_map(Result::ok).collect()
}
