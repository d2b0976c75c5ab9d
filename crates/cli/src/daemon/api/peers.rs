//! `peers_*`: who is connected, what is known of a peer, and what changes.

use std::{collections::BTreeMap, sync::Arc};

use carrick::{ConnectionInfo, Node, PeerId, Target};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Context, Nothing, Outcome, connections, failed, parsed, target};
use crate::{failure::Failure, identity, output::texts};

/// Which peer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    #[serde(deserialize_with = "parsed")]
    peer: PeerId,
}

/// Whom to talk to; dialed if there is no connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    #[serde(deserialize_with = "target")]
    target: Target,
}

pub(super) fn register(api: &mut Api) {
    api.method("peers_list", |context, Nothing {}| async move {
        Ok(list(&context.node).await)
    });
    api.method("peers_info", |context, One { peer }| async move {
        info(&context.node, &peer).await
    });
    api.method("peers_ping", |context, To { target }| async move {
        let rtt = context.node.ping(target).await.map_err(failed)?;
        Ok(json!({"rtt_us": connections::micros(rtt)}))
    });
    api.method("peers_identify", identify);
}

/// All connected peers, each with the connection that has lasted longest.
pub(super) async fn list(node: &Node) -> Value {
    let mut peers = BTreeMap::<PeerId, Vec<ConnectionInfo>>::new();
    for connection in node.connections().await {
        peers.entry(connection.peer).or_default().push(connection);
    }
    peers
        .iter()
        .map(|(peer, connections)| row(node, peer, connections))
        .collect()
}

fn row(node: &Node, peer: &PeerId, all: &[ConnectionInfo]) -> Value {
    let info = node.peer(peer);
    let first = all.first().map_or(Value::Null, connections::row);
    json!({
        "peer": peer.to_string(),
        "agent": info.as_ref().and_then(|info| info.agent.clone()),
        "connections": all.len(),
        "address": first["address"],
        "direction": first["direction"],
        "security": first["security"],
        "muxer": first["muxer"],
        "streams": all.iter().map(|connection| connection.streams).sum::<usize>(),
        "rtt_us": first["rtt_us"],
        "age_s": first["age_s"],
    })
}

/// Everything that is known of one peer, connected or not.
async fn info(node: &Node, peer: &PeerId) -> Outcome {
    let known = node.peer_metadata(peer).await.ok_or_else(|| {
        failed(Failure::new(
            format!("nothing is known of {peer}"),
            "`carrick connect ADDR` makes it known",
        ))
    })?;
    let mut connections = node.connections().await;
    connections.retain(|connection| connection.peer == *peer);
    let addresses = known.addresses.iter().map(|known| {
        json!({
            "address": known.address.to_string(),
            "source": source(known.source),
            "ttl_s": known.ttl.map(|ttl| ttl.as_secs()),
        })
    });
    Ok(json!({
        "peer": peer.to_string(),
        "agent": known.agent,
        "protocols": texts(&known.protocols),
        "addresses": addresses.collect::<Value>(),
        "rtt_us": known.rtt.map(connections::micros),
        "last_seen_s": known.last_seen.map(|ago| ago.as_secs()),
        "score": node.score(peer).await,
        "banned": node.is_banned(*peer).await,
        "connections": connections.iter().map(connections::row).collect::<Value>(),
    }))
}

async fn identify(context: Arc<Context>, To { target }: To) -> Outcome {
    let connection = context.node.dial(target).await.map_err(failed)?;
    identity::of(&connection).await.map_err(failed)
}

const fn source(source: carrick::Source) -> &'static str {
    match source {
        carrick::Source::Discovery => "discovery",
        carrick::Source::Identify => "identify",
        carrick::Source::SignedRecord => "signed_record",
        carrick::Source::User => "user",
        carrick::Source::Dialed => "dialed",
    }
}
