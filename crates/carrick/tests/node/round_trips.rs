//! Round trips from a dial to the first words of the application, counted over a path on which everything takes a while.

use std::time::Duration;

use carrick::{Node, Security};

use crate::common::{path::Path, *};

/// Long beside what the machines take, so that what belongs together arrives together.
const DELAY: Duration = Duration::from_millis(40);

struct Counted {
    /// Until the peer has agreed to the protocol: the application's first byte leaves.
    first_byte: usize,
    /// More, until the answer to it is there.
    answer: usize,
    /// From then on, from opening a stream to the answer on it.
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
    assert_eq!(path.round_trips(), before, "opening waits for nobody");
    stream.write_all(b"y").await.unwrap();
    soon(stream.read_chunk()).await.unwrap();
    Counted {
        first_byte,
        answer,
        later: path.round_trips() - before,
    }
}

#[test]
fn over_quic_the_first_byte_leaves_after_two_round_trips_and_later_streams_wait_for_none() {
    run(async {
        let (server, client) = (server(QUIC).await, client().await);
        let path = Path::udp(&server.address(), DELAY).await;
        let counted = count(&server, &client, &path).await;
        assert_eq!(counted.first_byte, 2, "the handshake, the protocol");
        assert_eq!((counted.answer, counted.later), (1, 1));
    });
}

#[test]
fn over_tcp_the_first_byte_leaves_after_three_round_trips_with_either_security() {
    for security in [Security::Noise, Security::Tls] {
        run(async {
            let server = server(TCP).await;
            let client = Node::builder().securities([security]);
            let client = client.spawn().await.unwrap();
            let path = Path::tcp(&server.address(), DELAY).await;
            let counted = count(&server, &client, &path).await;
            // The path answers TCP's own handshake at once, so that one is not in the count.
            let own = 1;
            assert_eq!(
                own + counted.first_byte,
                3,
                "{security:?}: TCP, the upgrade, the protocol"
            );
            assert_eq!((counted.answer, counted.later), (1, 1));
        });
    }
}
