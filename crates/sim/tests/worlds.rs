//! Whole worlds: what must hold holds, the same seed gives the same trace, and what is broken on purpose is found.

use carrick_sim::{Config, Failure, Faults, Law, Muxers, Outcome, Plant, Trial};

/// Shows what went wrong.
fn expect_whole(outcome: &Outcome) {
    if let Some(failure) = &outcome.failure {
        panic!("seed {}: {failure}", outcome.seed);
    }
}

fn small() -> Config {
    Config {
        hosts: 2,
        operations: 5,
        ..Config::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another_one() {
    let run = |seed| Trial::new(small()).run(seed);
    let (one, again, other) = (run(1), run(1), run(2));
    expect_whole(&one);
    assert_eq!(one.book.done, 5, "{:?}", one.book);
    assert_eq!((one.trace_hash, one.steps), (again.trace_hash, again.steps));
    assert_ne!(one.trace_hash, other.trace_hash);
}

#[test]
fn a_world_with_every_fault_gives_the_same_trace_twice() {
    let config = || Config {
        hosts: 5,
        operations: 40,
        kept_peers: 2,
        faults: Faults {
            jitter_max_us: 20_000,
            loss: 10,
            piece_max: 900,
            slow_links: 50,
            resets_by_users: 50,
            ..Faults::YEAR
        },
        ..Config::default()
    };
    let (one, again) = (Trial::new(config()).run(7), Trial::new(config()).run(7));
    expect_whole(&one);
    assert_eq!((one.trace_hash, one.steps), (again.trace_hash, again.steps));
}

#[test]
fn what_must_hold_holds_in_worlds_of_many_kinds() {
    for seed in 0..25 {
        expect_whole(&Trial::new(Config::draw(seed, 6, 40)).run(seed));
    }
}

#[test]
fn in_a_calm_world_every_call_arrives_whatever_the_muxer() {
    for muxers in [
        Muxers::YamuxEarly,
        Muxers::YamuxLate,
        Muxers::Both,
        Muxers::Mplex,
    ] {
        let config = Config {
            hosts: 3,
            operations: 10,
            muxers,
            ..Config::default()
        };
        let outcome = Trial::new(config).run(3);
        expect_whole(&outcome);
        assert_eq!(outcome.book.done, 10, "{muxers:?}: {:?}", outcome.book);
    }
}

/// A world of many calls in which this bug is planted, shrunk to what is needed for it to be found.
fn planted(plant: Plant) -> Failure {
    let config = Config {
        hosts: 3,
        operations: 24,
        plant: Some(plant),
        ..Config::default()
    };
    let trial = Trial::new(config);
    let outcome = trial.run(5);
    assert!(outcome.failure.is_some(), "{plant:?} was not noticed");
    let shrunk = trial.shrink(outcome).failure.expect("it still fails");
    assert!(!shrunk.trace.is_empty());
    shrunk
}

#[test]
fn a_byte_that_is_lost_is_missed_and_the_scenario_shrinks_to_one_call() {
    let failure = planted(Plant::LoseByte(100));
    assert!(
        matches!(failure.law, Some(Law::StreamBytes | Law::StreamEnd)),
        "{failure}"
    );
    assert!(failure.operations.len() <= 2, "{failure}");
    let text = failure.to_string();
    assert!(text.contains("a planted bug changes a byte"), "{text}");
    assert!(text.contains("Call {"), "{text}");
}

#[test]
fn a_byte_that_comes_twice_is_noticed() {
    let failure = planted(Plant::RepeatByte(5000));
    assert!(
        matches!(failure.law, Some(Law::StreamBytes | Law::StreamBeyond)),
        "{failure}"
    );
}

#[test]
fn a_wakeup_that_is_lost_is_noticed() {
    let failure = planted(Plant::LoseWakeups(40));
    assert!(
        matches!(failure.law, Some(Law::NoLostWakeup | Law::CalmStream)),
        "{failure}"
    );
}

#[test]
fn streams_that_are_not_given_back_are_noticed() {
    let failure = planted(Plant::LeakStreams);
    assert_eq!(failure.law, Some(Law::ClosedStreams), "{failure}");
}

#[test]
fn an_answer_that_is_forgotten_is_noticed() {
    let failure = planted(Plant::ForgetAnswer);
    assert_eq!(failure.law, Some(Law::AnswerInTime), "{failure}");
    assert_eq!(failure.operations.len(), 1, "{failure}");
}

#[test]
fn a_pipe_that_gives_bytes_in_the_wrong_order_is_noticed() {
    let failure = planted(Plant::ReorderPipe);
    assert!(
        matches!(failure.law, Some(Law::HonestNoise | Law::CalmUpgrade)),
        "{failure}"
    );
}
