//! Which connections are kept, which go, and what the peer is told.

use std::time::Duration;

use carrick::{
    CloseReason, Code, Config, Connection, ConnectionEnd, ConnectionError, DialOptions, Events,
    KeepConnectedError, KeepError, Keypair, Node, NodeEvent, StreamError, Tag, TagError,
    TargetError, Watermarks,
};

use crate::common::*;

const CHAT: &str = "/chat/1.0.0";
const SHORT: Duration = Duration::from_millis(100);

/// Trims down to `low`, and without grace.
fn trims(low: usize, high: usize) -> Config {
    let mut config = Config::default();
    config.swarm.inbound_watermarks = Some(Watermarks { low, high });
    config.swarm.trim_grace = Duration::ZERO;
    config
}

async fn end(events: &mut Events) -> ConnectionEnd {
    loop {
        if let NodeEvent::ConnectionClosed { reason, .. } = soon(events.next()).await.unwrap() {
            return reason;
        }
    }
}

/// The connection is over: as the peer said, for this reason.
async fn lost_to(connection: &Connection, code: Code) {
    let expected = Some(ConnectionError::ClosedWith(code));
    eventually("it is over", || connection.lost().is_some()).await;
    assert_eq!(connection.lost(), expected);
}

#[test]
fn one_too_many_is_trimmed_and_both_sides_know_why() {
    on_all(|listen| async move {
        let server = server_with(listen, trims(1, 1)).await;
        let (first, second) = (client().await, client().await);
        let stays = soon(first.dial(server.address())).await.unwrap();
        eventually("it was there before", || server.peers() == [first.id()]).await;
        let (mut here, mut there) = (server.events(), second.events());
        let goes = soon(second.dial(server.address())).await.unwrap();
        lost_to(&goes, Code::TRIMMED).await;
        let error = goes.lost().unwrap().to_string();
        assert!(error.contains("trimmed"), "{error}");
        assert_eq!(end(&mut there).await, ConnectionEnd::Theirs(Code::TRIMMED));
        let ours = ConnectionEnd::Ours(CloseReason::Trimmed);
        assert_eq!(end(&mut here).await, ours);
        // The one that was there before works on.
        soon(stays.ping()).await.unwrap();
        soon(echo(&first, &server, b"still here")).await.unwrap();
        assert_eq!(server.peers(), [first.id()]);
    });
}

#[test]
fn what_must_go_though_it_is_in_use_lets_its_streams_finish() {
    on_all(|listen| async move {
        let (server, client) = (server_with(listen, trims(0, 9)).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        let mut inbound = soon(incoming.next()).await.unwrap();
        let connection = stream.connection();
        soon(server.trim()).await;
        for _ in 0..3 {
            stream.write_all(b"to the end").await.unwrap();
            let chunk = soon(inbound.read_chunk()).await.unwrap();
            assert_eq!(chunk.unwrap(), "to the end");
            assert_eq!(connection.lost(), None);
        }
        stream.finish().await.unwrap();
        inbound.finish().await.unwrap();
        assert_eq!(soon(inbound.read_chunk()).await, Ok(None));
        assert_eq!(soon(stream.read_chunk()).await, Ok(None));
        drop((stream, inbound));
        lost_to(&connection, Code::TRIMMED).await;
    });
}

#[test]
fn streams_that_do_not_finish_are_cut_in_the_end() {
    on_all(|listen| async move {
        let config = Config {
            drain_timeout: SHORT,
            ..trims(0, 9)
        };
        let (server, client) = (server_with(listen, config).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        let _inbound = soon(incoming.next()).await.unwrap();
        soon(server.trim()).await;
        let lost = ConnectionError::ClosedWith(Code::TRIMMED);
        let lost = Err(StreamError::ConnectionLost(lost));
        assert_eq!(soon(stream.read_chunk()).await, lost);
    });
}

#[test]
fn a_handle_a_tag_of_value_and_protection_keep_a_connection_from_being_trimmed() {
    run(async {
        let server = server_with(TCP, trims(0, 9)).await;
        let clients = [client().await, client().await];
        let mut connections = Vec::new();
        for client in &clients {
            connections.push(soon(client.dial(server.address())).await.unwrap());
        }
        let held = back(&server, clients[0].id()).await;
        eventually("both are there", || server.peers().len() == 2).await;
        soon(server.protect(clients[1].id(), "friends"))
            .await
            .unwrap();
        assert!(server.is_protected(clients[1].id(), Some("friends")).await);
        assert!(!server.is_protected(clients[1].id(), Some("others")).await);
        soon(server.trim()).await;
        for connection in &connections {
            soon(connection.ping()).await.unwrap();
        }
        drop(held);
        assert!(!soon(server.unprotect(clients[1].id(), "friends")).await);
        soon(server.trim()).await;
        for connection in &connections {
            lost_to(connection, Code::TRIMMED).await;
        }

        // Of two, the one that is worth more stays.
        let server = server_with(TCP, trims(1, 1)).await;
        let tag = Tag::fixed(1);
        soon(server.tag(clients[1].id(), "worth", tag))
            .await
            .unwrap();
        let goes = soon(clients[0].dial(server.address())).await.unwrap();
        let stays = soon(clients[1].dial(server.address())).await.unwrap();
        lost_to(&goes, Code::TRIMMED).await;
        soon(stays.ping()).await.unwrap();
        assert!(soon(server.untag(clients[1].id(), "worth")).await);
        assert!(!soon(server.untag(clients[1].id(), "worth")).await);
        let long = "x".repeat(65);
        let refused = soon(server.tag(clients[1].id(), long, tag)).await;
        assert_eq!(refused, Err(TagError::NameTooLong));
    });
}

#[test]
fn a_protected_connection_is_not_closed_for_being_idle_until_it_is_protected_no_more() {
    on_all(|listen| async move {
        let config = Config {
            idle_timeout: Some(SHORT),
            ..Config::default()
        };
        let (server, client) = (server_with(listen, config).await, client().await);
        soon(server.protect(client.id(), "a")).await.unwrap();
        soon(server.protect(client.id(), "b")).await.unwrap();
        let connection = soon(client.dial(server.address())).await.unwrap();
        keeps_its_peers(&client, 5 * SHORT).await;
        assert!(soon(server.unprotect(client.id(), "a")).await);
        keeps_its_peers(&client, 5 * SHORT).await;
        assert!(!soon(server.unprotect(client.id(), "b")).await);
        lost_to(&connection, Code::TRIMMED).await;
    });
}

#[test]
fn a_node_that_closes_says_so_to_its_peers() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let connection = soon(client.dial(server.address())).await.unwrap();
        eventually("both know", || server.peers() == [client.id()]).await;
        soon(server.close()).await;
        lost_to(&connection, Code::SHUTDOWN).await;
    });
}

#[test]
fn a_connection_that_is_not_even_taken_in_is_told_why() {
    on_all(|listen| async move {
        let mut config = Config::default();
        config.swarm.connections_per_peer_max = 1;
        let (server, client) = (server_with(listen, config).await, client().await);
        let first = soon(client.dial(server.address())).await.unwrap();
        eventually("it is the first", || server.peers() == [client.id()]).await;
        let options = DialOptions {
            force_new: true,
            ..DialOptions::default()
        };
        let second = soon(client.dial_with(server.address(), options)).await;
        lost_to(&second.unwrap(), Code::LIMIT).await;
        soon(first.ping()).await.unwrap();
    });
}

#[test]
fn a_peer_to_stay_connected_to_is_dialed_before_it_is_there_and_after_it_was_gone() {
    run(async {
        let keypair = Keypair::generate_ed25519();
        let port = server("/memory/0").await;
        let address = port.addresses().remove(0);
        let address = address.iter().take(1).collect::<carrick::Multiaddr>();
        soon(port.close()).await;
        let target = address
            .clone()
            .with(carrick::Protocol::P2p(keypair.public().to_peer_id()));
        let config = Config {
            idle_timeout: Some(SHORT),
            ..Config::default()
        };
        let node = node_with(config).await;
        soon(node.keep_connected(target.clone())).await.unwrap();
        // It comes and goes.
        for _ in 0..2 {
            let peer = Node::builder()
                .identity(keypair.clone())
                .listen(address.to_string().as_str())
                .unwrap();
            let peer = peer.spawn().await.unwrap();
            eventually("it is connected", || node.peers() == [peer.id()]).await;
            keeps_its_peers(&node, 3 * SHORT).await;
            soon(peer.close()).await;
            eventually("it is gone", || node.peers().is_empty()).await;
        }
        let peer = keypair.public().to_peer_id();
        assert!(soon(node.stop_keeping(peer)).await && !soon(node.stop_keeping(peer)).await);

        let own = soon(node.keep_connected(node.id())).await;
        let local = KeepConnectedError::Refused(KeepError::LocalPeer);
        assert_eq!(own, Err(local));
        let nobody = soon(node.keep_connected(address)).await;
        let nobody_named = KeepConnectedError::Target(TargetError::Empty);
        assert_eq!(nobody, Err(nobody_named));
    });
}
