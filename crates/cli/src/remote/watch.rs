//! `--watch`: the table anew after each change on a terminal; elsewhere the table once, and a line for each change.

use std::io::{IsTerminal, stdout};

use serde_json::{Value, json};

use super::{
    client::Client,
    show::{self, text},
};
use crate::{failure::Failure, output};

/// Shows the peers until somebody has had enough, or the daemon ends.
pub(super) async fn peers(client: &mut Client, as_json: bool) -> Result<(), Failure> {
    client.call("peers_subscribe", json!({})).await?;
    let is_live = !as_json && stdout().is_terminal();
    loop {
        let change = client.notice().await?;
        if as_json {
            output::result(&change.to_string())?;
        } else if is_live {
            // What is told meanwhile is in the list already.
            let all = client.call("peers_list", json!({})).await?;
            output::result("\x1b[2J\x1b[H\x1b[1A")?;
            show::all(&all, false, &show::PEERS)?;
        } else if change["event"] == "peers" {
            show::all(&change["peers"], false, &show::PEERS)?;
        } else {
            output::result(&output::plain(line(&change)))?;
        }
    }
}

fn line(change: &Value) -> String {
    let event = text(&change["event"]).replace('_', " ");
    let fields = change.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, value)| *name != "event" && !value.is_null());
    fields.fold(event, |line, (name, value)| match name.as_str() {
        "peer" | "subject" => format!("{line} {}", text(value)),
        name => format!("{line} {name}={}", text(value)),
    })
}
