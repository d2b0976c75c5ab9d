//! Closing a node: what was written arrives, what waits is told, nothing hangs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use carrick::{
    Config, ConnectionError, DialError, ListenError, Multiaddr, Node, OpenError, StreamError,
};

use crate::common::*;

const CHAT: &str = "/chat/1.0.0";

#[test]
fn what_was_written_before_closing_is_delivered() {
    on_all(|listen| async move {
        for len in [1, 10_000, 200_000] {
            let (server, client) = (server(listen).await, client().await);
            let mut incoming = server.accept(CHAT).unwrap();
            let mut stream = agreed(&client, server.address(), CHAT).await;
            let mut inbound = soon(incoming.next()).await.unwrap();
            stream.write_all(&vec![5; len]).await.unwrap();
            stream.finish().await.unwrap();
            drop(stream);
            soon(client.close()).await;
            // Only now somebody reads.
            assert_eq!(soon(inbound.read_to_end(len)).await.unwrap(), vec![5; len]);
        }
    });
}

/// Ends 1 MiB, closes the node at once, and compares what arrived.
async fn farewell(server: &Node, target: Multiaddr) {
    let sent: Bytes = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let mut incoming = server.accept(CHAT).unwrap();
    let config = Config {
        drain_timeout: DEADLINE,
        ..Config::default()
    };
    let client = node_with(config).await;
    let mut stream = agreed(&client, target, CHAT).await;
    let mut inbound = soon(incoming.next()).await.unwrap();
    let leave = async {
        stream.write_all(&sent).await.unwrap();
        stream.finish().await.unwrap();
        drop(stream);
        client.close().await;
    };
    let (arrived, ()) = soon(async { tokio::join!(inbound.read_to_end(sent.len()), leave) }).await;
    assert!(arrived.unwrap() == sent, "to the last byte");
}

#[test]
fn a_node_that_closes_right_after_finish_loses_nothing_of_a_mebibyte_however_often() {
    let rounds = std::env::var("CARRICK_FAREWELLS").map_or(20, |n| n.parse().unwrap());
    for listen in every_link() {
        for _ in 0..rounds {
            run(async {
                let server = server(listen).await;
                farewell(&server, server.address()).await;
            });
        }
        eprintln!("{rounds} rounds over {listen}");
    }
}

#[cfg(feature = "quic")]
#[test]
fn nor_does_it_over_a_long_way() {
    const ONE_WAY: Duration = Duration::from_millis(25);
    run(async {
        let server = server(TCP).await;
        let path = path::Path::tcp(&server.address(), ONE_WAY).await;
        farewell(&server, path.address.clone()).await;
    });
    run(async {
        let server = server(QUIC).await;
        let path = path::Path::udp(&server.address(), ONE_WAY).await;
        farewell(&server, path.address.clone()).await;
    });
}

#[test]
fn what_was_written_before_closing_a_connection_is_delivered() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        let mut inbound = soon(incoming.next()).await.unwrap();
        stream.write_all(&[6; 100_000]).await.unwrap();
        soon(stream.connection().close()).await;
        let mut all = vec![0; 100_000];
        soon(inbound.read_exact(&mut all)).await.unwrap();
        let end = soon(inbound.read_chunk()).await;
        assert_eq!(
            end,
            Err(StreamError::ConnectionLost(ConnectionError::ClosedByPeer)),
            "truncation shows"
        );
    });
}

#[test]
fn a_closing_node_lets_open_streams_finish_and_takes_no_new_ones() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        let mut inbound = soon(incoming.next()).await.unwrap();
        let closing = tokio::spawn({
            let server = server.clone();
            async move { server.close().await }
        });
        assert!(soon(incoming.next()).await.is_none());
        let late = soon(stream.connection().open_stream(ECHO)).await;
        match late {
            Err(OpenError::Stream(_) | OpenError::Unsupported { .. }) => {}
            // Believed to be spoken; the first read tells.
            Ok(mut late) => drop(soon(late.read_chunk()).await.unwrap_err()),
            Err(error) => panic!("{error}"),
        }
        stream.write_all(b"last words").await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(soon(inbound.read_to_end(100)).await.unwrap(), "last words");
        inbound.write_all(b"farewell").await.unwrap();
        inbound.finish().await.unwrap();
        assert!(!closing.is_finished(), "a stream is open");
        drop(inbound);
        assert_eq!(soon(stream.read_to_end(100)).await.unwrap(), "farewell");
        soon(closing).await.unwrap();
        eventually("the client sees the end", || client.peers().is_empty()).await;
    });
}

#[test]
fn a_stream_that_never_ends_holds_up_closing_for_the_drain_timeout_only() {
    on_all(|listen| async move {
        let config = Config {
            drain_timeout: Duration::from_millis(200),
            ..Config::default()
        };
        let (server, client) = (server(listen).await, node_with(config).await);
        let _incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        let since = Instant::now();
        soon(client.close()).await;
        assert!(since.elapsed() >= Duration::from_millis(200));
        let end = soon(stream.read_chunk()).await;
        assert_eq!(
            end,
            Err(StreamError::ConnectionLost(ConnectionError::Closed))
        );
    });
}

#[test]
fn a_mere_handle_on_a_connection_does_not_hold_up_closing() {
    run(async {
        let config = Config {
            drain_timeout: 2 * DEADLINE,
            ..Config::default()
        };
        let (server, client) = (server("/memory/0").await, node_with(config).await);
        let connection = identified(&client, &server).await;
        soon(client.close()).await;
        assert!(connection.lost().is_some());
    });
}

#[test]
fn after_closing_everything_fails_and_nothing_hangs() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let connection = identified(&client, &server).await;
        let mut events = client.events();
        soon(client.close()).await;
        let closed = OpenError::Dial(DialError::Closed);
        for target in [server.id(), random_peer()] {
            assert_eq!(
                soon(client.open_stream(target, ECHO)).await.unwrap_err(),
                closed
            );
        }
        assert_eq!(
            soon(client.open_stream(server.address(), ECHO))
                .await
                .unwrap_err(),
            closed
        );
        assert_eq!(
            soon(client.dial(server.address())).await.unwrap_err(),
            closed
        );
        assert!(soon(connection.open_stream(ECHO)).await.is_err());
        assert!(soon(connection.ping()).await.is_err());
        assert_eq!(
            soon(connection.info()).await.map(|info| info.peer),
            Some(server.id())
        );
        soon(connection.close()).await;
        assert!(matches!(
            soon(client.listen(listen)).await,
            Err(ListenError::Closed)
        ));
        soon(client.close()).await;
        while soon(events.next()).await.is_some() {}
        assert!(soon(client.events().next()).await.is_none());
        assert!(client.peers().is_empty() && client.addresses().is_empty());
    });
}

#[test]
fn what_waits_while_the_node_is_closed_is_told() {
    run(async {
        let (_silent, address) = silent().await;
        let (server, client) = (server(TCP).await, client().await);
        let mut dialing = Box::pin(client.open_stream((random_peer(), vec![address]), ECHO));
        assert!(futures::poll!(&mut dialing).is_pending());
        // A queue that nobody empties, so that the last opens wait for consent.
        let _incoming = server.accept(CHAT).unwrap();
        let connection = soon(client.dial(server.address())).await.unwrap();
        let opens = (0..300).map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let mut stream = connection.open_stream(CHAT).await?;
                stream.write_all(b"x").await.map_err(OpenError::Stream)?;
                stream.read_chunk().await.map_err(OpenError::Stream)
            })
        });
        let opens: Vec<_> = opens.collect();
        eventually("they wait", || connection.streams() >= 300).await;
        drop(connection);
        let (closed, dialed) = soon(async { tokio::join!(client.close(), dialing) }).await;
        let () = closed;
        assert_eq!(dialed.unwrap_err(), OpenError::Dial(DialError::Closed));
        for open in opens {
            assert!(soon(open).await.unwrap().is_err());
        }
    });
}

#[test]
fn closing_from_many_places_at_once_is_one_close() {
    run(async {
        let (server, client) = (server(TCP).await, client().await);
        identified(&client, &server).await;
        let closes = (0..20).map(|_| {
            let node = server.clone();
            tokio::spawn(async move { node.close().await })
        });
        let closed = soon(futures::future::join_all(closes)).await;
        closed.into_iter().for_each(Result::unwrap);
    });
}

#[test]
fn the_last_handle_closes_the_node_and_its_streams_go_with_it() {
    on_all(|listen| async move {
        let config = Config {
            drain_timeout: Duration::from_millis(50),
            ..Config::default()
        };
        let (server, client) = (server(listen).await, node_with(config).await);
        let mut stream = soon(client.open_stream(server.address(), ECHO))
            .await
            .unwrap();
        let clone = client.clone();
        drop(client);
        stream.write_all(b"a clone lives").await.unwrap();
        assert_eq!(
            soon(stream.read_chunk()).await.unwrap().unwrap(),
            "a clone lives"
        );
        drop(clone);
        let end = soon(stream.read_chunk()).await;
        assert_eq!(
            end,
            Err(StreamError::ConnectionLost(ConnectionError::Closed))
        );
        eventually("the server sees it", || server.peers().is_empty()).await;
    });
}

#[test]
fn a_port_is_free_again_when_close_returns() {
    run(async {
        let node = server(TCP).await;
        let mut address = node.address();
        address.pop();
        for _ in 0..20 {
            let other = client().await;
            assert!(other.listen(address.clone()).await.is_err());
        }
        soon(node.close()).await;
        let other = client().await;
        soon(other.listen(address.clone())).await.unwrap();
        soon(other.close()).await;
    });
}

#[test]
fn closing_a_node_whose_peer_has_stopped_reading_takes_seconds_at_most() {
    run(async {
        let spy = Spy::default();
        let config = Config {
            drain_timeout: Duration::from_millis(100),
            ..Config::default()
        };
        let server = server(TCP).await;
        let builder = Node::builder().config(config).transport(spy.clone());
        let client = builder.spawn().await.unwrap();
        let _incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        spy.freeze_out();
        spy.freeze_in();
        stream.write_all(b"into the void").await.unwrap();
        let since = Instant::now();
        soon(client.close()).await;
        assert!(
            since.elapsed() < Duration::from_secs(25),
            "{:?}",
            since.elapsed()
        );
        drop(stream);
        eventually("the pipe is let go", || spy.live() == 0).await;
    });
}
