//! Which security connections get, and what a refusal costs.

use carrick::{
    AttemptError, ConnectionError, DialError, Keypair, Muxer, Node, OpenError, Protocol, Security,
    Stream, StreamError,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    raw::{proposal, socket},
    *,
};

async fn node_of(securities: &[Security], listen: Option<&str>) -> Node {
    builder_of(securities, listen).spawn().await.unwrap()
}

fn builder_of(securities: &[Security], listen: Option<&str>) -> carrick::Builder {
    let builder = Node::builder()
        .securities(securities.iter().copied())
        .handle(
            ECHO,
            |mut stream: Stream| async move { stream.echo().await },
        );
    match listen {
        Some(listen) => builder.listen(listen).unwrap(),
        None => builder,
    }
}

/// Dials, echoes, and tells the security and the round trips.
async fn meet(dialer: &Node, listener: &Node) -> (String, u32) {
    let connection = soon(dialer.dial(listener.address())).await.unwrap();
    assert_eq!(connection.peer(), listener.id());
    soon(echo(dialer, listener, b"hello")).await.unwrap();
    let theirs = back(listener, dialer.id()).await;
    assert_eq!(theirs.key().to_peer_id(), dialer.id());
    let summary = connection.summary();
    assert_eq!(summary.security, theirs.summary().security);
    (summary.security.to_string(), summary.round_trips)
}

#[test]
fn the_dialers_first_security_that_the_listener_has_is_used() {
    use Security::{Noise, Tls};
    on_both(|listen| async move {
        for (dialer, listener, used) in [
            (&[Noise, Tls][..], &[Noise, Tls][..], "/noise"),
            (&[Tls, Noise], &[Noise, Tls], "/tls/1.0.0"),
            (&[Tls], &[Noise, Tls], "/tls/1.0.0"),
            // Refused, and dialed again.
            (&[Tls, Noise], &[Noise], "/noise"),
            (&[Noise, Tls], &[Tls], "/tls/1.0.0"),
        ] {
            let dialer = node_of(dialer, None).await;
            let listener = node_of(listener, Some(listen)).await;
            let met = meet(&dialer, &listener).await;
            assert_eq!(met, (used.to_owned(), 1), "one round trip");
        }
        let (dialer, listener) = (client().await, server(listen).await);
        assert_eq!(meet(&dialer, &listener).await.0, "/noise", "by default");
    });
}

#[test]
fn without_a_security_in_common_the_error_names_all_that_were_tried() {
    on_both(|listen| async move {
        let (listener, dialer) = (node_of(&[], Some(listen)).await, client().await);
        let dialed = soon(dialer.dial(listener.address())).await;
        let Err(OpenError::Dial(DialError::Failed { attempts, .. })) = dialed else {
            panic!("dialed")
        };
        let [(_, AttemptError::Upgrade(reason))] = attempts.as_slice() else {
            panic!("{attempts:?}")
        };
        assert!(reason.contains("/noise, /tls/1.0.0"), "{reason}");
    });
}

#[test]
fn with_tls_the_wrong_peer_is_found_out_by_name() {
    on_both(|listen| async move {
        let server = node_of(&[Security::Tls], Some(listen)).await;
        let (dialer, wrong) = (node_of(&[Security::Tls], None).await, random_peer());
        let mut address = server.address();
        address.pop();
        let target = address.clone().with(Protocol::P2p(wrong));
        let Err(OpenError::Dial(DialError::Failed { attempts, .. })) =
            soon(dialer.dial(target)).await
        else {
            panic!("dialed")
        };
        let expected = AttemptError::WrongPeer {
            expected: wrong,
            found: server.id(),
        };
        assert_eq!(attempts.as_slice(), [(address, expected)]);
    });
}

#[test]
fn with_tls_identities_of_every_kind_meet_over_every_muxer() {
    on_both(|listen| async move {
        for muxers in [&[Muxer::Yamux][..], &[Muxer::Mplex, Muxer::Yamux]] {
            for early in [true, false] {
                for keypair in [
                    Keypair::generate_ed25519(),
                    Keypair::generate_secp256k1(),
                    Keypair::generate_ecdsa(),
                ] {
                    let make = |listen| {
                        builder_of(&[Security::Tls], listen)
                            .muxers(muxers.iter().copied())
                            .early_muxers(early)
                    };
                    let dialer = make(None).identity(keypair.clone()).spawn();
                    let dialer = dialer.await.unwrap();
                    let listener = make(Some(listen)).spawn().await.unwrap();
                    let (security, round_trips) = meet(&dialer, &listener).await;
                    let expected = if early || muxers.len() == 1 { 1 } else { 2 };
                    assert_eq!((security.as_str(), round_trips), ("/tls/1.0.0", expected));
                }
            }
        }
    });
}

#[test]
fn with_tls_much_data_arrives_whole_in_both_directions() {
    on_both(|listen| async move {
        let server = node_of(&[Security::Tls], Some(listen)).await;
        let dialer = node_of(&[Security::Tls], None).await;
        let mut stream = soon(dialer.open_stream(server.address(), ECHO))
            .await
            .unwrap();
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let write = async {
            writer.write_all(&data).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let read = async {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all
        };
        let ((), all) = soon(async { tokio::join!(write, read) }).await;
        assert!(all == data);
    });
}

#[test]
fn with_tls_what_was_written_before_closing_is_delivered_and_truncation_shows() {
    on_both(|listen| async move {
        let server = node_of(&[Security::Tls], Some(listen)).await;
        let dialer = node_of(&[Security::Tls], None).await;
        let mut incoming = server.accept("/chat/1.0.0").unwrap();
        let mut stream = agreed(&dialer, server.address(), "/chat/1.0.0").await;
        let mut inbound = soon(incoming.next()).await.unwrap();
        stream.write_all(&[6; 100_000]).await.unwrap();
        soon(stream.connection().close()).await;
        let mut all = vec![0; 100_000];
        soon(inbound.read_exact(&mut all)).await.unwrap();
        assert_eq!(
            soon(inbound.read_chunk()).await,
            Err(StreamError::ConnectionLost(ConnectionError::ClosedByPeer))
        );
    });
}

#[test]
fn garbage_before_and_after_tls_ends_its_connection_and_nobody_elses() {
    run(async {
        let server = node_of(&[Security::Tls], Some(TCP)).await;
        for len in [0, 1, 4, 5, 6, 100, 5000, 70_000] {
            for first in [0x16, 0x17, 0xff] {
                let mut socket = socket(&server.address()).await;
                let mut bytes = proposal("/tls/1.0.0");
                bytes.extend([first, 3, 1, 0x40, 0].iter().take(len));
                bytes.resize(bytes.len() + len.saturating_sub(5), first);
                // It may be gone before all of this has left.
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
                let mut heard = Vec::new();
                let _ = soon(socket.read_to_end(&mut heard)).await;
                assert!(heard.len() < 100, "an answer and an alert at most");
            }
        }
        let node = node_of(&[Security::Tls], None).await;
        soon(echo(&node, &server, b"as ever")).await.unwrap();
        assert_eq!(server.peers(), [node.id()]);
    });
}
