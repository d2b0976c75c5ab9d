//! One figure of the scorecard, as tools print it and as the history keeps it: a JSON object a line.

use super::rows::Row;
use serde_json::{Value, json};

/// One figure.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) row: u8,
    pub(super) figure: String,
    /// A number or a text.
    pub(super) value: Value,
    pub(super) unit: String,
    pub(super) target: String,
    pub(super) pass: bool,
    /// Whose figure it is: `carrick`, or a rival.
    pub(super) stack: String,
    pub(super) detail: String,
    /// The commit, the day and the form of the run; empty until it is on record.
    pub(super) when: String,
}

impl Outcome {
    /// A row's only figure.
    pub(super) fn of(row: &Row, value: Value, unit: &str, pass: bool) -> Self {
        Self {
            row: row.number,
            figure: row.promise.to_owned(),
            value,
            unit: unit.to_owned(),
            target: row.target.to_owned(),
            pass,
            stack: "carrick".to_owned(),
            detail: String::new(),
            when: String::new(),
        }
    }

    /// Whether it is about us: a rival's figure is shown, and makes nothing red.
    pub(super) fn is_ours(&self) -> bool {
        self.stack == "carrick"
    }

    /// One line of the history.
    pub(super) fn json(&self) -> Value {
        json!({
            "row": self.row, "figure": self.figure, "value": self.value, "unit": self.unit, "target": self.target,
            "pass": self.pass, "stack": self.stack, "detail": self.detail, "when": self.when,
        })
    }

    /// From a line that a tool has printed; `None` if it is about something else.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Some(Self {
            row: value["row"].as_u64()?.try_into().ok()?,
            figure: value["figure"].as_str()?.to_owned(),
            value: value.get("value")?.clone(),
            unit: text("unit"),
            target: text("target"),
            pass: value["pass"].as_bool()?,
            stack: value["stack"].as_str()?.to_owned(),
            detail: [spread(&value).unwrap_or_default(), text("detail")]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
            when: text("when"),
        })
    }
}

/// The figures among what a tool has printed.
pub(super) fn parse(text: &str) -> Vec<Outcome> {
    text.lines().filter_map(Outcome::parse).collect()
}

/// How many tests cargo says have passed.
pub(super) fn tests_passed(text: &str) -> u64 {
    let results = text
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "));
    let counts = results.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

/// Runs, lowest and highest, where a tool gives them.
fn spread(value: &Value) -> Option<String> {
    let (min, max) = (value.get("min")?, value.get("max")?);
    let runs = value
        .get("runs")
        .map_or(String::new(), |runs| format!(" in {runs} runs"));
    Some(format!("{}–{}{runs}", shown(min), shown(max)))
}

/// A number with a digit behind its point if it has any, up to two where it is small, or a text as it is.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        number => match number.as_f64() {
            Some(float) if float.fract() == 0.0 => format!("{float:.0}"),
            Some(float) if float.abs() < 10.0 => {
                let text = format!("{float:.2}");
                text.strip_suffix('0').unwrap_or(&text).to_owned()
            }
            Some(float) => format!("{float:.1}"),
            None => number.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
