//! What every file of targets needs: what a target is, where its clocks start, and how its corpus is replayed, which is what
//! the tests of the crates do.

use std::{fs, path::Path, sync::LazyLock, time::Instant};

/// The name of a corpus, and what its inputs are fed to.
pub(crate) type Target = (&'static str, fn(&[u8]));

#[allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "a fake clock has to start somewhere, and decoders have none"
)]
pub(crate) static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Feeds every committed input to its target.
#[allow(dead_code, reason = "the fuzzer reads its corpus itself")]
pub(crate) fn replay(targets: &[Target]) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in targets {
        let inputs: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).collect();
        assert!(!inputs.is_empty(), "no corpus for {name}");
        for input in inputs {
            target(&fs::read(input.expect(name).path()).expect(name));
        }
    }
}
