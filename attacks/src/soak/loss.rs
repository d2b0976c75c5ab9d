//! Packets that get lost on the cable: a filter of the kernel's at both ends that draws a number for each.

use std::process::Command;

use crate::ground::Ground;

/// Loses this percentage of what arrives at either end.
pub(super) fn lose(ground: &Ground, percent: f64) -> Result<(), String> {
    let threshold = (percent.clamp(0.0, 100.0) / 100.0 * f64::from(u32::MAX)) as u32;
    // Classic BPF: load a random number; below the threshold the packet is dropped, else it passes.
    let program = format!("4,32 0 0 4294963256,53 0 1 {threshold},6 0 0 0,6 0 0 2");
    for namespace in [ground.victim(), ground.outside()] {
        let queue = ["qdisc", "add", "dev", "cable", "clsact"];
        tc(namespace, &queue)?;
        let filter = ["filter", "add", "dev", "cable", "ingress", "bpf", "da"];
        tc(namespace, &[&filter[..], &["bytecode", &program]].concat())?;
    }
    Ok(())
}

fn tc(namespace: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new("tc")
        .args(["-netns", namespace])
        .args(words)
        .output();
    let output = output.map_err(|error| format!("cannot run `tc`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("`tc {}` failed: {}", words.join(" "), why.trim()))
}
