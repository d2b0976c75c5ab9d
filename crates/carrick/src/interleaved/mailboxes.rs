//! Mailboxes with senders that wait, give up, and go; under many schedules.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use shuttle::{future::block_on, thread};

use super::{Live, many_orders};
use crate::actors::{MailboxOptions, Policy, Priority, Sent, mailbox, spsc};

#[test]
fn senders_that_wait_for_places_all_get_one_and_none_is_left_over() {
    many_orders("mailbox: three senders wait for one place", || {
        let (sender, mut inbox) = mailbox(MailboxOptions::new(1, Policy::Wait));
        let senders: Vec<_> = (0..3)
            .map(|from| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for message in 0..2 {
                        assert_eq!(block_on(sender.send((from, message))), Sent::Ok);
                    }
                })
            })
            .collect();
        drop(sender);
        let mut next = [0; 3];
        while let Some((from, message)) = block_on(inbox.recv()) {
            assert_eq!(
                message, next[from],
                "each sender's messages keep their order"
            );
            next[from] += 1;
        }
        assert_eq!(next, [2; 3]);
        senders
            .into_iter()
            .for_each(|sender| sender.join().expect("nothing panics"));
    });
}

#[test]
fn senders_that_wait_hear_of_the_end_and_get_their_message_back() {
    many_orders("mailbox: the receiver goes while senders wait", || {
        let live = Live::default();
        let (sender, mut inbox) = mailbox(MailboxOptions::new(1, Policy::Wait));
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (sender, message) = (sender.clone(), live.new_one());
                thread::spawn(move || drop(block_on(sender.send(message)).refused()))
            })
            .collect();
        drop(block_on(inbox.recv()));
        drop(inbox);
        senders
            .into_iter()
            .for_each(|sender| sender.join().expect("nothing panics"));
        assert!(sender.is_closed());
        assert_eq!(live.count(), 0);
        assert!(matches!(sender.try_send(live.new_one()), Sent::Closed(_)));
    });
}

#[test]
fn a_sender_that_gives_up_takes_no_place() {
    many_orders("mailbox: a sender gives up waiting", || {
        let (sender, mut inbox) = mailbox(MailboxOptions::new(1, Policy::Wait));
        assert!(sender.try_send(0).is_ok());
        let impatient = sender.clone();
        let impatient = thread::spawn(move || {
            let mut send = pin!(impatient.send(1));
            matches!(
                send.as_mut().poll(&mut Context::from_waker(Waker::noop())),
                Poll::Ready(Sent::Ok)
            )
        });
        let patient = thread::spawn(move || assert_eq!(block_on(sender.send(2)), Sent::Ok));
        let mut received = Vec::new();
        while let Some(message) = block_on(inbox.recv()) {
            received.push(message);
        }
        let took = impatient.join().expect("nothing panics");
        patient.join().expect("nothing panics");
        assert_eq!(received.len(), 2 + usize::from(took));
        received.sort_unstable();
        assert_eq!(received.contains(&1), took);
    });
}

#[test]
fn every_policy_drops_or_gives_back_what_it_does_not_deliver() {
    for policy in [Policy::Reject, Policy::DropOldest, Policy::KeepLast] {
        many_orders(
            "mailbox: two senders, four lanes, an early end",
            move || {
                let live = Live::default();
                let (sender, mut inbox) = mailbox(MailboxOptions::new(2, policy));
                let senders: Vec<_> = (0..2)
                    .map(|_| {
                        let (sender, live) = (sender.clone(), live.clone());
                        thread::spawn(move || {
                            for priority in Priority::ALL {
                                drop(sender.try_send_at(priority, live.new_one()).refused());
                            }
                        })
                    })
                    .collect();
                for _ in 0..2 {
                    drop(inbox.try_recv());
                }
                drop(inbox);
                senders
                    .into_iter()
                    .for_each(|sender| sender.join().expect("nothing panics"));
                assert_eq!(live.count(), 0);
                drop(sender);
            },
        );
    }
}

#[test]
fn a_sole_sender_and_its_receiver_never_miss_each_other() {
    many_orders("sole mailbox: more messages than places", || {
        let (mut sender, mut inbox) = spsc(MailboxOptions::new(2, Policy::Wait));
        let sending = thread::spawn(move || {
            for message in 0..6 {
                assert_eq!(block_on(sender.send(message)), Sent::Ok);
            }
        });
        for message in 0..6 {
            assert_eq!(block_on(inbox.recv()), Some(message));
        }
        assert_eq!(block_on(inbox.recv()), None);
        sending.join().expect("nothing panics");
    });
    many_orders("sole mailbox: an early end", || {
        let live = Live::default();
        let (mut sender, mut inbox) = spsc(MailboxOptions::new(1, Policy::Wait));
        let counted = live.clone();
        let sending = thread::spawn(move || {
            for _ in 0..3 {
                drop(block_on(sender.send(counted.new_one())).refused());
            }
            sender
        });
        drop(block_on(inbox.recv()));
        drop(inbox);
        let sender = sending.join().expect("nothing panics");
        assert_eq!(live.count(), 0);
        drop(sender);
    });
}
