//! Requests and answers between two nodes: their limits, deadlines, cancellation, and every way in which they fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use carrick::{
    Because, Behaviour, Code, Fault, Limit, Multiaddr, Node, OpenError, RequestError, Requests,
    StreamError, codec::Raw,
};
use futures::future::{FutureExt, join_all};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::common::*;

type Plain = Requests<Bytes, Bytes, Raw>;

const ASK: &str = "/ask/1";
const BUSY: RequestError = RequestError::Busy { retry_after: None };

fn asking() -> Plain {
    Plain::new(ASK)
}

async fn listening(listen: &str) -> Node {
    server(listen).await
}

async fn ask(
    client: &Node,
    to: Multiaddr,
    requests: &Plain,
    text: &[u8],
) -> Result<Bytes, RequestError> {
    soon(client.request(to, requests, &Bytes::copy_from_slice(text))).await
}

/// Handlers that begin, wait to be let go on, and end, one way or another.
#[derive(Clone)]
struct Held {
    begun: mpsc::Sender<Bytes>,
    go: Arc<Semaphore>,
    ended: Arc<AtomicUsize>,
    dropped: Arc<Notify>,
}

/// What tells that a handler's future is gone.
struct Gone(Held);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        self.0.dropped.notify_one();
    }
}

impl Held {
    /// Serves; the receiver gets what is asked.
    fn serve(node: &Node, requests: &Plain) -> (Self, mpsc::Receiver<Bytes>) {
        let (begun, beginnings) = mpsc::channel(100);
        let held = Self {
            begun,
            go: Arc::new(Semaphore::new(0)),
            ended: Arc::default(),
            dropped: Arc::default(),
        };
        let own = held.clone();
        let handler = move |_, text: Bytes| {
            let held = own.clone();
            async move {
                let gone = Gone(held.clone());
                held.begun.try_send(text.clone())?;
                held.go.acquire().await?.forget();
                drop(gone);
                Ok(text)
            }
        };
        node.serve(requests, handler).unwrap();
        (held, beginnings)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

#[test]
fn a_request_has_its_answer_whatever_the_link_and_the_size() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let id = client.id();
        let requests = asking();
        let reversed = move |peer, text: Bytes| async move {
            assert_eq!(peer, id);
            Ok(text.iter().rev().copied().collect())
        };
        server.serve(&requests, reversed).unwrap();
        for text in [
            b"".to_vec(),
            b"abc".to_vec(),
            (0..=250).cycle().take(1 << 20).collect(),
        ] {
            let answer = ask(&client, server.address(), &requests, &text)
                .await
                .unwrap();
            assert!(answer.iter().eq(text.iter().rev()), "{} bytes", text.len());
        }
        // The asked may ask as well, and a protocol has one handler.
        client
            .serve(&requests, |_, text| async move { Ok(text) })
            .unwrap();
        let back = soon(server.request(client.id(), &requests, &Bytes::from("back"))).await;
        assert_eq!(back.unwrap(), "back");
        assert!(
            client
                .serve(&requests, |_, text| async move { Ok(text) })
                .is_err()
        );
        let unnamed = Plain::new("two\nlines");
        assert!(
            client
                .serve(&unnamed, |_, text| async move { Ok(text) })
                .is_err()
        );
        let refused = ask(&client, server.address(), &unnamed, b"").await;
        assert!(matches!(refused, Err(RequestError::Open(_))), "{refused:?}");
    });
}

#[cfg(feature = "serde")]
#[test]
fn every_codec_carries_its_types() {
    use carrick::codec::{Cbor, Json};
    use std::collections::BTreeMap;

    run(async {
        let (server, client) = (listening(TCP).await, client().await);
        type Numbers = BTreeMap<String, Vec<u32>>;
        let cbor = Requests::<Numbers, u32, Cbor>::new("/cbor/1");
        let json = Requests::<Numbers, Option<u32>, Json>::new("/json/1");
        let sum = |numbers: Numbers| numbers.values().flatten().sum::<u32>();
        server
            .serve(&cbor, move |_, all| async move { Ok(sum(all)) })
            .unwrap();
        server
            .serve(&json, move |_, all| async move { Ok(Some(sum(all))) })
            .unwrap();
        let numbers = BTreeMap::from([("a".to_owned(), vec![1, 2]), ("é".to_owned(), vec![39])]);
        let answer = soon(client.request(server.address(), &cbor, &numbers)).await;
        assert_eq!(answer, Ok(42));
        let answer = soon(client.request(server.address(), &json, &numbers)).await;
        assert_eq!(answer, Ok(Some(42)));
    });
}

#[test]
fn answers_in_any_order_find_their_requests() {
    on_all(|listen| async move {
        const MANY: usize = 90;
        let (server, client) = (listening(listen).await, client().await);
        let requests = asking();
        let places: Arc<Vec<Semaphore>> = Arc::new((0..MANY).map(|_| Semaphore::new(0)).collect());
        let all = Arc::new(Semaphore::new(0));
        let (own, begun) = (places.clone(), all.clone());
        let handler = move |_, text: Bytes| {
            let (places, begun) = (own.clone(), begun.clone());
            async move {
                begun.add_permits(1);
                let place: usize = str::from_utf8(&text)?.parse()?;
                places[place].acquire().await?.forget();
                Ok(text)
            }
        };
        server.serve(&requests, handler).unwrap();
        let asked = (0..MANY).map(|n| {
            let (client, requests, to) = (&client, &requests, server.address());
            async move {
                let text = n.to_string();
                assert_eq!(
                    ask(client, to, requests, text.as_bytes()).await.unwrap(),
                    text
                );
            }
        });
        let answering = async {
            soon(all.acquire_many(MANY as u32)).await.unwrap().forget();
            // 37 has no factor in common with 90: each comes once, far from its neighbours.
            for n in 0..MANY {
                places[n * 37 % MANY].add_permits(1);
            }
        };
        tokio::join!(join_all(asked), answering);
    });
}

#[test]
fn a_ban_ends_what_the_peer_has_under_way_on_both_sides() {
    on_all(|listen| async move {
        for ours in [true, false] {
            let (server, client) = (listening(listen).await, client().await);
            let requests = asking();
            let (held, mut begun) = Held::serve(&server, &requests);
            let asked = ask(&client, server.address(), &requests, b"x");
            let ban = async {
                soon(begun.recv()).await.unwrap();
                match ours {
                    true => client.ban(server.id(), None, "test").await,
                    false => server.ban(client.id(), None, "test").await,
                }
                soon(held.dropped.notified()).await;
            };
            let (answer, ()) = tokio::join!(asked, ban);
            assert_eq!(answer, Err(RequestError::Banned));
            // And whoever is banned reaches no handler any more.
            let again = ask(&client, server.address(), &requests, b"y").await;
            assert!(again.is_err(), "{again:?}");
            if ours {
                assert_eq!(again, Err(RequestError::Banned));
            }
            assert!(begun.try_recv().is_err());
            assert_eq!(held.ended(), 1);
        }
    });
}

#[test]
fn what_is_given_up_here_is_dropped_there() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let requests = asking();
        let (held, mut begun) = Held::serve(&server, &requests);
        let asked = ask(&client, server.address(), &requests, b"x");
        tokio::select! {
            answer = asked => panic!("{answer:?}"),
            text = begun.recv() => assert_eq!(text.unwrap(), "x"),
        }
        soon(held.dropped.notified()).await;
        // By deadline as well.
        let short = asking().timeout(Duration::from_millis(20));
        let after = Duration::from_millis(20);
        let answer = ask(&client, server.address(), &short, b"x").await;
        assert_eq!(answer, Err(RequestError::Timeout { after }));
        if begun.recv().now_or_never().is_some() {
            soon(held.dropped.notified()).await;
        }
        // The connection and the protocol are none the worse for it. The one that was given up may still take a permit.
        held.go.add_permits(2);
        let answer = ask(&client, server.address(), &requests, b"z").await;
        assert_eq!(answer.unwrap(), "z");
        let score = server.score(&client.id()).await;
        assert_eq!(score, 0.0);
    });
}

#[test]
fn a_handler_that_takes_too_long_is_dropped_and_its_asker_told() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let (held, _begun) = Held::serve(&server, &asking().timeout(Duration::from_millis(1)));
        // It may not even have begun.
        let answer = ask(&client, server.address(), &asking(), b"x").await;
        assert_eq!(answer, Err(BUSY));
        assert!(held.ended() <= 1);
    });
}

#[test]
fn further_requests_wait_their_turn_and_the_queue_has_an_end() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let requests = asking().max_in_flight(1).max_queued(3);
        let (held, mut begun) = Held::serve(&server, &requests);
        soon(client.dial(server.address())).await.unwrap();
        let all = ["0", "1", "2", "3", "4"].map(|text| {
            let (client, requests, to) = (&client, &requests, server.address());
            async move { ask(client, to, requests, text.as_bytes()).await }
        });
        let watch = async {
            for n in 0..4 {
                let text = soon(begun.recv()).await.unwrap();
                assert_eq!(text, n.to_string(), "first come first served");
                assert!(begun.try_recv().is_err(), "one at a time");
                held.go.add_permits(1);
            }
        };
        // Polled in their order, they queue in it.
        let (answers, ()) = tokio::join!(join_all(all), watch);
        let answers: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.map_err(|error| error.to_string()))
            .collect();
        for (n, answer) in answers[..4].iter().enumerate() {
            assert_eq!(answer.as_ref().unwrap(), &n.to_string());
        }
        let refused = answers[4].as_ref().unwrap_err();
        assert!(
            refused.contains(Limit::RequestsQueuedPerPeer.name()),
            "{refused}"
        );
    });
}

#[test]
fn a_lost_peer_fails_all_that_is_under_way_and_all_that_waits() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let requests = asking().max_in_flight(2);
        let (held, mut begun) = Held::serve(&server, &requests);
        let connection = soon(client.dial(server.address())).await.unwrap();
        let all = (0..5).map(|_| ask(&client, server.address(), &requests, b"x"));
        let end = async {
            for _ in 0..2 {
                soon(begun.recv()).await.unwrap();
            }
            connection.close().await;
        };
        let (answers, ()) = tokio::join!(join_all(all), end);
        assert_eq!(answers, vec![Err(RequestError::ConnectionLost); 5]);
        eventually("both handlers are gone", || held.ended() == 2).await;
        assert!(begun.try_recv().is_err());
        client.close().await;
        let answer = ask(&client, server.address(), &requests, b"x").await;
        assert_eq!(answer, Err(RequestError::Closed));
    });
}

#[test]
fn what_is_too_much_at_once_or_too_fast_is_refused_as_busy_and_others_are_not() {
    on_all(|listen| async move {
        let (server, client, other) = (listening(listen).await, client().await, client().await);
        let slow = asking().rate(3, Duration::from_secs(3600));
        server
            .serve(&slow, |_, text| async move { Ok(text) })
            .unwrap();
        let free = Plain::new("/free/1");
        server
            .serve(&free, |_, text| async move { Ok(text) })
            .unwrap();
        for _ in 0..3 {
            ask(&client, server.address(), &slow, b"x").await.unwrap();
        }
        assert_eq!(ask(&client, server.address(), &slow, b"x").await, Err(BUSY));
        ask(&client, server.address(), &free, b"x").await.unwrap();
        ask(&other, server.address(), &slow, b"x").await.unwrap();
        assert_eq!(server.score(&client.id()).await, 0.0);
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_before_it_is_kept() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let small = asking().max_request_bytes(1000).max_response_bytes(500);
        server
            .serve(&small, |_, text: Bytes| async move { Ok(text) })
            .unwrap();
        // Ours is not sent.
        let limit = 1000;
        let answer = ask(&client, server.address(), &small, &[0; 1001]).await;
        assert_eq!(answer, Err(RequestError::TooLarge { limit }));
        assert_eq!(client.peers(), [], "nobody was dialed for it");
        // The other side's own limit: an error of its own.
        let answer = ask(&client, server.address(), &small, &[0; 1000]).await;
        assert!(matches!(answer, Err(RequestError::Failed(_))), "{answer:?}");
        assert_eq!(server.score(&client.id()).await, 0.0);
        // Theirs is refused.
        let answer = ask(&client, server.address(), &asking(), &[0; 1001]).await;
        assert!(
            matches!(answer, Err(RequestError::Malformed(_))),
            "{answer:?}"
        );
        scored(&server, &client, -5.0).await;

        let large = Plain::new("/large/1");
        server
            .serve(&large, |_, _| async move { Ok(vec![0; 1001].into()) })
            .unwrap();
        let answer = ask(
            &client,
            server.address(),
            &large.max_response_bytes(1000),
            b"",
        )
        .await;
        assert_eq!(answer, Err(RequestError::TooLarge { limit }));
        scored(&client, &server, -5.0).await;
    });
}

/// Waits until what a handler's error implies has been counted.
async fn scored(node: &Node, of: &Node, score: f64) {
    let look = async {
        // It decays.
        while (node.score(&of.id()).await - score).abs() > 0.5 {
            tokio::task::yield_now().await;
        }
    };
    soon(look).await;
}

#[cfg(feature = "serde")]
#[test]
fn what_does_not_decode_is_malformed_and_counted_against_its_sender() {
    use carrick::codec::Json;

    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let numbers = Requests::<u32, u32, Json>::new(ASK);
        server
            .serve(&numbers, |_, n| async move { Ok(n + 1) })
            .unwrap();
        let deep = "[".repeat(100_000);
        for bad in [b"not json".as_slice(), b"", deep.as_bytes()] {
            let answer = ask(&client, server.address(), &asking(), bad).await;
            assert!(
                matches!(answer, Err(RequestError::Malformed(_))),
                "{answer:?}"
            );
        }
        scored(&server, &client, -15.0).await;
        assert_eq!(
            soon(client.request(server.address(), &numbers, &41)).await,
            Ok(42)
        );

        let raw = Plain::new("/raw/1");
        server
            .serve(&raw, |_, text| async move { Ok(text) })
            .unwrap();
        let other = Requests::<u32, String, Json>::new("/raw/1");
        let answer = soon(client.request(server.address(), &other, &1)).await;
        assert!(
            matches!(answer, Err(RequestError::Malformed(_))),
            "{answer:?}"
        );
        scored(&client, &server, -5.0).await;
        // Whoever just ends the stream has no answer, and that is all.
        server
            .handle("/silent/1", |mut stream: carrick::Stream| async move {
                stream.finish().await
            })
            .unwrap();
        let silent = Requests::<u32, String, Json>::new("/silent/1");
        let answer = soon(client.request(server.address(), &silent, &1)).await;
        assert!(answer.is_err(), "{answer:?}");
        scored(&client, &server, -5.0).await;
    });
}

#[test]
fn a_protocol_that_nobody_serves_is_not_supported_and_the_connection_stays() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let connection = soon(client.dial(server.address())).await.unwrap();
        for _ in 0..2 {
            let answer = ask(&client, server.address(), &asking(), b"x").await;
            assert_eq!(answer, Err(RequestError::NotSupported));
        }
        echo(&client, &server, b"as ever").await.unwrap();
        assert_eq!(client.peers(), [server.id()]);
        drop(connection);
    });
}

#[test]
fn a_handlers_error_says_what_its_asker_gets_and_what_it_implies() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let requests = asking();
        let handler = |_, text: Bytes| async move {
            Err::<Bytes, _>(match &text[..] {
                b"busy" => RequestError::Busy {
                    retry_after: Some(Duration::from_secs(1)),
                }
                .into(),
                b"not" => RequestError::NotSupported.into(),
                b"bad" => RequestError::Malformed("no".to_owned()).into(),
                b"banned" => RequestError::Banned.into(),
                b"spam" => Fault::new(Behaviour::Spam, "too much"),
                _ => "x".parse::<u32>().because(Behaviour::Useful).unwrap_err(),
            })
        };
        server.serve(&requests, handler).unwrap();
        let said = async |text: &str| {
            ask(&client, server.address(), &requests, text.as_bytes())
                .await
                .unwrap_err()
        };
        assert_eq!(said("busy").await, BUSY);
        assert_eq!(said("not").await, RequestError::NotSupported);
        assert!(matches!(said("bad").await, RequestError::Malformed(_)));
        assert_eq!(said("banned").await, RequestError::Banned);
        assert_eq!(server.score(&client.id()).await, 0.0);
        assert!(matches!(said("other").await, RequestError::Failed(_)));
        scored(&server, &client, 1.0).await;
        assert!(matches!(said("spam").await, RequestError::Failed(_)));
        scored(&server, &client, -9.0).await;
    });
}

#[test]
fn a_stream_without_a_request_costs_its_place_until_the_deadline_only() {
    on_all(|listen| async move {
        let (server, client) = (listening(listen).await, client().await);
        let requests = asking()
            .timeout(Duration::from_millis(50))
            .max_in_flight_inbound(1);
        server
            .serve(&requests, |_, text| async move { Ok(text) })
            .unwrap();
        // The deadline may pass at any moment, also before the protocol is agreed on.
        let refused = match soon(client.open_stream(server.address(), ASK)).await {
            Ok(mut stalled) => {
                let _ = stalled.write_all(b"never finished").await;
                soon(stalled.read_chunk()).await
            }
            Err(OpenError::Stream(error)) => Err(error),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(refused, Err(StreamError::Reset(Code::LIMIT)));
        // A busy machine may take longer for a whole one, too.
        let mut answer = Err(BUSY);
        while answer == Err(BUSY) {
            answer = ask(&client, server.address(), &asking(), b"x").await;
        }
        assert_eq!(answer.unwrap(), "x");
    });
}

#[test]
fn other_peers_are_answered_while_one_fills_its_share() {
    run(async {
        let (server, client, other) = (listening(TCP).await, client().await, client().await);
        let (held, mut begun) = Held::serve(&server, &asking().max_in_flight_inbound(2));
        let requests = asking();
        let greedy = (0..3).map(|_| ask(&client, server.address(), &requests, b"x"));
        let fair = async {
            for _ in 0..2 {
                soon(begun.recv()).await.unwrap();
            }
            let waits = ask(&other, server.address(), &requests, b"y");
            let go = async {
                assert_eq!(soon(begun.recv()).await.unwrap(), "y");
                held.go.add_permits(3);
            };
            let (answer, ()) = tokio::join!(waits, go);
            assert_eq!(answer.unwrap(), "y");
        };
        let (mut answers, ()) = tokio::join!(join_all(greedy), fair);
        answers.sort_by_key(Result::is_err);
        assert_eq!(answers, [Ok("x".into()), Ok("x".into()), Err(BUSY)]);
    });
}
