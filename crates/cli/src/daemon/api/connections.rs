//! `connections_*`: connect, disconnect, and what there is.

use std::{sync::Arc, time::Duration};

use carrick::{ConnectionInfo, Direction, PeerId, Target};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Context, Nothing, Outcome, failed, parsed, target};
use crate::failure::Failure;

/// By this name a peer is protected that somebody has connected to by hand.
const PROTECTION: &str = "daemon";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    #[serde(deserialize_with = "target")]
    target: Target,
    #[serde(default)]
    keep: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    #[serde(deserialize_with = "parsed")]
    peer: PeerId,
}

pub(super) fn register(api: &mut Api) {
    api.method("connections_list", |context, Nothing {}| async move {
        Ok(context.node.connections().await.iter().map(row).collect())
    });
    api.method("connections_open", open);
    api.method("connections_close", |context, Close { peer }| async move {
        let node = &context.node;
        node.stop_keeping(peer).await;
        node.unprotect(peer, PROTECTION).await;
        Ok(json!({"closed": node.disconnect(&peer).await}))
    });
}

async fn open(context: Arc<Context>, Open { target, keep }: Open) -> Outcome {
    let node = &context.node;
    let connection = node.dial(target.clone()).await.map_err(failed)?;
    let peer = connection.peer();
    let kept = |error: &dyn std::fmt::Display| {
        failed(Failure::new(
            format!("connected to {peer}, and cannot keep it so: {error}"),
            "disconnect others first",
        ))
    };
    node.protect(peer, PROTECTION)
        .await
        .map_err(|error| kept(&error))?;
    if keep {
        // An address without the peer's id names it now.
        let address = connection.address().clone();
        let whole = (peer, vec![address]);
        node.keep_connected(whole)
            .await
            .map_err(|error| kept(&error))?;
    }
    let all = node.connections().await;
    let found = all.iter().find(|each| each.id == connection.id());
    found.map(row).ok_or_else(|| {
        let lost = connection
            .lost()
            .map_or_else(|| "it was closed".to_owned(), |lost| lost.to_string());
        failed(Failure::new(
            format!("the connection to {peer} has ended at once: {lost}"),
            "the peer may not want us; its log may say why",
        ))
    })
}

pub(super) fn row(connection: &ConnectionInfo) -> Value {
    json!({
        "connection": connection.id.0,
        "peer": connection.peer.to_string(),
        "address": connection.address.to_string(),
        "direction": direction(connection.direction),
        "security": connection.summary.security.as_str(),
        "muxer": connection.summary.muxer.as_str(),
        "streams": connection.streams,
        "rtt_us": connection.rtt.map(micros),
        "age_s": connection.age.as_secs(),
    })
}

pub(super) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Outbound => "outbound",
        Direction::Inbound => "inbound",
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
