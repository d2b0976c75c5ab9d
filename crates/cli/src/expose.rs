//! `carrick expose`: the far side of `carrick forward`. Each stream of a peer that is allowed becomes a connection to a socket
//! of this machine.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use carrick::{Code, PeerId, ProtocolId, Stage, Stream, Verdict};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::{
    address,
    failure::Failure,
    forward::{self, PROTOCOL, Tally, stop},
    host::Host,
    output,
    relay::relay,
    socket::{self, Address, Socket},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick expose --tcp 80 --allow 12D3Koo…                      one peer may reach the web server of this machine
  carrick expose --unix /run/db.sock --allow 12D3… --allow 12D3…    two may reach a Unix socket
  carrick expose --tcp 80 --allow-anybody --listen /ip4/0.0.0.0/tcp/4001 --key node.key
                                                                anybody, at an address that stays the same

The other side runs `carrick forward --tcp 8080 --to ADDR --key its.key`, with an address that this command prints;
`carrick key show its.key` prints the peer id to allow. Whoever is not allowed is not let in at all.

Ends at Ctrl-C or SIGTERM.")]
#[command(group = clap::ArgGroup::new("target").required(true))]
#[command(group = clap::ArgGroup::new("who").required(true).multiple(true))]
pub(crate) struct Args {
    /// The socket that peers reach: HOST:PORT, or a port of this machine.
    #[arg(long, value_name = "HOST:PORT", group = "target", value_parser = socket::tcp)]
    tcp: Option<String>,
    /// The socket that peers reach: a path.
    #[arg(long, value_name = "PATH", group = "target")]
    unix: Option<PathBuf>,
    /// Who may connect: a peer id. May be given several times.
    #[arg(long, value_name = "PEER", group = "who", value_parser = address::peer_id)]
    allow: Vec<PeerId>,
    /// Let anybody connect who knows the address.
    #[arg(long, group = "who", conflicts_with = "allow")]
    allow_anybody: bool,
    /// Connections at once; what comes above it is reset.
    #[arg(long, value_name = "N", default_value_t = forward::STREAMS, value_parser = clap::value_parser!(u32).range(1..=forward::STREAMS_MAX))]
    max_streams: u32,
    /// The protocol's name, where several things are exposed; the other side must give the same.
    #[arg(long, default_value = PROTOCOL, value_parser = address::protocol)]
    protocol: ProtocolId,
    /// One JSON object a line: where it listens, then each connection when it is over.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Host,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let target = forward::address(args.tcp.as_deref(), args.unix.as_deref())?;
    let mut stop = std::pin::pin!(stop()?);
    let mut builder = args.host.builder()?;
    if !args.allow_anybody {
        let allowed: BTreeSet<_> = args.allow.iter().copied().collect();
        builder = builder.admit(move |stage| match stage {
            Stage::Peer { peer, .. } if !allowed.contains(&peer) => {
                if output::may_note() {
                    output::note(&format!("{peer} is not allowed, and was not let in"));
                }
                Verdict::Reject("not allowed".into())
            }
            _ => Verdict::Accept,
        });
    }
    let node = builder.spawn().await?;
    let mut incoming = node
        .accept(&args.protocol)
        .map_err(|error| Failure::new(error, "choose another --protocol"))?;
    args.host.listen(&node).await?;
    for address in node.addresses() {
        output::result(&if args.json {
            json!({"listening": address.to_string()}).to_string()
        } else {
            format!("listening {address}")
        })?;
    }
    let tally = Tally::new(args.json);
    let streams = Arc::new(Semaphore::new(args.max_streams as usize));
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            Some(stream) = incoming.next() => stream,
            else => break,
        };
        let peer = stream.peer();
        let Ok(permit) = streams.clone().try_acquire_owned() else {
            stream.reset(Code::LIMIT);
            if output::may_note() {
                output::note(&format!(
                    "a connection of {peer} is one too many: see --max-streams"
                ));
            }
            continue;
        };
        let (target, tally) = (target.clone(), tally.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            let outcome = bring(stream, &target).await;
            drop(permit);
            tally.tell(&peer, begun, outcome);
        });
    }
    node.close().await;
    Ok(())
}

/// Connects to the target and makes the two one.
async fn bring(stream: Stream, target: &Address) -> Result<(u64, u64), String> {
    let socket = match timeout(CONNECT_TIMEOUT, Socket::connect(target)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            stream.reset(Code::NONE);
            return Err(format!("cannot connect to {target}: {error}"));
        }
        Err(_) => {
            stream.reset(Code::NONE);
            return Err(format!("cannot connect to {target}: it does not answer"));
        }
    };
    let moved = relay(stream, socket).await;
    moved.map_err(|error| error.to_string())
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
