//! How many connections a listener has.

use std::net::TcpStream;

use crate::process::{Listener, carrick};

#[test]
fn who_comes_when_all_places_are_taken_is_refused_and_served_once_one_is_free() {
    // Two of three are for those who dial it.
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0", "--max-connections", "3"]);
    let mut parts = listener.address.split('/');
    let port = parts.find(|part| *part == "tcp").and_then(|_| parts.next());
    let port: u16 = port.expect("a port").parse().expect("a port");
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    let held = [connect(), connect()];
    let ping = || carrick(&["ping", "--count", "1", &listener.address]);
    assert_ne!(ping().code, Some(0), "one too many");
    drop(held);
    // It takes a moment until their end is noticed.
    assert!(
        (0..100).any(|_| ping().code == Some(0)),
        "there is room again"
    );
}

#[test]
fn a_number_that_leaves_no_connection_is_refused() {
    let refused = carrick(&["listen", "--max-connections", "1"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("--max-connections"),
        "{}",
        refused.stderr
    );
}
