//! `carrick listen`: a node that serves ping, identify and /echo/1.0.0 until it is told to stop.

use std::{io, path::PathBuf};

use carrick::{
    IntoAddress, Multiaddr, Node, NodeEvent, Stream,
    perf::{self, Header},
};
use serde_json::json;
use tracing::{info, warn};

use crate::{address, failure::Failure, key, network, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick listen                                          free TCP ports on every interface, IPv4 and IPv6
  carrick listen /ip4/0.0.0.0/tcp/4001 --key node.key     a fixed port, and the same peer id every time
  carrick listen /unix/tmp/carrick.sock                   a Unix socket, for the processes of one user on one machine
  carrick listen --swarm-key swarm.key                    a private network: only nodes with this key can connect
  carrick listen --perf                                   for `carrick perf` from elsewhere

Stops at Ctrl-C or SIGTERM: open streams get 5 s to finish.")]
pub(crate) struct Args {
    /// Where to listen, such as /ip4/127.0.0.1/tcp/0.
    #[arg(value_name = "ADDR", value_parser = address::local)]
    addresses: Vec<Multiaddr>,
    /// The identity; without it, a new one. `carrick key generate FILE` makes a file.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Also serve /perf/1.0.0, with which any peer may use as much of this machine's bandwidth as it likes; =16 for
    /// clients that send the 16-byte header.
    #[arg(long, value_name = "FORM", require_equals = true, num_args = 0..=1, default_missing_value = "spec", value_parser = crate::perf::header)]
    perf: Option<Header>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: network::Network,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let mut builder =
        args.network.builder()?.handle(
            ECHO,
            |mut stream: Stream| async move { stream.echo().await },
        );
    if let Some(file) = &args.key {
        builder = builder.identity(key::load(file)?);
    }
    if let Some(header) = args.perf {
        let serve = move |stream| perf::serve_with(stream, header);
        builder = builder.handle(perf::PROTOCOL, serve);
    }
    let stop = stop().map_err(|error| {
        Failure::new(
            format!("cannot wait for signals: {error}"),
            "try another shell",
        )
    })?;
    let mut stop = std::pin::pin!(stop);
    let node = builder.spawn().await?;
    let mut events = node.events();
    bind(&node, &args.addresses).await?;
    for address in node.addresses() {
        output::result(&if args.json {
            json!({"listening": address.to_string()}).to_string()
        } else {
            format!("listening {address}")
        })?;
    }
    let perf = args.perf.map_or("", |_| ", /perf/1.0.0");
    output::note(&format!(
        "serving ping, identify, {ECHO}{perf}; -v shows connections, Ctrl-C stops"
    ));
    loop {
        tokio::select! {
            () = &mut stop => break,
            event = events.next() => tell(event),
        }
    }
    output::note("closing");
    node.close().await;
    Ok(())
}

/// Listens where the user wants. Without a wish, one of IPv4 and IPv6 is enough: not every machine has both.
async fn bind(node: &Node, wanted: &[Multiaddr]) -> Result<(), Failure> {
    for address in wanted {
        node.listen(address.clone()).await?;
    }
    if !wanted.is_empty() {
        return Ok(());
    }
    for address in EVERYWHERE {
        let address = address.into_address().map_err(carrick::ListenError::from)?;
        if let Err(error) = node.listen(address).await {
            warn!(%error, "not listening there");
        }
    }
    if node.addresses().is_empty() {
        return Err(Failure::new(
            "neither IPv4 nor IPv6 can be listened on",
            "name an address, such as /ip4/127.0.0.1/tcp/0",
        ));
    }
    Ok(())
}

fn tell(event: Option<NodeEvent>) {
    match event {
        Some(NodeEvent::Connected { peer, address, .. }) => info!(%peer, %address, "connected"),
        Some(NodeEvent::Disconnected { peer }) => info!(%peer, "disconnected"),
        Some(NodeEvent::ListenerClosed { address }) => warn!(%address, "not listening any more"),
        _ => {}
    }
}

/// Ready when somebody wants us to stop; signals count from the call on.
#[cfg(unix)]
fn stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop() -> io::Result<impl Future<Output = ()>> {
    Ok(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
}

const ECHO: &str = "/echo/1.0.0";
const EVERYWHERE: [&str; 2] = ["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"];
