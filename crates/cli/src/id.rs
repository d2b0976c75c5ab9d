//! `carrick id`: what a peer says of itself, and what was negotiated with it.

use carrick::{Connection, Info, Multiaddr};
use serde_json::json;

use crate::{
    address,
    failure::Failure,
    network,
    output::{self, plain, texts},
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
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let node = args.network.builder()?.spawn().await?;
    let connection = node.dial(&args.address).await?;
    let info = connection.info().await.ok_or_else(|| {
        Failure::new(
            format!("peer {} did not identify itself", connection.peer()),
            "it may not speak /ipfs/id/1.0.0; -vv logs what it said",
        )
    })?;
    if args.json {
        output::result(&object(&connection, &info))?;
    } else {
        for line in table(&connection, &info) {
            output::result(&line)?;
        }
    }
    connection.close().await;
    node.close().await;
    Ok(())
}

fn object(connection: &Connection, info: &Info) -> String {
    let summary = connection.summary();
    json!({
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
    })
    .to_string()
}

fn table(connection: &Connection, info: &Info) -> Vec<String> {
    let summary = connection.summary();
    let said = |text: &Option<String>| text.as_ref().map_or_else(|| "-".to_owned(), plain);
    let early = if summary.early_muxer {
        ", agreed within the handshake"
    } else {
        ""
    };
    let mut rows = vec![
        ("peer", info.peer.to_string()),
        ("key", info.key_type.to_owned()),
        ("agent", said(&info.agent)),
        ("version", said(&info.protocol_version)),
        ("security", summary.security.to_string()),
        ("muxer", format!("{}{early}", summary.muxer)),
        ("round trips", summary.round_trips.to_string()),
        ("dialed at", plain(connection.address())),
    ];
    rows.extend(
        info.addresses
            .iter()
            .map(|each| ("listens on", plain(each))),
    );
    rows.extend(
        info.observed_address
            .iter()
            .map(|each| ("sees us at", plain(each))),
    );
    rows.extend(info.protocols.iter().map(|each| ("protocol", plain(each))));
    let mut last = "";
    rows.into_iter()
        .map(|(name, value)| {
            let label = if name == last { "" } else { name };
            last = name;
            format!("{label:<12} {value}")
        })
        .collect()
}
