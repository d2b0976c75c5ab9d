//! `fuzz/executions.tsv`: how often each target has run, ever: name, kind, executions, seconds.

use super::log::Run;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

const PATH: &str = "fuzz/executions.tsv";

/// What is recorded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger(BTreeMap<String, Row>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) executions: u64,
    pub(super) seconds: u64,
}

impl Ledger {
    pub(super) fn read() -> Result<Self, String> {
        Self::parse(&fs::read_to_string(PATH).unwrap_or_default())
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let row = |line: &str| {
            let [name, kind, numbers @ ..] = &line.split('\t').collect::<Vec<_>>()[..] else {
                return None;
            };
            let numbers: Option<Vec<_>> = numbers.iter().map(|text| text.parse().ok()).collect();
            let [executions, seconds] = numbers?[..] else {
                return None;
            };
            let kind = (*kind).to_owned();
            Some((
                (*name).to_owned(),
                Row {
                    kind,
                    executions,
                    seconds,
                },
            ))
        };
        let rows = text
            .lines()
            .map(|line| row(line).ok_or_else(|| format!("{PATH}: `{line}`")));
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }

    pub(super) fn add(&mut self, runs: &[Run]) {
        for run in runs {
            let row = self.0.entry(run.name.clone()).or_default();
            row.kind.clone_from(&run.kind);
            row.executions += run.executions;
            row.seconds += run.seconds;
        }
    }

    pub(super) fn row(&self, name: &str) -> Row {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// Executions of all targets of a kind.
    pub(super) fn total(&self, kind: &str) -> u64 {
        let rows = self.0.values().filter(|row| row.kind == kind);
        rows.map(|row| row.executions).sum()
    }

    pub(super) fn write(&self) -> Result<(), String> {
        fs::write(PATH, self.text()).map_err(|error| format!("{PATH}: {error}"))
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, row) in &self.0 {
            let Row {
                kind,
                executions,
                seconds,
            } = row;
            let _ = writeln!(text, "{name}\t{kind}\t{executions}\t{seconds}");
        }
        text
    }
}
