//! Opening: dials that are shared, failures that reach everybody, and openings that are given up.

use std::{collections::BTreeSet, future::Future, time::Duration};

use carrick::{
    AttemptError, Config, Connection, DialError, Incoming, Multiaddr, Node, NodeEvent, OpenError,
    Protocol, Stream, StreamError,
};
use futures::future::join_all;

use crate::common::*;

fn dial_error(opened: Result<Stream, OpenError>) -> DialError {
    match opened {
        Err(OpenError::Dial(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_peer_without_an_address_cannot_be_dialed_and_the_error_says_so() {
    run(async {
        let (node, peer) = (client().await, random_peer());
        let error = soon(node.open_stream(peer, ECHO)).await.unwrap_err();
        assert_eq!(
            error,
            OpenError::Dial(DialError::NoAddresses { peer: Some(peer) })
        );
        assert_eq!(error.to_string(), format!("no addresses for peer {peer}"));
    });
}

#[test]
fn a_failed_dial_tells_every_waiter_every_address_and_its_cause() {
    run(async {
        let (node, peer) = (client().await, random_peer());
        let (_bound, refused) = refusing();
        let unsupported: Multiaddr = "/ip4/127.0.0.1/udp/1/quic-v1/webtransport".parse().unwrap();
        let mut events = node.events();
        let addresses = vec![refused.clone(), unsupported.clone(), nowhere()];
        let opens = (0..20).map(|_| node.open_stream((peer, addresses.clone()), ECHO));
        for opened in soon(join_all(opens)).await {
            let error = dial_error(opened);
            let text = error.to_string();
            let DialError::Failed {
                peer: Some(dialed),
                attempts,
            } = error
            else {
                panic!("{text}");
            };
            assert_eq!(dialed, peer);
            let tried: BTreeSet<_> = attempts
                .iter()
                .map(|(address, _)| address.clone())
                .collect();
            assert_eq!(tried, addresses.iter().cloned().collect(), "{text}");
            for (address, error) in &attempts {
                assert!(text.contains(&address.to_string()), "{text}");
                assert_eq!(
                    *address == unsupported,
                    *error == AttemptError::NoTransport,
                    "{text}"
                );
            }
            assert!(text.contains("refused"), "{text}");
        }
        assert!(matches!(
            soon(events.next()).await,
            Some(NodeEvent::DialFailed { peer: Some(p), .. }) if p == peer
        ));
    });
}

#[test]
fn addresses_of_unsupported_transports_are_skipped() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let addresses = vec![
            "/ip4/127.0.0.1/udp/1/quic-v1/webtransport".parse().unwrap(),
            "/dns4/example.invalid/tcp/1/wss".parse().unwrap(),
            nowhere(),
            server.address(),
        ];
        let stream = soon(client.open_stream(addresses, ECHO)).await.unwrap();
        soon(echo_on(stream, b"x")).await.unwrap();
    });
}

#[test]
fn dialing_oneself_is_an_error_and_not_a_wait() {
    on_all(|listen| async move {
        let node = server(listen).await;
        let bare = {
            let mut address = node.address();
            address.pop();
            address
        };
        let by_id = soon(node.open_stream(node.id(), ECHO)).await;
        assert_eq!(dial_error(by_id), DialError::LocalPeer);
        let by_address = soon(node.open_stream(node.address(), ECHO)).await;
        assert_eq!(dial_error(by_address), DialError::LocalPeer);
        let by_bare_address = soon(node.open_stream(bare.clone(), ECHO)).await;
        assert_eq!(dial_error(by_bare_address), DialError::LocalPeer);
        // Our address under another's name.
        let other = (random_peer(), vec![bare]);
        let error = dial_error(soon(node.open_stream(other, ECHO)).await);
        assert!(error.to_string().contains("our own address"), "{error}");
        assert!(node.peers().is_empty());
    });
}

#[test]
fn many_opens_to_one_unconnected_peer_share_one_dial() {
    on_both(|listen| async move {
        let spy = Spy::default();
        let server = Node::builder()
            .transport(spy.clone())
            .handle(
                ECHO,
                |mut stream: Stream| async move { stream.echo().await },
            )
            .listen(listen)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let client = client().await;
        let echoes = (0..50).map(|_| echo(&client, &server, b"one of fifty"));
        soon(join_all(echoes))
            .await
            .into_iter()
            .for_each(Result::unwrap);
        assert_eq!(spy.pipes(), 1);
    });
}

#[test]
fn an_inbound_connection_answers_those_who_wait_for_a_dial() {
    run(async {
        let (a, b) = (server(TCP).await, server(TCP).await);
        let (_silent, address) = silent().await;
        let mut waiting = Box::pin(a.open_stream((b.id(), vec![address]), ECHO));
        assert!(futures::poll!(&mut waiting).is_pending());
        soon(b.dial(a.address())).await.unwrap();
        let stream = soon(waiting).await.unwrap();
        soon(echo_on(stream, b"you came")).await.unwrap();
    });
}

#[test]
fn first_opens_to_many_peers_at_once_all_succeed() {
    on_all(|listen| async move {
        let servers = join_all((0..20).map(|_| server(listen))).await;
        let client = client().await;
        let echoes = servers.iter().map(|server| echo(&client, server, b"first"));
        soon(join_all(echoes))
            .await
            .into_iter()
            .for_each(Result::unwrap);
        assert_eq!(client.peers().len(), 20);
    });
}

#[test]
fn a_thousand_opens_at_once_to_one_peer_succeed() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let opens = (0..1000).map(|_| client.open_stream(server.address(), ECHO));
        let streams: Vec<_> = soon(join_all(opens))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        // All of them live at once.
        let connection = streams[0].connection();
        assert!(connection.streams() >= 1000);
        let echoes = streams
            .into_iter()
            .map(|stream| echo_on(stream, b"one of many"));
        soon(join_all(echoes))
            .await
            .into_iter()
            .for_each(Result::unwrap);
        settled(&connection).await;
        settled(&back(&server, client.id()).await).await;
    });
}

#[test]
fn streams_that_stall_do_not_hold_up_others() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let _never_taken = server.accept("/stall/1.0.0").unwrap();
        let stalled: Vec<_> = (0..300)
            .map(|_| {
                let (client, address) = (client.clone(), server.address());
                tokio::spawn(async move { client.open_stream(address, "/stall/1.0.0").await })
            })
            .collect();
        let connection = soon(client.dial(server.address())).await.unwrap();
        eventually("they stall", || connection.streams() >= 300).await;
        soon(echo(&client, &server, b"passing by")).await.unwrap();
        stalled.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn an_unsupported_protocol_is_refused_by_name_and_the_connection_goes_on() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let error = soon(client.open_stream(server.address(), ["/no/1", "/no/2"]))
            .await
            .unwrap_err();
        let peer = server.id();
        assert!(
            matches!(&error, OpenError::Unsupported { peer: p, protocols } if *p == peer && protocols.len() == 2)
        );
        assert_eq!(
            error.to_string(),
            format!("peer {peer} does not support /no/1, /no/2")
        );
        soon(echo(&client, &server, b"still here")).await.unwrap();
        settled(&soon(client.dial(peer)).await.unwrap()).await;
    });
}

#[test]
fn an_open_that_is_dropped_while_it_dials_ends_the_dial() {
    run(async {
        let (node, peer) = (client().await, random_peer());
        let (listener, address) = silent().await;
        let mut open = Box::pin(node.open_stream((peer, vec![address.clone()]), ECHO));
        assert!(futures::poll!(&mut open).is_pending());
        let (mut socket, _) = soon(listener.accept()).await.unwrap();
        // Another waiter keeps the dial alive, and its end is the dial's end.
        let mut other = Box::pin(node.open_stream((peer, vec![address]), ECHO));
        assert!(futures::poll!(&mut other).is_pending());
        drop(open);
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest);
        let mut read = Box::pin(read);
        assert!(
            tokio::time::timeout(Duration::from_millis(100), &mut read)
                .await
                .is_err(),
            "the second waiter still wants it"
        );
        drop(other);
        let _ = soon(read).await;
    });
}

/// A server whose new protocols its connected peers do not hear of.
async fn secretive(listen: &str) -> Node {
    let mut config = Config::default();
    config.swarm.push_delay = Duration::from_secs(3600);
    server_with(listen, config).await
}

#[test]
fn an_open_that_is_dropped_leaves_nothing_behind_on_either_side() {
    on_all(|listen| async move {
        let (server, client) = (secretive(listen).await, client().await);
        let connection = identified(&client, &server).await;
        let there = back(&server, client.id()).await;
        let protocols: Vec<_> = (0..100).map(|n| format!("/chat/{n}")).collect();
        let protocols: Vec<_> = protocols.iter().map(String::as_str).collect();
        let mut incoming = server.accept(protocols.as_slice()).unwrap();
        for (round, protocol) in protocols.iter().enumerate() {
            // Dropped after as many polls as the round says, between none and done.
            let mut open = Box::pin(connection.open_stream(*protocol));
            for _ in 0..round % 7 {
                if futures::poll!(&mut open).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        settled(&connection).await;
        // What was sent before the ping has arrived before its answer comes.
        soon(connection.ping()).await.unwrap();
        // Those that were negotiated are in the queue, and are nothing but reset.
        let all_settled = eventually("nothing but the ping is left", || there.streams() <= 1);
        tokio::pin!(all_settled);
        loop {
            tokio::select! {
                biased;
                Some(mut stream) = incoming.next() => {
                    assert!(matches!(soon(stream.read_chunk()).await, Err(StreamError::Reset(_))));
                }
                () = &mut all_settled => break,
            }
        }
        // The next one that arrives is the one that was meant.
        let mut stream = soon(connection.open_stream("/chat/1")).await.unwrap();
        stream.write_all(b"meant").await.unwrap();
        let mut inbound = soon(incoming.next()).await.unwrap();
        assert_eq!(soon(inbound.read_chunk()).await.unwrap().unwrap(), "meant");
    });
}

#[test]
fn an_open_that_is_dropped_before_it_is_confirmed_never_reaches_the_acceptor() {
    run(async {
        let spy = Spy::default();
        let client = Node::builder()
            .transport(spy.clone())
            .spawn()
            .await
            .unwrap();
        let server = secretive("/memory/0").await;
        let connection = identified(&client, &server).await;
        let there = back(&server, client.id()).await;
        let mut incoming = server.accept("/chat/1.0.0").unwrap();
        settled(&connection).await;
        settled(&there).await;
        // Proposal and reset reach the server together.
        spy.freeze_out();
        for _ in 0..50 {
            let mut open = Box::pin(connection.open_stream("/chat/1.0.0"));
            assert!(futures::poll!(&mut open).is_pending());
        }
        spy.thaw();
        settled(&connection).await;
        soon(connection.ping()).await.unwrap();
        eventually("nothing but the ping is left", || there.streams() <= 1).await;
        assert!(
            futures::poll!(Box::pin(incoming.next())).is_pending(),
            "a ghost"
        );
    });
}

#[test]
fn opening_retries_when_the_connection_ends_under_its_hands() {
    on_all(|listen| async move {
        // The server is quick to close what is idle.
        let config = Config {
            idle_timeout: Some(Duration::from_millis(20)),
            ..Config::default()
        };
        let (server, client) = (server_with(listen, config).await, client().await);
        for round in 0..30_u32 {
            let opened = soon(client.open_stream(server.address(), ECHO)).await;
            let stream = opened.unwrap_or_else(|error| panic!("{round}: {error}"));
            // Where the protocol is known, the stream may be on its way when the connection ends.
            let _ = soon(echo_on(stream, b"again")).await;
            // The next open meets the connection ever later in its short life, or after it.
            loses_a_peer(&client, round * Duration::from_millis(2)).await;
        }
    });
}

#[test]
fn an_address_given_once_is_remembered_and_one_that_is_added_is_used() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        soon(client.add_addresses(server.address())).await.unwrap();
        let stream = soon(client.open_stream(server.id(), ECHO)).await.unwrap();
        let connection = stream.connection();
        soon(echo_on(stream, b"by id")).await.unwrap();
        soon(connection.close()).await;
        assert!(client.peers().is_empty());
        let stream = soon(client.open_stream(server.id(), ECHO)).await.unwrap();
        soon(echo_on(stream, b"by id again")).await.unwrap();
        let nameless: Multiaddr = "/memory/1".parse().unwrap();
        assert!(matches!(
            client.add_addresses(nameless).await,
            Err(OpenError::Invalid(_))
        ));
    });
}

#[test]
fn a_peer_that_is_not_who_was_dialed_is_named_with_the_one_who_was() {
    on_all(|listen| async move {
        let (server, client, wrong) = (server(listen).await, client().await, random_peer());
        let mut events = server.events();
        let mut address = server.address();
        address.pop();
        let target = address.clone().with(Protocol::P2p(wrong));
        let error = dial_error(soon(client.open_stream(target, ECHO)).await);
        let DialError::Failed { attempts, .. } = &error else {
            panic!("{error}")
        };
        let expected = AttemptError::WrongPeer {
            expected: wrong,
            found: server.id(),
        };
        assert_eq!(attempts.as_slice(), [(address, expected)]);
        let text = error.to_string();
        assert!(
            text.contains(&wrong.to_string()) && text.contains(&server.id().to_string()),
            "{text}"
        );
        assert!(client.peers().is_empty());
        // The listener may have seen a connection; if so, it also sees its end.
        soon(async {
            soon(echo(&client, &server, b"the real one")).await.unwrap();
            eventually("only the real one is left", || {
                server.peers() == [client.id()]
            })
            .await;
        })
        .await;
        let connected =
            std::iter::from_fn(|| futures::FutureExt::now_or_never(events.next()).flatten());
        assert!(
            connected
                .filter(|event| matches!(event, NodeEvent::Connected { .. }))
                .count()
                >= 1
        );
    });
}

#[test]
fn handles_and_futures_go_wherever_tasks_go() {
    fn anywhere<T: Send + 'static>(_: &T) {}
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn future<T>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        future
    }
    shared::<Node>();
    shared::<Connection>();
    run(async {
        let node = client().await;
        let incoming: Incoming = node.accept(ECHO).unwrap();
        anywhere(&incoming);
        let clone = node.clone();
        let open = future(async move { clone.open_stream(nowhere(), ECHO).await });
        let opened = tokio::spawn(open).await.unwrap();
        opened.iter().for_each(anywhere::<Stream>);
        assert!(opened.is_err());
    });
}
