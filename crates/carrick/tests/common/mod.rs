//! What the tests of the node share: runtimes with a deadline, nodes, waiting for a condition.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test program uses its own part"
)]

use std::{future::Future, time::Duration};

use carrick::{
    Config, Connection, Multiaddr, Node, NodeEvent, OpenError, PeerId, Stream, StreamError,
};
use tokio::{runtime::Runtime, time::timeout};

pub use spy::Spy;
pub use word::Word;

pub mod certificates;
pub mod link;
pub mod path;
#[cfg(feature = "quic")]
pub mod quic;
pub mod raw;
mod spy;
pub mod web;
mod word;

pub const ECHO: &str = "/echo/1.0.0";
pub const BOTH: [&str; 2] = ["/memory/0", "/ip4/127.0.0.1/tcp/0"];
pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
/// Longer than any test takes, also one of many on a machine that is busy with other things.
pub const DEADLINE: Duration = Duration::from_secs(150);

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Runs a test in a runtime of its own; what hangs fails.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = runtime();
    runtime.block_on(async { timeout(DEADLINE, test).await.expect("the test hangs") });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// Runs a test over each transport.
pub fn on_both<F: Future<Output = ()>>(test: impl Fn(&'static str) -> F) {
    for listen in BOTH {
        eprintln!("over {listen}");
        run(test(listen));
    }
}

/// What a node listens on: over every kind of link.
pub fn every_link() -> impl Iterator<Item = &'static str> {
    let quic = cfg!(feature = "quic").then_some(QUIC);
    BOTH.into_iter().chain(quic)
}

/// As [`on_both`], and over QUIC.
pub fn on_all<F: Future<Output = ()>>(test: impl Fn(&'static str) -> F) {
    for listen in every_link() {
        eprintln!("over {listen}");
        run(test(listen));
    }
}

/// Longer than anything takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(50);

/// The result of something that must not hang.
#[track_caller]
pub fn soon<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let at = std::panic::Location::caller();
    let limited = timeout(PATIENCE, what);
    async move { limited.await.unwrap_or_else(|_| panic!("hangs: {at}")) }
}

/// Looks again and again until the condition holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let all = async {
        let mut looks = tokio::time::interval(Duration::from_millis(1));
        while !holds() {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, all)
        .await
        .unwrap_or_else(|_| panic!("never came true: {what}"));
}

/// Watches for the loss of a peer for this long; tells whether there was one.
pub async fn loses_a_peer(node: &Node, time: Duration) -> bool {
    let mut events = node.events();
    let lost = async {
        while !matches!(
            events.next().await,
            Some(NodeEvent::Disconnected { .. }) | None
        ) {}
    };
    timeout(time, lost).await.is_ok()
}

pub async fn keeps_its_peers(node: &Node, time: Duration) {
    assert!(!loses_a_peer(node, time).await, "a peer was lost");
}

pub async fn node_with(config: Config) -> Node {
    Node::builder().config(config).spawn().await.expect("spawn")
}

pub async fn client() -> Node {
    Node::spawn().await.expect("spawn")
}

pub async fn server(listen: &str) -> Node {
    server_with(listen, Config::default()).await
}

/// Listens and echoes.
pub async fn server_with(listen: &str, config: Config) -> Node {
    Node::builder()
        .config(config)
        .handle(
            ECHO,
            |mut stream: Stream| async move { stream.echo().await },
        )
        .listen(listen)
        .expect("an address")
        .spawn()
        .await
        .expect("spawn")
}

/// A stream that the other side has agreed to: its acceptor has it, or will at once.
pub async fn agreed(node: &Node, target: Multiaddr, protocol: &str) -> Stream {
    let mut stream = soon(node.open_stream(target, protocol))
        .await
        .expect("open");
    soon(stream.confirm()).await.expect("consent");
    stream
}

/// One echo of `text` on a new stream.
pub async fn echo(node: &Node, target: &Node, text: &[u8]) -> Result<(), OpenError> {
    let stream = node.open_stream(target.address(), ECHO).await?;
    echo_on(stream, text).await.map_err(OpenError::Stream)
}

pub async fn echo_on(mut stream: Stream, text: &[u8]) -> Result<(), StreamError> {
    stream.write_all(text).await?;
    stream.finish().await?;
    assert_eq!(stream.read_to_end(text.len()).await?, text);
    Ok(())
}

/// Dials and waits until the peer has said who it is, so that its protocols are known.
pub async fn identified(node: &Node, target: &Node) -> Connection {
    let connection = soon(node.dial(target.address())).await.expect("dial");
    soon(connection.info()).await.expect("identify");
    connection
}

/// Whether a stream is refused, at once or, where the protocol was believed to be spoken, by the first read.
pub async fn is_refused(opened: Result<Stream, OpenError>) -> bool {
    match opened {
        Err(OpenError::Unsupported { .. }) => true,
        Err(error) => panic!("{error}"),
        Ok(mut stream) => {
            let read = soon(stream.read_chunk()).await;
            matches!(read, Err(StreamError::Unsupported(_)))
        }
    }
}

/// The server's own handle on its connection to `peer`.
pub async fn back(server: &Node, peer: PeerId) -> Connection {
    eventually("it is connected", || server.peers().contains(&peer)).await;
    soon(server.dial(peer)).await.expect("it is connected")
}

/// Waits until no stream is left on the connection.
pub async fn settled(connection: &Connection) {
    eventually("no stream is left", || connection.streams() == 0).await;
}

/// A memory address where nobody listens.
pub fn nowhere() -> Multiaddr {
    "/memory/18446744073709551615".parse().expect("an address")
}

/// A TCP port that refuses: it is bound, so nobody else gets it, and nobody listens.
pub fn refusing() -> (tokio::net::TcpSocket, Multiaddr) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("bind");
    let address = address_of(socket.local_addr().expect("bound"));
    (socket, address)
}

/// A TCP listener that never says a word.
pub async fn silent() -> (tokio::net::TcpListener, Multiaddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let address = address_of(listener.local_addr().expect("bound"));
    (listener, address)
}

pub fn address_of(socket: std::net::SocketAddr) -> Multiaddr {
    format!("/ip4/{}/tcp/{}", socket.ip(), socket.port())
        .parse()
        .expect("an address")
}

pub fn random_peer() -> PeerId {
    carrick::Keypair::generate_ed25519().public().to_peer_id()
}
