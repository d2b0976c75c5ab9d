//! `carrick call`: one request to a peer, from a node of its own or a daemon's.

use std::io::{Read, Write, stdin, stdout};

use carrick::{IntoTarget, Multiaddr, ProtocolId};
use serde_json::{Value, json};

use crate::{
    address,
    ask::{self, Codec, Payload},
    failure::Failure,
    network, output,
    remote::Instead,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick call /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… /shout/1 hello
  carrick call /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… /my-app/1 '{\"get\": \"name\"}' --codec cbor
  carrick call --daemon /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… /blob/1 - < question > answer

What is sent is rust-libp2p's request-response: the question's bytes, our end, the answer's bytes, the peer's end.")]
pub(crate) struct Args {
    /// The peer, a multiaddr ending in /p2p/<peer-id>.
    #[arg(value_name = "ADDR", value_parser = address::peer)]
    address: Multiaddr,
    /// The protocol to ask in.
    #[arg(value_name = "PROTOCOL", value_parser = address::protocol)]
    protocol: ProtocolId,
    /// The question; - reads it from stdin. With json and cbor it is JSON, and so is the answer.
    #[arg(value_name = "DATA|-", default_value = "")]
    data: String,
    /// How the question becomes bytes, and the answer is read.
    #[arg(long, value_enum, default_value = "raw")]
    codec: Codec,
    /// How long the answer may take, milliseconds.
    #[arg(long, value_name = "N", default_value_t = ask::TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(1..=ask::TIMEOUT_MS_MAX))]
    timeout_ms: u64,
    /// One JSON object: the answer as data, and as its encoding how it stands there: text, hex or json.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: network::Network,
    #[command(flatten)]
    daemon: Instead,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let question = question(args)?;
    if let Some(mut client) = args.daemon.connect().await? {
        let (data, encoding) = match question {
            Payload::Raw(bytes) => (Value::String(ask::hex(&bytes)), "hex"),
            Payload::Value(value) => (value, "text"),
        };
        let params = json!({
            "target": args.address.to_string(),
            "protocol": args.protocol.as_str(),
            "data": data,
            "codec": format!("{:?}", args.codec).to_lowercase(),
            "encoding": encoding,
            "timeout_ms": args.timeout_ms,
        });
        let answer = client.call("messages_request", params).await?;
        return show(&answer, args.json);
    }
    let node = args.network.builder()?.spawn().await?;
    let target = (&args.address)
        .into_target()
        .map_err(carrick::OpenError::from)?;
    let protocol = args.protocol.as_str();
    let asked = ask::ask(
        &node,
        target,
        protocol,
        args.codec,
        question,
        args.timeout_ms,
    )
    .await?;
    show(&asked.to_json(), args.json)?;
    node.close().await;
    Ok(())
}

fn question(args: &Args) -> Result<Payload, Failure> {
    let mut bytes = args.data.clone().into_bytes();
    if args.data == "-" {
        bytes.clear();
        stdin().read_to_end(&mut bytes).map_err(|error| {
            Failure::new(
                format!("cannot read stdin: {error}"),
                "give the question as an argument",
            )
        })?;
    }
    if args.codec == Codec::Raw {
        return Ok(Payload::Raw(bytes));
    }
    let value = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new(
            format!("the question is not JSON: {error}"),
            "write text in double quotes, or use --codec raw",
        )
    })?;
    Ok(Payload::Value(value))
}

/// The answer itself, or all of it as JSON.
fn show(answer: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::result(&answer.to_string());
    }
    let data = answer["data"].as_str().unwrap_or_default();
    let bytes = match answer["encoding"].as_str() {
        Some("text") => data.as_bytes().to_vec(),
        Some("hex") => ask::unhex(data).unwrap_or_default(),
        _ => return output::result(&answer["data"].to_string()),
    };
    let mut out = stdout().lock();
    out.write_all(&bytes)
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failure::new(
                format!("cannot write to stdout: {error}"),
                "whoever reads it has gone",
            )
        })
}
