//! Streams: three different ends, half-closing, both halves at once, limits.

use std::{io, time::Duration};

use carrick::{Code, Config, Connection, ConnectionError, Node, OpenError, Stream, StreamError};
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::*;

const CHAT: &str = "/chat/1.0.0";

/// A stream and its other end.
struct Pair {
    here: Stream,
    there: Stream,
    _client: Node,
    _server: Node,
}

impl Pair {
    async fn new(listen: &str) -> Self {
        let (server, client) = (server(listen).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let here = agreed(&client, server.address(), CHAT).await;
        let there = soon(incoming.next()).await.unwrap();
        Self {
            here,
            there,
            _client: client,
            _server: server,
        }
    }

    /// Ends the connection from the far side without a word of goodbye to the stream.
    async fn lose(&self) {
        soon(self.there.connection().close()).await;
    }
}

#[test]
fn either_side_may_finish_first_and_still_read() {
    on_all(|listen| async move {
        for server_first in [false, true] {
            let mut pair = Pair::new(listen).await;
            if server_first {
                std::mem::swap(&mut pair.here, &mut pair.there);
            }
            let Pair {
                mut here,
                mut there,
                ..
            } = pair;
            here.write_all(b"question").await.unwrap();
            here.finish().await.unwrap();
            here.finish().await.unwrap();
            assert_eq!(here.write_all(b"more").await, Err(StreamError::Finished));
            assert_eq!(soon(there.read_to_end(100)).await.unwrap(), "question");
            assert_eq!(soon(there.read_chunk()).await, Ok(None));
            there.write_all(b"answer").await.unwrap();
            there.finish().await.unwrap();
            assert_eq!(soon(here.read_to_end(100)).await.unwrap(), "answer");
            let (a, b) = (here.connection(), there.connection());
            drop((here, there));
            settled(&a).await;
            settled(&b).await;
        }
    });
}

#[test]
fn a_dropped_stream_is_reset_and_its_peer_sees_so() {
    on_all(|listen| async move {
        let Pair {
            here,
            mut there,
            _client,
            _server,
        } = Pair::new(listen).await;
        let connection = here.connection();
        drop(here);
        assert_eq!(
            soon(there.read_chunk()).await,
            Err(StreamError::Reset(Code::NONE))
        );
        assert_eq!(
            there.write_all(b"x").await,
            Err(StreamError::Reset(Code::NONE))
        );
        drop(there);
        settled(&connection).await;
        settled(&back(&_server, _client.id()).await).await;
    });
}

#[test]
fn a_reset_carries_its_code_and_what_came_before_it_can_be_read() {
    on_both(|listen| async move {
        let Pair {
            mut here,
            mut there,
            _client,
            _server,
        } = Pair::new(listen).await;
        here.write_all(b"before").await.unwrap();
        here.reset(Code(77));
        assert_eq!(soon(there.read_chunk()).await.unwrap().unwrap(), "before");
        assert_eq!(
            soon(there.read_chunk()).await,
            Err(StreamError::Reset(Code(77)))
        );
        assert_eq!(there.finish().await, Err(StreamError::Reset(Code(77))));
    });
}

#[test]
fn a_clean_end_a_reset_and_a_lost_connection_are_three_things_to_reader_and_writer() {
    on_all(|listen| async move {
        // A clean end.
        let Pair {
            mut here,
            mut there,
            _client,
            _server,
        } = Pair::new(listen).await;
        there.finish().await.unwrap();
        assert_eq!(soon(here.read_chunk()).await, Ok(None));
        assert_eq!(
            soon(AsyncReadExt::read(&mut here, &mut [0; 8]))
                .await
                .unwrap(),
            0
        );
        here.write_all(b"writing goes on").await.unwrap();
        here.finish().await.unwrap();
        let error = AsyncWriteExt::write(&mut here, b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut five = [0; 5];
        assert_eq!(
            soon(here.read_exact(&mut five)).await,
            Err(StreamError::EndedEarly)
        );

        // A reset.
        let Pair {
            mut here,
            there,
            _client,
            _server,
        } = Pair::new(listen).await;
        there.reset(Code(5));
        assert_eq!(
            soon(here.read_chunk()).await,
            Err(StreamError::Reset(Code(5)))
        );
        let error = soon(AsyncReadExt::read(&mut here, &mut [0; 8]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("0x5"), "{error}");
        let reset = StreamError::Reset(Code(5));
        assert_eq!(here.write_all(b"x").await, Err(reset));
        let error = AsyncWriteExt::write(&mut here, b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        // A lost connection.
        let pair = Pair::new(listen).await;
        pair.lose().await;
        let Pair {
            mut here,
            mut there,
            _client,
            _server,
        } = pair;
        let lost = StreamError::ConnectionLost(ConnectionError::ClosedByPeer);
        assert_eq!(soon(here.read_chunk()).await, Err(lost.clone()));
        assert_eq!(here.write_all(b"x").await, Err(lost.clone()));
        assert_eq!(here.finish().await, Err(lost));
        let error = soon(AsyncReadExt::read(&mut here, &mut [0; 8]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        let error = AsyncWriteExt::write(&mut here, b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        let closed = StreamError::ConnectionLost(ConnectionError::Closed);
        assert_eq!(soon(there.read_chunk()).await, Err(closed));
    });
}

#[test]
fn readers_and_writers_that_wait_hear_of_a_reset_and_of_a_lost_connection() {
    on_all(|listen| async move {
        for lose in [false, true] {
            let Pair {
                mut here,
                there,
                _client,
                _server,
            } = Pair::new(listen).await;
            let connection = there.connection();
            // Nobody reads: the window is full sooner or later.
            let mut writing = Box::pin(async { here.write_all(&vec![1; 64 << 20]).await });
            assert!(
                tokio::time::timeout(Duration::from_millis(50), &mut writing)
                    .await
                    .is_err()
            );
            let expected = if lose {
                soon(connection.close()).await;
                StreamError::ConnectionLost(ConnectionError::ClosedByPeer)
            } else {
                there.reset(Code(9));
                StreamError::Reset(Code(9))
            };
            assert_eq!(soon(writing).await, Err(expected));

            let Pair {
                mut here,
                there,
                _client,
                _server,
            } = Pair::new(listen).await;
            let connection = there.connection();
            let mut reading = Box::pin(here.read_chunk());
            assert!(futures::poll!(&mut reading).is_pending());
            if lose {
                soon(connection.close()).await;
            } else {
                there.reset(Code(9));
            }
            assert!(soon(reading).await.is_err());
        }
    });
}

#[test]
fn finishing_and_dropping_while_the_peer_still_writes_gets_the_peer_an_error() {
    on_all(|listen| async move {
        let Pair {
            mut here,
            mut there,
            _client,
            _server,
        } = Pair::new(listen).await;
        here.finish().await.unwrap();
        drop(here);
        let error = soon(there.write_all(&vec![7; 16 << 20])).await.unwrap_err();
        assert!(matches!(error, StreamError::Reset(_)), "{error}");
        assert_eq!(
            soon(there.read_chunk()).await,
            Ok(None),
            "its clean end stays one"
        );
        let connection = there.connection();
        drop(there);
        settled(&connection).await;

        // The same when there is already something unread.
        let Pair {
            mut here,
            mut there,
            _client,
            _server,
        } = Pair::new(listen).await;
        let mut writing = Box::pin(async { there.write_all(&vec![7; 64 << 20]).await });
        assert!(
            tokio::time::timeout(Duration::from_millis(20), &mut writing)
                .await
                .is_err()
        );
        here.finish().await.unwrap();
        drop(here);
        assert!(matches!(soon(writing).await, Err(StreamError::Reset(_))));
    });
}

#[test]
fn what_is_stopped_is_discarded_and_writing_goes_on() {
    on_both(|listen| async move {
        let Pair {
            mut here,
            mut there,
            _client,
            _server,
        } = Pair::new(listen).await;
        here.stop(Code(3));
        assert_eq!(
            soon(here.read_chunk()).await,
            Err(StreamError::ResetLocally(Code(3)))
        );
        // Far more than a window: it is discarded, not held.
        soon(there.write_all(&vec![1; 4 << 20])).await.unwrap();
        here.write_all(b"still writing").await.unwrap();
        assert_eq!(
            soon(there.read_chunk()).await.unwrap().unwrap(),
            "still writing"
        );
    });
}

#[test]
fn both_directions_carry_a_mebibyte_at_once_from_tasks_of_their_own() {
    const LEN: usize = 1 << 20;
    on_all(|listen| async move {
        let Pair {
            here,
            there,
            _client,
            _server,
        } = Pair::new(listen).await;
        let data: Vec<u8> = (0..LEN).map(|i| (i % 251) as u8).collect();
        let tasks = [here, there].into_iter().flat_map(|stream| {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let (sent, expected) = (data.clone(), data.clone());
            let write = tokio::spawn(async move {
                for piece in sent.chunks(3001) {
                    writer.write_all(piece).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            });
            let read = tokio::spawn(async move {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).await.unwrap();
                assert!(all == expected);
            });
            [write, read]
        });
        soon(join_all(tasks))
            .await
            .into_iter()
            .for_each(Result::unwrap);
    });
}

#[test]
fn small_reads_and_limits_are_kept() {
    run(async {
        let Pair {
            mut here,
            mut there,
            _client,
            _server,
        } = Pair::new("/memory/0").await;
        here.write_all(b"abcdefgh").await.unwrap();
        let mut three = [0; 3];
        soon(AsyncReadExt::read_exact(&mut there, &mut three))
            .await
            .unwrap();
        assert_eq!(&three, b"abc");
        soon(there.read_exact(&mut three)).await.unwrap();
        assert_eq!(&three, b"def");
        assert_eq!(soon(there.read_chunk()).await.unwrap().unwrap(), "gh");
        here.write_all(&[0; 100]).await.unwrap();
        here.finish().await.unwrap();
        assert_eq!(
            soon(there.read_to_end(99)).await,
            Err(StreamError::TooLong { limit: 99 })
        );
    });
}

fn limited(change: impl FnOnce(&mut carrick::Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

#[test]
fn opens_beyond_our_own_limit_wait_for_a_stream_to_end() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let client = node_with(limited(|config| config.session.outbound_streams_max = 8)).await;
        let connection = identified(&client, &server).await;
        settled(&connection).await;
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(soon(connection.open_stream(ECHO)).await.unwrap());
        }
        let mut ninth = Box::pin(connection.open_stream(ECHO));
        assert!(futures::poll!(&mut ninth).is_pending());
        // Another that gives up must not take the place with it.
        let mut tenth = Box::pin(connection.open_stream(ECHO));
        assert!(futures::poll!(&mut tenth).is_pending());
        let mut eleventh = Box::pin(connection.open_stream(ECHO));
        assert!(futures::poll!(&mut eleventh).is_pending());
        drop(tenth);
        streams.pop();
        let ninth = soon(ninth).await.unwrap();
        assert!(futures::poll!(&mut eleventh).is_pending());
        drop(ninth);
        soon(echo_on(soon(eleventh).await.unwrap(), b"my turn"))
            .await
            .unwrap();
    });
}

#[test]
fn streams_beyond_the_peers_limit_fail_alone_and_the_connection_survives() {
    on_both(|listen| async move {
        let config = limited(|config| config.session.inbound_streams_max = 8);
        let (server, client) = (server_with(listen, config).await, client().await);
        let mut incoming = server.accept(CHAT).unwrap();
        let connection = identified(&client, &server).await;
        settled(&connection).await;
        settled(&back(&server, client.id()).await).await;
        let mut held: Vec<(Stream, Stream)> = Vec::new();
        for _ in 0..8 {
            let mut here = soon(connection.open_stream(CHAT)).await.unwrap();
            here.write_all(b"x").await.unwrap();
            held.push((here, soon(incoming.next()).await.unwrap()));
        }
        let mut ninth = soon(connection.open_stream(CHAT)).await.unwrap();
        ninth.write_all(b"x").await.unwrap();
        assert_eq!(
            soon(ninth.read_chunk()).await,
            Err(StreamError::Reset(Code::LIMIT))
        );
        let unknown = soon(connection.open_stream("/unknown/1.0.0")).await;
        assert_eq!(
            unknown.unwrap_err(),
            OpenError::Stream(StreamError::Reset(Code::LIMIT))
        );
        for (here, there) in &mut held {
            here.write_all(b"y").await.unwrap();
            let mut two = [0; 2];
            soon(there.read_exact(&mut two)).await.unwrap();
        }
        held.pop();
        drop(ninth);
        settles_at(&connection, 7).await;
        settles_at(&back(&server, client.id()).await, 7).await;
        soon(echo(&client, &server, b"room again")).await.unwrap();
    });
}

async fn settles_at(connection: &Connection, streams: usize) {
    eventually("the others are gone", || connection.streams() == streams).await;
}
