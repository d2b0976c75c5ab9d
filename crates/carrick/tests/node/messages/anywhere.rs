//! What holds whether the other one is a peer, in either form, or an actor of this very node.

use std::time::Duration;

use carrick::{
    RequestError,
    actors::{MailboxOptions, Policy},
    messages::Encoded,
};
use futures::{StreamExt, stream::FuturesUnordered};

use super::*;

fn roomy() -> MailboxOptions {
    MailboxOptions::new(256, Policy::Wait)
}

#[test]
fn a_request_has_its_reply_and_its_handler_knows_who_asks() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let hello = echo("hello");
        let asking = client.messages().request(id, &hello);
        let answering = async {
            let asked = server.next().await;
            assert_eq!(asked.message(), &hello);
            assert_eq!(asked.peer(), client.id(&server));
            assert!(asked.wants_reply() && !asked.is_cancelled());
            assert!(asked.reply(b"hello yourself".to_vec()));
        };
        let (reply, ()) = soon(async { tokio::join!(asking, answering) }).await;
        assert_eq!(reply.unwrap(), b"hello yourself");
    });
}

#[test]
fn many_requests_at_once_find_their_replies_in_any_order() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let ask = |number: usize| {
            let messages = client.messages().clone();
            async move {
                let text = number.to_string();
                let reply = messages.request(id, &echo(&text)).await.unwrap();
                assert_eq!(reply, text.as_bytes());
            }
        };
        let all: FuturesUnordered<_> = (0..90).map(ask).collect();
        let answering = async {
            let mut asked = Vec::new();
            while asked.len() < 90 {
                asked.push(server.next().await);
            }
            // 37 has no divisor in common with 90.
            let mut asked: Vec<_> = asked.into_iter().map(Some).collect();
            for at in 0..90 {
                answer(asked[at * 37 % 90].take().unwrap());
            }
        };
        soon(async { tokio::join!(all.collect::<Vec<()>>(), answering) }).await;
    });
}

#[test]
fn a_handler_may_refuse_and_one_that_drops_the_request_has_given_it_up() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let busy = RequestError::Busy {
            retry_after: Some(Duration::from_millis(1500)),
        };
        let failed = RequestError::Failed("no such account".to_owned());
        for why in [busy, failed, RequestError::NotSupported] {
            let ask = echo("?");
            let asking = client.messages().request(id, &ask);
            let refusing = async { server.next().await.refuse(why.clone()) };
            let (reply, told) = soon(async { tokio::join!(asking, refusing) }).await;
            assert_eq!(reply, Err(why));
            assert!(told);
        }
        let ask = echo("?");
        let asking = client.messages().request(id, &ask);
        let dropping = async { drop(server.next().await) };
        let (reply, ()) = soon(async { tokio::join!(asking, dropping) }).await;
        assert_eq!(reply, Err(RequestError::Cancelled));
    });
}

#[test]
fn a_code_that_nobody_takes_is_not_supported_and_the_connection_stays() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let strange = Words::<99, 2>(vec![1]);
        let refused = soon(client.messages().request(id, &strange)).await;
        assert_eq!(refused, Err(RequestError::NotSupported));
        if client.node.is_some() {
            eventually("it is counted", || {
                server.messages.stats().unknown_codes == 1
            })
            .await;
        }
        let ask = echo("still there");
        let asking = client.messages().request(id, &ask);
        let answering = async { answer(server.next().await) };
        let (reply, ()) = soon(async { tokio::join!(asking, answering) }).await;
        assert_eq!(reply.unwrap(), b"still there");
    });
}

#[test]
fn who_stops_waiting_cancels_the_request_at_its_handler() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let messages = client.messages().clone();
        let asking = tokio::spawn(async move { messages.request(id, &echo("?")).await });
        let (_, mut replier) = server.next().await.into_parts();
        assert!(!replier.is_cancelled());
        asking.abort();
        soon(replier.cancelled()).await;
        assert!(replier.is_cancelled());
        assert!(!replier.reply(b"too late".to_vec()));
    });
}

#[test]
fn at_its_deadline_a_request_is_over_on_both_ends() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        // Long enough for it to arrive, on whatever machine; nothing depends on how long it takes beyond that.
        let after = Duration::from_secs(2);
        let messages = client.messages().with_timeout(after);
        let ask = echo("?");
        let asking = messages.request(id, &ask);
        let handling = async {
            let (_, mut replier) = server.next().await.into_parts();
            replier.cancelled().await;
        };
        let (reply, ()) = soon(async { tokio::join!(asking, handling) }).await;
        assert_eq!(reply, Err(RequestError::Timeout { after }));
    });
}

#[test]
fn a_request_may_have_many_replies_and_an_error_after_them() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let (all, some) = (echo("all"), echo("some"));
        let mut all = soon(client.messages().request_stream(id, &all))
            .await
            .unwrap();
        let (_, replier) = server.next().await.into_parts();
        let sending = async {
            let sender = replier.many();
            for number in 0..100_u8 {
                sender.send(vec![number]).await.unwrap();
            }
            sender.finish().await;
        };
        let reading = async {
            for number in 0..100_u8 {
                assert_eq!(all.next().await, Some(Ok(vec![number])));
            }
            assert_eq!(all.next().await, None);
            assert_eq!(all.next().await, None);
        };
        soon(async { tokio::join!(sending, reading) }).await;
        let mut some = soon(client.messages().request_stream(id, &some))
            .await
            .unwrap();
        let (_, replier) = server.next().await.into_parts();
        let failed = RequestError::Failed("disk".to_owned());
        let sending = async {
            let sender = replier.many();
            sender.send(vec![1]).await.unwrap();
            sender.fail(failed.clone()).await;
        };
        let reading = async {
            assert_eq!(some.next().await, Some(Ok(vec![1])));
            assert_eq!(some.next().await, Some(Err(failed.clone())));
            assert_eq!(some.next().await, None);
        };
        soon(async { tokio::join!(sending, reading) }).await;
    });
}

#[test]
fn replies_may_be_none_one_or_cut_short_by_who_reads_them() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let ask = echo("?");
        let mut none = soon(client.messages().request_stream(id, &ask))
            .await
            .unwrap();
        server.next().await.into_parts().1.many().finish().await;
        assert_eq!(soon(none.next()).await, None);
        let mut one = soon(client.messages().request_stream(id, &ask))
            .await
            .unwrap();
        server.next().await.reply(Vec::new());
        assert_eq!(soon(one.next()).await, Some(Ok(Vec::new())));
        assert_eq!(soon(one.next()).await, None);
        let mut cut = soon(client.messages().request_stream(id, &ask))
            .await
            .unwrap();
        let sender = server.next().await.into_parts().1.many();
        sender.send(vec![1]).await.unwrap();
        assert_eq!(soon(cut.next()).await, Some(Ok(vec![1])));
        drop(cut);
        soon(sender.cancelled()).await;
        let cancelled = soon(async { while sender.send(vec![2]).await.is_ok() {} });
        cancelled.await;
        // Who wants one gets no more.
        let asking = client.messages().request(id, &ask);
        let answering = async {
            let sender = server.next().await.into_parts().1.many();
            let _ = sender.send(vec![1]).await;
            sender.finish().await;
        };
        let (reply, ()) = soon(async { tokio::join!(asking, answering) }).await;
        assert!(
            matches!(reply, Err(RequestError::Malformed(_))),
            "{reply:?}"
        );
    });
}

#[test]
fn what_is_told_arrives_and_nobody_waits_for_an_answer() {
    from_anywhere(&roomy(), |client, mut server| async move {
        let id = server.node.id();
        let encoded = Encoded::new(&echo("encoded")).unwrap();
        soon(client.messages().notify(id, &echo("told")))
            .await
            .unwrap();
        assert_eq!(server.next().await.message(), &echo("told"));
        soon(client.messages().notify_encoded(id, &encoded))
            .await
            .unwrap();
        let told = server.next().await;
        assert_eq!(told.message(), &echo("encoded"));
        assert!(!told.wants_reply());
        assert!(!told.reply(b"nobody waits".to_vec()));
    });
}

#[test]
fn a_mailbox_that_rejects_makes_the_request_busy() {
    from_anywhere(&one(Policy::Reject), |client, mut server| async move {
        let id = server.node.id();
        let (first, second) = (echo("first"), echo("second"));
        let messages = client.messages().clone();
        let asking = tokio::spawn(async move { messages.request(id, &first).await });
        eventually("the mailbox is full", || server.inbox.len() == 1).await;
        let refused = soon(client.messages().request(id, &second)).await;
        assert!(
            matches!(
                refused,
                Err(RequestError::Busy {
                    retry_after: Some(_)
                })
            ),
            "{refused:?}"
        );
        answer(server.next().await);
        assert_eq!(soon(asking).await.unwrap().unwrap(), b"first");
        let asking = client.messages().request(id, &second);
        let answering = async { answer(server.next().await) };
        let (reply, ()) = soon(async { tokio::join!(asking, answering) }).await;
        assert_eq!(reply.unwrap(), b"second");
    });
}

#[test]
fn a_mailbox_that_waits_makes_the_asker_wait() {
    from_anywhere(&one(Policy::Wait), |client, server| async move {
        let id = server.node.id();
        let all: FuturesUnordered<_> = (0..20)
            .map(|number: u8| {
                let messages = client.messages().clone();
                async move { messages.request(id, &Words::<1, 2>(vec![number])).await }
            })
            .collect();
        let answering = tokio::spawn(answer_all(server.inbox));
        let replies: Vec<_> = soon(all.collect()).await;
        assert!(replies.iter().all(Result::is_ok), "{replies:?}");
        answering.abort();
    });
}

#[test]
fn a_request_pushed_out_of_its_mailbox_is_over() {
    from_anywhere(&one(Policy::DropOldest), |client, mut server| async move {
        let id = server.node.id();
        let (first, second) = (echo("first"), echo("second"));
        let messages = client.messages().clone();
        let asking = tokio::spawn(async move { messages.request(id, &first).await });
        eventually("the mailbox is full", || server.inbox.len() == 1).await;
        let newer = client.messages().request(id, &second);
        let answering = async {
            assert_eq!(soon(asking).await.unwrap(), Err(RequestError::Cancelled));
            answer(server.next().await);
        };
        let (reply, ()) = soon(async { tokio::join!(newer, answering) }).await;
        assert_eq!(reply.unwrap(), b"second");
    });
}
