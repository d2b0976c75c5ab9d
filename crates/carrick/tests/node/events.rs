//! Events: one order for all who listen, a number for what was missed, and who ended a connection.

use std::time::Duration;

use carrick::{
    CloseReason, Code, Config, ConnectionEnd, ConnectionId, DialOptions, Events, Node, NodeEvent,
};

use crate::common::*;

/// Events that are kept for who does not read.
const KEPT: usize = 1024;

/// Something that is told of at once: a dial to where nobody listens.
async fn happens(node: &Node, number: usize) {
    let nowhere = format!("/memory/{}", u64::MAX - number as u64);
    assert!(soon(node.dial(nowhere)).await.is_err());
}

async fn next(events: &mut Events) -> NodeEvent {
    soon(events.next()).await.expect("the node lives")
}

#[test]
fn who_lags_is_told_exactly_how_many_it_missed_and_who_does_not_sees_the_same_order() {
    run(async {
        let node = client().await;
        let (mut slow, mut quick) = (node.events(), node.events());
        let mut seen = Vec::new();
        for number in 0..KEPT + 200 {
            happens(&node, number).await;
            seen.push(next(&mut quick).await);
        }
        assert!(
            seen.iter()
                .all(|event| matches!(event, NodeEvent::DialFailed { .. }))
        );
        assert_eq!(next(&mut slow).await, NodeEvent::Missed { count: 200 });
        for event in &seen[200..] {
            assert_eq!(next(&mut slow).await, *event);
        }
        happens(&node, 0).await;
        assert_eq!(next(&mut slow).await, next(&mut quick).await);
    });
}

#[test]
fn nobody_is_held_up_by_those_who_never_read() {
    run(async {
        let server = server("/memory/0").await;
        let node = client().await;
        let silent: Vec<_> = (0..100).map(|_| node.events()).collect();
        for number in 0..3 * KEPT {
            happens(&node, number).await;
        }
        soon(echo(&node, &server, b"still here")).await.unwrap();
        for mut events in silent {
            let missed = next(&mut events).await;
            assert!(matches!(missed, NodeEvent::Missed { count } if count >= 2 * KEPT as u64));
        }
    });
}

/// The end of the given connection, or of any.
async fn end(events: &mut Events, wanted: Option<ConnectionId>) -> ConnectionEnd {
    loop {
        match next(events).await {
            NodeEvent::ConnectionClosed {
                connection, reason, ..
            } if wanted.is_none_or(|wanted| wanted == connection) => return reason,
            _ => {}
        }
    }
}

/// The next connection that comes up.
async fn opened(events: &mut Events) -> ConnectionId {
    loop {
        if let NodeEvent::ConnectionOpened { connection, .. } = next(events).await {
            return connection;
        }
    }
}

#[test]
fn every_connection_is_told_of_and_who_ended_it() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let (mut ours, mut theirs) = (client.events(), server.events());
        let first = soon(client.dial(server.address())).await.unwrap();
        // The dialer is done before the other side is: its second connection could be there before the first.
        opened(&mut theirs).await;
        let options = DialOptions {
            force_new: true,
            ..DialOptions::default()
        };
        let second = soon(client.dial_with(server.address(), options))
            .await
            .unwrap();
        let (first_id, second_id) = (first.id(), second.id());
        assert_ne!(first_id, second_id);
        soon(second.close()).await;
        assert_eq!(
            end(&mut ours, Some(second_id)).await,
            ConnectionEnd::Ours(CloseReason::Requested)
        );
        let end_there = end(&mut theirs, None).await;
        assert_eq!(end_there, ConnectionEnd::Theirs(Code::NONE));
        assert_eq!(client.peers(), [server.id()]);
        soon(server.close()).await;
        assert_eq!(
            end(&mut theirs, None).await,
            ConnectionEnd::Ours(CloseReason::Shutdown)
        );
        let reason = end(&mut ours, Some(first_id)).await;
        assert_eq!(reason, ConnectionEnd::Theirs(Code::SHUTDOWN));
        assert_eq!(
            next(&mut ours).await,
            NodeEvent::Disconnected { peer: server.id() }
        );
    });
}

#[test]
fn an_idle_connection_says_that_it_was_idle() {
    on_all(|listen| async move {
        let server = server(listen).await;
        let client = node_with(Config {
            idle_timeout: Some(Duration::from_millis(50)),
            ..Config::default()
        })
        .await;
        let (mut events, mut theirs) = (client.events(), server.events());
        drop(soon(client.dial(server.address())).await.unwrap());
        let reason = end(&mut events, None).await;
        assert_eq!(reason, ConnectionEnd::Ours(CloseReason::Idle));
        assert_eq!(reason.to_string(), "we closed it: it was idle");
        let reason = end(&mut theirs, None).await;
        assert_eq!(reason, ConnectionEnd::Theirs(Code::TRIMMED));
    });
}

#[test]
fn what_surrounds_a_peer_is_told_in_order() {
    run(async {
        let (server, client) = (server(TCP).await, client().await);
        let mut events = client.events();
        let connection = identified(&client, &server).await;
        let mut told = Vec::new();
        while !matches!(told.last(), Some(NodeEvent::Identified { .. })) {
            told.push(next(&mut events).await);
        }
        soon(connection.close()).await;
        while !matches!(told.last(), Some(NodeEvent::Disconnected { .. })) {
            told.push(next(&mut events).await);
        }
        assert!(matches!(
            told[..],
            [
                NodeEvent::Connected { .. },
                NodeEvent::ConnectionOpened { .. },
                NodeEvent::Identified { .. },
                NodeEvent::ConnectionClosed { .. },
                NodeEvent::Disconnected { .. },
            ]
        ));
    });
}
