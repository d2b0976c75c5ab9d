//! What was measured, and when: a file of the repository with a JSON object a line, of which the last of each figure counts.

use super::outcome::{self, Outcome};
use super::rows::ROWS;
use crate::source;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

const FILE: &str = "docs/score.jsonl";

/// All that is on record.
pub(super) struct History {
    file: PathBuf,
    all: Vec<Outcome>,
}

impl History {
    /// Reads it; a missing file is an empty one.
    pub(super) fn read() -> Result<Self, String> {
        let file = source::root().join(FILE);
        let text = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{FILE}: {error}"));
            }
            text => text.unwrap_or_default(),
        };
        let all = outcome::parse(&text);
        Ok(Self { file, all })
    }

    /// Puts figures on record, with the commit and the day; the present commit, unless it is said `at` which they were taken.
    pub(super) fn add(
        &mut self,
        found: Vec<Outcome>,
        at: Option<&str>,
        form: &str,
    ) -> Result<(), String> {
        let commit = said("git", &["rev-parse", "--short", at.unwrap_or("HEAD")])?;
        let when = format!("{commit} {} {form}", said("date", &["-u", "+%F"])?);
        let new = found.into_iter().map(|outcome| Outcome {
            when: when.clone(),
            ..outcome
        });
        self.all.extend(new);
        let lines = self
            .all
            .iter()
            .map(|outcome| format!("{}\n", outcome.json()));
        let text: String = lines.collect();
        std::fs::write(&self.file, text).map_err(|error| format!("{FILE}: {error}"))
    }

    /// The last of each figure, by row.
    pub(super) fn card(&self) -> BTreeMap<u8, Vec<Outcome>> {
        let mut card = BTreeMap::<u8, Vec<Outcome>>::new();
        for outcome in &self.all {
            let row = card.entry(outcome.row).or_default();
            row.retain(|other| (&other.figure, &other.stack) != (&outcome.figure, &outcome.stack));
            row.push(outcome.clone());
        }
        card
    }
}

/// A line for each figure, and for each row without one.
pub(super) fn table(card: &BTreeMap<u8, Vec<Outcome>>) -> String {
    let mut text = String::new();
    for row in ROWS {
        let _ = writeln!(text, "{:>2}  {}: {}", row.number, row.promise, row.target);
        let Some(outcomes) = card.get(&row.number) else {
            let _ = writeln!(text, "      --    not run");
            continue;
        };
        for outcome in outcomes {
            let verdict = if outcome.pass { "ok  " } else { "FAIL" };
            let value = outcome::shown(&outcome.value);
            let wanted = if outcome.pass || outcome.target.is_empty() {
                String::new()
            } else {
                format!(", wanted {}", outcome.target)
            };
            let _ = writeln!(
                text,
                "      {verdict}  {:<12} {}: {value} {}{wanted}  {}  ({})",
                outcome.stack, outcome.figure, outcome.unit, outcome.detail, outcome.when
            );
        }
    }
    text
}

fn said(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("cannot run `{program}`: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
