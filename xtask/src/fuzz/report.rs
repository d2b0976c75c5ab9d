//! A table of runs, the scorecard's rows 15 and 16, and the verdict.

use super::{ledger::Ledger, log::Run};
use std::fmt::Write as _;

pub(super) fn table(runs: &[Run], ledger: &Ledger) -> String {
    let mut text = format!(
        "{:<13} {:<26} {:>11} {:>9} {:>6} {:>6} {:>5} {:>9} {:>9} {:>13}\n",
        "kind",
        "target",
        "executions",
        "per s",
        "edges",
        "inputs",
        "MB",
        "slowest",
        "largest",
        "ever"
    );
    for run in runs {
        let Run {
            kind,
            name,
            executions,
            edges,
            inputs,
            peak_mb,
            ..
        } = run;
        let _ = writeln!(
            text,
            "{kind:<13} {name:<26} {executions:>11} {:>9} {edges:>6} {inputs:>6} {peak_mb:>5} {:>6} us {:>6} kB {:>13}{}",
            executions / run.seconds,
            run.slowest_us,
            run.largest >> 10,
            ledger.row(name).executions,
            if run.failure.is_some() {
                "  FAILED"
            } else {
                ""
            },
        );
    }
    for (kind, executions) in KINDS.map(|kind| (kind, ledger.total(kind))) {
        let _ = writeln!(text, "{kind} targets, ever: {executions} executions");
    }
    text
}

pub(super) fn json(runs: &[Run], ledger: &Ledger) -> String {
    let decoders = runs.iter().filter(|run| run.kind == "decoder");
    let slowest = decoders.map(|run| run.slowest_us).max().unwrap_or(0);
    let failed = |kind: &[&str]| {
        let failed = runs.iter().filter(|run| run.failure.is_some());
        failed.filter(|run| kind.contains(&&*run.kind)).count() as u64
    };
    let [decoders, machines, compared] = KINDS.map(|kind| ledger.total(kind));
    let rows = [
        (
            15,
            "targets with a crash, a slow or a large input",
            failed(&["decoder", "machine"]),
            "",
            "0",
        ),
        (15, "slowest input of a decoder", slowest, "us", "<= 10000"),
        (
            15,
            "executions of decoders, ever",
            decoders,
            "",
            ">= 1000000000",
        ),
        (
            15,
            "executions of machines, ever",
            machines,
            "",
            ">= 100000000",
        ),
        (
            16,
            "inputs that our decoders and others' decided on, ever",
            compared,
            "",
            ">= 10000000",
        ),
        (
            16,
            "targets with a disagreement that is not explained",
            failed(&["differential"]),
            "",
            "0",
        ),
    ];
    let mut text = String::new();
    for (row, figure, value, unit, target) in rows {
        let object = serde_json::json!({
            "row": row, "figure": figure, "value": value, "unit": unit, "target": target,
            "pass": meets(value, target), "stack": "carrick", "runs": 1,
        });
        let _ = writeln!(text, "{object}");
    }
    text
}

/// Whether a value is what a target such as `>= 3` asks for.
pub(super) fn meets(value: u64, target: &str) -> bool {
    match target.split_once(' ') {
        Some((">=", least)) => least.parse().is_ok_and(|least: u64| value >= least),
        Some(("<=", most)) => most.parse().is_ok_and(|most: u64| value <= most),
        _ => target.parse().is_ok_and(|just: u64| value == just),
    }
}

/// Everything that failed, each with the way to see it again.
pub(super) fn verdict(runs: &[Run]) -> Result<(), String> {
    let mut text = String::new();
    for run in runs {
        let Some(failure) = &run.failure else {
            continue;
        };
        let _ = write!(text, "{} failed: {}; ", run.name, failure.what);
        let _ = match &failure.input {
            Some(input) => {
                let input = input.display();
                writeln!(
                    text,
                    "again: cargo xtask fuzz --target {} --input {input}",
                    run.name
                )
            }
            None => writeln!(text, "see {}", failure.log.display()),
        };
    }
    if text.is_empty() { Ok(()) } else { Err(text) }
}

const KINDS: [&str; 3] = ["decoder", "machine", "differential"];
