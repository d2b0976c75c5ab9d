//! What libFuzzer, and the program around it, wrote about one run.

use super::build::Known;
use std::path::{Path, PathBuf};

/// One target's run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) executions: u64,
    pub(super) seconds: u64,
    /// Edges of the code that were reached.
    pub(super) edges: u64,
    /// Inputs that each reach something that the others do not.
    pub(super) inputs: u64,
    pub(super) peak_mb: u64,
    /// Of the slowest input, and of the one that took most memory.
    pub(super) slowest_us: u64,
    pub(super) largest: u64,
    /// Why it ended, unless it ended well.
    pub(super) failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What was said first.
    pub(super) what: String,
    pub(super) input: Option<PathBuf>,
    pub(super) log: PathBuf,
}

impl Run {
    pub(super) fn new(target: &Known, ok: bool, text: &str, log: &Path) -> Self {
        let last = |prefix| {
            let mut rest = text
                .lines()
                .rev()
                .filter_map(|line| Some(line.split_once(prefix)?.1));
            rest.find_map(first_number).unwrap_or(0)
        };
        let input = text
            .lines()
            .find_map(|line| Some(line.split_once("Test unit written to ")?.1));
        let lines = || {
            text.lines()
                .skip_while(|line| !line.contains("panicked at"))
        };
        let error = text.lines().find(|line| line.contains("ERROR: libFuzzer"));
        Self {
            kind: target.kind.clone(),
            name: target.name.clone(),
            executions: last("stat::number_of_executed_units:"),
            seconds: last("runs in ").max(1),
            edges: last("cov: "),
            inputs: last("corp: "),
            peak_mb: last("stat::peak_rss_mb:"),
            slowest_us: last("slowest input, us: "),
            largest: last("largest input, bytes: "),
            failure: (!ok).then(|| Failure {
                what: lines()
                    .nth(1)
                    .or(error)
                    .unwrap_or("it ended without a word")
                    .to_owned(),
                input: input.map(PathBuf::from),
                log: log.to_owned(),
            }),
        }
    }

    /// For people to follow.
    pub(super) fn line(&self) -> String {
        let Self {
            name,
            executions,
            edges,
            ..
        } = self;
        let verdict = if self.failure.is_some() {
            "FAILED"
        } else {
            "ok"
        };
        format!("{name}: {verdict}, {executions} executions, {edges} edges")
    }
}

/// The number that a text begins with, apart from blanks.
fn first_number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}
