//! What a peer says of itself, as an object that `carrick id --json` shows and the daemon answers.

use carrick::Connection;
use serde_json::{Value, json};

use crate::{failure::Failure, output::texts};

/// Waits for the peer's word; with it stands what was negotiated.
pub(crate) async fn of(connection: &Connection) -> Result<Value, Failure> {
    let info = connection.info().await.ok_or_else(|| {
        Failure::new(
            format!("peer {} did not identify itself", connection.peer()),
            "it may not speak /ipfs/id/1.0.0; -vv logs what it said",
        )
    })?;
    let summary = connection.summary();
    Ok(json!({
        "peer": info.peer.to_string(),
        "key_type": info.key_type,
        "agent": info.agent,
        "protocol_version": info.protocol_version,
        "protocols": texts(&info.protocols),
        "addresses": texts(&info.addresses),
        "observed_address": info.observed_address.as_ref().map(ToString::to_string),
        "address": connection.address().to_string(),
        "security": summary.security.as_str(),
        "muxer": summary.muxer.as_str(),
        "early_muxer": summary.early_muxer,
        "round_trips": summary.round_trips,
    }))
}
