//! `carrick id`: what a peer says of itself, and what was negotiated with it.

use carrick::Multiaddr;
use serde_json::{Value, json};

use crate::{
    address,
    failure::Failure,
    identity, network,
    output::{self, plain},
    remote,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  carrick id /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… --json

The peer id and the key type are proven; the rest is the peer's own word.")]
pub(crate) struct Args {
    /// The peer, a multiaddr ending in /p2p/<peer-id>.
    #[arg(value_name = "ADDR", value_parser = address::peer)]
    address: Multiaddr,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: network::Network,
    #[command(flatten)]
    daemon: remote::Instead,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    if let Some(mut client) = args.daemon.connect().await? {
        let params = json!({"target": args.address.to_string()});
        return show(&client.call("peers_identify", params).await?, args.json);
    }
    let node = args.network.builder()?.spawn().await?;
    let connection = node.dial(&args.address).await?;
    let identity = identity::of(&connection).await?;
    show(&identity, args.json)?;
    connection.close().await;
    node.close().await;
    Ok(())
}

fn show(object: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::result(&object.to_string());
    }
    table(object)
        .iter()
        .try_for_each(|line| output::result(line))
}

fn table(object: &Value) -> Vec<String> {
    let said = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), plain);
    let all = |name: &str| object[name].as_array().cloned().unwrap_or_default();
    let early = match object["early_muxer"] {
        Value::Bool(true) => ", agreed within the handshake",
        _ => "",
    };
    let mut rows = vec![
        ("peer", said(&object["peer"])),
        ("key", said(&object["key_type"])),
        ("agent", said(&object["agent"])),
        ("version", said(&object["protocol_version"])),
        ("security", said(&object["security"])),
        ("muxer", format!("{}{early}", said(&object["muxer"]))),
        ("round trips", object["round_trips"].to_string()),
        ("dialed at", said(&object["address"])),
    ];
    rows.extend(
        all("addresses")
            .iter()
            .map(|each| ("listens on", said(each))),
    );
    if !object["observed_address"].is_null() {
        rows.push(("sees us at", said(&object["observed_address"])));
    }
    rows.extend(all("protocols").iter().map(|each| ("protocol", said(each))));
    let mut last = "";
    rows.into_iter()
        .map(|(name, value)| {
            let label = if name == last { "" } else { name };
            last = name;
            format!("{label:<12} {value}")
        })
        .collect()
}
