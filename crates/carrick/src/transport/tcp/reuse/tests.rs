//! From which listening address a dial leaves.

use super::*;

#[test]
fn a_dial_leaves_from_an_address_that_can_reach_the_peer() {
    let ports = Ports::default();
    let towards = |remote: &str| {
        let local = ports.towards(remote.parse().unwrap());
        local.map_or_else(String::new, |local| local.to_string())
    };
    assert_eq!(towards("192.0.2.1:1"), "");
    for bound in ["127.0.0.1:10", "10.0.0.1:11", "[::]:12"] {
        ports.bound().push(bound.parse().unwrap());
    }
    for (remote, local) in [
        ("127.0.0.1:1", "127.0.0.1:10"),
        ("127.0.0.1:10", ""),
        ("192.0.2.1:1", "10.0.0.1:11"),
        ("192.0.2.1:11", "10.0.0.1:11"),
        ("10.0.0.1:11", ""),
        ("[::1]:1", "[::]:12"),
        ("[2001:db8::1]:1", "[::]:12"),
    ] {
        assert_eq!(towards(remote), local, "{remote}");
    }
}
