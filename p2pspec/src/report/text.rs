//! Results for people: a line per case as it is done, what failed in full, and the counts.

use std::fmt::Write;

use crate::{
    case::{Case, Level, Outcome},
    run::{Done, Report},
};

/// One line.
pub fn line(done: &Done) -> String {
    let Done {
        case,
        outcome,
        took,
        ..
    } = done;
    format!(
        "{:4} {:8} {}: {} ({:.1} s)",
        outcome.name(),
        case.rule.level.name(),
        case.id,
        match outcome {
            Outcome::Pass(_) => case.title,
            other => other.detail(),
        },
        took.as_secs_f64()
    )
}

/// What a case is, for `--list`.
pub fn describe(case: &Case) -> String {
    let rule = &case.rule;
    format!(
        "{} ({})\n    {}\n    {}, \"{}\": {}\n    sends {}; accepts {}\n",
        case.id,
        rule.level.name(),
        case.title,
        rule.document,
        rule.section,
        rule.says,
        case.sends,
        case.accepts
    )
}

/// What failed, the counts, and whether the node still answers.
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    for done in &report.done {
        let Outcome::Fail(seen) = &done.outcome else {
            continue;
        };
        let rule = &done.case.rule;
        let _ = write!(
            text,
            "\n{} ({}): {}\n  rule     {}, \"{}\": {}\n  sent     {}\n  wanted   {}\n  seen     {seen}\n",
            done.case.id,
            rule.level.name(),
            done.case.title,
            rule.document,
            rule.section,
            rule.says,
            done.case.sends,
            done.case.accepts,
        );
    }
    text += "\n           pass  fail  skip\n";
    for level in [Level::Must, Level::Should, Level::Practice] {
        let of = |outcome| report.count(outcome, |case| case.rule.level == level);
        let _ = writeln!(
            text,
            "  {:8} {:5} {:5} {:5}",
            level.name(),
            of("pass"),
            of("fail"),
            of("skip")
        );
    }
    if report.unasked > 0 {
        let _ = writeln!(
            text,
            "  {} cases were not asked: the time was over",
            report.unasked
        );
    }
    if report.restarts > 0 {
        let ended = report.done.iter().filter(|done| done.ended.is_some());
        let _ = writeln!(
            text,
            "  the listener was started anew {} times; {} cases end its process, each by itself",
            report.restarts,
            ended.count()
        );
    }
    for (address, why) in &report.alive {
        let verdict = why.as_ref().map_or_else(
            || "still answers a ping".to_owned(),
            |why| {
                format!(
                    "NO LONGER ANSWERS: {why}; cases that it did not take a connection for have failed \
                     for that alone (--listener would start it anew)"
                )
            },
        );
        let _ = writeln!(text, "  {address} {verdict}");
    }
    text
}
