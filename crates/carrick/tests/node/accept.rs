//! Accepting: queues, handlers, and what the opener sees of them.

use std::{
    collections::BTreeSet,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use carrick::{AcceptError, Code, Direction, Node, OpenError, Protocol, Stream, StreamError};
use futures::{StreamExt, future::join_all};

use crate::common::*;

const CHAT: &str = "/chat/1.0.0";

#[test]
fn accepting_takes_effect_at_once_for_connections_that_exist() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        identified(&client, &server).await;
        let mut incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        stream.write_all(b"hello").await.unwrap();
        let mut inbound = soon(incoming.next()).await.unwrap();
        assert_eq!(soon(inbound.read_chunk()).await.unwrap().unwrap(), "hello");
    });
}

#[test]
fn a_protocol_is_accepted_once_at_a_time_over_all_clones() {
    run(async {
        let node = server("/memory/0").await;
        let first = node.accept(CHAT).unwrap();
        let clone = node.clone();
        let error = clone.accept(CHAT).unwrap_err();
        assert!(matches!(&error, AcceptError::AlreadyRegistered(p) if p.as_str() == CHAT));
        assert_eq!(
            error.to_string(),
            "the protocol /chat/1.0.0 is already registered"
        );
        assert!(matches!(
            node.handle(CHAT, |_: Stream| async {}),
            Err(AcceptError::AlreadyRegistered(_))
        ));
        // All or none: the free one is not taken by a call that fails.
        assert!(node.accept(["/free/1.0.0", CHAT]).is_err());
        drop(node.accept("/free/1.0.0").unwrap());
        drop(first);
        drop(node.accept(CHAT).unwrap());
        assert!(matches!(
            node.accept("no\nlines"),
            Err(AcceptError::Invalid(_))
        ));
    });
}

#[test]
fn protocols_have_queues_of_their_own_and_all_peers_share_one() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let (mut chat, mut news) = (
            server.accept(CHAT).unwrap(),
            server.accept("/news/1").unwrap(),
        );
        let (a, b) = (client().await, client().await);
        let mut streams = Vec::new();
        for (node, protocol) in [(&a, CHAT), (&b, "/news/1"), (&b, CHAT)] {
            streams.push(agreed(node, server.address(), protocol).await);
        }
        // In the order in which they were negotiated, whoever opened them.
        for peer in [a.id(), b.id()] {
            let stream = soon(chat.next()).await.unwrap();
            assert_eq!((stream.peer(), stream.protocol().as_str()), (peer, CHAT));
        }
        assert_eq!(soon(news.next()).await.unwrap().peer(), b.id());
    });
}

#[test]
fn one_queue_may_serve_several_protocols_and_the_opener_several_versions() {
    run(async {
        let (server, client) = (server("/memory/0").await, client().await);
        let mut incoming = server.accept(["/chat/1.1.0", CHAT]).unwrap();
        assert_eq!(incoming.protocols().len(), 2);
        let wanted = ["/chat/2.0.0", "/chat/1.1.0", CHAT];
        let mut stream = soon(client.open_stream(server.address(), wanted))
            .await
            .unwrap();
        soon(stream.confirm()).await.unwrap();
        assert_eq!(stream.protocol().as_str(), "/chat/1.1.0");
        let inbound = soon(StreamExt::next(&mut incoming)).await.unwrap();
        assert_eq!(inbound.protocol().as_str(), "/chat/1.1.0");
    });
}

#[test]
fn a_stream_knows_its_peer_protocol_connection_address_and_direction() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let stream = agreed(&client, server.address(), CHAT).await;
        let inbound = soon(incoming.next()).await.unwrap();
        assert_eq!((inbound.peer(), stream.peer()), (client.id(), server.id()));
        assert_eq!(inbound.protocol().as_str(), CHAT);
        let (here, there) = (stream.connection(), inbound.connection());
        assert_eq!(
            (here.direction(), there.direction()),
            (Direction::Outbound, Direction::Inbound)
        );
        assert_eq!(
            here.address().clone().with(Protocol::P2p(server.id())),
            server.address()
        );
        assert!(!there.address().is_empty());
        assert_eq!((here.key_type(), there.peer()), ("Ed25519", client.id()));
        let muxer = if listen == QUIC {
            "/quic-v1"
        } else {
            "/yamux/1.0.0"
        };
        assert_eq!(here.summary().muxer.as_str(), muxer);
    });
}

#[test]
fn a_dropped_queue_refuses_new_streams_at_once_and_leaves_those_handed_out_alone() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let mut stream = agreed(&client, server.address(), CHAT).await;
        let mut inbound = soon(incoming.next()).await.unwrap();
        // Whoever has not heard of the protocol waits until it is confirmed, and is then in the queue.
        let other = crate::common::client().await;
        let mut waiting = agreed(&other, server.address(), CHAT).await;
        drop(incoming);
        assert!(is_refused(soon(client.open_stream(server.address(), CHAT)).await).await);
        // What lay in the queue is reset, and says so.
        let _ = waiting.write_all(b"?").await;
        assert_eq!(
            soon(waiting.read_chunk()).await,
            Err(StreamError::Reset(Code::NONE))
        );
        stream.write_all(b"still here").await.unwrap();
        assert_eq!(
            soon(inbound.read_chunk()).await.unwrap().unwrap(),
            "still here"
        );
        inbound.finish().await.unwrap();
        assert_eq!(soon(stream.read_chunk()).await, Ok(None));
        // And the protocol is free for the next.
        let mut again = server.accept(CHAT).unwrap();
        let stream = agreed(&client, server.address(), CHAT).await;
        assert_eq!(soon(again.next()).await.unwrap().peer(), client.id());
        drop(stream);
    });
}

#[test]
fn a_full_queue_holds_the_peer_back_and_loses_nothing() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        // From a peer of unknown make 480 streams at once are the most, and these here are more.
        identified(&client, &server).await;
        // Twice and more what the queue holds, and nobody takes them yet.
        let opens: Vec<_> = (0..600_u32)
            .map(|n| {
                let (client, address) = (client.clone(), server.address());
                tokio::spawn(async move {
                    let mut stream = client.open_stream(address, CHAT).await.unwrap();
                    stream.write_all(&n.to_be_bytes()).await.unwrap();
                    stream.finish().await.unwrap();
                    stream
                })
            })
            .collect();
        let there = back(&server, client.id()).await;
        eventually("the queue is full", || there.streams() >= 400).await;
        // Other protocols are not held back.
        soon(echo(&client, &server, b"by the way")).await.unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < 600 {
            let mut stream = soon(incoming.next()).await.unwrap();
            let bytes = soon(stream.read_to_end(4)).await.unwrap();
            assert!(seen.insert(u32::from_be_bytes(bytes[..].try_into().unwrap())));
        }
        join_all(opens)
            .await
            .into_iter()
            .for_each(|stream| drop(stream.unwrap()));
    });
}

#[test]
fn those_who_wait_for_room_in_a_queue_are_refused_when_it_is_dropped() {
    run(async {
        let (server, client) = (server("/memory/0").await, client().await);
        let connection = soon(client.dial(server.address())).await.unwrap();
        let incoming = server.accept(CHAT).unwrap();
        let streams = join_all((0..256).map(|_| agreed(&client, server.address(), CHAT)));
        let streams = soon(streams).await;
        // 20 more, of whose protocol the server has heard when the queue goes.
        let late = async {
            let (version, address) = ([CHAT, "/chat/0.9.0"], server.address());
            let opens = (0..20).map(|_| async {
                is_refused(client.open_stream(address.clone(), version).await).await
            });
            join_all(opens).await
        };
        let there = back(&server, client.id()).await;
        let dropper = async {
            eventually("they wait", || there.streams() >= 276).await;
            drop(incoming);
        };
        let (refused, ()) = soon(async { tokio::join!(late, dropper) }).await;
        assert_eq!(refused, [true; 20]);
        drop(streams);
        settled(&connection).await;
        settled(&there).await;
    });
}

#[test]
fn accepting_and_dropping_over_and_over_never_leaves_an_opener_waiting() {
    run(async {
        let (server, client) = (server("/memory/0").await, client().await);
        let connection = soon(client.dial(server.address())).await.unwrap();
        let toggle = async {
            for _ in 0..200 {
                let mut incoming = server.accept(CHAT).unwrap();
                if let Ok(Some(mut stream)) =
                    tokio::time::timeout(std::time::Duration::from_millis(2), incoming.next()).await
                {
                    // Confirmed and handed out: it must work to its end.
                    let text = soon(stream.read_to_end(10)).await.unwrap();
                    stream.write_all(&text).await.unwrap();
                    stream.finish().await.unwrap();
                }
                drop(incoming);
                tokio::task::yield_now().await;
            }
        };
        let ended = Arc::new(AtomicUsize::new(0));
        let openers: Vec<_> = (0..4)
            .map(|_| {
                let (connection, ended) = (connection.clone(), ended.clone());
                tokio::spawn(async move {
                    loop {
                        match soon(connection.open_stream([CHAT, "/chat/0.9.0"])).await {
                            Ok(stream) => match soon(echo_on(stream, b"ping")).await {
                                Ok(())
                                | Err(StreamError::Reset(_) | StreamError::Unsupported(_)) => {}
                                Err(error) => panic!("{error}"),
                            },
                            Err(OpenError::Unsupported { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        ended.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        toggle.await;
        let before = ended.load(Ordering::SeqCst);
        eventually("openers go on", || {
            ended.load(Ordering::SeqCst) > before + 4
        })
        .await;
        for opener in openers {
            opener.abort();
            assert!(opener.await.unwrap_err().is_cancelled());
        }
        settled(&connection).await;
    });
}

#[test]
fn a_queue_ends_when_the_node_is_closed_or_its_last_handle_goes() {
    on_all(|listen| async move {
        let node = server(listen).await;
        let mut incoming = node.accept(CHAT).unwrap();
        let clone = node.clone();
        node.close().await;
        assert!(soon(incoming.next()).await.is_none());
        // Nothing more will come, and nobody waits for it.
        let mut late = clone.accept("/late/1.0.0").unwrap();
        assert!(soon(late.next()).await.is_none());

        let node = server(listen).await;
        let mut incoming = node.accept(CHAT).unwrap();
        drop(node);
        assert!(soon(incoming.next()).await.is_none());
    });
}

#[test]
fn a_panicking_handler_ends_its_stream_and_nothing_else() {
    run(async {
        let (server, client) = (server("/memory/0").await, client().await);
        server
            .handle("/panic/1.0.0", |mut stream: Stream| async move {
                let text = stream.read_chunk().await.unwrap().unwrap();
                assert_eq!(text, "yes", "the handler's own fault");
            })
            .unwrap();
        std::panic::set_hook(Box::new(|_| {}));
        let mut stream = soon(client.open_stream(server.address(), "/panic/1.0.0"))
            .await
            .unwrap();
        stream.write_all(b"boo").await.unwrap();
        assert!(matches!(
            soon(stream.read_chunk()).await,
            Err(StreamError::Reset(_))
        ));
        drop(std::panic::take_hook());
        soon(echo(&client, &server, b"fine")).await.unwrap();
    });
}

#[test]
fn a_change_of_protocols_is_told_to_connected_peers() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        identified(&client, &server).await;
        let knows = |node: &Node, protocol: &str| {
            let info = node.peer(&server.id()).unwrap();
            info.protocols
                .iter()
                .any(|known| known.as_str() == protocol)
        };
        let mut open = soon(client.open_stream(server.address(), ECHO))
            .await
            .unwrap();
        assert!(knows(&client, ECHO) && !knows(&client, CHAT));
        let incoming = server.accept(CHAT).unwrap();
        eventually("the protocol is announced", || knows(&client, CHAT)).await;
        server.handle("/more/1.0.0", |_: Stream| async {}).unwrap();
        eventually("a handler, too", || knows(&client, "/more/1.0.0")).await;
        drop(incoming);
        eventually("its end is announced", || !knows(&client, CHAT)).await;
        // Open streams do not notice.
        open.write_all(b"x").await.unwrap();
        assert_eq!(soon(open.read_chunk()).await.unwrap().unwrap(), "x");
    });
}
