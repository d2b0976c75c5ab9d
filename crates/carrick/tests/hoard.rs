//! What one peer can make us hold with messages: it begins many of the largest, each on a stream of its own, and ends none.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

mod common;

use std::alloc::System;

use cap::Cap;
use carrick::{
    Limit,
    actors::{MailboxOptions, mailbox},
    messages::{Inbound, Message, Messages, Switcher},
};
use carrick_wire::messages::{Header, Kind, Priority, tag};
use common::*;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn messages_that_never_end_take_no_more_than_a_peers_budget() {
    run(async {
        let server = server(TCP).await;
        let (to, mut inbox) = mailbox::<Inbound<Word>>(MailboxOptions::default());
        let switcher = Switcher::new().route::<Word, _>(to);
        let messages = Messages::builder(PROTOCOL).switcher(switcher);
        messages.start(&server).unwrap();
        let client = client().await;
        let message = unfinished();
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(agreed(&client, server.address(), PROTOCOL).await);
        }
        let before = HEAP.allocated();
        let told = futures::future::join_all(streams.iter_mut().map(async |stream| {
            // Nobody takes all of it but the one stream that has the budget.
            let all = stream.write_all(&message);
            let sent = tokio::time::timeout(PATIENCE, all).await;
            sent.is_ok_and(|sent| sent.is_ok())
        }));
        let told = told.await.into_iter().filter(|told| *told).count();
        let grown = HEAP.allocated() - before;
        let limits = server.limits().await;
        let unread = limits.get(Limit::Memory).unwrap().used.unwrap();
        println!(
            "{told} of {STREAMS} went through, {grown} bytes of heap, {unread} of them in use by connections"
        );
        assert!(told <= 1, "{told} messages were taken");
        assert!(grown < GROWN_MAX, "{grown} bytes");
        // When they are given up, others are heard.
        drop(streams);
        let messages = Messages::builder(PROTOCOL).start(&client).unwrap();
        let word = Word(vec![1; 1 << 20]);
        soon(messages.notify(server.address(), &word))
            .await
            .unwrap();
        assert_eq!(soon(inbox.recv()).await.unwrap().message().0.len(), 1 << 20);
    });
}

/// All of the largest message but its last byte.
fn unfinished() -> Vec<u8> {
    let header = Header {
        kind: Kind::OneWay,
        more: false,
        priority: Priority::Normal,
        code: Word::CODE,
        id: 0,
        nonce: 1,
        tag: tag(PROTOCOL, b""),
    };
    let mut message = Vec::new();
    header.encode(1 << 20, &mut message);
    message.resize(message.len() + (1 << 20) - 1, 7);
    message
}

const PROTOCOL: &str = "/words/1";
const STREAMS: usize = 48;
/// The budget, what waits in the windows of the streams and one chunk of each, and as much again for the buffers they are in.
const GROWN_MAX: usize = 2 * ((1 << 20) + STREAMS * (256 << 10));
/// Nothing moves any more after this long.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
