//! `peers_subscribe`: what changes among the peers, as it happens.

use std::sync::Arc;

use carrick::{Node, NodeEvent};
use jsonrpsee::core::server::{PendingSubscriptionSink, SubscriptionSink};
use serde_json::{Value, json, value::to_raw_value};

use super::{Api, Context, Nothing, bans::unix_s, connections::direction, peers};

pub(super) fn register(api: &mut Api) {
    api.subscription(
        ["peers_subscribe", "peers_changed", "peers_unsubscribe"],
        |context, Nothing {}, pending| tell(context, pending),
    );
}

/// First who is there, then what changes, so that nothing falls between the two.
async fn tell(context: Arc<Context>, pending: PendingSubscriptionSink) {
    let mut events = context.node.events();
    let Ok(sink) = pending.accept().await else {
        return;
    };
    let there = json!({"event": "peers", "peers": peers::list(&context.node).await});
    let mut is_there = send(&sink, &there).await;
    while is_there {
        is_there = tokio::select! {
            () = sink.closed() => false,
            event = events.next() => match event {
                Some(event) => match change(&context.node, &event) {
                    Some(change) => send(&sink, &change).await,
                    None => true,
                },
                None => false,
            },
        };
    }
}

async fn send(sink: &SubscriptionSink, notice: &Value) -> bool {
    match to_raw_value(notice) {
        Ok(text) => sink.send(text).await.is_ok(),
        Err(_) => false,
    }
}

/// What an event says of a peer; `None`: nothing.
fn change(node: &Node, event: &NodeEvent) -> Option<Value> {
    Some(match event {
        NodeEvent::Connected {
            peer,
            address,
            direction: dialed,
        } => json!({
            "event": "connected",
            "peer": peer.to_string(),
            "address": address.to_string(),
            "direction": direction(*dialed),
        }),
        NodeEvent::Disconnected { peer } => {
            json!({"event": "disconnected", "peer": peer.to_string()})
        }
        NodeEvent::ConnectionOpened {
            peer,
            connection,
            address,
            direction: dialed,
        } => json!({
            "event": "connection_opened",
            "peer": peer.to_string(),
            "connection": connection.0,
            "address": address.to_string(),
            "direction": direction(*dialed),
        }),
        NodeEvent::ConnectionClosed {
            peer,
            connection,
            reason,
            ..
        } => json!({
            "event": "connection_closed",
            "peer": peer.to_string(),
            "connection": connection.0,
            "reason": reason.to_string(),
        }),
        NodeEvent::Identified { peer, .. } => json!({
            "event": "identified",
            "peer": peer.to_string(),
            "agent": node.peer(peer).and_then(|info| info.agent.clone()),
        }),
        NodeEvent::Banned {
            subject,
            until,
            reason,
        } => json!({
            "event": "banned",
            "subject": subject.to_string(),
            "until_s": until.map(unix_s),
            "reason": reason,
        }),
        NodeEvent::Unbanned { subject } => {
            json!({"event": "unbanned", "subject": subject.to_string()})
        }
        NodeEvent::Missed { count } => json!({"event": "missed", "count": count}),
        _ => return None,
    })
}
