//! Models that are small enough for every order: mailboxes and their ends, and the gauges of limits.

use std::sync::Arc;

use carrick_swarm::Limit;
use loom::{future::block_on, thread};

use super::{Live, every_order};
use crate::{
    Config,
    actors::{MailboxOptions, Policy, Priority, mailbox, spsc},
    quotas::Quotas,
};

fn one_lane(capacity: usize, policy: Policy) -> MailboxOptions {
    MailboxOptions::new(1, Policy::Reject).lane(Priority::Normal, capacity, policy)
}

#[test]
fn a_message_that_meets_a_mailbox_s_end_is_dropped_by_one_of_the_two() {
    every_order("mailbox: send, and the receiver goes", 3, || {
        let live = Live::default();
        let (sender, inbox) = mailbox(one_lane(2, Policy::Reject));
        let (other, message) = (sender.clone(), live.new_one());
        let sending = thread::spawn(move || drop(other.try_send(message).refused()));
        drop(inbox);
        sending.join().expect("nothing panics");
        // The ring is still there: what is in it would stay as long as somebody could send.
        assert_eq!(live.count(), 0);
        drop(sender);
    });
}

#[test]
fn a_message_of_a_sole_sender_that_meets_its_mailbox_s_end_is_dropped_too() {
    every_order("sole mailbox: send, and the receiver goes", 3, || {
        let live = Live::default();
        let (mut sender, inbox) = spsc(one_lane(2, Policy::Reject));
        let message = live.new_one();
        let sending = thread::spawn(move || {
            drop(sender.try_send(message).refused());
            sender
        });
        drop(inbox);
        let sender = sending.join().expect("nothing panics");
        assert_eq!(live.count(), 0);
        drop(sender);
    });
}

#[test]
fn a_receiver_that_waits_is_woken_by_each_message_and_by_the_last_sender() {
    every_order("mailbox: two senders, one receiver", 2, || {
        let (sender, mut inbox) = mailbox(one_lane(2, Policy::Reject));
        let other = sender.clone();
        let first = thread::spawn(move || assert!(other.try_send(1).is_ok()));
        let second = thread::spawn(move || assert!(sender.try_send(2).is_ok()));
        let mut sum = 0;
        while let Some(message) = block_on(inbox.recv()) {
            sum += message;
        }
        assert_eq!(sum, 3);
        first.join().expect("nothing panics");
        second.join().expect("nothing panics");
    });
}

#[test]
fn a_receiver_of_a_sole_sender_is_woken_and_gets_all_in_order() {
    every_order("sole mailbox: one sender, one receiver", 3, || {
        let (mut sender, mut inbox) = spsc(one_lane(2, Policy::Reject));
        let sending = thread::spawn(move || {
            assert!(sender.try_send(1).is_ok());
            assert!(sender.try_send(2).is_ok());
        });
        assert_eq!(block_on(inbox.recv()), Some(1));
        assert_eq!(block_on(inbox.recv()), Some(2));
        assert_eq!(block_on(inbox.recv()), None);
        sending.join().expect("nothing panics");
    });
}

#[test]
fn what_newer_messages_push_out_is_dropped_once_and_counted() {
    every_order("mailbox: a lane that keeps the last", 3, || {
        let live = Live::default();
        let (sender, mut inbox) = mailbox(one_lane(1, Policy::KeepLast));
        let (other, message) = (sender.clone(), live.new_one());
        let first = thread::spawn(move || assert!(other.try_send(message).is_ok()));
        assert!(sender.try_send(live.new_one()).is_ok());
        let seen = u64::from(inbox.try_recv().is_some());
        first.join().expect("nothing panics");
        let left = u64::from(inbox.try_recv().is_some());
        assert_eq!(seen + left + inbox.displaced(), 2);
        assert_eq!(live.count(), 0);
    });
}

#[test]
fn no_limit_is_passed_and_every_use_is_given_back() {
    every_order("quotas: three uses of a limit of two", 2, || {
        let config = Config {
            negotiations_max: 2,
            ..Config::default()
        };
        let quotas = Quotas::new(&config, Box::new(|_| {}));
        let use_one = |quotas: Arc<Quotas>| {
            let permit = quotas.permit(Limit::Negotiations);
            assert!(quotas.used(Limit::Negotiations) <= 2);
            permit.is_ok()
        };
        let others =
            [quotas.clone(), quotas.clone()].map(|quotas| thread::spawn(move || use_one(quotas)));
        use_one(quotas.clone());
        for other in others {
            other.join().expect("nothing panics");
        }
        assert_eq!(quotas.used(Limit::Negotiations), 0);
        let usage = quotas.usage(Limit::Negotiations, None).expect("it is ours");
        assert!(usage.peak <= 2);
        let permits = [
            quotas.permit(Limit::Negotiations),
            quotas.permit(Limit::Negotiations),
        ];
        assert!(permits.iter().all(Result::is_ok), "all of it is free again");
    });
}
