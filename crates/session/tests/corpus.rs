//! Replays the fuzzers' corpus: every committed input through the function that fuzzes its machine.

#[path = "../../../fuzz/src/frames.rs"]
pub mod frames;
#[path = "../../../fuzz/src/joined.rs"]
pub mod joined;
#[path = "session/model.rs"]
mod model;
#[path = "session/pair.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "helpers of the tests beside this one"
)]
mod pair;
#[path = "../../../fuzz/src/secured.rs"]
pub mod secured;
#[path = "../../../fuzz/src/session.rs"]
pub mod session;
#[path = "../../../fuzz/src/source.rs"]
mod source;
#[path = "../../../fuzz/src/target.rs"]
mod target;

#[test]
fn every_input_of_the_corpus_keeps_the_promises_of_its_machine() {
    for targets in [
        &session::TARGETS[..],
        &frames::TARGETS,
        &joined::TARGETS,
        &secured::TARGETS,
    ] {
        target::replay(targets);
    }
}
