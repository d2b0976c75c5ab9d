//! The demonstration, as a user starts it.

use std::process::Command;

#[test]
fn four_nodes_survive_that_one_is_killed_and_started_again() {
    let output = Command::new(env!("CARGO_BIN_EXE_ledger"))
        .args(["demo", "--transactions", "30", "--patience", "120"])
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let last = stdout.lines().last().unwrap();
    assert!(
        last.starts_with("all ledgers are equal and hold the "),
        "{stdout}"
    );
    assert!(stdout.contains("node 3 was killed"), "{stdout}");
}
