//! The stored counts: a text file with one line per path, so that a review sees each change. What decides about them
//! besides our code, the compiler and the machine, stands in its head.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Counts of two of these that differ are not comparable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// As `rustc --version` says it.
    pub(super) rustc: String,
    /// Architecture, what the processor can, libc.
    pub(super) machine: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Baseline {
    pub(super) environment: Environment,
    pub(super) counts: BTreeMap<String, u64>,
}

impl Baseline {
    pub(super) fn new(
        environment: Environment,
        counts: impl IntoIterator<Item = (String, u64)>,
    ) -> Self {
        Self {
            environment,
            counts: counts.into_iter().collect(),
        }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        writeln!(f, "{RUSTC}{}", self.environment.rustc)?;
        writeln!(f, "{MACHINE}{}", self.environment.machine)?;
        for (name, count) in &self.counts {
            writeln!(f, "{name:<24}{count:>12}")?;
        }
        Ok(())
    }
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut baseline = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(rustc) = line.strip_prefix(RUSTC) {
                rustc.clone_into(&mut baseline.environment.rustc);
            } else if let Some(machine) = line.strip_prefix(MACHINE) {
                machine.clone_into(&mut baseline.environment.machine);
            } else {
                let (name, count) = line.rsplit_once(' ').ok_or_else(|| not_a_line(line))?;
                let count = count.parse().map_err(|_| not_a_line(line))?;
                let name = name.trim().to_owned();
                baseline.counts.insert(name, count);
            }
        }
        Ok(baseline)
    }
}

fn not_a_line(line: &str) -> String {
    format!("`{line}` is not a path and its count")
}

const TITLE: &str =
    "# Instructions of one operation of each path. `cargo xtask count --bless` writes this file.";
const RUSTC: &str = "compiler: ";
const MACHINE: &str = "machine: ";

#[cfg(test)]
mod tests;
