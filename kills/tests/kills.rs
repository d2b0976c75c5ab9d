//! A few kills, with real processes: whatever step a peer dies or freezes at, nothing of it is left, and it comes back.

use std::process::Command;

#[test]
fn a_peer_that_dies_at_any_step_leaves_nothing_and_comes_back() {
    run("--road tcp --kills 2 --together 2");
}

#[test]
fn a_peer_that_dies_over_quic_is_missed_in_time() {
    run("--road quic --kills 2 --together 2 --only StreamWrote");
}

#[test]
fn a_peer_that_freezes_holds_nothing_beyond_its_deadline() {
    run("--freeze --road tcp --kills 2 --together 2 --only Upgrade");
}

#[test]
fn a_node_closes_beside_a_frozen_peer() {
    run("--close --only IdentifyTold");
}

/// How long it took is not asked here: the machine may be busy.
fn run(args: &str) {
    let mut kills = Command::new(env!("CARGO_BIN_EXE_carrick-kills"));
    let ran = kills.arg("run").args(args.split(' ')).output();
    let ran = ran.expect("it runs");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}");
}
