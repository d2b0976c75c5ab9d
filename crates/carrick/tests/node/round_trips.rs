//! Round trips from a dial to the first words of the application, counted over a path on which everything takes a while.

use std::time::Duration;

use carrick::{Node, Security};

use crate::common::{path::Path, *};

/// Long beside what the machines take, so that what belongs together arrives together.
const DELAY: Duration = Duration::from_millis(40);

#[derive(Debug, PartialEq, Eq)]
struct Counted {
    /// Until the peer has agreed to the protocol: the application's first byte leaves.
    first_byte: usize,
    /// More, until the answer to it is there.
    answer: usize,
    /// From then on, until a stream is open: that waits for nobody.
    open: usize,
    /// From opening a stream to the answer on it.
    later: usize,
}

async fn count(server: &Node, client: &Node, path: &Path) -> Counted {
    let mut stream = soon(client.open_stream(path.address.clone(), ECHO))
        .await
        .unwrap();
    let first_byte = path.round_trips();
    stream.write_all(b"x").await.unwrap();
    soon(stream.read_chunk()).await.unwrap();
    let answer = path.round_trips() - first_byte;
    let connection = stream.connection();
    drop(stream);
    soon(connection.info()).await.unwrap();
    settled(&connection).await;
    settled(&back(server, client.id()).await).await;
    soon(connection.ping()).await.unwrap();
    let before = path.round_trips();
    let mut stream = soon(connection.open_stream(ECHO)).await.unwrap();
    let open = path.round_trips() - before;
    stream.write_all(b"y").await.unwrap();
    soon(stream.read_chunk()).await.unwrap();
    Counted {
        first_byte,
        answer,
        open,
        later: path.round_trips() - before,
    }
}

/// A connection that has nothing else on its way meanwhile shows it: of some, the best.
async fn best(mut count: impl AsyncFnMut() -> Counted) -> Counted {
    let mut best = count().await;
    for _ in 0..6 {
        let next = count().await;
        best.first_byte = best.first_byte.min(next.first_byte);
        best.answer = best.answer.min(next.answer);
        best.open = best.open.min(next.open);
        best.later = best.later.min(next.later);
    }
    best
}

#[test]
fn over_quic_the_first_byte_leaves_after_two_round_trips_and_later_streams_wait_for_none() {
    run(async {
        let server = server(QUIC).await;
        let counted = best(async || {
            let path = Path::udp(&server.address(), DELAY).await;
            count(&server, &client().await, &path).await
        });
        // The handshake, the protocol.
        let (first_byte, answer, open, later) = (2, 1, 0, 1);
        assert_eq!(
            counted.await,
            Counted {
                first_byte,
                answer,
                open,
                later
            }
        );
    });
}

#[test]
fn over_tcp_the_first_byte_leaves_after_three_round_trips_with_either_security() {
    for security in [Security::Noise, Security::Tls] {
        run(async {
            let server = server(TCP).await;
            let counted = best(async || {
                let client = Node::builder().securities([security]);
                let client = client.spawn().await.unwrap();
                let path = Path::tcp(&server.address(), DELAY).await;
                count(&server, &client, &path).await
            });
            // The upgrade, the protocol. The path answers TCP's own handshake at once, so that one is not in the count.
            let (first_byte, answer, open, later) = (2, 1, 0, 1);
            let expected = Counted {
                first_byte,
                answer,
                open,
                later,
            };
            assert_eq!(counted.await, expected, "{security:?}");
        });
    }
}
