//! `carrick listen`: a node that serves ping, identify, /echo/1.0.0 and echoes packets until it is told to stop.

use std::{io, net::SocketAddr, path::PathBuf, pin::Pin};

use carrick::{
    Config, Events, Multiaddr, Node, NodeEvent, Packets, Stream,
    perf::{self, Header},
};
use serde_json::json;
use tracing::{info, warn};

use crate::{address, ban_list, failure::Failure, host, key, metrics, network, output};

pub(crate) const EXAMPLES: &str = "\
Examples:
  carrick listen                                          TCP and QUIC, free ports on every interface, IPv4 and IPv6
  carrick listen /ip4/0.0.0.0/tcp/4001 --key node.key     TCP on a fixed port, and the same peer id every time
  carrick listen /ip4/0.0.0.0/udp/4001/quic-v1            QUIC, which also carries packets
  carrick listen /ip4/0.0.0.0/tcp/8080/ws                 WebSocket, which browsers and proxies let through
  carrick listen /ip4/0.0.0.0/tcp/443/tls/ws --wss-cert chain.pem --wss-key key.pem
                                                          WebSocket over TLS, with the certificate of a web server
  carrick listen /unix/tmp/carrick.sock                   a Unix socket, for the processes of one user on one machine
  carrick listen --swarm-key swarm.key                    a private network: only nodes with this key can connect
  carrick listen --ban-list bans.txt                      nothing for the peers, addresses and networks in the file
  carrick listen --max-connections 100                    on a machine that has other things to do
  carrick listen --perf                                   for `carrick perf` from elsewhere
  carrick listen --metrics 9184                           figures for Prometheus, for this machine alone

Addresses may be mixed. Each is printed as others can dial it.

Stops at Ctrl-C or SIGTERM: open streams get 3 s to finish.";

// No documentation: clap would take it for that of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen, such as /ip4/127.0.0.1/tcp/0; port 0 is a free one.
    #[arg(value_name = "ADDR", value_parser = address::local)]
    addresses: Vec<Multiaddr>,
    /// The identity; without it, a new one. `carrick key generate FILE` makes a file.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificate for /tls/ws: a PEM file with the server's certificate and those of its authorities.
    #[arg(long, value_name = "FILE", requires = "wss_key")]
    wss_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file.
    #[arg(long, value_name = "FILE", requires = "wss_cert")]
    wss_key: Option<PathBuf>,
    /// Also serve /perf/1.0.0, with which any peer may use as much of this machine's bandwidth as it likes; =16 for
    /// clients that send the 16-byte header.
    #[arg(long, value_name = "FORM", require_equals = true, num_args = 0..=1, default_missing_value = "spec", value_parser = crate::perf::header)]
    perf: Option<Header>,
    /// Serve the node's figures to Prometheus over HTTP, at this IP address and port; a port alone is reached from this
    /// machine only. Whoever reaches it can read them.
    #[arg(long, value_name = "ADDR", value_parser = metrics::address)]
    metrics: Option<SocketAddr>,
    /// Keep what is known of peers in this directory, and know it again next time: --store ~/.carrick. Made if it is not
    /// there; one process at a time may use it.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Connections at most: two thirds for those who dial this node, one third for those whom it dials. Without it, as many
    /// as the machine's memory and the process's file descriptors allow, 768 at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    max_connections: Option<u32>,
    /// Have nothing to do with those in this file, one a line: a peer id, an IP address, or a network such as
    /// 192.0.2.0/24; behind a # the reason.
    #[arg(long, value_name = "FILE")]
    ban_list: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    network: network::Network,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let running = start(args).await?;
    running.until(std::future::pending()).await;
    Ok(())
}

/// A node that serves, and what may end it.
pub(crate) struct Running {
    pub(crate) node: Node,
    events: Events,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Running {
    /// Serves until a signal comes, or `told`; then closes the node.
    pub(crate) async fn until(mut self, told: impl Future<Output = ()>) {
        let mut told = std::pin::pin!(told);
        loop {
            tokio::select! {
                () = &mut self.stop => break,
                () = &mut told => break,
                event = self.events.next() => tell(event),
            }
        }
        output::note("closing");
        self.node.close().await;
    }
}

/// Starts the node and says where it listens.
pub(crate) async fn start(args: &Args) -> Result<Running, Failure> {
    let builder = args.network.builder()?;
    let builder = builder.handle(
        ECHO,
        |mut stream: Stream| async move { stream.echo().await },
    );
    let echo = |packets: Packets| async move { packets.echo().await };
    let mut builder = builder.handle_packets(ECHO_PACKETS, echo);
    let (config, bans) = policy(args)?;
    builder = builder.config(config);
    if let Some(file) = &args.key {
        builder = builder.identity(key::load(file)?);
    }
    if let Some(directory) = &args.store {
        builder = builder.store(directory)?;
    }
    if let Some((certificate, key)) = args.wss_cert.as_ref().zip(args.wss_key.as_ref()) {
        builder = builder.wss_certificate(certificate, key)?;
    }
    if let Some(header) = args.perf {
        let serve = move |stream| perf::serve_with(stream, header);
        builder = builder.handle(perf::PROTOCOL, serve);
    }
    let stop = stop_signal()?;
    let page = match args.metrics {
        Some(address) => Some(metrics::Page::bind(address).await?),
        None => None,
    };
    let node = builder.spawn().await?;
    let events = node.events();
    for (subject, reason) in bans {
        node.ban(subject, None, &reason).await;
    }
    host::listen(&node, &args.addresses, !args.network.is_private()).await?;
    for address in node.addresses() {
        output::result(&if args.json {
            json!({"listening": address.to_string()}).to_string()
        } else {
            format!("listening {address}")
        })?;
    }
    if let Some(page) = page {
        let url = page.url();
        tokio::spawn(page.serve(node.clone()));
        output::result(&if args.json {
            json!({"metrics": url}).to_string()
        } else {
            format!("metrics {url}")
        })?;
    }
    let perf = args.perf.map_or("", |_| ", /perf/1.0.0");
    output::note(&format!(
        "serving ping, identify, {ECHO}, {ECHO_PACKETS}{perf}; -v shows connections, Ctrl-C stops"
    ));
    Ok(Running {
        node,
        events,
        stop: Box::pin(stop),
    })
}

/// Whom the node serves, and how many of them.
fn policy(args: &Args) -> Result<(Config, Vec<ban_list::Entry>), Failure> {
    let bans = match &args.ban_list {
        Some(file) => ban_list::load(file)?,
        None => Vec::new(),
    };
    let mut config = Config::default();
    if let Some(connections) = args.max_connections {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        config = config.with_connections_max(connections);
    }
    config.swarm.bans_max = config.swarm.bans_max.saturating_add(bans.len());
    Ok((config, bans))
}

fn tell(event: Option<NodeEvent>) {
    match event {
        Some(NodeEvent::Connected { peer, address, .. }) => info!(%peer, %address, "connected"),
        Some(NodeEvent::Disconnected { peer }) => info!(%peer, "disconnected"),
        Some(NodeEvent::Banned {
            subject, reason, ..
        }) => info!(%subject, reason, "banned"),
        Some(NodeEvent::Unbanned { subject }) => info!(%subject, "not banned any more"),
        Some(NodeEvent::ListenerClosed { address }) => warn!(%address, "not listening any more"),
        _ => {}
    }
}

/// Ready when somebody wants us to stop; signals count from the call on.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    stop().map_err(|error| {
        Failure::new(
            format!("cannot wait for signals: {error}"),
            "try another shell",
        )
    })
}

#[cfg(unix)]
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
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
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
    Ok(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
}

/// Every packet comes back.
pub(crate) const ECHO_PACKETS: &str = "/echo-packets/1.0.0";
const ECHO: &str = "/echo/1.0.0";
