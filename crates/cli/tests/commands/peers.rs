//! Two processes that talk, and processes that talk to a node of this one.

use carrick::{Code, Node, Stream};
use tokio::runtime::Runtime;

use crate::process::{Listener, carrick, carrick_with};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

#[test]
fn a_listener_answers_pings() {
    let listener = Listener::start(&[LOOPBACK]);
    let args = ["ping", &listener.address, "-n", "3", "--interval-ms", "1"];
    let pings = carrick(&[&args[..], &["--json"]].concat()).objects();
    let numbers: Vec<_> = pings.iter().map(|ping| ping["seq"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
    assert!(pings.iter().all(|ping| ping["rtt_us"].as_u64() > Some(0)));

    let lines = carrick(&args).lines();
    assert!(lines[0].starts_with("seq=1 rtt="), "{lines:?}");
    assert!(lines[3].starts_with("3 sent, 3 answered"), "{lines:?}");
}

#[test]
fn a_peer_may_be_named_by_its_host() {
    let listener = Listener::start(&[LOOPBACK]);
    let named = listener
        .address
        .replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let pings = carrick(&["ping", &named, "-n", "1", "--json"]).objects();
    assert!(pings[0]["rtt_us"].as_u64() > Some(0));
}

#[test]
fn a_listener_says_who_it_is() {
    let listener = Listener::start(&[LOOPBACK]);
    let about = &carrick(&["id", &listener.address, "--json"]).objects()[0];
    assert_eq!(about["peer"], listener.peer());
    assert_eq!(about["key_type"], "Ed25519");
    assert_eq!(about["security"], "/noise");
    assert_eq!(about["muxer"], "/yamux/1.0.0");
    let protocols = about["protocols"].as_array().expect("a list");
    for protocol in ["/echo/1.0.0", "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"] {
        assert!(protocols.contains(&protocol.into()), "{about}");
    }
    let table = carrick(&["id", &listener.address]).lines().join("\n");
    assert!(table.contains("agent        carrick/"), "{table}");
}

#[test]
fn open_carries_stdin_to_the_echo_and_back_to_stdout() {
    let listener = Listener::start(&[LOOPBACK]);
    let sent: Vec<u8> = (0..2_000_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    let echoed = carrick_with(&["open", &listener.address, "/echo/1.0.0"], &sent);
    assert_eq!(echoed.code, Some(0), "{}", echoed.stderr);
    assert!(echoed.stdout == sent, "{} bytes", echoed.stdout.len());
}

#[test]
fn the_end_of_stdin_closes_only_our_side() {
    let (runtime, node) = node(|mut stream| async move {
        let all = stream.read_to_end(1 << 20).await?;
        stream
            .write_all(format!("{} bytes", all.len()).as_bytes())
            .await?;
        stream.finish().await
    });
    let counted = carrick_with(&["open", &node.address().to_string(), "/test/1"], b"12345");
    assert_eq!(counted.lines(), ["5 bytes"]);
    runtime.block_on(node.close());
}

#[test]
fn a_reset_is_a_failure() {
    let (runtime, node) = node(|mut stream| async move {
        stream.read_chunk().await?;
        stream.reset(Code(7));
        Ok(())
    });
    carrick_with(&["open", &node.address().to_string(), "/test/1"], b"?")
        .refused(&["the peer reset the stream", "0x7"]);
    runtime.block_on(node.close());
}

#[test]
fn sigterm_ends_a_listener_with_success_while_a_connection_is_open() {
    let listener = Listener::start(&[LOOPBACK]);
    let runtime = Runtime::new().expect("threads can be started");
    let client = runtime.block_on(async {
        let client = Node::spawn().await.expect("a node");
        client
            .ping(listener.address.as_str())
            .await
            .expect("a ping");
        client
    });
    let ended = listener.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    runtime.block_on(client.close());
}

/// A node in this process with a handler for /test/1.
fn node<F, R>(handler: F) -> (Runtime, Node)
where
    F: Fn(Stream) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), carrick::StreamError>> + Send + 'static,
{
    let runtime = Runtime::new().expect("threads can be started");
    let node = runtime.block_on(async {
        let builder = Node::builder().handle("/test/1", handler);
        let builder = builder.listen(LOOPBACK).expect("an address");
        builder.spawn().await.expect("a node")
    });
    (runtime, node)
}

#[cfg(unix)]
#[test]
fn the_address_that_a_listener_on_a_unix_socket_prints_can_be_pinged() {
    let path = std::env::temp_dir().join(format!("carrick-cli-{}.sock", std::process::id()));
    let path = path.to_str().expect("the path is text");
    let listener = Listener::start(&[&format!("/unix{path}")]);
    assert!(listener.address.contains("%2F"), "{}", listener.address);
    let spelled = format!("/unix{path}/p2p/{}", listener.peer());
    for address in [listener.address.as_str(), &spelled] {
        assert_eq!(
            carrick(&["ping", address, "-n", "1", "--json"])
                .objects()
                .len(),
            1
        );
    }
    assert_eq!(listener.terminate().code, Some(0));
    assert!(!std::fs::exists(path).expect("the folder is there"));
}
