//! Mailboxes at their bounds, their turns, their ends; calls; budgets; and many tasks at once.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::task::JoinSet;

use super::*;

/// Long enough for a machine that does other things as well; never waited for in a test that passes.
const DEADLINE: Duration = Duration::from_secs(120);

fn drained(inbox: &mut Mailbox<u32>) -> Vec<u32> {
    std::iter::from_fn(|| inbox.try_recv()).collect()
}

fn filled(policy: Policy, messages: std::ops::Range<u32>) -> (Sender<u32>, Mailbox<u32>) {
    let (sender, inbox) = mailbox(MailboxOptions::new(4, policy));
    messages.for_each(|message| assert!(sender.try_send(message).is_ok()));
    (sender, inbox)
}

#[test]
fn a_full_lane_that_rejects_gives_the_message_back() {
    let (sender, mut inbox) = filled(Policy::Reject, 0..4);
    assert_eq!(sender.try_send(4), Sent::Full(4));
    assert_eq!(sender.send(4).now_or_never(), Some(Sent::Full(4)));
    assert_eq!(inbox.try_recv(), Some(0));
    assert_eq!(sender.try_send(5), Sent::Ok);
    assert_eq!(drained(&mut inbox), [1, 2, 3, 5]);
    assert_eq!(inbox.displaced(), 0);
}

#[test]
fn a_full_lane_that_drops_the_oldest_loses_its_head_and_counts_it() {
    let (_sender, mut inbox) = filled(Policy::DropOldest, 0..10);
    assert_eq!(inbox.displaced(), 6);
    assert_eq!(drained(&mut inbox), [6, 7, 8, 9]);
}

#[test]
fn a_lane_that_keeps_the_last_has_the_newest_message_alone() {
    let (_sender, mut inbox) = filled(Policy::KeepLast, 0..10);
    assert_eq!((inbox.len(), inbox.displaced()), (1, 9));
    assert_eq!(drained(&mut inbox), [9]);
}

#[tokio::test]
async fn a_full_lane_that_waits_takes_senders_in_the_order_in_which_they_came() {
    let (sender, mut inbox) = filled(Policy::Wait, 0..4);
    assert_eq!(sender.try_send(9), Sent::Full(9));
    let mut first = Box::pin(sender.send(4));
    let mut second = Box::pin(sender.send(5));
    assert_eq!((&mut first).now_or_never(), None);
    assert_eq!((&mut second).now_or_never(), None);
    assert_eq!(inbox.recv().await, Some(0));
    assert_eq!(
        (&mut second).now_or_never(),
        None,
        "it is the first one's turn"
    );
    assert_eq!(
        sender.try_send(9),
        Sent::Full(9),
        "nobody passes those who wait"
    );
    assert_eq!(first.await, Sent::Ok);
    assert_eq!(inbox.recv().await, Some(1));
    assert_eq!(second.await, Sent::Ok);
    assert_eq!(drained(&mut inbox), [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_sender_that_gives_up_waiting_takes_no_place() {
    let (sender, mut inbox) = filled(Policy::Wait, 0..4);
    for _ in 0..100 {
        let mut waiting = Box::pin(sender.send(9));
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(waiting);
    }
    let mut turn = Box::pin(sender.send(9));
    assert_eq!((&mut turn).now_or_never(), None);
    assert_eq!(inbox.recv().await, Some(0));
    drop(turn); // it had its turn and did not take it
    assert_eq!(sender.try_send(4), Sent::Ok);
    assert_eq!(drained(&mut inbox), [1, 2, 3, 4]);
}

#[test]
fn lanes_have_bounds_and_policies_of_their_own() {
    let options =
        MailboxOptions::new(2, Policy::Reject).lane(Priority::Bulk, 3, Policy::DropOldest);
    let (sender, mut inbox) = mailbox(options);
    for priority in Priority::ALL {
        for message in 0..9 {
            let _ = sender.try_send_at(priority, message + 10 * priority.lane() as u32);
        }
    }
    assert_eq!(drained(&mut inbox), [0, 1, 10, 11, 20, 21, 36, 37, 38]);
}

#[test]
fn bulk_gets_its_share_while_control_floods() {
    let options = MailboxOptions::new(64, Policy::Reject);
    let (sender, mut inbox) = mailbox(options);
    let mut received = [0; 4];
    for _ in 0..1500 {
        // All lanes are full whenever one message is taken.
        for priority in Priority::ALL {
            while sender.try_send_at(priority, priority).is_ok() {}
        }
        received[inbox.try_recv().expect("it is full").lane()] += 1;
    }
    assert_eq!(received, [800, 400, 200, 100]);
    while inbox.try_recv().is_some() {}
    for _ in 0..90 {
        while sender
            .try_send_at(Priority::Control, Priority::Control)
            .is_ok()
        {}
        while sender.try_send_at(Priority::Bulk, Priority::Bulk).is_ok() {}
        received[inbox.try_recv().expect("it is full").lane()] += 1;
    }
    assert_eq!(
        received,
        [880, 400, 200, 110],
        "eight turns to one where two lanes want some"
    );
}

#[tokio::test]
async fn a_mailbox_ends_after_its_last_sender_and_its_last_message() {
    let (sender, mut inbox) = filled(Policy::Wait, 0..2);
    let other = sender.clone();
    drop(sender);
    assert_eq!(other.try_send(2), Sent::Ok);
    drop(other);
    let mut received = Vec::new();
    while let Some(message) = inbox.recv().await {
        received.push(message);
    }
    assert_eq!(received, [0, 1, 2]);
    assert_eq!(inbox.recv().await, None);
}

#[tokio::test]
async fn the_last_sender_wakes_who_waits_for_a_message() {
    let (sender, mut inbox) = mailbox::<u32>(MailboxOptions::default());
    let received = tokio::spawn(async move { inbox.recv().await });
    tokio::task::yield_now().await;
    drop(sender);
    assert_eq!(received.await.unwrap(), None);
}

#[tokio::test]
async fn a_dropped_mailbox_gives_every_message_back_and_wakes_who_waits() {
    for policy in [
        Policy::Wait,
        Policy::Reject,
        Policy::DropOldest,
        Policy::KeepLast,
    ] {
        let (sender, inbox) = filled(policy, 0..1);
        let waiting = (policy == Policy::Wait).then(|| {
            (1..4).for_each(|message| assert!(sender.try_send(message).is_ok()));
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(7).await })
        });
        tokio::task::yield_now().await;
        drop(inbox);
        if let Some(waiting) = waiting {
            assert_eq!(waiting.await.unwrap(), Sent::Closed(7));
        }
        assert_eq!(sender.try_send(8), Sent::Closed(8), "{policy:?}");
        assert_eq!(sender.send(8).await, Sent::Closed(8));
        assert!(sender.is_closed());
    }
}

#[tokio::test]
async fn one_sender_has_the_same_lanes_and_ends() {
    let (mut sender, mut inbox) = spsc(MailboxOptions::new(2, Policy::Wait));
    for (priority, message) in [
        (Priority::Bulk, 3),
        (Priority::Control, 0),
        (Priority::Normal, 2),
    ] {
        assert_eq!(sender.send_at(priority, message).await, Sent::Ok);
    }
    assert_eq!(sender.try_send(2), Sent::Ok);
    assert_eq!(sender.try_send(9), Sent::Full(9));
    assert_eq!(sender.send(9).now_or_never(), None);
    assert_eq!(drained(&mut inbox), [0, 2, 2, 3]);
    assert_eq!(sender.send(4).await, Sent::Ok);
    drop(inbox);
    assert_eq!(sender.send(5).await, Sent::Closed(5));
    let (sender, mut inbox) = spsc::<u32>(MailboxOptions::new(2, Policy::Wait));
    drop(sender);
    assert_eq!(inbox.recv().await, None);
}

#[tokio::test]
async fn a_call_is_answered_where_it_was_asked() {
    let (sender, mut inbox) = mailbox::<Call<u32, u32>>(MailboxOptions::default());
    let actor = tokio::spawn(async move {
        while let Some(call) = inbox.recv().await {
            let reply = call.message() + 1;
            assert!(call.reply(reply));
        }
    });
    let calls = (0..50).map(|number| sender.call_at(Priority::High, number));
    let replies = futures::future::join_all(calls).await;
    assert!(replies.into_iter().eq((1..51).map(Ok)));
    drop(sender);
    actor.await.unwrap();
}

#[tokio::test]
async fn whoever_stops_waiting_cancels_the_call() {
    let (mut call, answer) = Call::<_, ()>::new("long work");
    assert!(!call.is_cancelled());
    assert_eq!(call.cancelled().now_or_never(), None);
    drop(answer);
    call.cancelled().await;
    assert!(call.is_cancelled());
    assert!(!call.reply(()), "nobody hears it");
}

#[tokio::test]
async fn calls_that_nobody_will_answer_end() {
    type Question = Call<(), ()>;
    let (sender, inbox) = mailbox::<Question>(MailboxOptions::new(1, Policy::Reject));
    let mut first = Box::pin(sender.call(()));
    assert_eq!((&mut first).now_or_never(), None);
    assert_eq!(sender.call(()).await, Err(CallError::Full));
    drop(inbox);
    assert_eq!(first.await, Err(CallError::Unanswered));
    assert_eq!(sender.call(()).await, Err(CallError::Closed));
    let (sender, _inbox) = mailbox::<Question>(MailboxOptions::new(1, Policy::KeepLast));
    let mut replaced = Box::pin(sender.call(()));
    assert_eq!((&mut replaced).now_or_never(), None);
    assert_eq!(sender.call(()).now_or_never(), None);
    assert_eq!(replaced.await, Err(CallError::Unanswered));
}

#[tokio::test]
async fn a_budget_holds_back_whoever_has_used_it_up_and_nobody_else() {
    let (sender, mut inbox) = mailbox(MailboxOptions::new(1024, Policy::Wait));
    let (greedy, modest) = (Budget::new(1000), Budget::new(1000));
    for _ in 0..10 {
        let message = greedy.take(100).await.weigh("greedy");
        assert!(sender.send(message).await.is_ok());
    }
    assert!(greedy.try_take(1).is_none());
    let mut next = Box::pin(greedy.take(300));
    assert!((&mut next).now_or_never().is_none());
    let message = modest.take(5000).await.weigh("modest");
    assert_eq!(
        modest.available(),
        0,
        "what is larger than the budget passes alone"
    );
    assert!(sender.send(message).await.is_ok());
    for _ in 0..3 {
        assert!((&mut next).now_or_never().is_none());
        assert_eq!(inbox.recv().await.as_deref(), Some(&"greedy"));
    }
    drop(next.await);
    assert_eq!(greedy.available(), 300);
    drop(inbox);
    assert_eq!((greedy.available(), modest.available()), (1000, 1000));
}

/// Tasks that send, give up, clone and end, as they like, through a mailbox of two places: whatever was taken arrives, in each
/// sender's order, and nobody waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_and_no_wake_up_is_lost_among_many_tasks() {
    const SENDERS: usize = 64;
    const MESSAGES: usize = 500;
    let (sender, mut inbox) = mailbox(MailboxOptions::new(2, Policy::Wait));
    let mut tasks = JoinSet::new();
    for id in 0..SENDERS {
        let sender = sender.clone();
        tasks.spawn(async move {
            let priority = Priority::ALL[id % 4];
            let mut sent = 0;
            for number in 0..MESSAGES {
                let mut sending = Box::pin(sender.send_at(priority, (id, number)));
                if (id + number) % 3 == 0 {
                    // Gives up if it must wait, and tries once more in earnest.
                    match (&mut sending).now_or_never() {
                        Some(outcome) => assert!(outcome.is_ok()),
                        None => {
                            tokio::task::yield_now().await;
                            drop(sending);
                            assert!(sender.send_at(priority, (id, number)).await.is_ok());
                        }
                    }
                } else {
                    assert!(sending.await.is_ok());
                }
                sent += 1;
            }
            sent
        });
    }
    drop(sender);
    let receive = async {
        let mut next = [0; SENDERS];
        while let Some((id, number)) = inbox.recv().await {
            assert_eq!(number, next[id], "in order");
            next[id] += 1;
        }
        next
    };
    let next = tokio::time::timeout(DEADLINE, receive)
        .await
        .expect("everybody has ended");
    assert_eq!(next, [MESSAGES; SENDERS]);
    assert_eq!(
        tasks.join_all().await.into_iter().sum::<usize>(),
        SENDERS * MESSAGES
    );
}

/// Mailboxes that end while others send and call: each message is dropped once, each call ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_mailbox_that_ends_among_senders_leaves_nothing_behind() {
    for round in 0..200 {
        let counted = Arc::new(());
        let (sender, mut inbox) =
            mailbox::<(Arc<()>, Call<(), ()>)>(MailboxOptions::new(4, Policy::Wait));
        let (mut sole, mut private) =
            spsc::<(Arc<()>, Call<(), ()>)>(MailboxOptions::new(4, Policy::Wait));
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let (sender, counted) = (sender.clone(), counted.clone());
            tasks.spawn(async move {
                loop {
                    let (call, answer) = Call::new(());
                    if sender
                        .send((counted.clone(), call))
                        .await
                        .refused()
                        .is_some()
                    {
                        break;
                    }
                    let _ = answer.await;
                }
            });
        }
        let token = counted.clone();
        tasks.spawn(async move {
            loop {
                let (call, answer) = Call::new(());
                if sole.send((token.clone(), call)).await.refused().is_some() {
                    break;
                }
                let _ = answer.await;
            }
        });
        for _ in 0..round % 7 {
            let (_, call) = inbox.recv().await.expect("there are senders");
            call.reply(());
            let (_, call) = private.recv().await.expect("there is a sender");
            call.reply(());
        }
        drop((inbox, private));
        tokio::time::timeout(DEADLINE, tasks.join_all())
            .await
            .expect("everybody has ended");
        drop(sender);
        assert_eq!(Arc::strong_count(&counted), 1, "nothing is left in a ring");
    }
}
