//! Results for programs: one JSON object.

use serde_json::{Value, json};

use crate::{
    case::Level,
    run::{Done, Report},
};

/// The whole of a run; `agent` is what the node calls itself.
pub fn report(report: &Report, agent: Option<&str>) -> Value {
    let level = |level: Level| {
        let of = |outcome| report.count(outcome, |case| case.rule.level == level);
        json!({ "pass": of("pass"), "fail": of("fail"), "skip": of("skip") })
    };
    let alive = report.alive.iter();
    let alive = alive.map(|(address, why)| json!({ "address": address, "failure": why }));
    json!({
        "program": "p2pspec",
        "version": env!("CARGO_PKG_VERSION"),
        "agent": agent,
        "counts": {
            "must": level(Level::Must),
            "should": level(Level::Should),
            "practice": level(Level::Practice),
        },
        "alive": alive.collect::<Vec<_>>(),
        "listener_restarts": report.restarts,
        "unasked": report.unasked,
        "cases": report.done.iter().map(case).collect::<Vec<_>>(),
    })
}

fn case(done: &Done) -> Value {
    let (case, rule) = (done.case, &done.case.rule);
    json!({
        "id": case.id,
        "title": case.title,
        "document": rule.document,
        "section": rule.section,
        "level": rule.level.name(),
        "says": rule.says,
        "sends": case.sends,
        "accepts": case.accepts,
        "outcome": done.outcome.name(),
        "seen": done.outcome.detail(),
        "milliseconds": done.took.as_millis() as u64,
        "address": done.address,
        "listener_ended": done.ended,
    })
}
