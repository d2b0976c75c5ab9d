//! `cargo xtask kills`: peers that die at every step, and what the others notice.

use crate::programs;
use crate::steps::{Steps, cargo, quiet};
use std::process::Command;

/// Builds the victims and kills them.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut steps = Steps::default();
    let build = ["build", "--release", "--package", "carrick-kills"];
    steps.run("build kills/", quiet(&mut cargo(&build)))?;
    let program = programs::release().join("carrick-kills");
    steps.run("kills", Command::new(program).arg("run").args(args))
}
