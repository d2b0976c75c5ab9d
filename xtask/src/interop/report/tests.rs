//! What counts as good: skips need a proof, failures have no excuse.

use super::super::cell::{Cell, Outcome};
use super::super::peers::Peer;
use super::*;
use std::time::Duration;

fn outcome(check: &str, verdict: &Verdict) -> Outcome {
    Outcome {
        verdicts: vec![(check.into(), verdict.clone())],
        took: Duration::ZERO,
        log: vec![],
    }
}

fn row(verdict: &Verdict, control: Option<&Verdict>) -> Row {
    let (dialer, listener) = (Peer::new("carrick", &["x"]), Peer::new("py", &["x"]));
    let cell = Cell {
        dialer,
        listener,
        security: "noise",
        muxer: "mplex",
    };
    Row {
        cell,
        outcome: outcome("reset", verdict),
        control: control.map(|verdict| outcome("reset", verdict)),
    }
}

#[test]
fn a_skip_is_good_only_when_the_stack_alone_does_not_pass_either() {
    let [passed, failed, skipped] = [
        Verdict::Passed("p".into()),
        Verdict::Failed("f".into()),
        Verdict::Skipped("s".into()),
    ];
    let table = |control: Option<&Verdict>| table(&[row(&skipped, control)], &[]);
    for control in [&failed, &skipped] {
        assert!(judge(&[row(&skipped, Some(control))]).is_ok());
    }
    assert!(
        table(Some(&skipped)).contains("reset: s — proven: py against itself also skips it (s)")
    );
    assert!(table(Some(&failed)).contains("proven: py against itself also fails it (f)"));
    for control in [Some(&passed), None] {
        assert!(judge(&[row(&skipped, control)]).is_err());
        assert!(table(control).contains("NOT PROVEN"));
    }
    assert!(judge(&[row(&passed, None)]).is_ok());
}

#[test]
fn a_failure_stays_one_whatever_the_stack_does_alone() {
    let failed = Verdict::Failed("f".into());
    assert!(judge(&[row(&failed, Some(&failed))]).is_err());
    assert!(
        table(&[row(&failed, Some(&failed))], &[])
            .contains("reset: f (py against itself fails too: f)")
    );
}

#[test]
fn json_has_one_object_per_check() {
    let skipped = Verdict::Skipped("s".into());
    let text = json(
        &[
            row(&Verdict::Passed("p".into()), None),
            row(&skipped, Some(&skipped)),
        ],
        &["go: none".into()],
    );
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["ok"], &lines[0]["listener"]),
        (&true.into(), &"py".into())
    );
    assert_eq!(
        (&lines[1]["skip"], &lines[1]["proven"]),
        (&"s".into(), &true.into())
    );
    assert_eq!(lines[2]["left_out"], "go: none");
}
