//! Replays the fuzzers' corpus: every committed input through the function that fuzzes its machine.

#[path = "../../../fuzz/src/source.rs"]
mod source;
#[path = "../../../fuzz/src/swarm.rs"]
pub mod swarm;
#[path = "../../../fuzz/src/target.rs"]
mod target;

#[test]
fn every_input_of_the_corpus_keeps_the_promises_of_its_machine() {
    target::replay(&swarm::TARGETS);
}
