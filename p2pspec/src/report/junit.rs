//! Results for continuous integration: JUnit's XML, a suite per specification.

use std::fmt::Write;

use crate::{
    case::Outcome,
    run::{Done, Report},
};

/// The document.
pub fn document(report: &Report) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"p2pspec\">\n");
    let suites: Vec<_> = report.done.chunk_by(|a, b| suite(a) == suite(b)).collect();
    for cases in suites {
        let of = |outcome: &str| {
            cases
                .iter()
                .filter(|done| done.outcome.name() == outcome)
                .count()
        };
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">",
            cases.first().map_or("", suite),
            cases.len(),
            of("fail"),
            of("skip")
        );
        for done in cases {
            let _ = writeln!(text, "    {}", element(done));
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

fn suite(done: &Done) -> &'static str {
    let id = done.case.id;
    id.split_once('/').map_or(id, |(suite, _)| suite)
}

fn element(done: &Done) -> String {
    let head = format!(
        "<testcase classname=\"p2pspec.{}\" name=\"{}\" time=\"{:.3}\">",
        suite(done),
        escape(done.case.id),
        done.took.as_secs_f64()
    );
    let rule = &done.case.rule;
    let inner = match &done.outcome {
        Outcome::Pass(seen) => format!("<system-out>{}</system-out>", escape(seen)),
        Outcome::Skip(why) => format!("<skipped message=\"{}\"/>", escape(why)),
        Outcome::Fail(seen) => format!(
            "<failure type=\"{}\" message=\"{}\">{}</failure>",
            rule.level.name(),
            escape(seen),
            escape(&format!(
                "{}, {}: {}. Sent: {}. Wanted: {}.",
                rule.document, rule.section, rule.says, done.case.sends, done.case.accepts
            ))
        ),
    };
    format!("{head}{inner}</testcase>")
}

/// Control characters have no place in XML 1.0, escaped or not.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            other if other.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
