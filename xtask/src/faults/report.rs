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
    /// Whether it is for the scorecard: a scene is not, but the sum of all.
    pub(super) fn is_figure(&self) -> bool {
        self.unit == "KiB/s" || self.unit == SUM
    }

    pub(super) fn json(&self) -> Value {
        let mut object = json!({
            "row": self.row,
            "stack": self.stack,
            "figure": self.figure,
            "value": (self.value * 1000.0).round() / 1000.0,
            "unit": self.unit,
            "target": self.target,
            "pass": self.pass.unwrap_or(true),
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

/// One line for all of these: how many of them passed, and which did not.
pub(super) fn sum(row: u64, figure: &str, target: &str, lines: &[&Line]) -> Line {
    let failed = lines.iter().filter(|line| line.pass == Some(false));
    let failed: Vec<_> = failed
        .map(|line| format!("{}: {}", line.figure, line.detail))
        .collect();
    let (passed, of) = (lines.len() - failed.len(), lines.len());
    Line {
        row,
        stack: "carrick".to_owned(),
        figure: figure.to_owned(),
        value: 100.0 * passed as f64 / of.max(1) as f64,
        unit: SUM,
        target: target.to_owned(),
        pass: Some(passed == of),
        spread: None,
        detail: format!("{passed} of {of}; {}", failed.join("; ")),
    }
}

/// Of scenes that hold.
const SUM: &str = "%";
