//! Streams for protocols that the peer is known to speak: opened without asking, and honest when that was wrong.

use std::time::Duration;

use carrick::{Code, Config, Connection, Node, Stream, StreamError};

use crate::common::*;

const CHAT: &str = "/chat/1.0.0";

/// A client whose pipe is watched, connected to a server whose protocols it knows, with nothing under way.
async fn watched(server: &Node) -> (Node, Spy, Connection) {
    let spy = Spy::default();
    let client = Node::builder()
        .transport(spy.clone())
        .spawn()
        .await
        .unwrap();
    let connection = identified(&client, server).await;
    settled(&connection).await;
    let back = back(server, client.id()).await;
    soon(back.info()).await.unwrap();
    settled(&back).await;
    soon(connection.ping()).await.unwrap();
    spy.take_writes();
    (client, spy, connection)
}

#[test]
fn opening_a_known_protocol_takes_no_round_trip() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let (client, spy, _connection) = watched(&server).await;
        // Not a byte of the server's arrives, and yet the streams are there.
        spy.freeze_in();
        let mut streams = Vec::new();
        for _ in 0..10 {
            let mut stream = soon(client.open_stream(server.id(), ECHO)).await.unwrap();
            stream.write_all(b"at once").await.unwrap();
            streams.push(stream);
        }
        spy.thaw();
        for mut stream in streams {
            assert_eq!(soon(stream.read_chunk()).await.unwrap().unwrap(), "at once");
        }
    });
}

#[test]
fn header_protocol_and_first_data_leave_in_one_write() {
    on_both(|listen| async move {
        let server = server(listen).await;
        let (client, spy, connection) = watched(&server).await;
        let mut stream = soon(client.open_stream(server.id(), ECHO)).await.unwrap();
        // Nothing leaves before there is something to say.
        soon(connection.ping()).await.unwrap();
        assert_eq!(spy.take_writes().len(), 1, "the ping alone");
        stream.write_all(b"hello").await.unwrap();
        assert_eq!(soon(stream.read_chunk()).await.unwrap().unwrap(), "hello");
        // Record length and tag, frame header, two messages with their lengths, and five bytes.
        let expected =
            2 + 16 + 12 + "..\n/multistream/1.0.0".len() - 1 + "./echo/1.0.0\n".len() + 5;
        assert_eq!(spy.take_writes(), [expected]);
    });
}

#[test]
fn a_refusal_that_comes_late_is_seen_by_the_first_read_and_not_repeated() {
    on_all(|listen| async move {
        let mut config = Config::default();
        config.swarm.push_delay = Duration::from_secs(3600);
        let server = server_with(listen, config).await;
        let incoming = server.accept(CHAT).unwrap();
        let (client, _spy, connection) = watched(&server).await;
        drop(incoming);
        // The client believes what it heard.
        let mut stream = soon(client.open_stream(server.id(), CHAT)).await.unwrap();
        // Over QUIC the refusal may come between two packets of this.
        let written = stream.write_all(&[b'x'; 5000]).await;
        let refused = StreamError::Reset(Code::NEGOTIATION_FAILED);
        assert!(matches!(&written, Ok(())) || written == Err(refused));
        let error = soon(stream.read_chunk()).await.unwrap_err();
        assert!(matches!(error, StreamError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains(CHAT), "{error}");
        // From now on it asks.
        let error = soon(client.open_stream(server.id(), CHAT))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("does not support"), "{error}");
        drop(stream);
        soon(echo(&client, &server, b"the connection goes on"))
            .await
            .unwrap();
        settled_but_for_the_ping(&connection).await;
    });
}

#[test]
fn a_refusal_reaches_a_reader_that_wrote_nothing() {
    run(async {
        let mut config = Config::default();
        config.swarm.push_delay = Duration::from_secs(3600);
        let server = server_with("/memory/0", config).await;
        let incoming = server.accept(CHAT).unwrap();
        let (client, _spy, _connection) = watched(&server).await;
        drop(incoming);
        let mut stream = soon(client.open_stream(server.id(), CHAT)).await.unwrap();
        let error = soon(stream.read_chunk()).await.unwrap_err();
        assert!(matches!(error, StreamError::Unsupported(_)), "{error}");
    });
}

#[test]
fn what_is_written_and_finished_arrives_though_nobody_waits_for_consent() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let mut incoming = server.accept(CHAT).unwrap();
        let (client, _spy, connection) = watched(&server).await;
        for round in 0..300_u32 {
            let mut stream = soon(client.open_stream(server.id(), CHAT)).await.unwrap();
            stream.write_all(&round.to_be_bytes()).await.unwrap();
            stream.finish().await.unwrap();
            if round % 3 == 0 {
                // The server's consent may have arrived, and lie there unread.
                tokio::task::yield_now().await;
            }
            drop(stream);
            let mut inbound = soon(incoming.next()).await.unwrap();
            assert_eq!(
                soon(inbound.read_to_end(4)).await.unwrap()[..],
                round.to_be_bytes()
            );
        }
        settled_but_for_the_ping(&connection).await;
    });
}

#[test]
fn finishing_without_a_word_still_opens_the_stream() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let mut incoming = server.accept(CHAT).unwrap();
        let (client, _spy, _connection) = watched(&server).await;
        let mut stream = soon(client.open_stream(server.id(), CHAT)).await.unwrap();
        stream.finish().await.unwrap();
        let mut inbound = soon(incoming.next()).await.unwrap();
        assert_eq!(soon(inbound.read_chunk()).await, Ok(None));
        inbound.write_all(b"all the same").await.unwrap();
        inbound.finish().await.unwrap();
        assert_eq!(soon(stream.read_to_end(100)).await.unwrap(), "all the same");
    });
}

#[test]
fn who_reads_first_has_asked_first() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let greet = |mut stream: Stream| async move {
            stream.write_all(b"welcome").await?;
            stream.finish().await
        };
        server.handle("/greet/1.0.0", greet).unwrap();
        let (client, _spy, _connection) = watched(&server).await;
        let mut stream = soon(client.open_stream(server.id(), "/greet/1.0.0"))
            .await
            .unwrap();
        assert_eq!(soon(stream.read_to_end(100)).await.unwrap(), "welcome");
        // Flushing asks, too.
        let mut stream = soon(client.open_stream(server.id(), "/greet/1.0.0"))
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
        assert_eq!(soon(stream.read_to_end(100)).await.unwrap(), "welcome");
    });
}

#[test]
fn a_stream_that_is_dropped_before_its_first_word_is_never_heard_of() {
    run(async {
        let server = server("/memory/0").await;
        let mut incoming = server.accept(CHAT).unwrap();
        let (client, spy, connection) = watched(&server).await;
        for _ in 0..100 {
            drop(soon(client.open_stream(server.id(), CHAT)).await.unwrap());
        }
        settled_but_for_the_ping(&connection).await;
        soon(connection.ping()).await.unwrap();
        assert_eq!(spy.take_writes().len(), 1, "the ping alone");
        assert!(futures::poll!(Box::pin(incoming.next())).is_pending());
    });
}

async fn settled_but_for_the_ping(connection: &Connection) {
    eventually("only the ping stream is left", || connection.streams() == 1).await;
}
