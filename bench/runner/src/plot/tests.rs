//! What is drawn of samples.

use serde_json::json;

use super::*;
use crate::plan;

fn sample(stack: &'static str, rate: f64) -> Sample {
    let result = Ok(json!({ "ops_s": rate }));
    Sample {
        row: "rr-1",
        stack,
        round: 0,
        result,
    }
}

#[test]
fn a_panel_has_a_bar_for_each_stack_that_ran() {
    let rows = plan::rows(&["rr".into()], false).unwrap();
    let drawn = svg(&rows, &[sample("carrick", 300.0), sample(BASE, 100.0)]);
    assert_eq!(drawn.matches(r#"class="title""#).count(), 1);
    assert!(drawn.contains(">300 · 3.0×<") && drawn.contains(">100<"));
    let full = format!(r#"width="{BAR_WIDTH}.0""#);
    assert_eq!(drawn.matches(&full).count(), 1);
    assert_eq!(drawn.matches("<g").count(), drawn.matches("</g>").count());
    assert_eq!(
        drawn.matches("<text").count(),
        drawn.matches("</text>").count()
    );
}

#[test]
fn a_stack_that_failed_has_no_bar_and_says_so() {
    let rows = plan::rows(&["rr-1".into()], false).unwrap();
    let mut failed = sample(BASE, 1.0);
    failed.result = Err(anyhow::anyhow!("no route"));
    let drawn = svg(&rows, &[sample("carrick", 300.0), failed]);
    assert!(drawn.contains(">failed<"));
}

#[test]
fn rows_without_figures_are_left_out() {
    let rows = plan::rows(&["up-1".into()], false).unwrap();
    assert!(!svg(&rows, &[]).contains(r#"class="title""#));
}
