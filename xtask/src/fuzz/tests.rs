//! Of what is read: libFuzzer's words, and the record of what has run.

use super::build::Known;
use super::ledger::Ledger;
use super::log::Run;
use super::report;
use std::path::Path;

const LOG: &str = "INFO: seed corpus: files: 3 min: 1b max: 3b total: 6b rss: 30Mb
#4\tINITED cov: 57 ft: 58 corp: 3/6b exec/s: 0 rss: 31Mb
carrick-fuzz: slowest input, us: 12
#99\tNEW    cov: 60 ft: 72 corp: 9/40b lim: 4 exec/s: 0 rss: 31Mb L: 2/4 MS: 1 EraseBytes-
carrick-fuzz: slowest input, us: 340
";

fn target() -> Known {
    Known {
        kind: "decoder".to_owned(),
        name: "varint".to_owned(),
    }
}

#[test]
fn a_run_that_ended_well_is_read_from_its_log() {
    let text = format!(
        "{LOG}Done 1234 runs in 11 second(s)\nstat::number_of_executed_units: 1234\nstat::peak_rss_mb: 41\n"
    );
    let run = Run::new(&target(), true, &text, Path::new("log"));
    assert_eq!(
        (run.executions, run.seconds, run.edges, run.inputs),
        (1234, 11, 60, 9)
    );
    assert_eq!(
        (run.peak_mb, run.slowest_us, run.failure.clone()),
        (41, 340, None)
    );
    assert_eq!(report::verdict(&[run]), Ok(()));
}

#[test]
fn a_run_that_failed_names_the_input_and_how_to_see_it_again() {
    let text = format!(
        "{LOG}thread '<unnamed>' panicked at fuzz/src/wire.rs:44:9:\nassertion failed: used\n==1== ERROR: libFuzzer: deadly signal\nartifact_prefix='a/'; Test unit written to a/varint-crash-0f\n"
    );
    let run = Run::new(&target(), false, &text, Path::new("log"));
    let why = report::verdict(&[run]).expect_err("it failed");
    assert!(why.contains("assertion failed: used"), "{why}");
    assert!(
        why.contains("cargo xtask fuzz --target varint --input a/varint-crash-0f"),
        "{why}"
    );
}

#[test]
fn a_run_that_ended_without_a_word_is_a_failure_that_names_its_log() {
    let run = Run::new(&target(), false, LOG, Path::new("some.log"));
    assert!(report::verdict(&[run]).is_err_and(|why| why.contains("see some.log")));
}

#[test]
fn executions_add_up_in_the_record() {
    let mut ledger =
        Ledger::parse("varint\tdecoder\t10\t1\nyamux\tmachine\t5\t1\n").expect("a ledger");
    let run = Run {
        executions: 32,
        seconds: 3,
        ..Run::new(&target(), true, LOG, Path::new("log"))
    };
    ledger.add(&[run]);
    assert_eq!(ledger.total("decoder"), 42);
    assert_eq!(
        ledger.text(),
        "varint\tdecoder\t42\t4\nyamux\tmachine\t5\t1\n"
    );
    assert!(Ledger::parse("varint\tdecoder\tmany\t1").is_err());
}

#[test]
fn a_figure_meets_its_target_or_does_not() {
    assert!(report::meets(3, ">= 3") && !report::meets(2, ">= 3"));
    assert!(report::meets(3, "<= 3") && !report::meets(4, "<= 3"));
    assert!(report::meets(0, "0") && !report::meets(1, "0"));
}
