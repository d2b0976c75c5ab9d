//! Peers that do nothing right: no case may pass against them, for such a case would say nothing.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

use std::time::Duration;

use p2pspec::{
    case::{Case, Outcome},
    cases,
    run::{Options, run},
    target::{Offers, Place, Target, Transport},
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Cases that may pass against a peer that closes or is silent. There are none.
const MAY_PASS: [&str; 0] = [];

/// Listens at a TCP port where `handle` has every connection, and at a UDP port where nobody reads.
async fn peer(handle: fn(TcpStream) -> Option<TcpStream>) -> (Target, UdpSocket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = listener.local_addr().unwrap().port();
    let udp = silent.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            kept.extend(handle(socket));
        }
    });
    let peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    let mut places = Vec::new();
    for (transport, text) in [
        (
            Transport::Tcp,
            format!("/ip4/127.0.0.1/tcp/{tcp}/p2p/{peer}"),
        ),
        (
            Transport::WebSocket,
            format!("/ip4/127.0.0.1/tcp/{tcp}/ws/p2p/{peer}"),
        ),
        (
            Transport::Quic,
            format!("/ip4/127.0.0.1/udp/{udp}/quic-v1/p2p/{peer}"),
        ),
    ] {
        let mut place = Place::parse(&text).await.unwrap();
        assert_eq!(place.transport, transport);
        place.offers = Offers::ALL;
        places.push(place);
    }
    (Target { places }, silent)
}

async fn passed(handle: fn(TcpStream) -> Option<TcpStream>) -> Vec<&'static str> {
    let (target, _silent) = peer(handle).await;
    let all: Vec<&'static Case> = cases::all().collect();
    let options = Options {
        timeout: Duration::from_millis(500),
        pace: Duration::ZERO,
        jobs: 32,
        retries: 0,
        again: false,
        within: None,
    };
    let report = run(&target, &all, &options, |_| {}).await;
    assert!(!report.is_alive());
    let passed = report
        .done
        .iter()
        .filter(|done| !matches!(done.outcome, Outcome::Fail(_)));
    let passed = passed.map(|done| done.case.id);
    passed.filter(|id| !MAY_PASS.contains(id)).collect()
}

#[tokio::test]
async fn nothing_passes_against_a_peer_that_closes_at_once() {
    assert_eq!(passed(|_| None).await, [""; 0]);
}

#[tokio::test]
async fn nothing_passes_against_a_peer_that_never_answers() {
    assert_eq!(passed(Some).await, [""; 0]);
}
