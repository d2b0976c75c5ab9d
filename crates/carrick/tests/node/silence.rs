//! Peers that fall silent, at every stage: deadlines end it, and everything is released.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use carrick::{AttemptError, Config, DialError, Limit, Node, OpenError, Stream, StreamError};
use carrick_session::Read;
use carrick_wire::multistream::Message;
use futures::future::join_all;
use tokio::net::TcpStream;

use crate::common::{raw::Raw, *};

const SHORT: Duration = Duration::from_millis(100);

/// Streams are soon given up. Upgrades have more time, since some must succeed, and this machine may be busy.
fn impatient() -> Config {
    let mut config = Config {
        negotiation_timeout: SHORT,
        ..Config::default()
    };
    config.session.upgrade_timeout = 30 * SHORT;
    config
}

async fn watched(config: Config, spy: &Spy) -> Node {
    let builder = Node::builder().config(config).transport(spy.clone());
    builder.spawn().await.unwrap()
}

#[test]
fn a_server_that_never_says_a_word_is_given_up_and_the_stage_is_named() {
    run(async {
        let (_silent, address) = silent().await;
        let spy = Spy::default();
        let node = watched(impatient(), &spy).await;
        let since = Instant::now();
        let error = soon(node.open_stream(address.clone(), ECHO))
            .await
            .unwrap_err();
        assert!(since.elapsed() >= impatient().session.upgrade_timeout);
        assert!(since.elapsed() < Config::default().session.upgrade_timeout);
        let text = error.to_string();
        assert!(
            text.contains(&address.to_string())
                && text.contains("timed out during security negotiation"),
            "{text}"
        );
        eventually("the socket is closed", || spy.live() == 0).await;
    });
}

#[test]
fn a_dial_has_a_deadline_of_its_own() {
    run(async {
        let (_silent, address) = silent().await;
        let spy = Spy::default();
        let mut config = Config::default();
        config.swarm.attempt_timeout = SHORT;
        let node = watched(config, &spy).await;
        let error = soon(node.dial(address.clone())).await.unwrap_err();
        let expected = DialError::Failed {
            peer: None,
            attempts: vec![(address.clone(), AttemptError::Timeout)],
        };
        assert_eq!(error, OpenError::Dial(expected));
        let mut config = Config::default();
        config.swarm.dial_timeout = SHORT;
        let node = watched(config, &spy).await;
        soon(node.dial(address)).await.unwrap_err();
        eventually("the sockets are closed", || spy.live() == 0).await;
    });
}

/// How many bytes a node must hear until its connection is up.
async fn upgrade_len(server: &Node) -> usize {
    let spy = Spy::default();
    let node = watched(Config::default(), &spy).await;
    let connection = soon(node.dial(server.address())).await.unwrap();
    soon(connection.info()).await.unwrap();
    spy.in_bytes()
}

#[test]
fn a_server_that_falls_silent_after_any_byte_is_given_up_and_released() {
    on_both(|listen| async move {
        let server = server(listen).await;
        let len = upgrade_len(&server).await;
        let attempts = (0..len).step_by(7).map(|limit| {
            let server = &server;
            async move {
                let spy = Spy::default();
                spy.limit_in(limit);
                let node = watched(impatient(), &spy).await;
                let opened = soon(node.open_stream(server.address(), "/unknown/1.0.0")).await;
                match opened {
                    Err(OpenError::Dial(DialError::Failed { .. }) | OpenError::TimedOut { .. }) => {
                    }
                    // So much is enough for everything.
                    Err(OpenError::Unsupported { .. }) if limit > 200 => {}
                    other => panic!("{limit}: {other:?}"),
                }
                let dialed = matches!(opened, Err(OpenError::TimedOut { .. }));
                soon(node.close()).await;
                eventually("the pipe is released", || spy.live() == 0).await;
                dialed
            }
        });
        let connected = soon(join_all(attempts)).await;
        assert!(
            connected.iter().any(|connected| *connected) && !connected[0],
            "both stages were met"
        );
        eventually("the server has let go of all", || server.peers().is_empty()).await;
    });
}

#[test]
fn a_client_that_falls_silent_after_any_byte_is_given_up_and_released() {
    on_both(|listen| async move {
        let server_spy = Spy::default();
        let server = Node::builder()
            .config(impatient())
            .transport(server_spy.clone())
            .handle(
                ECHO,
                |mut stream: Stream| async move { stream.echo().await },
            )
            .listen(listen)
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let mut dials = Vec::new();
        for limit in (0..200).step_by(11) {
            let spy = Spy::default();
            let node = watched(Config::default(), &spy).await;
            spy.limit_out(limit);
            let address = server.address();
            dials.push(tokio::spawn(async move { node.dial(address).await }));
        }
        eventually("the server has met them", || {
            server_spy.pipes() == dials.len()
        })
        .await;
        eventually("the server has let go", || server_spy.live() == 0).await;
        dials.iter().for_each(|dial| dial.abort());
        soon(echo(&client().await, &server, b"as ever"))
            .await
            .unwrap();
    });
}

#[test]
fn an_open_without_an_answer_times_out_and_frees_its_stream() {
    on_both(|listen| async move {
        let (server, spy) = (server(listen).await, Spy::default());
        let client = watched(impatient(), &spy).await;
        let connection = identified(&client, &server).await;
        settled(&connection).await;
        spy.freeze_in();
        let since = Instant::now();
        let error = soon(connection.open_stream("/unknown/1.0.0"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, OpenError::TimedOut { peer, .. } if peer == server.id()),
            "{error}"
        );
        assert!(since.elapsed() < Config::default().negotiation_timeout);
        assert_eq!(connection.streams(), 0);
        spy.thaw();
        soon(echo(&client, &server, b"it was only slow"))
            .await
            .unwrap();
        settled(&connection).await;
    });
}

#[test]
fn a_peer_that_opens_a_stream_and_says_nothing_more_loses_it() {
    run(async {
        let server = server_with(TCP, impatient()).await;
        let mut raw = Raw::connect(&server.address()).await;
        let mut header = Vec::new();
        Message::Header.encode(&mut header);
        for first in [&header[..1], &header[..], b"\x04half"] {
            let key = raw.open(first).await;
            // The header may be answered; then comes the reset.
            let end = loop {
                match soon(raw.read(key)).await {
                    Ok(Read::Data(_)) => {}
                    end => break end,
                }
            };
            assert!(
                matches!(end, Err(carrick_session::StreamError::Reset(_))),
                "{end:?}"
            );
        }
        // What is no negotiation at all ends at once.
        let key = raw.open(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").await;
        assert!(soon(raw.read(key)).await.is_err());
        let there = back(&server, raw.id).await;
        eventually("the identify stream is all that is left", || {
            there.streams() <= 1
        })
        .await;
        assert_eq!(there.lost(), None);
    });
}

#[test]
fn a_stream_without_a_single_word_is_given_up_and_its_place_is_free() {
    run(async {
        let server = server_with(TCP, impatient()).await;
        let mut raw = Raw::connect(&server.address()).await;
        let there = back(&server, raw.id).await;
        let key = raw.ask(ECHO, b"echo me").await;
        let mut heard = Vec::new();
        while !heard.ends_with(b"echo me") {
            let Ok(Read::Data(bytes)) = soon(raw.read(key)).await else {
                panic!("ended")
            };
            heard.extend_from_slice(&bytes);
        }
        // A window update that opens stream 1001, and nothing after it; what the echo says next was read later.
        assert!(raw.send(&[0, 1, 0, 1, 0, 0, 3, 233, 0, 0, 0, 0]).await);
        raw.mux.write(key, &[], b"again").unwrap();
        raw.flush().await;
        assert!(matches!(soon(raw.read(key)).await, Ok(Read::Data(_))));
        eventually("the echo alone is left", || there.streams() == 1).await;
        assert_eq!(there.lost(), None);
        let used = async || {
            let limits = server.limits().await;
            limits.get(Limit::Negotiations).unwrap().used
        };
        soon(async { while used().await != Some(0) {} }).await;
        let peak = server.limits().await.get(Limit::Negotiations).unwrap().peak;
        assert_eq!(peak, 1, "the silent one had a place");
    });
}

#[test]
fn a_peer_that_never_answers_identify_is_a_peer_all_the_same() {
    run(async {
        let server = server_with(TCP, impatient()).await;
        let mut raw = Raw::connect(&server.address()).await;
        let there = back(&server, raw.id).await;
        eventually("identify was given up", || there.streams() == 0).await;
        assert_eq!(server.peer(&raw.id), None);
        // It is served like any other.
        let mut hello = Vec::new();
        Message::Header.encode(&mut hello);
        Message::Protocol(carrick::ProtocolId::from_static(ECHO)).encode(&mut hello);
        let negotiated = hello.len();
        hello.extend_from_slice(b"echo me");
        let key = raw.open(&hello).await;
        let mut answer = Vec::new();
        while answer.len() < negotiated + 7 {
            let Ok(Read::Data(bytes)) = soon(raw.read(key)).await else {
                panic!("ended")
            };
            answer.extend_from_slice(&bytes);
        }
        assert!(answer.ends_with(b"echo me"));
    });
}

#[test]
fn a_connection_that_dies_without_a_word_is_noticed() {
    run(async {
        let mut config = Config::default();
        config.session.keep_alive_interval = SHORT;
        config.session.keep_alive_timeout = 20 * SHORT;
        let (server, spy) = (server(TCP).await, Spy::default());
        let client = watched(config, &spy).await;
        let mut stream = soon(client.open_stream(server.address(), ECHO))
            .await
            .unwrap();
        // Keep-alive holds a living connection.
        keeps_its_peers(&client, 30 * SHORT).await;
        stream.write_all(b"alive").await.unwrap();
        assert_eq!(soon(stream.read_chunk()).await.unwrap().unwrap(), "alive");
        spy.freeze_in();
        let error = soon(stream.read_chunk()).await.unwrap_err();
        assert_eq!(
            error,
            StreamError::ConnectionLost(carrick::ConnectionError::TimedOut)
        );
        drop(stream);
        eventually("nothing is held", || {
            spy.live() == 0 && client.peers().is_empty()
        })
        .await;
    });
}

#[test]
fn garbage_instead_of_a_handshake_is_an_error_with_its_reason() {
    run(async {
        let (listener, address) = silent().await;
        let serve = tokio::spawn(async move {
            let mut sockets: Vec<TcpStream> = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                tokio::io::AsyncWriteExt::write_all(&mut socket, &[b'S'; 200])
                    .await
                    .unwrap();
                sockets.push(socket);
            }
        });
        let node = client().await;
        let error = soon(node.dial(address)).await.unwrap_err();
        assert!(error.to_string().contains("upgrade failed"), "{error}");
        serve.abort();
        let server = Arc::new(server(TCP).await);
        let mut socket = raw::socket(&server.address()).await;
        tokio::io::AsyncWriteExt::write_all(&mut socket, &[b'G'; 200])
            .await
            .unwrap();
        let mut all = Vec::new();
        let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut all)).await;
        soon(echo(&node, &server, b"as ever")).await.unwrap();
    });
}
