//! What a report has to say for a scene to pass, and each thing that turns it red.

use super::*;
use serde_json::json;

fn judged(must: Must, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let scene = Scene {
        row: 11,
        name: "a sample".to_owned(),
        transport: "tcp",
        road: String::new(),
        load: String::new(),
        acts: vec![],
        must,
    };
    let mut report = json!({
        "requests": 100, "done": 100, "wrong": 0, "hung": 0, "failed": 0, "errors": {},
        "longest_done_s": 2.5, "longest_failed_s": 0.0, "connections": [1, 1], "gaps_s": [1.0, 2.0],
    });
    change(&mut report);
    scene.judge(&report, &json!({})).wrong
}

const SURVIVE: Must = Must {
    survive: true,
    notice: false,
    gap_max: Some(Duration::from_secs(5)),
    frozen: false,
};

#[test]
fn a_load_that_ends_well_passes() {
    assert!(judged(SURVIVE, |_| ()).is_empty());
    assert!(judged(Must::default(), |_| ()).is_empty());
}

#[test]
fn other_bytes_silence_and_late_ends_are_always_wrong() {
    for (name, value) in [
        ("wrong", json!(1)),
        ("hung", json!(1)),
        ("done", json!(0)),
        ("longest_done_s", json!(30.1)),
        ("longest_failed_s", json!(30.1)),
        ("longest_failed_s", json!(null)),
    ] {
        let wrong = judged(Must::default(), |report| report[name] = value.clone());
        assert_eq!(wrong.len(), 1, "{name} {value}");
    }
}

#[test]
fn what_must_survive_may_not_fail_nor_lose_a_connection() {
    let failed = |report: &mut Value| report["failed"] = json!(1);
    let lost = |report: &mut Value| report["connections"] = json!([1, 2]);
    assert_eq!(judged(SURVIVE, failed), ["1 requests failed"]);
    assert_eq!(judged(SURVIVE, lost), ["a connection was lost"]);
    assert!(judged(Must::default(), failed).is_empty());
}

#[test]
fn a_fault_that_nobody_notices_was_none() {
    let must = Must {
        notice: true,
        ..Must::default()
    };
    assert_eq!(judged(must, |_| ()), ["the fault was not noticed"]);
    assert!(judged(must, |report| report["failed"] = json!(1)).is_empty());
}

#[test]
fn one_connection_in_twenty_may_be_late() {
    let gaps = |late: usize| {
        let gaps: Vec<_> = (0..20).map(|n| if n < late { 9.0 } else { 1.0 }).collect();
        move |report: &mut Value| report["gaps_s"] = json!(gaps)
    };
    assert!(judged(SURVIVE, gaps(1)).is_empty());
    assert_eq!(judged(SURVIVE, gaps(2)).len(), 1);
}

#[test]
fn a_program_that_stood_still_may_end_its_requests_late() {
    let must = Must {
        frozen: true,
        ..Must::default()
    };
    assert!(judged(must, |report| report["longest_failed_s"] = json!(61)).is_empty());
}
