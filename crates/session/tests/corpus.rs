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

use std::{fs, path::Path};

#[test]
fn every_input_of_the_corpus_keeps_the_promises_of_its_machine() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let machines = session::TARGETS.iter().chain(&frames::TARGETS);
    for (name, target) in machines.chain(&joined::TARGETS).chain(&secured::TARGETS) {
        let inputs: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).collect();
        assert!(!inputs.is_empty(), "no corpus for {name}");
        for input in inputs {
            target(&fs::read(input.expect(name).path()).expect(name));
        }
    }
}
