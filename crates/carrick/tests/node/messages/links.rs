//! What becomes of streams and connections: lost ones, idle ones, banned peers; both sides asking; one message to many.

use std::time::Duration;

use carrick::{
    Config, RequestError,
    actors::{MailboxOptions, Policy},
    messages::Encoded,
};

use super::*;

#[test]
fn with_its_connection_a_request_is_lost_and_the_next_one_has_a_new_connection() {
    for form in FORMS {
        on_all(|listen| async move {
            let mut server = Server::new(listen, MailboxOptions::default()).await;
            let client = Client::new(form, &server).await;
            let (target, ask) = (server.address(), echo("?"));
            let node = client.node.as_ref().unwrap();
            let asking = client.messages.request(target.clone(), &ask);
            let cutting = async {
                let (_, mut replier) = server.next().await.into_parts();
                let connection = node.dial(server.node.id()).await.unwrap();
                connection.close().await;
                replier.cancelled().await;
            };
            let (lost, ()) = soon(async { tokio::join!(asking, cutting) }).await;
            assert_eq!(lost, Err(RequestError::ConnectionLost));
            let asking = client.messages.request(target, &ask);
            let answering = async { answer(server.next().await) };
            let (reply, ()) = soon(async { tokio::join!(asking, answering) }).await;
            assert_eq!(reply.unwrap(), b"?");
        });
    }
}

#[test]
fn an_idle_stream_keeps_no_connection_and_is_opened_again() {
    on_all(|listen| async move {
        let server = Server::new(listen, MailboxOptions::default()).await;
        let short = Duration::from_millis(100);
        let node = node_with(Config {
            idle_timeout: Some(short),
            ..Config::default()
        })
        .await;
        let messages = Messages::builder(PROTOCOL)
            .form(Form::Multiplexed)
            .idle_timeout(short)
            .start(&node)
            .unwrap();
        let address = server.address();
        let answering = tokio::spawn(answer_all(server.inbox));
        for _ in 0..2 {
            let reply = soon(messages.request(address.clone(), &echo("?"))).await;
            assert_eq!(reply.unwrap(), b"?");
            eventually("it is idle", || node.peers().is_empty()).await;
        }
        answering.abort();
    });
}

#[test]
fn a_ban_ends_what_is_under_way_on_both_ends() {
    for form in FORMS {
        on_all(|listen| async move {
            let mut server = Server::new(listen, MailboxOptions::default()).await;
            let client = Client::new(form, &server).await;
            let (target, ask) = (server.address(), echo("?"));
            let banned = client.id(&server);
            let asking = client.messages.request(target.clone(), &ask);
            let banning = async {
                let (_, mut replier) = server.next().await.into_parts();
                server.node.ban(banned, None, "a test").await;
                replier.cancelled().await;
            };
            let (ended, ()) = soon(async { tokio::join!(asking, banning) }).await;
            assert_eq!(ended, Err(RequestError::Banned), "{form:?}");
            let refused = soon(client.messages.request(target, &ask)).await;
            assert!(refused.is_err());
            let ours = soon(server.messages.request(banned, &ask)).await;
            assert_eq!(ours, Err(RequestError::Banned));
            assert!(server.inbox.is_empty());
        });
    }
}

#[test]
fn both_sides_may_ask_at_once_even_with_full_mailboxes() {
    for form in FORMS {
        on_all(|listen| async move {
            let narrow = || one(Policy::Wait);
            let set_up = |builder: MessagesBuilder| builder.form(form);
            let here = Server::with(listen, narrow(), set_up).await;
            let there = Server::with(listen, narrow(), set_up).await;
            soon(here.node.dial(there.address())).await.unwrap();
            soon(back(&there.node, here.node.id())).await;
            let answering = [
                tokio::spawn(answer_all(here.inbox)),
                tokio::spawn(answer_all(there.inbox)),
            ];
            let ask = |from: &Messages, to: PeerId| {
                let from = from.clone();
                async move {
                    let ask = Words::<1, 2>(vec![1; 20_000]);
                    let ask = |_| from.request(to, &ask);
                    futures::future::join_all((0..50).map(ask)).await
                }
            };
            let both = async {
                tokio::join!(
                    ask(&here.messages, there.node.id()),
                    ask(&there.messages, here.node.id()),
                )
            };
            let (ours, theirs) = soon(both).await;
            for reply in ours.into_iter().chain(theirs) {
                assert_eq!(reply.unwrap().len(), 20_000);
            }
            answering.iter().for_each(|task| task.abort());
        });
    }
}

#[test]
fn one_encoding_reaches_many_peers_and_says_who_was_not_reached() {
    for form in FORMS {
        run(async {
            let set_up = |builder: MessagesBuilder| builder.form(form);
            let from = Server::with(TCP, MailboxOptions::default(), set_up).await;
            let mut to = Vec::new();
            for _ in 0..4 {
                let server = Server::new(TCP, MailboxOptions::default()).await;
                soon(from.node.dial(server.address())).await.unwrap();
                to.push(server);
            }
            let nobody = random_peer();
            let news = Encoded::new(&echo("news")).unwrap();
            let ids = to.iter().map(|server| server.node.id());
            let told = from.messages.broadcast(ids.chain([nobody]), &news);
            let told = soon(told).await;
            assert_eq!(told.len(), 5);
            for (peer, outcome) in told {
                assert_eq!(outcome.is_ok(), peer != nobody, "{outcome:?}");
            }
            for server in &mut to {
                assert_eq!(server.next().await.message(), &echo("news"));
            }
        });
    }
}

#[test]
fn a_peer_without_the_protocol_does_not_support_it() {
    for form in FORMS {
        on_all(|listen| async move {
            let server = server(listen).await;
            let client = client().await;
            let messages = Messages::builder(PROTOCOL).form(form).start(&client);
            let messages = messages.unwrap();
            for _ in 0..2 {
                let refused = soon(messages.request(server.address(), &echo("?"))).await;
                assert_eq!(refused, Err(RequestError::NotSupported), "{form:?}");
            }
        });
    }
}
