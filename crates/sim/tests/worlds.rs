//! Whole worlds: what must hold holds, the same seed gives the same trace, and what is broken is found.

use carrick_sim::{Config, Trial};

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another_one() {
    let run = |seed| {
        Trial::new(Config {
            hosts: 2,
            operations: 5,
            ..Config::default()
        })
        .run(seed)
    };
    let (one, again, other) = (run(1), run(1), run(2));
    assert!(one.failure.is_none(), "{}", one.failure.unwrap());
    assert_eq!(one.book.done, 5, "{:?}", one.book);
    assert_eq!((one.trace_hash, one.steps), (again.trace_hash, again.steps));
    assert_ne!(one.trace_hash, other.trace_hash);
}
