//! What was counted beside what the baseline says, for people and for programs, and whether it is good.
//!
//! A drift fails only where the same compiler made the same code for the same machine: elsewhere the comparison is shown and
//! says that it is none. Costs that grow with what is idle fail everywhere.

use super::SCALES;
use super::baseline::{Baseline, Environment};
use super::callgrind::Kind;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A change that a review must see, in percent.
const DRIFT_MAX: u64 = 5;
/// How much an operation among 10,000 may differ from one alone, in percent.
const SLOPE_MAX: u64 = 10;
/// How much deeper a tree of 10,000 is than one of 1,000, in percent. What looks at each of them grows tenfold.
const DEPTH_MAX: u64 = 33;
const AGAIN: &str = "cargo xtask count --bless";

/// All that one run has to say.
pub(super) struct Report {
    pub(super) drift: Drift,
    pub(super) slopes: Vec<Slope>,
    /// Whether the spreads mean something.
    pub(super) repeated: bool,
}

/// The paths beside their baseline.
pub(super) struct Drift {
    rows: Vec<Row>,
    /// Paths of the baseline that no case has.
    gone: Vec<String>,
    /// Why the two cannot be compared.
    incomparable: Option<String>,
}

struct Row {
    name: String,
    count: u64,
    spread: f64,
    baseline: Option<u64>,
}

/// The counts of one operation among [`SCALES`].
pub(super) struct Slope {
    pub(super) name: String,
    pub(super) counts: Vec<u64>,
    kind: Kind,
}

/// The first round's counts, and how far the smallest and the largest of each lie apart, as a part of the smallest.
pub(super) fn rounds(rounds: &[Vec<u64>]) -> (Vec<u64>, Vec<f64>) {
    let first = rounds.first().cloned().unwrap_or_default();
    let spread = |at: usize| {
        let all = || rounds.iter().filter_map(|round| round.get(at));
        let (min, max) = (all().min().copied(), all().max().copied());
        ratio(max.unwrap_or_default(), min.unwrap_or_default()) - 1.0
    };
    let spreads = (0..first.len()).map(spread).collect();
    (first, spreads)
}

impl Drift {
    /// `all`: whether no case was left out, so that what is missing is gone.
    pub(super) fn new(
        baseline: &Baseline,
        environment: &Environment,
        paths: &[(String, u64, f64)],
        all: bool,
    ) -> Self {
        let rows = paths.iter().map(|(name, count, spread)| Row {
            name: name.clone(),
            count: *count,
            spread: *spread,
            baseline: baseline.counts.get(name).copied(),
        });
        let known = |name: &String| paths.iter().any(|(path, ..)| path == name);
        let gone = baseline.counts.keys().filter(|name| all && !known(name));
        let of = &baseline.environment;
        let differs = [
            (&of.rustc, &environment.rustc),
            (&of.machine, &environment.machine),
        ];
        let differs = differs.into_iter().find(|(then, now)| then != now);
        Self {
            rows: rows.collect(),
            gone: gone.cloned().collect(),
            incomparable: differs.map(|(then, now)| format!("baseline: {then}; here: {now}")),
        }
    }

    /// What a review has to look at.
    fn findings(&self) -> Vec<String> {
        let drifted = self.rows.iter().filter_map(|row| {
            let Some(baseline) = row.baseline else {
                return Some(format!("{} has no baseline", row.name));
            };
            let (name, count) = (&row.name, row.count);
            let change = 100.0 * row.change()?;
            row.drifts()
                .then(|| format!("{name}: {change:+.1} % ({baseline} → {count})"))
        });
        let gone = self.gone.iter().map(|name| format!("{name} is gone"));
        drifted.chain(gone).collect()
    }
}

impl Row {
    fn change(&self) -> Option<f64> {
        Some(ratio(self.count, self.baseline?) - 1.0)
    }

    /// Also when there is nothing to compare it with.
    fn drifts(&self) -> bool {
        self.baseline
            .is_none_or(|baseline| differs(self.count, baseline, DRIFT_MAX))
    }
}

impl Slope {
    pub(super) fn new(kind: Kind, name: &str, first: u64) -> Self {
        Self {
            name: name.to_owned(),
            counts: vec![first],
            kind,
        }
    }

    /// What its kind compares: few and most.
    fn ends(&self) -> (u64, u64) {
        let few = match self.kind {
            Kind::Tree => self.counts.iter().nth_back(1),
            Kind::Path | Kind::Flat => self.counts.first(),
        };
        let most = self.counts.last();
        (*few.unwrap_or(&0), *most.unwrap_or(&0))
    }

    fn ratio(&self) -> f64 {
        let (few, most) = self.ends();
        ratio(most, few)
    }

    fn is_good(&self) -> bool {
        let (few, most) = self.ends();
        match self.kind {
            Kind::Tree => most <= few || !differs(most, few, DEPTH_MAX),
            Kind::Path | Kind::Flat => !differs(most, few, SLOPE_MAX),
        }
    }

    fn wanted(&self) -> String {
        match self.kind {
            Kind::Tree => format!("10,000 : 1,000 at most {DEPTH_MAX} % more"),
            Kind::Path | Kind::Flat => format!("10,000 : 1 within {SLOPE_MAX} %"),
        }
    }
}

impl Report {
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        if !self.drift.rows.is_empty() {
            let spread = if self.repeated { "   spread" } else { "" };
            let _ = writeln!(
                text,
                "{:<26}{:>14}{:>14}{:>10}{spread}",
                "instructions of one", "now", "baseline", "change"
            );
        }
        for row in &self.drift.rows {
            let dash = || "-".to_owned();
            let baseline = row.baseline.map_or_else(dash, |count| count.to_string());
            let percent = |change| format!("{:+.1} %", 100.0 * change);
            let shown = row.change().map_or_else(dash, percent);
            let (name, count) = (&row.name, row.count);
            let _ = write!(text, "{name:<26}{count:>14}{baseline:>14}{shown:>10}");
            if self.repeated {
                let _ = write!(text, "{:>7.2} %", 100.0 * row.spread);
            }
            text += if row.drifts() { "  <--\n" } else { "\n" };
        }
        if !self.slopes.is_empty() {
            let _ = write!(text, "\n{:<30}", "instructions of one among idle");
            for scale in SCALES {
                let _ = write!(text, "{scale:>10}");
            }
            let _ = writeln!(text, "{:>8}  wanted", "ratio");
        }
        for row in &self.slopes {
            let _ = write!(text, "{:<30}", row.name);
            for count in &row.counts {
                let _ = write!(text, "{count:>10}");
            }
            let mark = if row.is_good() { "" } else { "  <--" };
            let _ = writeln!(text, "{:>8.2}  {}{mark}", row.ratio(), row.wanted());
        }
        text + "\n" + &self.line() + "\n"
    }

    fn line(&self) -> String {
        let (paths, slopes) = (self.drift.rows.len(), self.slopes.len());
        let drifted = self.drift.findings().len();
        let steep = self.slopes.iter().filter(|row| !row.is_good()).count();
        let line = format!(
            "count: {paths} paths, {drifted} off their baseline by more than {DRIFT_MAX} %; \
             {slopes} costs among many, {steep} of them too high"
        );
        match &self.drift.incomparable {
            Some(why) => format!("{line}\ncount: NOT COMPARABLE, {why}"),
            None => line,
        }
    }

    pub(super) fn json(&self) -> Value {
        let path = |row: &Row| {
            json!({
                "name": row.name, "instructions": row.count, "baseline": row.baseline,
                "change": row.change(), "spread": self.repeated.then_some(row.spread),
            })
        };
        let slope = |row: &Slope| {
            json!({
                "name": row.name, "instructions": row.counts, "ratio": row.ratio(), "good": row.is_good(),
            })
        };
        json!({
            "comparable": self.drift.incomparable.is_none(),
            "paths": self.drift.rows.iter().map(path).collect::<Vec<_>>(),
            "idle": SCALES,
            "among_idle": self.slopes.iter().map(slope).collect::<Vec<_>>(),
        })
    }

    /// An error names each path and what to do about it.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let mut findings = Vec::new();
        if self.drift.incomparable.is_none() {
            findings = self.drift.findings();
        }
        if !findings.is_empty() {
            findings.push(format!(
                "if that is meant, `{AGAIN}` and commit {}",
                super::BASELINE
            ));
        }
        for row in self.slopes.iter().filter(|row| !row.is_good()) {
            let (name, ratio, wanted) = (&row.name, row.ratio(), row.wanted());
            findings.push(format!("{name}: {ratio:.2}, wanted is {wanted}"));
        }
        match findings.is_empty() {
            true => Ok(()),
            false => Err(format!("count:\n  {}", findings.join("\n  "))),
        }
    }
}

/// By more than so many percent of the second.
fn differs(one: u64, other: u64, percent: u64) -> bool {
    100 * one.abs_diff(other) > percent * other
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests;
