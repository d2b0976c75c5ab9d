//! What bounds a peer: requests under way, pace, bytes, full mailboxes; and who passes whom.

use std::time::Duration;

use carrick::{
    Limit, Node, RequestError,
    actors::{MailboxOptions, Policy},
    messages::{Encoded, Rate},
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;

use super::*;

fn with_both_forms<F: Future<Output = ()>>(test: impl Fn(Form) -> F) {
    for form in FORMS {
        eprintln!("{form:?}");
        run(test(form));
    }
}

/// Asks in a task of its own.
fn asking(
    client: &Client,
    server: &Server,
    text: &str,
) -> tokio::task::JoinHandle<Result<Vec<u8>, RequestError>> {
    let (messages, id, ask) = (client.messages.clone(), server.node.id(), echo(text));
    tokio::spawn(async move { messages.request(id, &ask).await })
}

#[test]
fn beyond_the_limit_a_peer_s_requests_are_busy_until_one_is_answered() {
    with_both_forms(|form| async move {
        let roomy = MailboxOptions::default();
        let mut server = Server::with(TCP, roomy, |builder| builder.max_in_flight(2)).await;
        let client = Client::new(form, &server).await;
        let first = asking(&client, &server, "first");
        let held = server.next().await;
        let second = asking(&client, &server, "second");
        let also_held = server.next().await;
        let third = soon(asking(&client, &server, "third")).await.unwrap();
        assert!(
            matches!(
                third,
                Err(RequestError::Busy {
                    retry_after: Some(_)
                })
            ),
            "{third:?}"
        );
        assert_eq!(server.messages.stats().busy, 1);
        // Another peer has a limit of its own.
        let other = Client::new(form, &server).await;
        let others = asking(&other, &server, "another's");
        answer(server.next().await);
        assert!(soon(others).await.unwrap().is_ok());
        answer(held);
        assert!(soon(first).await.unwrap().is_ok());
        let fourth = asking(&client, &server, "fourth");
        answer(server.next().await);
        assert!(soon(fourth).await.unwrap().is_ok());
        answer(also_held);
        assert!(soon(second).await.unwrap().is_ok());
    });
}

#[test]
fn our_own_requests_beyond_the_limit_wait_for_their_turn() {
    with_both_forms(|form| async move {
        let mut server = Server::new(TCP, MailboxOptions::default()).await;
        let client = Client::with(form, &server, |builder| builder.max_in_flight(1)).await;
        let all: Vec<_> = (0..5).map(|_| asking(&client, &server, "?")).collect();
        for _ in 0..5 {
            let asked = server.next().await;
            assert_eq!(server.inbox.len(), 0);
            answer(asked);
        }
        for asking in all {
            assert!(soon(asking).await.unwrap().is_ok());
        }
    });
}

#[test]
fn who_asks_too_fast_is_told_when_to_come_back() {
    with_both_forms(|form| async move {
        let rate = Rate {
            per_second: 1,
            burst: 3,
        };
        let roomy = MailboxOptions::default();
        let server = Server::with(TCP, roomy, |builder| builder.rate(rate)).await;
        let (client, other) = (
            Client::new(form, &server).await,
            Client::new(form, &server).await,
        );
        let id = server.node.id();
        let answering = tokio::spawn(answer_all(server.inbox));
        for _ in 0..3 {
            let reply = soon(client.messages.request(id, &echo("?"))).await;
            assert!(reply.is_ok(), "{reply:?}");
        }
        // Even if each took a while, they would have to take half a minute together.
        let mut refused = None;
        for _ in 0..30 {
            let reply = soon(client.messages.request(id, &echo("?"))).await;
            refused = reply.err().or(refused);
        }
        let Some(RequestError::Busy {
            retry_after: Some(after),
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert!(after <= Duration::from_secs(1), "{after:?}");
        let reply = soon(other.messages.request(id, &echo("?"))).await;
        assert!(reply.is_ok(), "{reply:?}");
        answering.abort();
    });
}

/// How many streams of peers a node has refused.
async fn refused_streams(node: &Node) -> u64 {
    let limits = node.limits().await;
    let of_streams = [
        Limit::StreamsInboundPerConnection,
        Limit::StreamsInboundPerPeer,
        Limit::NegotiationsPerConnection,
    ];
    of_streams
        .map(|limit| limits.get(limit).unwrap().refused)
        .iter()
        .sum()
}

#[test]
fn a_mailbox_that_nobody_reads_stops_its_peer_long_before_memory_does() {
    for (form, listen) in FORMS
        .into_iter()
        .flat_map(|form| every_link().map(move |link| (form, link)))
    {
        run(async move {
            let mut server = Server::new(listen, one(Policy::Wait)).await;
            let client = Client::new(form, &server).await;
            let (id, note) = (server.node.id(), Words::<1, 2>(vec![7; 16 * 1024]));
            let mut told = 0_u64;
            // Who stops early for being slow has shown less, and nothing wrong.
            let patience = Duration::from_millis(300);
            while told < 4096 {
                match timeout(patience, client.messages.notify(id, &note)).await {
                    Ok(Ok(())) => told += 1,
                    // Streams have a limit, too.
                    Ok(Err(RequestError::Busy { .. })) | Err(_) => break,
                    Ok(Err(error)) => panic!("{error:?}"),
                }
            }
            // A stream beyond the limit is refused when its message has been told already.
            let there = || async { told - refused_streams(&server.node).await < 2048 };
            soon(async { while !there().await {} }).await;
            assert!(server.messages.stats().received <= 1);
            // Now somebody reads, and what was told is there; of streams, some may have been refused.
            let there = if form == Form::Multiplexed { told } else { 1 };
            for _ in 0..there {
                server.next().await;
            }
        });
    }
}

#[test]
fn handlers_hold_so_many_bytes_of_a_peer_and_others_have_their_own() {
    with_both_forms(|form| async move {
        let roomy = MailboxOptions::default();
        let set_up = |builder: MessagesBuilder| builder.peer_budget_bytes(10_000);
        let mut server = Server::with(TCP, roomy, set_up).await;
        let (client, other) = (
            Client::new(form, &server).await,
            Client::new(form, &server).await,
        );
        let id = server.node.id();
        let large = Words::<1, 2>(vec![1; 4000]);
        let mut held = Vec::new();
        for _ in 0..2 {
            soon(client.messages.notify(id, &large)).await.unwrap();
            held.push(server.next().await);
        }
        soon(client.messages.notify(id, &large)).await.unwrap();
        soon(other.messages.notify(id, &echo("another's")))
            .await
            .unwrap();
        assert_eq!(server.next().await.message().0.len(), "another's".len());
        assert_eq!(server.inbox.len(), 0);
        held.pop();
        assert_eq!(server.next().await.message().0.len(), 4000);
    });
}

#[test]
fn the_urgent_passes_a_backlog() {
    for listen in every_link() {
        run(async move {
            let mut server = Server::new(listen, one(Policy::Wait)).await;
            let client = Client::new(Form::Multiplexed, &server).await;
            let id = server.node.id();
            // 64 MiB for which nobody has asked yet.
            let backlog = Encoded::new(&Words::<3, 3>(vec![0; 512 * 1024])).unwrap();
            let messages = client.messages.with_timeout(DEADLINE);
            let telling = tokio::spawn(async move {
                let tell = |_| messages.notify_encoded(id, &backlog);
                let all: FuturesUnordered<_> = (0..128).map(tell).collect();
                all.collect::<Vec<_>>().await
            });
            eventually("the mailbox is full", || server.inbox.len() == 1).await;
            let ask = Words::<2, 1>(b"now".to_vec());
            let mut asking = std::pin::pin!(client.messages.request(id, &ask));
            assert!(futures::poll!(asking.as_mut()).is_pending());
            let mut before = 0;
            let answering = async {
                loop {
                    match soon(server.inbox.recv()).await {
                        Some(Any::Urgent(asked)) => return answer(asked),
                        Some(Any::Backlog(_)) => before += 1,
                        other => panic!("{other:?}"),
                    }
                }
            };
            let (reply, ()) = soon(async { tokio::join!(asking, answering) }).await;
            assert_eq!(reply.unwrap(), b"now");
            assert!(before < 64, "over {listen}: {before} of 128 came first");
            telling.abort();
        });
    }
}

#[test]
fn a_peer_that_never_stops_does_not_stop_others() {
    with_both_forms(|form| async move {
        let server = Server::new(TCP, one(Policy::Wait)).await;
        let (noisy, client) = (
            Client::new(form, &server).await,
            Client::new(form, &server).await,
        );
        let id = server.node.id();
        let answering = tokio::spawn(answer_all(server.inbox));
        let flood = tokio::spawn(async move {
            let note = Encoded::new(&Words::<1, 2>(vec![0; 10_000])).unwrap();
            let messages = noisy.messages();
            loop {
                let tell = |_| messages.notify_encoded(id, &note);
                let all: FuturesUnordered<_> = (0..50).map(tell).collect();
                all.collect::<Vec<_>>().await;
            }
        });
        let counts = &server.messages;
        eventually("it floods", || counts.stats().received > 100).await;
        for _ in 0..5 {
            let reply = soon(client.messages.request(id, &echo("me"))).await;
            assert_eq!(reply.unwrap(), b"me");
        }
        assert!(!flood.is_finished());
        flood.abort();
        answering.abort();
    });
}

#[test]
fn a_request_that_waits_for_a_mailbox_ends_when_its_asker_has_gone() {
    for listen in every_link() {
        run(async move {
            let mut server = Server::new(listen, one(Policy::Wait)).await;
            let client = Client::new(Form::StreamPerRequest, &server).await;
            let connection = back(&server.node, client.id(&server)).await;
            soon(connection.info()).await.unwrap();
            settled(&connection).await;
            let first = asking(&client, &server, "first");
            eventually("the mailbox is full", || server.inbox.len() == 1).await;
            let second = asking(&client, &server, "second");
            eventually("the second waits", || connection.streams() == 2).await;
            second.abort();
            eventually("nobody waits", || connection.streams() == 1).await;
            answer(server.next().await);
            assert!(soon(first).await.unwrap().is_ok());
        });
    }
}

#[test]
fn a_cancelled_request_gives_its_place_back_while_its_stream_goes_on() {
    for listen in every_link() {
        run(async move {
            let roomy = MailboxOptions::default();
            let mut server = Server::with(listen, roomy, |builder| builder.max_in_flight(2)).await;
            let patient = |builder: MessagesBuilder| builder.timeout(2 * DEADLINE);
            let client = Client::with(Form::Multiplexed, &server, patient).await;
            // While this one is under way the stream does not end, so nothing but the frame says that the next is given up.
            let kept = asking(&client, &server, "kept");
            let held = server.next().await;
            let given_up = asking(&client, &server, "given up");
            let (_, mut replier) = server.next().await.into_parts();
            let handler = tokio::spawn(async move { replier.cancelled().await });
            given_up.abort();
            assert!(soon(given_up).await.unwrap_err().is_cancelled());
            // Frames of a lane come in their order: what is asked now finds the place free.
            let mut third = asking(&client, &server, "third");
            tokio::select! {
                reply = &mut third => panic!("{reply:?}"),
                asked = server.next() => answer(asked),
            }
            assert!(soon(third).await.unwrap().is_ok());
            soon(handler).await.unwrap();
            answer(held);
            assert!(soon(kept).await.unwrap().is_ok());
            assert_eq!(server.messages.stats().busy, 0);
        });
    }
}
