//! Replays the fuzzers' corpus: every committed input through the function that fuzzes its machine.

#[path = "../../../fuzz/src/source.rs"]
mod source;
#[path = "../../../fuzz/src/swarm.rs"]
pub mod swarm;

use std::{fs, path::Path};

#[test]
fn every_input_of_the_corpus_keeps_the_promises_of_its_machine() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in swarm::TARGETS {
        let inputs: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).collect();
        assert!(!inputs.is_empty(), "no corpus for {name}");
        for input in inputs {
            target(&fs::read(input.expect(name).path()).expect(name));
        }
    }
}
