//! QUIC, where it is not like the others: codes, limits that the peer sees, addresses that change, peers of another make.

use std::time::{Duration, Instant};

use carrick::{
    AttemptError, Code, Config, ConnectionError, DialError, Multiaddr, Node, OpenError, Protocol,
    Stream, StreamError,
};
use futures::future::join_all;
use quinn::{ReadError, VarInt, WriteError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    path::{Path, target},
    quic::{ALPN, RawQuic, agree, ask},
    *,
};

const CHAT: &str = "/chat/1.0.0";
/// More than 32 bits.
const LARGE: u64 = 0x1_0000_0007;

fn large() -> VarInt {
    VarInt::from_u64(LARGE).unwrap()
}

fn why(error: OpenError) -> AttemptError {
    match error {
        OpenError::Dial(DialError::Failed { mut attempts, .. }) => attempts.remove(0).1,
        error => panic!("{error}"),
    }
}

/// A raw peer that dialed the server, and one stream between them.
struct Dialed {
    _raw: RawQuic,
    connection: quinn::Connection,
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    there: Stream,
    _server: Node,
}

impl Dialed {
    async fn new() -> Self {
        let (server, raw) = (server(QUIC).await, RawQuic::new(ALPN));
        let mut incoming = server.accept(CHAT).unwrap();
        let connection = soon(raw.connect(&server.address())).await.unwrap();
        let (send, recv) = soon(ask(&connection, CHAT)).await;
        let there = soon(incoming.next()).await.unwrap();
        Self {
            _raw: raw,
            connection,
            send,
            recv,
            there,
            _server: server,
        }
    }
}

#[test]
fn a_connection_says_that_it_is_quic_and_that_tls_secures_it() {
    run(async {
        let (server, client) = (server(QUIC).await, client().await);
        let connection = identified(&client, &server).await;
        let summary = connection.summary();
        assert_eq!(summary.security.as_str(), "/tls/1.0.0");
        assert_eq!(summary.muxer.as_str(), "/quic-v1");
        assert!(summary.early_muxer);
        assert_eq!(summary.round_trips, 1);
        assert!(connection.rtt().is_some());
        assert!(
            server.address().to_string().contains("/udp/"),
            "{}",
            server.address()
        );
    });
}

#[test]
fn another_application_protocol_is_refused_on_either_side() {
    run(async {
        let (server, client) = (server(QUIC).await, client().await);
        let stranger = RawQuic::new(b"h3");
        let error = soon(stranger.connect(&server.address())).await.unwrap_err();
        assert!(matches!(error, quinn::ConnectionError::ConnectionClosed(_)));
        let stranger = RawQuic::new(b"h3");
        let address = stranger.address();
        let listening = tokio::spawn(async move {
            let incoming = stranger.endpoint.accept().await.unwrap();
            let _ = incoming.await;
            stranger.endpoint.wait_idle().await;
        });
        let error = why(soon(client.dial(address)).await.unwrap_err());
        assert!(matches!(error, AttemptError::Upgrade(_)), "{error}");
        soon(listening).await.unwrap();
        assert!(server.peers().is_empty());
    });
}

#[test]
fn the_draft_is_unsupported_by_name_for_dialers_and_listeners() {
    run(async {
        let node = client().await;
        let draft = "/ip4/127.0.0.1/udp/4001/quic";
        let error = soon(node.dial(draft)).await.unwrap_err().to_string();
        assert!(error.contains("unsupported"), "{error}");
        let error = soon(node.listen(draft)).await.unwrap_err().to_string();
        assert!(error.contains("unsupported"), "{error}");
    });
}

#[test]
fn codes_cross_in_both_directions_and_one_that_is_too_long_is_out_of_range() {
    run(async {
        for (by, seen) in [
            (VarInt::from_u32(7), Code(7)),
            (large(), Code::OUT_OF_RANGE),
        ] {
            let mut pair = Dialed::new().await;
            pair.send.reset(by).unwrap();
            let reset = Err(StreamError::Reset(seen));
            assert_eq!(soon(pair.there.read_chunk()).await, reset);
            assert_eq!(soon(pair.there.read_chunk()).await, reset, "and stays so");
            pair.there.write_all(b"the other way").await.unwrap();
            pair.recv.stop(by).unwrap();
            let stopped = StreamError::Reset(seen);
            let error = soon(until_refused(&mut pair.there)).await;
            assert_eq!(error, stopped);
            assert_eq!(pair.there.finish().await, Err(stopped));
        }
        // And from us.
        let mut pair = Dialed::new().await;
        pair.there.reset(Code(0xdead_beef));
        let by = VarInt::from_u32(0xdead_beef);
        let read = soon(pair.recv.read(&mut [0])).await;
        assert_eq!(read, Err(ReadError::Reset(by)));
        let stopped = soon(pair.send.stopped()).await.unwrap();
        assert_eq!(stopped, Some(by));
    });
}

/// Writes until that fails.
async fn until_refused(stream: &mut Stream) -> StreamError {
    loop {
        if let Err(error) = stream.write_all(&[0; 1000]).await {
            return error;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_is_stopped_is_refused_at_once_and_writing_goes_on() {
    run(async {
        let mut pair = Dialed::new().await;
        pair.there.stop(Code(3));
        let local = Err(StreamError::ResetLocally(Code(3)));
        assert_eq!(soon(pair.there.read_chunk()).await, local);
        assert_eq!(soon(pair.there.read_chunk()).await, local);
        assert_eq!(
            soon(pair.send.stopped()).await.unwrap(),
            Some(VarInt::from_u32(3))
        );
        let error = pair.send.write(b"x").await.unwrap_err();
        assert_eq!(error, WriteError::Stopped(VarInt::from_u32(3)));
        pair.there.write_all(b"still writing").await.unwrap();
        pair.there.finish().await.unwrap();
        assert_eq!(
            soon(pair.recv.read_to_end(99)).await.unwrap(),
            b"still writing"
        );
    });
}

#[test]
fn a_dropped_stream_is_reset_unless_it_was_finished() {
    run(async {
        let mut pair = Dialed::new().await;
        pair.there.write_all(b"half of it").await.unwrap();
        drop(pair.there);
        let end = soon(pair.recv.read_to_end(99)).await;
        assert!(end.is_err(), "{end:?}");

        let mut pair = Dialed::new().await;
        let all = vec![7; 1 << 20];
        pair.there.write_all(&all).await.unwrap();
        pair.there.finish().await.unwrap();
        drop(pair.there);
        assert_eq!(soon(pair.recv.read_to_end(2 << 20)).await.unwrap(), all);
    });
}

#[test]
fn the_peers_reason_to_close_can_be_read() {
    run(async {
        for (by, expected) in [
            (0, ConnectionError::ClosedByPeer),
            (0x1005, ConnectionError::ClosedWith(Code::TRIMMED)),
            (0x1006, ConnectionError::ClosedWith(Code::SHUTDOWN)),
            (0x1001, ConnectionError::ClosedWith(Code::LIMIT)),
            (LARGE, ConnectionError::ClosedWith(Code::OUT_OF_RANGE)),
        ] {
            let mut pair = Dialed::new().await;
            let by = VarInt::from_u64(by).unwrap();
            pair.connection.close(by, b"because");
            let lost = Err(StreamError::ConnectionLost(expected.clone()));
            assert_eq!(soon(pair.there.read_chunk()).await, lost);
            assert_eq!(soon(pair.there.read_chunk()).await, lost);
            let connection = pair.there.connection();
            eventually("it is lost", || connection.lost() == Some(expected.clone())).await;
        }
        // And ours, by the peer.
        let pair = Dialed::new().await;
        drop(pair.there);
        let close = tokio::spawn(async move { pair._server.close().await });
        match soon(pair.connection.closed()).await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, VarInt::from_u32(0x1006));
            }
            error => panic!("{error}"),
        }
        soon(close).await.unwrap();
    });
}

#[test]
fn streams_beyond_our_limit_wait_at_the_peer_and_go_on_when_one_ends() {
    run(async {
        let mut config = Config::default();
        config.session.inbound_streams_max = 7;
        let (server, raw) = (server_with(QUIC, config).await, RawQuic::new(ALPN));
        let connection = soon(raw.connect(&server.address())).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..7 {
            held.push(soon(ask(&connection, ECHO)).await);
        }
        let mut eighth = Box::pin(ask(&connection, ECHO));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut eighth)
                .await
                .is_err()
        );
        let (mut send, mut recv) = held.pop().unwrap();
        send.finish().unwrap();
        assert!(soon(recv.read_to_end(9)).await.unwrap().is_empty());
        drop((send, recv));
        drop(soon(eighth).await);
        // Nodes wait just so.
        let client = client().await;
        let connection = identified(&client, &server).await;
        settled(&connection).await;
        let mut held = Vec::new();
        for _ in 0..7 {
            held.push(soon(connection.open_stream(ECHO)).await.unwrap());
        }
        let mut eighth = Box::pin(connection.open_stream(ECHO));
        assert!(futures::poll!(&mut eighth).is_pending());
        held.pop();
        soon(echo_on(soon(eighth).await.unwrap(), b"my turn"))
            .await
            .unwrap();
    });
}

#[test]
fn as_many_streams_at_once_as_the_limit_says_are_served() {
    run(async {
        let (server, client) = (server(QUIC).await, client().await);
        let connection = identified(&client, &server).await;
        let mut config = Config::default().session;
        config.inbound_streams_max -= 1;
        let mut held = Vec::new();
        for _ in 0..config.inbound_streams_max {
            let mut stream = soon(connection.open_stream(ECHO)).await.unwrap();
            stream.write_all(b"first, ").await.unwrap();
            held.push(stream);
        }
        for mut stream in held {
            stream.write_all(b"second").await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(soon(stream.read_to_end(99)).await.unwrap(), "first, second");
        }
    });
}

#[test]
fn streams_of_one_direction_find_no_room_and_unasked_datagrams_do_no_harm() {
    run(async {
        let (server, raw) = (server(QUIC).await, RawQuic::new(ALPN));
        let connection = soon(raw.connect(&server.address())).await.unwrap();
        let mut uni = Box::pin(connection.open_uni());
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut uni)
                .await
                .is_err()
        );
        for _ in 0..2000 {
            connection.send_datagram(vec![9; 1000].into()).unwrap();
        }
        let (mut send, mut recv) = soon(ask(&connection, ECHO)).await;
        send.write_all(b"alive").await.unwrap();
        send.finish().unwrap();
        assert_eq!(soon(recv.read_to_end(9)).await.unwrap(), b"alive");
    });
}

#[test]
fn a_node_that_drains_refuses_streams_and_lets_the_others_finish() {
    run(async {
        let mut pair = Dialed::new().await;
        let server = pair._server.clone();
        let closing = tokio::spawn(async move { server.close().await });
        let refused = async {
            loop {
                let (mut send, mut recv) = pair.connection.open_bi().await.unwrap();
                send.write_all(&raw::proposal(ECHO)).await.unwrap();
                match recv.read(&mut [0; 99]).await {
                    // It had not heard yet, or nobody accepts streams for that any more.
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => return error,
                }
            }
        };
        let error = soon(refused).await;
        assert_eq!(error, ReadError::Reset(VarInt::from_u32(0x1007)));
        pair.send.write_all(b"last words").await.unwrap();
        pair.send.finish().unwrap();
        assert_eq!(
            soon(pair.there.read_to_end(99)).await.unwrap(),
            "last words"
        );
        drop(pair.there);
        soon(closing).await.unwrap();
    });
}

#[test]
fn a_peer_that_falls_silent_is_noticed_whether_idle_or_in_the_middle_of_something() {
    run(async {
        let mut config = Config::default();
        config.session.keep_alive_interval = Duration::from_millis(200);
        config.session.keep_alive_timeout = Duration::from_secs(3);
        for idle in [true, false] {
            let (server, client) = (server(QUIC).await, node_with(config.clone()).await);
            let path = Path::udp(&server.address(), Duration::ZERO).await;
            let mut stream = agreed(&client, path.address.clone(), ECHO).await;
            let connection = stream.connection();
            // As long as it answers, silence above is no matter.
            keeps_its_peers(&client, Duration::from_secs(4)).await;
            path.cut();
            if !idle {
                stream.write_all(&[0; 100_000]).await.unwrap();
            }
            let lost = StreamError::ConnectionLost(ConnectionError::TimedOut);
            assert_eq!(soon(stream.read_chunk()).await, Err(lost));
            eventually("it is lost", || {
                connection.lost() == Some(ConnectionError::TimedOut)
            })
            .await;
        }
    });
}

#[test]
fn a_peer_that_has_forgotten_the_connection_ends_it_with_its_first_word() {
    run(async {
        let (raw, client) = (RawQuic::new(ALPN), client().await);
        let path = Path::udp(&raw.address(), Duration::ZERO).await;
        let (dialed, theirs) =
            soon(async { tokio::join!(client.dial(path.address.clone()), raw.accept()) }).await;
        let connection = dialed.unwrap();
        path.cut();
        theirs.close(VarInt::from_u32(9), b"unheard");
        soon(raw.endpoint.wait_idle()).await;
        path.mend();
        // Whatever is said now is answered with a stateless reset.
        let _ = soon(connection.ping()).await;
        let reset = ConnectionError::Io(std::io::ErrorKind::ConnectionReset);
        eventually("it is lost", || connection.lost() == Some(reset.clone())).await;
    });
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    run(async {
        let mut config = Config::default();
        config.session.upgrade_timeout = Duration::from_millis(200);
        let node = node_with(config).await;
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let since = Instant::now();
        let dialed = soon(node.dial(format!("/ip4/127.0.0.1/udp/{port}/quic-v1"))).await;
        assert_eq!(why(dialed.unwrap_err()), AttemptError::Timeout);
        assert!(since.elapsed() < Config::default().session.upgrade_timeout);
    });
}

#[test]
fn a_dialer_that_moves_keeps_its_connection_and_its_streams() {
    run(async {
        let (server, client) = (server(QUIC).await, client().await);
        let mut path = Path::udp(&server.address(), Duration::ZERO).await;
        let mut stream = agreed(&client, path.address.clone(), ECHO).await;
        let connection = stream.connection();
        for round in 0..3 {
            let text = format!("round {round}");
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut answer = vec![0; text.len()];
            soon(stream.read_exact(&mut answer)).await.unwrap();
            assert_eq!(answer, text.as_bytes());
            path.relocate().await;
        }
        soon(connection.ping()).await.unwrap();
        assert_eq!(connection.lost(), None);
        assert_eq!(server.peers(), [client.id()]);
    });
}

#[test]
fn a_node_dials_from_the_socket_that_it_listens_on() {
    run(async {
        let (server, client) = (server(QUIC).await, server(QUIC).await);
        let connection = soon(client.dial(server.address())).await.unwrap();
        let there = back(&server, client.id()).await;
        let ours = target(&client.address());
        assert_eq!(target(there.address()), ours);
        // What others are told of us is where others can reach us.
        let info = soon(connection.info()).await.unwrap();
        assert_eq!(info.observed_address.as_ref().map(target), Some(ours));
    });
}

#[test]
fn one_port_serves_both_families_and_a_wildcard_stands_for_every_interface() {
    run(async {
        let node = client().await;
        let addresses = soon(node.listen("/ip4/0.0.0.0/udp/0/quic-v1"))
            .await
            .unwrap();
        let last = addresses.last().unwrap().to_string();
        assert!(last.starts_with("/ip4/127.0.0.1/udp/"), "{last}");
        let port = target(&addresses[0]).port();
        let v6 = format!("/ip6/::1/udp/{port}/quic-v1");
        let Ok(bound) = soon(node.listen(v6.as_str())).await else {
            return eprintln!("this machine has no IPv6, or somebody else has the port");
        };
        assert_eq!(bound, [v6.parse::<Multiaddr>().unwrap()]);
        node.handle(
            ECHO,
            |mut stream: Stream| async move { stream.echo().await },
        )
        .unwrap();
        for address in [last, v6] {
            let address: Multiaddr = address.parse().unwrap();
            let target = address.with(Protocol::P2p(node.id()));
            let stream = soon(client().await.open_stream(target, ECHO))
                .await
                .unwrap();
            soon(echo_on(stream, b"either")).await.unwrap();
        }
    });
}

#[test]
fn who_is_one_too_many_is_told_so_before_the_handshake() {
    run(async {
        let mut config = Config::default();
        config.swarm.connections_inbound_max = 1;
        let server = server_with(QUIC, config).await;
        let (first, second) = (client().await, client().await);
        let held = identified(&first, &server).await;
        let error = soon(second.dial(server.address())).await.unwrap_err();
        assert!(matches!(why(error), AttemptError::Upgrade(_)));
        soon(held.close()).await;
        eventually("there is room", || server.peers().is_empty()).await;
        soon(echo(&second, &server, b"my turn")).await.unwrap();
    });
}

#[test]
fn the_halves_of_a_stream_that_wait_for_room_at_once_are_both_woken() {
    run(async {
        let (server, client) = (server(QUIC).await, client().await);
        let path = Path::udp(&server.address(), Duration::ZERO).await;
        let connection = soon(client.dial(path.address.clone())).await.unwrap();
        soon(connection.info()).await.unwrap();
        path.cut();
        let mut fill = soon(connection.open_stream(ECHO)).await.unwrap();
        let much = vec![0; 64 << 20];
        let filling = fill.write_all(&much);
        let filling = tokio::time::timeout(Duration::from_millis(300), filling);
        assert!(filling.await.is_err(), "the window is full");
        let mut more = soon(connection.open_stream(ECHO)).await.unwrap();
        let filling = more.write_all(&much);
        let filling = tokio::time::timeout(Duration::from_millis(300), filling);
        assert!(filling.await.is_err(), "the connection is full");
        // The protocol is known, so it is asked for with the first read or write, for which there is no room.
        let stream = soon(connection.open_stream(ECHO)).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut answer = [0; 4];
        let mut reading = Box::pin(reader.read_exact(&mut answer));
        assert!(futures::poll!(&mut reading).is_pending());
        let mut writing = Box::pin(writer.write_all(b"echo"));
        assert!(futures::poll!(&mut writing).is_pending());
        drop((fill, more));
        path.mend();
        soon(join_all([
            Box::pin(async { reading.await.map(drop) }) as futures::future::LocalBoxFuture<'_, _>,
            Box::pin(writing),
        ]))
        .await
        .into_iter()
        .for_each(Result::unwrap);
        assert_eq!(&answer, b"echo");
    });
}

#[test]
fn a_peer_of_another_make_is_dialed_and_its_words_are_understood() {
    run(async {
        let (raw, client) = (RawQuic::new(ALPN), client().await);
        let address = raw.address();
        let serving = tokio::spawn(async move {
            let connection = raw.accept().await;
            let (mut send, mut recv) = agree(&connection, CHAT).await;
            let asked = recv.read_to_end(99).await.unwrap();
            send.write_all(&asked).await.unwrap();
            send.finish().unwrap();
            connection.closed().await
        });
        let stream = soon(client.open_stream(address, CHAT)).await.unwrap();
        let connection = stream.connection();
        soon(echo_on(stream, b"hello")).await.unwrap();
        soon(connection.close()).await;
        let end = soon(serving).await.unwrap();
        assert!(matches!(end, quinn::ConnectionError::ApplicationClosed(_)));
    });
}

#[test]
fn a_peer_met_again_is_the_same_peer_at_both_ends() {
    run(async {
        let (server, client) = (server(QUIC).await, client().await);
        for _ in 0..3 {
            let connection = soon(client.dial(server.address())).await.unwrap();
            assert_eq!(connection.peer(), server.id());
            let there = back(&server, client.id()).await;
            assert_eq!(there.peer(), client.id());
            soon(echo(&client, &server, b"again")).await.unwrap();
            soon(connection.close()).await;
            eventually("it is gone", || server.peers().is_empty()).await;
        }
    });
}
