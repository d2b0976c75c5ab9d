//! A node that conforms, and nodes that do not: the first passes, and what is wrong with the others is found.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

use std::{collections::BTreeMap, time::Duration};

use carrick::Node;
use p2pspec::{
    case::{Case, Outcome},
    cases,
    run::{Options, run},
    select::Selection,
    target::{Offers, Place, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

async fn outcomes(
    target: &Target,
    only: &[&str],
    timeout: Duration,
) -> BTreeMap<&'static str, Outcome> {
    let selection = Selection {
        only: only.iter().map(|only| (*only).to_owned()).collect(),
        level: p2pspec::case::Level::Practice,
    };
    let wanted: Vec<&'static Case> = cases::all().filter(|case| selection.wants(case)).collect();
    assert!(!wanted.is_empty());
    let options = Options {
        timeout,
        pace: Duration::ZERO,
        jobs: 8,
        retries: 0,
        again: false,
        within: None,
    };
    let report = run(target, &wanted, &options, |_| {}).await;
    report
        .done
        .into_iter()
        .map(|done| (done.case.id, done.outcome))
        .collect()
}

async fn node(listen: &str) -> (Node, Place) {
    let node = Node::builder()
        .listen(listen)
        .unwrap()
        .spawn()
        .await
        .unwrap();
    let mut place = Place::parse(&node.address().to_string()).await.unwrap();
    place.offers = Offers {
        mplex: false,
        ..Offers::ALL
    };
    (node, place)
}

fn failed(outcomes: &BTreeMap<&'static str, Outcome>) -> Vec<&'static str> {
    let failed = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Fail(_)));
    failed.map(|(id, _)| *id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_conforms_passes() {
    let mut nodes = Vec::new();
    let mut places = Vec::new();
    for listen in [
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/0/ws",
        "/ip4/127.0.0.1/udp/0/quic-v1",
    ] {
        let (node, place) = node(listen).await;
        nodes.push(node);
        places.push(place);
    }
    let patient = Duration::from_secs(60);
    let only = [
        "ping",
        "noise",
        "tls",
        "websocket",
        "quic/streams",
        "yamux/frames",
        "identify/record",
    ];
    let outcomes = outcomes(&Target { places }, &only, patient).await;
    assert_eq!(failed(&outcomes), [""; 0], "{outcomes:#?}");
}

/// Agrees to whatever is said to it.
async fn agree_to_all(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        if socket.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_node_that_agrees_to_everything_is_found_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(agree_to_all(socket));
        }
    });
    let peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    let text = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}");
    let mut place = Place::parse(&text).await.unwrap();
    place.offers = Offers::ALL;
    let target = Target {
        places: vec![place],
    };
    let outcomes = outcomes(&target, &["multistream/connection"], Duration::from_secs(5)).await;
    assert!(matches!(
        outcomes["multistream/connection/header"],
        Outcome::Pass(_)
    ));
    for red in [
        "unknown",
        "plaintext",
        "header-version",
        "header-missing",
        "muxer-before-security",
        "upper-case",
        "message-64-kib",
        "message-not-text",
        "message-newline",
    ] {
        let id = format!("multistream/connection/{red}");
        assert!(matches!(outcomes[id.as_str()], Outcome::Fail(_)), "{id}");
    }
}

/// Passes bytes on, one of the node's with a flipped bit.
async fn flip(client: TcpStream, node: std::net::SocketAddr, at: usize) {
    let Ok(server) = TcpStream::connect(node).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut buffer, mut passed) = ([0; 4096], 0);
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        if (passed..passed + count).contains(&at) {
            buffer[at - passed] ^= 1;
        }
        passed += count;
        if to_client.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Every case of these must be red behind a road that flips a bit of what the node says.
async fn all_red(listen: &str, at: usize, only: &[&str]) {
    let (_node, mut place) = node(listen).await;
    let behind = place.socket;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    place.socket = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(flip(client, behind, at));
        }
    });
    let target = Target {
        places: vec![place],
    };
    let outcomes = outcomes(&target, only, Duration::from_secs(1)).await;
    let green: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Pass(_)))
        .collect();
    assert!(green.is_empty(), "{green:#?}");
}

#[tokio::test]
async fn a_bit_flipped_in_the_noise_handshake_fails_all_that_stands_on_it() {
    // Behind header, echo and length: the ephemeral key.
    let only = [
        "noise/signature",
        "noise/identity",
        "noise/payload",
        "noise/records",
        "yamux",
        "ping",
        "identify",
    ];
    all_red("/ip4/127.0.0.1/tcp/0", 40, &only).await;
}

#[tokio::test]
async fn a_bit_flipped_in_the_tls_handshake_fails_all_that_stands_on_it() {
    all_red(
        "/ip4/127.0.0.1/tcp/0",
        200,
        &["tls/client", "tls/peer", "tls/alpn/libp2p"],
    )
    .await;
}

#[tokio::test]
async fn a_bit_flipped_in_the_websocket_upgrade_fails_all_that_stands_on_it() {
    // The status.
    all_red("/ip4/127.0.0.1/tcp/0/ws", 9, &["websocket"]).await;
}
