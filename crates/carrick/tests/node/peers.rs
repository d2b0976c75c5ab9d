//! Several connections, several peers: simultaneous dials, limits under flood, what identify tells.

use std::time::Duration;

use carrick::{Config, Direction, Node, NodeEvent, Stream};
use futures::future::join_all;

use crate::common::*;

#[test]
fn a_simultaneous_dial_ends_in_one_connection_that_both_sides_use() {
    on_both(|listen| async move {
        let mut config = Config::default();
        config.swarm.duplicate_idle_timeout = Duration::from_millis(20);
        let rounds = (0..50).map(|_| async {
            let spies = [Spy::default(), Spy::default()];
            let nodes = join_all(spies.iter().map(|spy| async {
                Node::builder()
                    .config(config.clone())
                    .transport(spy.clone())
                    .handle(
                        ECHO,
                        |mut stream: Stream| async move { stream.echo().await },
                    )
                    .listen(listen)
                    .unwrap()
                    .spawn()
                    .await
                    .unwrap()
            }))
            .await;
            let [a, b] = [&nodes[0], &nodes[1]];
            let (there, back) =
                soon(async { tokio::join!(echo(a, b, b"there"), echo(b, a, b"back")) }).await;
            there.unwrap();
            back.unwrap();
            let one = || spies.iter().all(|spy| spy.live() == 2);
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            while !one() {
                // Both ways work all the time, also while the superfluous connection goes.
                soon(echo(a, b, b"still")).await.unwrap();
                soon(echo(b, a, b"still")).await.unwrap();
                pace.tick().await;
            }
            soon(echo(a, b, b"one left")).await.unwrap();
            soon(echo(b, a, b"one left")).await.unwrap();
            assert!(one(), "nothing was dialed again");
        });
        join_all(rounds).await;
    });
}

#[test]
fn a_stream_on_a_superfluous_connection_is_not_cut() {
    on_all(|listen| async move {
        let mut config = Config::default();
        config.swarm.duplicate_idle_timeout = Duration::from_millis(20);
        let (a, b) = (
            server_with(listen, config.clone()).await,
            server_with(listen, config).await,
        );
        let (mut in_a, mut in_b) = (
            a.accept("/chat/1.0.0").unwrap(),
            b.accept("/chat/1.0.0").unwrap(),
        );
        let (from_a, from_b) = tokio::join!(
            agreed(&a, b.address(), "/chat/1.0.0"),
            agreed(&b, a.address(), "/chat/1.0.0")
        );
        let mut pairs = [
            (from_a, soon(in_b.next()).await.unwrap()),
            (from_b, soon(in_a.next()).await.unwrap()),
        ];
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..15 {
            pace.tick().await;
            for (here, there) in &mut pairs {
                here.write_all(b"x").await.unwrap();
                assert_eq!(soon(there.read_chunk()).await.unwrap().unwrap(), "x");
            }
        }
    });
}

#[test]
fn a_peer_that_connects_too_often_is_kept_to_its_share() {
    run(async {
        let mut config = Config::default();
        config.swarm.connections_per_peer_max = 2;
        let spy = Spy::default();
        let server = Node::builder()
            .config(config)
            .transport(spy.clone())
            .handle(
                ECHO,
                |mut stream: Stream| async move { stream.echo().await },
            )
            .listen(TCP)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        // One identity, many nodes: each dials for itself.
        let keypair = carrick::Keypair::generate_ed25519();
        let nodes =
            join_all((0..10).map(|_| Node::builder().identity(keypair.clone()).spawn())).await;
        let nodes: Vec<_> = nodes.into_iter().map(Result::unwrap).collect();
        let dials = join_all(nodes.iter().map(|node| node.dial(server.address())));
        let connections: Vec<_> = soon(dials).await.into_iter().flatten().collect();
        eventually("the others are gone", || spy.live() == 4).await;
        let works = join_all(connections.iter().map(|connection| connection.ping())).await;
        assert_eq!(works.iter().filter(|ping| ping.is_ok()).count(), 2);
        // Another peer is not concerned, and room that is freed can be used.
        soon(echo(&client().await, &server, b"another"))
            .await
            .unwrap();
        drop(connections);
        join_all(nodes.iter().map(Node::close)).await;
        let again = Node::builder().identity(keypair).spawn().await.unwrap();
        eventually("they are gone", || !server.peers().contains(&again.id())).await;
        soon(echo(&again, &server, b"again")).await.unwrap();
    });
}

#[test]
fn inbound_connections_stop_at_their_limit_and_start_again_below_it() {
    on_all(|listen| async move {
        let mut config = Config::default();
        config.swarm.connections_inbound_max = 3;
        let server = server_with(listen, config).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let client = client().await;
            soon(echo(&client, &server, b"in")).await.unwrap();
            clients.push(client);
        }
        let fourth = client().await;
        soon(echo(&fourth, &server, b"one too many"))
            .await
            .unwrap_err();
        soon(clients.pop().unwrap().close()).await;
        eventually("one is gone", || server.peers().len() == 2).await;
        soon(echo(&fourth, &server, b"in")).await.unwrap();
    });
}

#[test]
fn outbound_connections_and_dials_stop_at_their_limits() {
    run(async {
        let mut config = Config::default();
        config.swarm.connections_outbound_max = 2;
        let client = node_with(config).await;
        let servers = join_all((0..3).map(|_| server("/memory/0"))).await;
        soon(echo(&client, &servers[0], b"one")).await.unwrap();
        soon(echo(&client, &servers[1], b"two")).await.unwrap();
        let error = soon(echo(&client, &servers[2], b"three"))
            .await
            .unwrap_err();
        let text =
            "at most 2 outbound connections, with one for each dial (limit connections_outbound)";
        assert_eq!(error.to_string(), text);

        let mut config = Config::default();
        config.swarm.dials_max = 1;
        let client = node_with(config).await;
        let (_silent, address) = silent().await;
        let mut first = Box::pin(client.dial(address));
        assert!(futures::poll!(&mut first).is_pending());
        let error = soon(echo(&client, &servers[0], b"two")).await.unwrap_err();
        assert_eq!(error.to_string(), "at most 1 running dials (limit dials)");
        drop(first);
        soon(echo(&client, &servers[0], b"room again"))
            .await
            .unwrap();
    });
}

#[test]
fn peers_tell_each_other_who_they_are() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let client = Node::builder().agent("tester/1.0").spawn().await.unwrap();
        let mut events = server.events();
        let connection = soon(client.dial(server.address())).await.unwrap();
        let info = soon(connection.info()).await.unwrap();
        assert_eq!((info.peer, info.key_type), (server.id(), "Ed25519"));
        assert!(info.agent.as_deref().unwrap().starts_with("carrick/"));
        assert!(
            info.protocols
                .iter()
                .any(|protocol| protocol.as_str() == ECHO)
        );
        assert!(
            info.protocols
                .iter()
                .any(|protocol| protocol.as_str() == "/ipfs/ping/1.0.0")
        );
        let mut address = server.address();
        address.pop();
        assert_eq!(info.addresses, [address.clone()]);
        assert!(info.observed_address.is_some());
        assert_eq!(client.peer(&server.id()), Some(info));
        let event = soon(events.next()).await.unwrap();
        assert!(matches!(
            event,
            NodeEvent::Connected { peer, direction: Direction::Inbound, .. } if peer == client.id()
        ));
        assert!(matches!(
            soon(events.next()).await,
            Some(NodeEvent::ConnectionOpened { peer, .. }) if peer == client.id()
        ));
        assert!(matches!(
            soon(events.next()).await,
            Some(NodeEvent::Identified { peer, changes }) if peer == client.id() && changes.agent
        ));
        let agent = server.peer(&client.id()).unwrap().agent.clone().unwrap();
        assert!(agent.starts_with("tester/1.0 carrick/"), "{agent}");
        soon(connection.close()).await;
        assert!(matches!(
            soon(events.next()).await,
            Some(NodeEvent::ConnectionClosed { peer, .. }) if peer == client.id()
        ));
        assert_eq!(
            soon(events.next()).await,
            Some(NodeEvent::Disconnected { peer: client.id() })
        );
        assert_eq!(server.peer(&client.id()), None);
    });
}

#[test]
fn pings_share_a_stream_and_many_at_once_are_all_answered() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let connection = identified(&client, &server).await;
        let pings = soon(join_all((0..50).map(|_| connection.ping()))).await;
        assert!(pings.iter().all(Result::is_ok));
        eventually("one stream", || connection.streams() == 1).await;
        // One that is given up half way takes its stream along; the next has a new one.
        for _ in 0..10 {
            let _ = futures::poll!(Box::pin(connection.ping()));
            soon(connection.ping()).await.unwrap();
        }
        eventually("one stream", || connection.streams() == 1).await;
        soon(client.ping(server.id())).await.unwrap();
    });
}
