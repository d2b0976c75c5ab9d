//! The tour.

use crate::process::carrick;

#[test]
fn the_demo_succeeds_at_every_step() {
    let steps = carrick(&["demo", "--json"]).objects();
    let names: Vec<_> = steps
        .iter()
        .map(|step| step["step"].as_str().expect("a step has a name"))
        .collect();
    assert_eq!(
        names,
        [
            "identities",
            "dial",
            "negotiation",
            "identify",
            "ping",
            "echo",
            "streams",
            "refusal",
            "wrong peer",
            "reset",
            "close"
        ]
    );
    for step in &steps {
        assert_eq!(step["ok"], true, "{step}");
    }
    assert_eq!(steps[2]["round_trips"], 1);
    assert_eq!(steps[6]["open_at_once"], 1000);
}

#[test]
fn the_demo_for_people_has_a_mark_for_each_step_and_no_escape_codes_in_a_pipe() {
    let lines = carrick(&["demo"]).lines();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with('✓')).count(),
        11
    );
    assert!(lines.iter().all(|line| !line.contains('\x1b')));
}
