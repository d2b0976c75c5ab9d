//! Replays the fuzzers' corpus: every committed input through the function that fuzzes its decoder.

#[path = "../../../fuzz/src/target.rs"]
mod target;
#[path = "../../../fuzz/src/wire.rs"]
pub mod wire;

#[test]
fn every_input_of_the_corpus_keeps_the_promises_of_its_decoder() {
    target::replay(&wire::TARGETS);
}
