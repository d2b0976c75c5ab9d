//! What counts as good: skips need a proof, failures have no excuse.

use super::super::cell::{Cell, Outcome};
use super::super::matrix::{Inside, Stack};
use super::super::peers::Peer;
use super::*;
use std::time::Duration;

fn outcome(check: &str, verdict: &Verdict) -> Outcome {
    Outcome {
        verdicts: vec![(check.into(), verdict.clone())],
        took: Duration::ZERO,
        log: vec![],
        late: vec![],
    }
}

fn cell(dialer: &'static str, listener: &'static str) -> Cell {
    Cell {
        dialer: Peer::new(dialer, &["x"]),
        listener: Peer::new(listener, &["x"]),
        stack: Stack {
            transport: "tcp",
            inside: Some(Inside {
                security: "noise",
                muxer: "mplex",
            }),
            key_type: "ed25519",
            ip: "4",
        },
        checks: vec!["reset"],
        bulk_bytes: 64 << 20,
        road: None,
    }
}

fn row(verdict: &Verdict, control: Option<&Verdict>) -> Row {
    Row {
        cell: cell("carrick", "py"),
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
    assert!(table(Some(&failed)).contains("proven: py against itself also fails (f)"));
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

#[test]
fn the_table_has_a_line_per_stack_and_a_column_per_pair() {
    let passed = Verdict::Passed("p".into());
    let mut rows = vec![row(&passed, None), row(&Verdict::Failed("f".into()), None)];
    rows[1].cell = cell("py", "carrick");
    let mut quic = row(
        &Verdict::Skipped("s".into()),
        Some(&Verdict::Failed("f".into())),
    );
    quic.cell.stack = Stack {
        transport: "quic-v1",
        inside: None,
        ..quic.cell.stack
    };
    rows.push(quic);
    let text = table(&rows, &[]);
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(
        lines[0],
        [
            "checks", "passed", "carrick", "→", "py", "py", "→", "carrick"
        ]
    );
    assert_eq!(lines[1], ["tcp", "noise", "mplex", "✔", "1", "✘", "0/1"]);
    assert_eq!(lines[2], ["quic-v1", "○", "0/1"]);
}

#[test]
fn what_is_not_offered_and_what_is_skipped_for_one_reason_is_said_once() {
    let absent = |dialer, listener| Row {
        cell: cell(dialer, listener),
        outcome: outcome("start", &Verdict::Skipped("go: no mplex".into())),
        control: Some(outcome("start", &Verdict::Skipped("go: no mplex".into()))),
    };
    let rows = [absent("carrick", "go"), absent("go", "carrick")];
    let text = table(&rows, &[]);
    assert!(
        text.contains("go: no mplex (carrick → go tcp noise mplex and 1 more)"),
        "{text}"
    );
    assert!(judge(&rows).is_ok());
    let skipped = |why: &str| {
        let known = Verdict::Skipped(format!("a defect ({why})"));
        row(&known, Some(&Verdict::Failed("f".into())))
    };
    let text = table(&[skipped("once"), skipped("twice")], &[]);
    assert!(
        text.contains("also fails (f); and 1 more like it"),
        "{text}"
    );
}

#[test]
fn the_table_shows_speeds_and_who_was_spared() {
    let mut rows: Vec<_> = ["go", "py"]
        .map(|name| {
            let bulk = Verdict::Passed("4 MiB each way, up 12.5 MiB/s, down 8 MiB/s".into());
            let cell = cell("carrick", name);
            Row {
                cell,
                outcome: outcome("bulk", &bulk),
                control: None,
            }
        })
        .into();
    rows[1].cell.bulk_bytes = 4 << 20;
    let text = table(&rows, &[]);
    assert!(text.contains("12.5/8"), "{text}");
    assert!(
        text.contains("4 MiB each way with py (carrick → py tcp noise mplex)"),
        "{text}"
    );
}

#[test]
fn a_known_defect_that_the_stack_alone_does_not_show_is_told_with_its_place() {
    let passed = Verdict::Passed("p".into());
    let spoiled = |reason: &str| {
        let mut cell = cell("carrick", "rust");
        (cell.stack.transport, cell.stack.inside) = ("quic-v1", None);
        Row {
            cell,
            outcome: outcome("reset", &Verdict::Skipped(reason.into())),
            control: Some(outcome("reset", &passed)),
        }
    };
    let known =
        "rust-libp2p has no call to reset a QUIC stream, and one that is dropped ends cleanly";
    let row = spoiled(&format!("{known} (it looks like an end)"));
    assert!(judge(std::slice::from_ref(&row)).is_ok());
    let text = table(&[row], &[]);
    let place = "NOT SHOWN THIS TIME: rust against itself passed 10 times; known from libp2p-quic";
    assert!(text.contains(place), "{text}");
    // What a program says of itself is no known defect.
    let own = spoiled("rust cannot");
    assert!(judge(std::slice::from_ref(&own)).is_err());
    assert!(table(&[own], &[]).contains("NOT PROVEN"));
}

#[test]
fn a_check_that_passed_late_is_told_with_what_spoiled_it() {
    let mut row = row(&Verdict::Passed("p".into()), None);
    row.outcome.late.push(Late {
        check: "reset".into(),
        tries: 2,
        why: "a defect (words)".into(),
    });
    assert!(judge(std::slice::from_ref(&row)).is_ok());
    let rows = [row];
    let line = "carrick → py tcp noise mplex reset: at try 2; before: a defect (words)";
    assert!(table(&rows, &[]).contains(line));
    let line: serde_json::Value = serde_json::from_str(&json(&rows, &[])).unwrap();
    assert_eq!(
        (&line["tries"], &line["before"]),
        (&2.into(), &"a defect (words)".into())
    );
}
