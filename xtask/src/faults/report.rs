//! A line of the scorecard, for people and for programs.

use serde_json::{Value, json};

/// One figure beside what it has to be.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) row: u64,
    pub(super) stack: String,
    pub(super) figure: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) target: String,
    /// Nothing where there is no target: a rival's figure.
    pub(super) pass: Option<bool>,
    /// Runs, least and most, where there were several.
    pub(super) spread: Option<(usize, f64, f64)>,
    pub(super) detail: String,
}

impl Line {
    pub(super) fn json(&self) -> Value {
        let mut object = json!({
            "row": self.row,
            "stack": self.stack,
            "figure": self.figure,
            "value": (self.value * 1000.0).round() / 1000.0,
            "unit": self.unit,
            "target": self.target,
            "pass": self.pass,
            "detail": self.detail,
        });
        if let Some((runs, min, max)) = self.spread {
            object["runs"] = runs.into();
            object["min"] = min.into();
            object["max"] = max.into();
        }
        object
    }

    pub(super) fn text(&self) -> String {
        let mark = match self.pass {
            Some(true) => '✔',
            Some(false) => '✘',
            None => ' ',
        };
        let value = format!("{:.3} {}", self.value, self.unit);
        format!(
            "{mark} row {:<3} {:<52} {:>16}  {}  {}",
            self.row, self.figure, value, self.target, self.detail
        )
    }
}

/// One line for all that have something in common: how many of them passed.
pub(super) fn sum(row: u64, figure: &str, target: &str, passes: &[bool]) -> Line {
    let passed = passes.iter().filter(|pass| **pass).count();
    Line {
        row,
        stack: "carrick".to_owned(),
        figure: figure.to_owned(),
        value: 100.0 * passed as f64 / passes.len().max(1) as f64,
        unit: "%",
        target: target.to_owned(),
        pass: Some(passed == passes.len()),
        spread: None,
        detail: format!("{passed} of {}", passes.len()),
    }
}
