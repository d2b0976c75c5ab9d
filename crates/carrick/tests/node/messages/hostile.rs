//! Peers whose frames are wrong: what ends the stream, what only costs them, and what the node bears.

use std::collections::VecDeque;

use bytes::Bytes;
use carrick::{Code, RequestError, Stream, StreamError, actors::MailboxOptions};
use carrick_wire::{
    messages::{Frame, Header, Kind, tag},
    varint,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;

fn header(kind: Kind, code: u16, id: u32, nonce: u64) -> Header {
    Header {
        kind,
        more: false,
        priority: Priority::Normal,
        code,
        id,
        nonce,
        tag: tag(PROTOCOL, b""),
    }
}

fn bytes(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    header.encode(payload.len(), &mut out);
    out.extend_from_slice(payload);
    out
}

#[test]
fn what_does_not_decode_is_malformed_and_recorded_and_the_connection_stays() {
    for form in FORMS {
        on_all(|listen| async move {
            let server = Server::new(listen, MailboxOptions::default()).await;
            let client = Client::new(form, &server).await;
            let id = server.node.id();
            let bad = Words::<1, 2>(vec![255]);
            let refused = soon(client.messages.request(id, &bad)).await;
            let Err(RequestError::Malformed(text)) = refused else {
                panic!("{refused:?}");
            };
            assert!(text.contains("255"), "{text}");
            assert_eq!(server.messages.stats().malformed, 1);
            let score = server.node.score(&client.id(&server)).await;
            assert!((-10.0..-5.0).contains(&score), "{score}");
            let strange = Words::<99, 2>(vec![]);
            let refused = soon(client.messages.request(id, &strange)).await;
            assert_eq!(refused, Err(RequestError::NotSupported));
            let worse = server.node.score(&client.id(&server)).await;
            assert!(worse < score - 0.5, "{worse}");
            let answering = tokio::spawn(answer_all(server.inbox));
            assert!(soon(client.messages.request(id, &echo("?"))).await.is_ok());
            answering.abort();
        });
    }
}

/// Sends this on a stream of a peer's own, and waits until the stream is over; what came back before.
async fn sent_alone(server: &Server, bytes: &[u8]) -> (Vec<u8>, StreamError) {
    let node = client().await;
    let mut stream = agreed(&node, server.address(), PROTOCOL).await;
    let mut came = Vec::new();
    let sent = stream.write_all(bytes).await;
    if let Err(error) = sent {
        return (came, error);
    }
    loop {
        match soon(stream.read_chunk()).await {
            Ok(Some(chunk)) => came.extend_from_slice(&chunk),
            Ok(None) => panic!("it ended as if nothing were wrong"),
            Err(error) => return (came, error),
        }
    }
}

#[test]
fn what_breaks_the_protocol_ends_the_stream_and_soon_the_connection() {
    run(async {
        let server = Server::new(TCP, MailboxOptions::default()).await;
        let request = |nonce| bytes(header(Kind::Request, 1, 5, nonce), b"?");
        let mut far = Vec::new();
        varint::encode(1 << 62, &mut far);
        let strange = Header {
            tag: 1,
            ..header(Kind::Request, 1, 5, 1)
        };
        let mut too_large = Vec::new();
        header(Kind::Request, 1, 5, 1).encode((1 << 20) + 1, &mut too_large);
        let cases = [
            ("2^62", far),
            ("2^63", [&[0x80; 9][..], &[1]].concat()),
            ("no header", vec![3, 1, 2, 3]),
            ("too large", too_large),
            ("another tag", bytes(strange, b"?")),
            ("nonce 0", request(0)),
            ("a nonce again", [request(7), request(7)].concat()),
            ("an id in use", [request(7), request(8)].concat()),
            ("a reply", bytes(header(Kind::Reply, 1, 5, 1), b"")),
        ];
        for (what, bytes) in cases {
            let (_, error) = sent_alone(&server, &bytes).await;
            let ended = matches!(
                error,
                StreamError::Reset(Code::VIOLATION) | StreamError::ConnectionLost(_)
            );
            assert!(ended, "{what}: {error:?}");
        }
        eventually("all are disconnected", || server.node.peers().is_empty()).await;
    });
}

#[test]
fn answers_that_nobody_asked_for_are_dropped_and_counted() {
    for form in FORMS {
        run(async move {
            let server = client().await;
            server.listen(TCP).await.unwrap();
            // It answers what was never asked first, and then twice; on one stream the second comes with the next request.
            let handler = |mut stream: Stream| async move {
                let mut decoder = carrick_wire::messages::Decoder::new(tag(PROTOCOL, b""), 1000);
                let (mut nonce, mut again) = (0, VecDeque::new());
                while let Some(chunk) = stream.read_chunk().await? {
                    decoder.push(chunk);
                    while let Ok(Some(Frame { header: asked, .. })) = decoder.frame() {
                        for id in again.drain(..).chain([99_999, asked.id]) {
                            nonce += 1;
                            let reply = header(Kind::Reply, asked.code, id, nonce);
                            stream.write_all(&bytes(reply, b"!")).await?;
                        }
                        again.push_back(asked.id);
                    }
                }
                stream.finish().await
            };
            server.handle(PROTOCOL, handler).unwrap();
            let node = client().await;
            let messages = Messages::builder(PROTOCOL).form(form).start(&node).unwrap();
            for _ in 0..3 {
                let reply = soon(messages.request(server.address(), &echo("?"))).await;
                assert_eq!(reply.unwrap(), b"!");
            }
            let stats = messages.stats();
            assert_eq!(stats.unknown_replies, 3);
            let duplicates = if form == Form::Multiplexed { 2 } else { 0 };
            assert_eq!(stats.duplicate_replies, duplicates);
        });
    }
}

#[test]
fn another_domain_is_another_conversation() {
    for form in FORMS {
        run(async move {
            let server = Server::new(TCP, MailboxOptions::default()).await;
            let client = Client::with(form, &server, |builder| builder.domain("elsewhere")).await;
            let refused = soon(client.messages.request(server.address(), &echo("?"))).await;
            // The stream is reset, and then its peer disconnected; which of them is seen first is open.
            assert!(
                matches!(
                    refused,
                    Err(RequestError::Malformed(_) | RequestError::ConnectionLost)
                ),
                "{refused:?}"
            );
            assert!(server.inbox.is_empty());
        });
    }
}

/// How many random frames: `CARRICK_FRAMES=1000000` takes a few minutes.
fn frames() -> usize {
    let frames = std::env::var("CARRICK_FRAMES").ok();
    frames
        .and_then(|frames| frames.parse().ok())
        .unwrap_or(10_000)
}

/// The next frame of a peer that talks nonsense, mostly well-formed.
fn nonsense(random: &mut StdRng, nonce: u64) -> Vec<u8> {
    let kinds = [Kind::Request, Kind::OneWay, Kind::Cancel];
    let kind = *kinds.choose(random).unwrap();
    let id = if kind == Kind::OneWay {
        0
    } else {
        random.random()
    };
    let mut header = header(kind, random.random_range(1..4), id, nonce);
    header.priority = *Priority::ALL.choose(random).unwrap();
    let len = if kind == Kind::Cancel {
        0
    } else {
        random.random_range(0..200)
    };
    let payload: Vec<u8> = (0..len).map(|_| random.random_range(0..255)).collect();
    match random.random_range(0..400) {
        0 => header.code = random.random(),
        1 => header.nonce = random.random_range(0..=nonce),
        2 => header.tag = random.random(),
        _ => {}
    }
    let mut bytes = bytes(header, &payload);
    match random.random_range(0..800) {
        0 => bytes.truncate(random.random_range(0..bytes.len())),
        1 => {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        _ => {}
    }
    bytes
}

#[test]
fn random_frames_are_borne() {
    let runtime = runtime();
    runtime.block_on(async {
        let server = Server::new(TCP, MailboxOptions::default()).await;
        let (address, id) = (server.address(), server.node.id());
        let answering = tokio::spawn(answer_all(server.inbox));
        let mut random = StdRng::seed_from_u64(7);
        let mut left = frames();
        while left > 0 {
            // Each time somebody else: the one before is disconnected by now, or banned.
            let node = client().await;
            let Ok(mut stream) = soon(node.open_stream(address.clone(), PROTOCOL)).await else {
                continue;
            };
            let mut batch = Vec::new();
            for nonce in 1..=500 {
                batch.extend(nonsense(&mut random, nonce));
            }
            left = left.saturating_sub(500);
            let mut rest = Bytes::from(batch);
            // What comes back is read, so that the other side goes on; it may end the stream at any byte.
            while !rest.is_empty() {
                let part = rest.split_to(rest.len().min(4096));
                let written = soon(stream.write_all(&part)).await;
                if written.is_err() {
                    break;
                }
                let _ = futures::poll!(std::pin::pin!(stream.read_chunk()));
            }
            let _ = stream.finish().await;
            while let Ok(Some(_)) = soon(stream.read_chunk()).await {}
            soon(node.close()).await;
        }
        assert!(!answering.is_finished());
        let client = client().await;
        let messages = Messages::builder(PROTOCOL).start(&client).unwrap();
        soon(client.dial(address)).await.unwrap();
        let reply = soon(messages.request(id, &echo("as ever"))).await;
        assert_eq!(reply.unwrap(), b"as ever");
    });
}

#[test]
fn a_large_request_that_is_refused_gives_its_bytes_of_the_budget_back() {
    run(async {
        let one = |builder: MessagesBuilder| builder.max_in_flight(1);
        let mut server = Server::with(TCP, MailboxOptions::default(), one).await;
        let client = client().await;
        let large = vec![b'x'; 600 << 10];
        let asks = [
            bytes(header(Kind::Request, 1, 5, 1), b"held"),
            bytes(header(Kind::Request, 1, 6, 2), &large),
        ];
        let mut asker = agreed(&client, server.address(), PROTOCOL).await;
        soon(asker.write_all(&asks.concat())).await.unwrap();
        let held = server.next().await;
        eventually("the second is refused", || {
            server.messages.stats().busy == 1
        })
        .await;
        // Its stream goes on; another one has the same budget.
        let mut other = agreed(&client, server.address(), PROTOCOL).await;
        let message = bytes(header(Kind::OneWay, 1, 0, 1), &large);
        soon(other.write_all(&message)).await.unwrap();
        assert_eq!(server.next().await.message().0.len(), large.len());
        drop(held);
    });
}
