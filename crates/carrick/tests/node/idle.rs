//! When a connection is kept and when it ends.

use std::time::Duration;

use carrick::{Config, Connection, ConnectionError, Node};

use crate::common::*;

fn idle_after(timeout: Duration) -> Config {
    Config {
        idle_timeout: Some(timeout),
        ..Config::default()
    }
}

const SHORT: Duration = Duration::from_millis(100);

async fn gone(node: &Node) {
    eventually("the connection is closed", || node.peers().is_empty()).await;
}

#[test]
fn an_idle_connection_is_closed_on_both_sides_after_its_timeout() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, node_with(idle_after(SHORT)).await);
        let since = std::time::Instant::now();
        soon(echo(&client, &server, b"once")).await.unwrap();
        gone(&client).await;
        gone(&server).await;
        assert!(since.elapsed() >= SHORT, "{:?}", since.elapsed());
        // And it is back when it is needed.
        soon(echo(&client, &server, b"twice")).await.unwrap();
    });
}

#[test]
fn a_stream_keeps_its_connection_on_either_side() {
    on_all(|listen| async move {
        for impatient_server in [false, true] {
            let (mut here, mut there) = (idle_after(SHORT), Config::default());
            if impatient_server {
                std::mem::swap(&mut here, &mut there);
            }
            let (server, client) = (server_with(listen, there).await, node_with(here).await);
            let mut incoming = server.accept("/chat/1.0.0").unwrap();
            let mut stream = agreed(&client, server.address(), "/chat/1.0.0").await;
            let mut inbound = soon(incoming.next()).await.unwrap();
            keeps_its_peers(&client, 5 * SHORT).await;
            stream.write_all(b"still here").await.unwrap();
            assert_eq!(
                soon(inbound.read_chunk()).await.unwrap().unwrap(),
                "still here"
            );
            drop(stream);
            drop(inbound);
            gone(&client).await;
            gone(&server).await;
        }
    });
}

#[test]
fn a_handle_keeps_its_connection_and_pings_do_not() {
    run(async {
        let (server, client) = (
            server("/memory/0").await,
            node_with(idle_after(SHORT)).await,
        );
        let connection: Connection = soon(client.dial(server.address())).await.unwrap();
        soon(connection.ping()).await.unwrap();
        keeps_its_peers(&client, 5 * SHORT).await;
        soon(connection.ping()).await.unwrap();
        assert_eq!(connection.lost(), None);
        drop(connection);
        gone(&client).await;
        gone(&server).await;
    });
}

#[test]
fn without_patience_an_open_that_dialed_is_served_all_the_same() {
    on_all(|listen| async move {
        let (server, client) = (
            server(listen).await,
            node_with(idle_after(Duration::ZERO)).await,
        );
        for _ in 0..20 {
            soon(echo(&client, &server, b"just this")).await.unwrap();
        }
        gone(&client).await;
    });
}

#[test]
fn without_a_timeout_a_connection_stays() {
    run(async {
        let config = Config {
            idle_timeout: None,
            ..Config::default()
        };
        let (server, client) = (
            server_with("/memory/0", config.clone()).await,
            node_with(config).await,
        );
        drop(soon(client.dial(server.address())).await.unwrap());
        keeps_its_peers(&client, 2 * SHORT).await;
        assert_eq!(client.peers(), [server.id()]);
    });
}

#[test]
fn closing_a_connection_waits_until_it_is_gone_and_says_why() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let connection = identified(&client, &server).await;
        let (same, there) = (connection.clone(), back(&server, client.id()).await);
        soon(connection.close()).await;
        assert_eq!(same.lost(), Some(ConnectionError::Closed));
        assert!(same.open_stream(ECHO).await.is_err());
        assert!(client.peers().is_empty());
        eventually("the peer has noticed", || there.lost().is_some()).await;
        assert_eq!(there.lost(), Some(ConnectionError::ClosedByPeer));
        soon(same.close()).await;
        soon(there.close()).await;
    });
}
