//! Every limit on what connections carry and cost, at N, at N + 1 and after release. A limit without a test does not compile.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use carrick::{
    Code, Config, Limit, LimitReached, Node, NodeEvent, OpenError, RequestError, Requests, Stream,
    StreamError, Usage, codec,
};
use carrick_session::{Key, Read, StreamError as RawError};
use futures::future::{FutureExt, LocalBoxFuture};
use tokio::sync::Semaphore;

use crate::common::{
    raw::{Raw, proposal},
    *,
};

/// Where a limit is tested.
enum Proof {
    Here(fn() -> LocalBoxFuture<'static, ()>),
    /// With the swarm, or what it belongs to: the file and the test.
    There(&'static str, &'static str),
}

const SWARM: Proof = Proof::There(
    "swarm/src/swarm/tests/registry.rs",
    "every_limit_holds_at_n_and_at_one_more_and_after_release",
);
const MEMORY_OF_PEER: Proof = Proof::There(
    "carrick/src/quotas/tests.rs",
    "the_windows_of_one_peer_grow_up_to_its_limit_and_again_when_some_was_given_back",
);
const WINDOWS: Proof = Proof::There(
    "session/tests/session/flow.rs",
    "all_windows_together_stay_within_the_budget",
);
const UNSENT: Proof = Proof::There(
    "session/tests/session/flow.rs",
    "a_writer_waits_when_as_many_bytes_are_unsent_as_may_be_and_goes_on_when_they_are_sent",
);

const REQUEST_BYTES: Proof = Proof::There(
    "carrick/src/requesting/gate/tests.rs",
    "requests_and_bytes_of_one_peer_are_bounded_and_their_ends_make_room",
);
const REQUEST_RATE: Proof = Proof::There(
    "carrick/src/requesting/gate/tests.rs",
    "ten_a_second_with_a_burst_of_ten_and_the_eleventh_is_told_when_to_come_again",
);

fn proof(limit: Limit) -> Proof {
    match limit {
        Limit::ConnectionsInbound
        | Limit::ConnectionsOutbound
        | Limit::ConnectionsPending
        | Limit::ConnectionsPerPeer
        | Limit::ConnectionsPerIp
        | Limit::ConnectionsPerSite
        | Limit::ConnectionRatePerIp
        | Limit::ConnectionRatePerSite
        | Limit::ConnectionRateSubnets
        | Limit::Dials
        | Limit::HearsayDials
        | Limit::DialAddresses
        | Limit::DialAttempts
        | Limit::DialBackoffs
        | Limit::NameDepth
        | Limit::NameLookups
        | Limit::NameRecords
        | Limit::NameRecordBytes
        | Limit::NameAddresses
        | Limit::Peers
        | Limit::PeersBytes
        | Limit::PeerAddresses
        | Limit::PeerAddressesConnected
        | Limit::Scores
        | Limit::Bans
        | Limit::PeerValues
        | Limit::PeerValuesBytes
        | Limit::TagsPerPeer
        | Limit::TaggedPeers
        | Limit::KeptPeers => SWARM,
        Limit::FileDescriptors => {
            Proof::Here(|| dials(limit_of_sockets, Limit::FileDescriptors).boxed_local())
        }
        Limit::Memory => Proof::Here(|| dials(limit_of_memory, Limit::Memory).boxed_local()),
        Limit::MemoryPerPeer => MEMORY_OF_PEER,
        Limit::ReceiveWindows => WINDOWS,
        Limit::SendBuffer => UNSENT,
        Limit::StreamsInbound => Proof::Here(|| {
            streams(
                |config| config.streams_inbound_max = 2,
                Limit::StreamsInbound,
            )
            .boxed_local()
        }),
        Limit::StreamsInboundPerPeer => Proof::Here(|| {
            let set = |config: &mut Config| config.streams_inbound_per_peer_max = 2;
            streams(set, Limit::StreamsInboundPerPeer).boxed_local()
        }),
        Limit::StreamsInboundPerProtocol => Proof::Here(|| {
            let set = |config: &mut Config| config.streams_inbound_per_protocol_max = 2;
            streams(set, Limit::StreamsInboundPerProtocol).boxed_local()
        }),
        Limit::StreamsInboundPerConnection => Proof::Here(|| {
            let set = |config: &mut Config| config.session.inbound_streams_max = 2;
            streams(set, Limit::StreamsInboundPerConnection).boxed_local()
        }),
        Limit::StreamsOutboundPerConnection => Proof::Here(|| outbound_streams().boxed_local()),
        Limit::Negotiations => Proof::Here(|| negotiations().boxed_local()),
        Limit::NegotiationsPerConnection => Proof::Here(|| negotiations_of_one().boxed_local()),
        Limit::HandlersPerProtocol => Proof::Here(|| handlers().boxed_local()),
        Limit::QueuePerProtocol => Proof::Here(|| queue().boxed_local()),
        Limit::RequestsInboundPerPeer => Proof::Here(|| requests_inbound().boxed_local()),
        Limit::RequestBytesPerPeer => REQUEST_BYTES,
        Limit::RequestRatePerPeer => REQUEST_RATE,
        Limit::RequestsOutboundPerPeer => Proof::Here(|| requests_outbound().boxed_local()),
        Limit::RequestsQueuedPerPeer => Proof::Here(|| requests_queued().boxed_local()),
        Limit::Events => Proof::Here(|| events().boxed_local()),
    }
}

#[test]
fn every_limit_holds_at_n_and_at_one_more_and_after_release() {
    for &limit in Limit::ALL {
        match proof(limit) {
            Proof::Here(test) => {
                eprintln!("{limit}");
                run(test());
            }
            Proof::There(file, test) => {
                let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
                let text = std::fs::read_to_string(&path).unwrap();
                let test = format!("\n#[test]\nfn {test}() {{");
                assert!(text.contains(&test), "{limit}: no such test in {path}");
            }
        }
    }
}

#[test]
fn every_limit_is_in_the_list_and_the_list_is_a_table() {
    run(async {
        let node = client().await;
        let limits = node.limits().await;
        let listed: Vec<_> = limits.iter().map(|usage| usage.limit).collect();
        assert_eq!(listed, Limit::ALL);
        eprintln!("{limits}");
        assert_eq!(limits.to_string().lines().count(), 1 + Limit::ALL.len());
        assert!(
            limits
                .iter()
                .all(|usage| usage.max > 0 && usage.refused == 0)
        );
        node.close().await;
        assert!(node.limits().await.get(Limit::Memory).is_some());
    });
}

async fn usage(node: &Node, limit: Limit) -> Usage {
    *node.limits().await.get(limit).unwrap()
}

/// Looks again and again until the usage is so.
async fn becomes(node: &Node, limit: Limit, holds: impl Fn(&Usage) -> bool) {
    let look = async {
        loop {
            let usage = usage(node, limit).await;
            if holds(&usage) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(look).await;
}

/// Two uses that last as long as what they give, a third, and another when one of the two is over.
async fn holds<T>(
    node: &Node,
    limit: Limit,
    max: u64,
    mut make: impl AsyncFnMut() -> Result<T, String>,
) {
    let mut events = node.events();
    let first = make().await.unwrap();
    let _second = make().await.unwrap();
    becomes(node, limit, |usage| {
        usage.used.is_none_or(|used| used == max)
    })
    .await;
    let full = usage(node, limit).await;
    assert_eq!((full.max, full.refused), (max, 0), "{limit}");

    let refused = make()
        .await
        .err()
        .unwrap_or_else(|| panic!("{limit}: one too many"));
    let named = refused.contains(limit.name()) || refused == Code::LIMIT.to_string();
    assert!(named, "{limit}: {refused}");
    let beyond = usage(node, limit).await;
    assert!(
        beyond.used.is_none_or(|used| used <= max) && beyond.peak <= max,
        "{beyond:?}"
    );
    assert_eq!(beyond.refused, 1, "{limit}");
    let told = async {
        loop {
            if events.next().await.unwrap() == (NodeEvent::LimitReached { limit }) {
                return;
            }
        }
    };
    soon(told).await;

    drop(first);
    let again = async {
        // It takes a moment until the other side knows.
        while make().await.is_err() {}
    };
    soon(again).await;
}

/// `third` has to wait for the end of something.
async fn waits<T>(
    node: &Node,
    limit: Limit,
    third: impl Future<Output = T>,
    end: impl FnOnce(),
) -> T {
    let mut third = Box::pin(third);
    tokio::select! {
        biased;
        _ = &mut third => panic!("{limit}: one too many"),
        () = becomes(node, limit, |usage| usage.refused > 0) => {}
    }
    end();
    soon(third).await
}

fn limit_of_sockets(config: &mut Config) {
    config.file_descriptors_max = 2;
}

/// Each connection is taken to need 128 KiB.
fn limit_of_memory(config: &mut Config) {
    config.memory_max = 256 << 10;
}

async fn dials(set: fn(&mut Config), limit: Limit) {
    let mut config = Config {
        idle_timeout: Some(Duration::from_millis(10)),
        ..Config::default()
    };
    set(&mut config);
    let node = node_with(config).await;
    let max = usage(&node, limit).await.max;
    let make = async || {
        let server = server(TCP).await;
        let dialed = node.dial(server.address()).await;
        dialed
            .map(|connection| (connection, server))
            .map_err(|error| error.to_string())
    };
    holds(&node, limit, max, make).await;
}

async fn streams(set: fn(&mut Config), limit: Limit) {
    let mut config = Config::default();
    set(&mut config);
    let (server, client) = (server_with(TCP, config).await, client().await);
    let connection = identified(&client, &server).await;
    let there = back(&server, client.id()).await;
    soon(there.info()).await;
    settled(&connection).await;
    settled(&there).await;
    let make = async || {
        let mut stream = match connection.open_stream(ECHO).await {
            Ok(stream) => stream,
            Err(OpenError::Stream(StreamError::Reset(code))) => return Err(code.to_string()),
            Err(other) => panic!("{other}"),
        };
        stream.write_all(b"x").await.map_err(|error| code(&error))?;
        match stream.read_chunk().await {
            Ok(_) => Ok(stream),
            Err(error) => Err(code(&error)),
        }
    };
    holds(&server, limit, 2, make).await;
}

fn code(error: &StreamError) -> String {
    match error {
        StreamError::Reset(code) => code.to_string(),
        other => other.to_string(),
    }
}

async fn outbound_streams() {
    let mut config = Config::default();
    config.session.outbound_streams_max = 2;
    let (server, client) = (server(TCP).await, node_with(config).await);
    let connection = identified(&client, &server).await;
    settled(&connection).await;
    let open = || connection.open_stream(ECHO);
    let (first, _second) = (open().await.unwrap(), open().await.unwrap());
    let mut third = Box::pin(open());
    assert!(futures::poll!(&mut third).is_pending());
    assert_eq!(connection.streams(), 2);
    drop(first);
    soon(third).await.unwrap();
}

/// A stream on which the peer has said no more than hello.
async fn stalled(raw: &mut Raw) -> Key {
    raw.open(b"\x13/multistream/1.0.0\n").await
}

async fn negotiations() {
    let config = Config {
        negotiations_max: 2,
        ..Config::default()
    };
    let server = server_with(TCP, config).await;
    let limit = Limit::Negotiations;
    let mut raw = Raw::connect(&server.address()).await;
    let first = stalled(&mut raw).await;
    stalled(&mut raw).await;
    becomes(&server, limit, |usage| usage.used == Some(2)).await;
    let third = stalled(&mut raw).await;
    let refused = soon(raw.read(third)).await;
    assert_eq!(refused.err(), Some(RawError::Reset(Code::LIMIT)));
    assert_eq!(usage(&server, limit).await.refused, 1);
    raw.mux.reset(first, Code::NONE);
    raw.flush().await;
    becomes(&server, limit, |usage| usage.used == Some(1)).await;
    answers(&mut raw).await;
}

/// A whole echo.
async fn answers(raw: &mut Raw) {
    let key = raw.ask(ECHO, b"hello").await;
    while !matches!(soon(raw.read(key)).await.unwrap(), Read::Data(bytes) if bytes.ends_with(b"hello"))
    {
    }
}

async fn negotiations_of_one() {
    let config = Config {
        negotiations_per_connection_max: 2,
        ..Config::default()
    };
    let server = server_with(TCP, config).await;
    let limit = Limit::NegotiationsPerConnection;
    let mut raw = Raw::connect(&server.address()).await;
    let first = stalled(&mut raw).await;
    stalled(&mut raw).await;
    back(&server, raw.id).await;
    becomes(&server, limit, |usage| usage.used == Some(2)).await;
    let mut first_words = proposal(ECHO);
    first_words.extend_from_slice(b"hello");
    let third = raw.open(&first_words).await;
    becomes(&server, limit, |usage| usage.refused == 1).await;
    // Others negotiate meanwhile.
    echo(&client().await, &server, b"as ever").await.unwrap();
    raw.mux.reset(first, Code::NONE);
    raw.flush().await;
    while !matches!(soon(raw.read(third)).await.unwrap(), Read::Data(bytes) if bytes.ends_with(b"hello"))
    {
    }
}

async fn handlers() {
    let config = Config {
        handlers_per_protocol_max: 2,
        ..Config::default()
    };
    let (server, client) = (server_with(TCP, config).await, client().await);
    let first = agreed(&client, server.address(), ECHO).await;
    let _second = agreed(&client, server.address(), ECHO).await;
    let third = agreed(&client, server.address(), ECHO);
    waits(&server, Limit::HandlersPerProtocol, third, || drop(first)).await;
}

async fn queue() {
    let (server, client) = (server(TCP).await, client().await);
    let mut incoming = server.accept("/queue/1.0.0").unwrap();
    let mut held: Vec<Stream> = Vec::new();
    for _ in 0..256 {
        held.push(agreed(&client, server.address(), "/queue/1.0.0").await);
    }
    let limit = Limit::QueuePerProtocol;
    let full = usage(&server, limit).await;
    assert_eq!((full.max, full.peak, full.refused), (256, 256, 0));
    let beyond = agreed(&client, server.address(), "/queue/1.0.0");
    waits(&server, limit, beyond, || {
        drop(incoming.next().now_or_never().flatten().unwrap())
    })
    .await;
}

type Requested = tokio::task::JoinHandle<Result<Bytes, RequestError>>;

/// A server whose handlers wait for a permit each, and a way to ask it that tells when the handler has begun.
async fn requests(
    requests: &Requests<Bytes, Bytes, codec::Raw>,
) -> (Node, Node, Arc<Semaphore>, impl Fn() -> Requested + use<>) {
    let (server, client, go) = (
        server(TCP).await,
        client().await,
        Arc::new(Semaphore::new(0)),
    );
    let wait = go.clone();
    let handler = move |_, text| {
        let wait = wait.clone();
        async move {
            wait.acquire().await?.forget();
            Ok(text)
        }
    };
    server.serve(requests, handler).unwrap();
    client.dial(server.address()).await.unwrap();
    let (asker, requests, to) = (client.clone(), requests.clone(), server.id());
    let ask = move || {
        let (client, requests) = (asker.clone(), requests.clone());
        tokio::spawn(async move { client.request(to, &requests, &Bytes::from("x")).await })
    };
    (server, client, go, ask)
}

async fn requests_inbound() {
    let limit = Limit::RequestsInboundPerPeer;
    let two = Requests::new("/two/1").max_in_flight_inbound(2);
    let (server, _client, go, ask) = requests(&two).await;
    let (first, second) = (ask(), ask());
    becomes(&server, limit, |usage| usage.used == Some(2)).await;
    let full = usage(&server, limit).await;
    assert_eq!((full.max, full.peak, full.refused), (2, 2, 0));
    let refused = soon(ask()).await.unwrap();
    assert_eq!(refused, Err(RequestError::Busy { retry_after: None }));
    assert_eq!(usage(&server, limit).await.refused, 1);
    go.add_permits(1);
    becomes(&server, limit, |usage| usage.used == Some(1)).await;
    let again = ask();
    becomes(&server, limit, |usage| usage.used == Some(2)).await;
    go.add_permits(2);
    for asked in [first, second, again] {
        soon(asked).await.unwrap().unwrap();
    }
    becomes(&server, limit, |usage| usage.used == Some(0)).await;
    assert_eq!(usage(&server, limit).await.refused, 1);
}

async fn requests_outbound() {
    let limit = Limit::RequestsOutboundPerPeer;
    let two = Requests::new("/two/1").max_in_flight(2);
    let (_server, client, go, ask) = requests(&two).await;
    let (first, second) = (ask(), ask());
    becomes(&client, limit, |usage| usage.used == Some(2)).await;
    let full = usage(&client, limit).await;
    assert_eq!((full.max, full.peak, full.refused), (2, 2, 0));
    let third = ask();
    waits(&client, limit, third, || go.add_permits(3))
        .await
        .unwrap()
        .unwrap();
    for asked in [first, second] {
        soon(asked).await.unwrap().unwrap();
    }
    let over = usage(&client, limit).await;
    assert_eq!((over.used, over.peak, over.refused), (Some(0), 2, 1));
}

async fn requests_queued() {
    let limit = Limit::RequestsQueuedPerPeer;
    let two = Requests::new("/two/1").max_in_flight(1).max_queued(2);
    let (_server, client, go, ask) = requests(&two).await;
    let asked = [ask(), ask(), ask()];
    becomes(&client, limit, |usage| usage.used == Some(2)).await;
    let full = usage(&client, limit).await;
    assert_eq!((full.max, full.peak, full.refused), (2, 2, 0));
    let refused = soon(ask()).await.unwrap();
    let reached = LimitReached { limit, max: 2 };
    assert_eq!(refused, Err(RequestError::LimitReached(reached)));
    assert_eq!(usage(&client, limit).await.refused, 1);
    go.add_permits(1);
    becomes(&client, limit, |usage| usage.used == Some(1)).await;
    let again = ask();
    becomes(&client, limit, |usage| usage.used == Some(2)).await;
    go.add_permits(3);
    for asked in asked.into_iter().chain([again]) {
        soon(asked).await.unwrap().unwrap();
    }
    assert_eq!(usage(&client, limit).await.used, Some(0));
}

async fn events() {
    let (node, peer) = (client().await, random_peer());
    let mut events = node.events();
    let fail = async |times: usize| {
        for _ in 0..times {
            node.dial((peer, vec![nowhere()])).await.unwrap_err();
        }
        // What was told before is there once this is answered.
        node.limits().await;
    };
    fail(1024).await;
    assert!(matches!(
        events.next().await,
        Some(NodeEvent::DialFailed { .. })
    ));
    assert_eq!(usage(&node, Limit::Events).await.refused, 0);
    fail(2).await;
    assert_eq!(events.next().await, Some(NodeEvent::Missed { count: 1 }));
    assert_eq!(usage(&node, Limit::Events).await.refused, 1);
    for _ in 0..3 {
        // One is read, and there is room for one.
        let next = events.next().await;
        assert!(matches!(next, Some(NodeEvent::DialFailed { .. })));
        fail(1).await;
    }
    assert_eq!(usage(&node, Limit::Events).await.refused, 1);
}
