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
    }
}

#[test]
fn a_listeners_defect_excuses_no_dialer() {
    assert!(known(&cell("carrick", "rust", "ws"), "concurrent").is_some());
    assert!(known(&cell("rust", "carrick", "ws"), "concurrent").is_none());
    assert!(known(&cell("carrick", "go", "ws"), "concurrent").is_none());
    assert!(known(&cell("carrick", "rust", "ws"), "echo").is_none());
}

#[test]
fn a_defect_of_one_transport_excuses_no_other() {
    for (dialer, listener) in [("py", "carrick"), ("carrick", "py")] {
        assert!(known(&cell(dialer, listener, "quic-v1"), "half-close").is_some());
        assert!(known(&cell(dialer, listener, "tcp"), "half-close").is_none());
    }
}
