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
            detail: spread(&value).unwrap_or_else(|| text("detail")),
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

/// A number with a digit behind its point if it has any, or a text as it is.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        number => match number.as_f64() {
            Some(float) if float.fract() != 0.0 => format!("{float:.1}"),
            _ => number.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"row":5,"figure":"p99","value":1.4,"unit":"x","target":"<= 2","pass":true,"stack":"carrick","min":1.2,"max":1.6,"runs":5}"#;

    #[test]
    fn a_figure_is_found_among_other_lines_and_survives_the_history() {
        let found = parse(&format!("building\n{LINE}\n{{\"row\":5}}\n"));
        assert_eq!(found.len(), 1);
        let again = Outcome::parse(&found[0].json().to_string()).unwrap();
        assert_eq!((again.row, again.detail.as_str()), (5, "1.2–1.6 in 5 runs"));
        assert!(again.pass && again.is_ours());
    }

    #[test]
    fn a_verdict_is_never_assumed() {
        assert!(Outcome::parse(&LINE.replace("\"pass\":true,", "")).is_none());
        assert!(Outcome::parse(&LINE.replace("\"row\":5", "\"row\":500")).is_none());
    }

    #[test]
    fn passed_tests_are_counted_over_all_their_programs() {
        let text = "test result: ok. 3 passed; 0 failed\ntest result: ok. 4 passed;\ntest result: FAILED. 9 passed;";
        assert_eq!(tests_passed(text), 7);
    }
}
