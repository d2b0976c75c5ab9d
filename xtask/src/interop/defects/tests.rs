//! A defect explains a check in its place only.

use super::super::matrix::Stack;
use super::super::peers::Peer;
use super::*;

fn cell(dialer: &'static str, listener: &'static str, transport: &'static str) -> Cell {
    Cell {
        dialer: Peer::new(dialer, &["x"]),
        listener: Peer::new(listener, &["x"]),
        stack: Stack {
            transport,
            inside: None,
            key_type: "ed25519",
            ip: "4",
        },
        checks: vec![],
        bulk_bytes: 0,
        road: None,
    }
}

#[test]
fn a_listeners_defect_excuses_no_dialer() {
    assert!(known(&cell("carrick", "rust", "quic-v1"), "reset").is_some());
    assert!(known(&cell("rust", "carrick", "quic-v1"), "reset").is_none());
    assert!(known(&cell("carrick", "go", "quic-v1"), "reset").is_none());
    assert!(known(&cell("carrick", "rust", "quic-v1"), "echo").is_none());
}

#[test]
fn a_defect_of_one_transport_excuses_no_other() {
    assert!(known(&cell("carrick", "rust", "quic-v1"), "reset").is_some());
    assert!(known(&cell("carrick", "rust", "tcp"), "reset").is_none());
}

/// Whoever takes another version of a package looks there whether the defect is still in it.
#[test]
fn each_defect_is_in_the_version_that_the_peer_is_built_with() {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../interop/rust/Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    for Defect {
        listener, place, ..
    } in &DEFECTS
    {
        assert_eq!(*listener, "rust", "the lock file of another stack");
        let Place {
            package, version, ..
        } = place;
        let line = format!("name = \"{package}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&line), "another version than {place}");
    }
}
