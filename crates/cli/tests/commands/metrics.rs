//! The page for Prometheus: what it answers, and whom it does not wait for.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::process::{Listener, carrick};

const LISTEN: [&str; 3] = ["/ip4/127.0.0.1/tcp/0", "--metrics", "0"];

/// The answer to what is sent to the page's port.
fn ask(listener: &Listener, request: &str) -> String {
    let mut pipe = connect(listener);
    pipe.write_all(request.as_bytes()).expect("it is read");
    let mut answer = String::new();
    // It closes; what it has not read of a request may make that a reset.
    let _ = pipe.read_to_string(&mut answer);
    answer
}

fn connect(listener: &Listener) -> TcpStream {
    let url = listener.metrics.strip_prefix("http://");
    let address = url.and_then(|url| url.strip_suffix("/metrics"));
    let pipe = TcpStream::connect(address.expect("the page has a URL")).expect("it is served");
    let patience = Some(Duration::from_secs(60));
    pipe.set_read_timeout(patience).expect("a deadline is set");
    pipe
}

#[test]
fn the_page_counts_who_came() {
    let listener = Listener::start(&LISTEN);
    carrick(&["ping", "--count", "1", &listener.address]).lines();
    let answer = ask(&listener, "GET /metrics HTTP/1.1\r\nHost: anything\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.contains(
        "libp2p_swarm_connections_opened_total{dir=\"inbound\",transport=\"tcp\",security=\"/noise\",\
         muxer=\"/yamux/1.0.0\",early_muxer=\"true\",ip_version=\"ip4\"} 1\n"
    ), "{answer}");
    assert!(answer.ends_with("# EOF\n"));
}

#[test]
fn whatever_else_is_asked_is_refused() {
    let listener = Listener::start(&LISTEN);
    let long = format!(
        "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(32 << 10)
    );
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(1000));
    for (request, status) in [
        (
            "POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
            "405",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("nonsense\r\n\r\n", "400"),
        (&long, "431"),
        (&many, "431"),
    ] {
        let answer = ask(&listener, request);
        let told = answer.split(' ').nth(1);
        assert!(
            told == Some(status) || answer.is_empty(),
            "{answer} instead of {status}"
        );
    }
    assert!(ask(&listener, "GET /metrics HTTP/1.1\r\n\r\n").ends_with("# EOF\n"));
}

#[test]
fn those_who_say_nothing_hold_up_nobody() {
    let listener = Listener::start(&LISTEN);
    // More than are answered at once.
    let silent: Vec<_> = (0..40).map(|_| connect(&listener)).collect();
    assert!(ask(&listener, "GET /metrics HTTP/1.1\r\n\r\n").ends_with("# EOF\n"));
    drop(silent);
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    carrick(&["listen", "/ip4/127.0.0.1/tcp/0", "--metrics", &address]).refused(&[
        "cannot serve metrics on",
        &address,
        "in use",
        "choose another port, or 0",
    ]);
    carrick(&["listen", "--metrics", "here"]).refused(&["--metrics", "127.0.0.1:9184"]);
}
