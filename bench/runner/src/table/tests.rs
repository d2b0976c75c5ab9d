//! What the table makes of samples.

use anyhow::anyhow;
use serde_json::json;

use super::*;
use crate::plan::{self, STACKS};

fn sample(stack: &'static str, round: u32, rate: f64) -> Sample {
    let result = Ok(json!({ "ops_s": rate, "errors": 1 }));
    Sample {
        row: "rr-1",
        stack,
        round,
        result,
    }
}

#[test]
fn ratios_are_taken_within_a_round() {
    let mut samples = vec![sample(BASE, 0, 100.0), sample("carrick", 0, 300.0)];
    // A slow round slows both down and changes no ratio.
    samples.extend([sample(BASE, 1, 10.0), sample("carrick", 1, 30.0)]);
    let row = plan::rows(&["rr-1".into()], false).unwrap()[0];
    let block = block(row, &[&STACKS[0]], &samples);
    let cells: Vec<&str> = block.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        cells,
        ["Carrick", "165", "[30.0–300]", "/s", "3.00", "–", "2"]
    );
}

#[test]
fn a_failure_keeps_its_reason() {
    let mut failed = sample("carrick", 0, 0.0);
    failed.result = Err(anyhow!("no route"));
    let row = plan::rows(&["rr-1".into()], false).unwrap()[0];
    assert!(block(row, &[&STACKS[0]], &[failed]).ends_with("failed: no route\n"));
}

#[test]
fn a_row_shows_the_notes_it_has_and_no_ratio_of_a_ratio() {
    let result =
        Ok(json!({ "p99_times": 1.5, "p50_alone_us": 30, "p99_alone_us": 40, "errors": 0 }));
    let beside = Sample {
        row: "beside-up",
        stack: "carrick",
        round: 0,
        result,
    };
    let row = plan::rows(&["beside-up".into()], false).unwrap()[0];
    let block = block(row, &[&STACKS[0]], &[beside]);
    let line = block.lines().nth(1).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[..6], ["Carrick", "1.50", "×", "it", "alone", "–"]);
    assert!(line.ends_with("p50, p99 alone 30.0 | 40.0"), "{line}");
}
