//! Cells with shell scripts in the place of the peers.

use super::super::matrix::{CHECKS, Inside};
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A peer that listens as the first script says and dials as the second says.
fn peer(name: &'static str, listen: &str, dial: &str) -> Peer {
    let script = format!("if [ $1 = listen ]; then {listen}; else {dial}; fi");
    Peer::new(name, &["sh", "-c", &script, name])
}

fn run(listen: &str, dial: &str) -> Outcome {
    cell("go", listen, dial).run()
}

fn cell(name: &'static str, listen: &str, dial: &str) -> Cell {
    Cell {
        dialer: peer("carrick", "exit 9", dial),
        listener: peer(name, listen, "exit 9"),
        stack: Stack {
            transport: "tcp",
            inside: Some(Inside {
                security: "noise",
                muxer: "yamux",
            }),
            key_type: "ed25519",
            ip: "4",
        },
        checks: BASIC.to_vec(),
        bulk_bytes: 7,
        road: None,
    }
}

/// A listener of this name, and a dialer that fails the check with these words the first so many times, and then passes.
fn run_spoiled(name: &'static str, check: &'static str, why: &str, times: usize) -> Outcome {
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let tries = format!("carrick-tries-{}-{number}", std::process::id());
    let tries = std::env::temp_dir().join(tries);
    let path = tries.display();
    // An apostrophe would end the shell's string.
    let why = why.replace('\'', r"'\''");
    let dial = format!(
        r#"echo try >> {path}; if [ $(wc -l < {path}) -gt {times} ];
        then echo '{{"check":"{check}","ok":true,"detail":"d"}}';
        else echo '{{"check":"{check}","ok":false,"detail":"{why}"}}'; exit 1; fi"#
    );
    let mut cell = cell(name, LISTEN, &dial);
    cell.checks = vec![check];
    (cell.stack.transport, cell.stack.inside) = ("quic-v1", None);
    let outcome = cell.run_patiently();
    std::fs::remove_file(tries).unwrap();
    outcome
}

const BASIC: &[&str] = CHECKS.split_at(10).0;

const LISTEN: &str = "echo hello; echo listening /ip4/127.0.0.1/tcp/1/p2p/X; read line";

fn all_but(last: &str) -> String {
    BASIC[..9]
        .iter()
        .map(|check| format!(r#"echo '{{"check":"{check}","ok":true,"detail":"d"}}';"#))
        .collect::<String>()
        + last
}

#[test]
fn all_checks_pass() {
    // The dialer sees the address and the options of the contract.
    let dial = all_but(r#"echo "{\"check\":\"wrong-peer\",\"ok\":true,\"detail\":\"$*\"}""#);
    let outcome = run(LISTEN, &dial);
    assert!(outcome.all_passed(), "{outcome:?}");
    assert_eq!(outcome.summary(), "✔ 10 of 10 passed");
    let Some(Verdict::Passed(words)) = outcome.verdict("wrong-peer") else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        words.split_once(" --checks "),
        Some((
            "dial /ip4/127.0.0.1/tcp/1/p2p/X",
            format!(
                "{} --bulk-bytes 7 --transport tcp --security noise --muxer yamux --key-type ed25519 --ip 4",
                BASIC.join(",")
            )
            .as_str()
        ))
    );
}

#[test]
fn a_skip_is_neither_passed_nor_failed() {
    let outcome = run(
        LISTEN,
        &all_but(r#"echo '{"check":"wrong-peer","skip":"cannot"}'"#),
    );
    assert!(!outcome.all_passed());
    assert_eq!(outcome.summary(), "○  9 of 10 passed, skipped: wrong-peer");
}

#[test]
fn a_failed_check_brings_both_logs() {
    let dial = all_but(
        r#"echo '{"check":"wrong-peer","ok":false,"detail":"why"}'; echo ouch >&2; exit 1"#,
    );
    let outcome = run(&format!("echo bad >&2; {LISTEN}"), &dial);
    assert_eq!(outcome.summary(), "✘  9 of 10 passed, FAILED: wrong-peer");
    assert_eq!(outcome.log, ["carrick: ouch", "go: bad"]);
}

#[test]
fn a_check_without_a_verdict_has_failed() {
    let outcome = run(LISTEN, &all_but("exit 1"));
    assert_eq!(
        outcome.summary(),
        "✘  9 of 11 passed, FAILED: wrong-peer end"
    );
}

#[test]
fn an_exit_code_that_contradicts_the_results_has_failed() {
    let outcome = run(
        LISTEN,
        &all_but(r#"echo '{"check":"wrong-peer","ok":true}'; exit 1"#),
    );
    assert_eq!(outcome.summary(), "✘ 10 of 11 passed, FAILED: end");
    let outcome = run(
        LISTEN,
        &all_but(r#"echo '{"check":"wrong-peer","ok":false}'"#),
    );
    assert_eq!(
        outcome.summary(),
        "✘  9 of 11 passed, FAILED: wrong-peer end"
    );
}

#[test]
fn a_line_that_is_no_result_has_failed() {
    let outcome = run(LISTEN, &all_but(r#"echo '{"check":"wrong-peer"}'; exit 1"#));
    assert_eq!(outcome.summary(), "✘  9 of 10 passed, FAILED: wrong-peer");
    let outcome = run(
        LISTEN,
        &all_but(r#"echo '{"check":"wrong-peer","ok":true}'; echo oops; exit 1"#),
    );
    assert_eq!(outcome.summary(), "✘ 10 of 11 passed, FAILED: end");
}

#[test]
fn a_stack_without_the_muxer_skips_the_cell() {
    let skip = |check: &&str| format!(r#"echo '{{"check":"{check}","skip":"no mplex"}}';"#);
    let all_skipped = BASIC.iter().map(skip).collect::<String>() + " exit 0";
    for (listen, dial, name) in [
        ("echo no mplex >&2; exit 3", "", "go"),
        (LISTEN, "echo no mplex >&2; exit 3", "carrick"),
        (LISTEN, &all_skipped, "carrick"),
    ] {
        let outcome = run(listen, dial);
        let skipped = Verdict::Skipped(format!("{name}: no mplex"));
        assert_eq!(outcome.verdicts, [("start".into(), skipped.clone())]);
        assert_eq!(outcome.verdict("echo"), Some(&skipped));
        assert_eq!(
            outcome.summary(),
            format!("○ not offered: {name}: no mplex")
        );
    }
}

#[test]
fn a_listener_that_ends_without_an_address_fails_the_cell() {
    let outcome = run("echo broken >&2; exit 1", "");
    assert_eq!(outcome.summary(), "✘  0 of 1 passed, FAILED: start");
    assert_eq!(outcome.log, ["broken"]);
}

const ENDED: &str = "the listener's reset looks like Ok(None)";

#[test]
fn a_check_that_a_known_defect_spoils_may_pass_at_a_later_try() {
    for spoiled in [1, 2] {
        let outcome = run_spoiled("rust", "reset", ENDED, spoiled);
        assert!(outcome.all_passed(), "{outcome:?}");
        let [late] = outcome.late.as_slice() else {
            panic!("{outcome:?}");
        };
        assert_eq!((late.check.as_str(), late.tries), ("reset", spoiled + 1));
        assert!(late.why.contains("no call to reset"), "{}", late.why);
    }
}

#[test]
fn a_check_that_a_known_defect_spoils_each_time_is_skipped() {
    let outcome = run_spoiled("rust", "reset", ENDED, TRIES_MAX);
    assert_eq!(outcome.summary(), "○  0 of 1 passed, skipped: reset");
    assert!(outcome.late.is_empty());
}

#[test]
fn a_failure_that_no_known_defect_explains_is_not_tried_again() {
    for (name, check, why) in [
        ("go", "reset", ENDED),
        ("rust", "echo", ENDED),
        ("rust", "reset", "timed out after 30 s"),
    ] {
        let outcome = run_spoiled(name, check, why, 1);
        let failed = format!("✘  0 of 1 passed, FAILED: {check}");
        assert_eq!(outcome.summary(), failed, "{name} {why}");
    }
}
