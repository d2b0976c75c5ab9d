//! What is taken for a figure, and what is kept of it.

use super::*;

const LINE: &str = r#"{"row":5,"figure":"p99","value":1.4,"unit":"x","target":"<= 2","pass":true,"stack":"carrick","min":1.2,"max":1.6,"runs":5}"#;

#[test]
fn a_figure_is_found_among_other_lines_and_survives_the_history() {
    let found = parse(&format!("building\n{LINE}\n{{\"row\":5}}\n"));
    assert_eq!(found.len(), 1);
    let again = Outcome::parse(&found[0].json().to_string()).unwrap();
    assert_eq!((again.row, again.detail.as_str()), (5, "1.2–1.6 in 5 runs"));
    assert!(again.pass && again.is_ours());
}

#[test]
fn a_verdict_is_never_assumed() {
    assert!(Outcome::parse(&LINE.replace("\"pass\":true,", "")).is_none());
    assert!(Outcome::parse(&LINE.replace("\"row\":5", "\"row\":500")).is_none());
}

#[test]
fn passed_tests_are_counted_over_all_their_programs() {
    let text = "test result: ok. 3 passed; 0 failed\ntest result: ok. 4 passed;\ntest result: FAILED. 9 passed;";
    assert_eq!(tests_passed(text), 7);
}

#[test]
fn a_spread_hides_nothing_that_a_tool_adds() {
    let line = LINE.replace("\"runs\":5", "\"runs\":5,\"detail\":\"of 3 stacks\"");
    assert_eq!(
        Outcome::parse(&line).unwrap().detail,
        "1.2–1.6 in 5 runs; of 3 stacks"
    );
}
