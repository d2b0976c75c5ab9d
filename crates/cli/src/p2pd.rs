//! `carrick p2pd`: a node that other programs drive, in place of go-libp2p-daemon's p2pd: its control protocol, its flags, its
//! lines on stdout. The protocol alone is [`Service`], which any of our nodes can have.

use std::{ffi::OsString, io, path::Path, time::Duration};

use carrick::{Config, Node, Protocol, Tag, Watermarks, p2pd::Endpoint};
use tokio::{sync::watch, time::timeout};
use tracing::warn;

use crate::{failure::Failure, host, key, metrics, output};
use flags::Flags;
pub(crate) use service::{Rank, Service};

mod config;
mod flags;
mod frames;
mod handlers;
mod program;
mod service;

/// The flags are go's, with one dash, so they are read elsewhere.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `carrick p2pd -help` lists them.
    #[arg(
        value_name = "FLAG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    flags: Vec<String>,
}

/// Where programs are to connect.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).map_err(|error| {
        format!("{error}; one looks like /unix/tmp/p2pd.sock or /ip4/127.0.0.1/tcp/5005")
    })
}

/// The arguments of the program; called by the name p2pd, it is that daemon.
pub(crate) fn arguments() -> Vec<OsString> {
    let mut args: Vec<_> = std::env::args_os().collect();
    let name = args.first().map(Path::new).and_then(Path::file_stem);
    if name.is_some_and(|name| name == NAME) {
        args.insert(1, NAME.into());
    }
    args
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let flags = flags::parse(&args.flags)?;
    if flags.help {
        return output::result(flags::usage().trim_end());
    }
    if !flags.idle.is_empty() {
        let idle: Vec<_> = flags.idle.iter().map(|name| format!("-{name}")).collect();
        warn!("without effect here: {}", idle.join(" "));
    }
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(
            format!("cannot wait for signals: {error}"),
            "try another shell",
        )
    })?;
    // A socket that is taken is found out before anybody is contacted.
    let service = Service::bind(&flags.listen).await?;
    let page = match &flags.metrics {
        Some(address) => {
            let address = metrics::address(address);
            let address = address.map_err(|why| Failure::new("-metricsAddr", why))?;
            Some(metrics::Page::bind(address).await?)
        }
        None => None,
    };
    let node = start(&flags).await?;
    if let Some(page) = page {
        tokio::spawn(page.serve(node.clone()));
    }
    if !flags.quiet {
        print(&service, &node, &flags)?;
    }
    let ended = {
        let mut programs = service.programs().count();
        let serve = service.serve(node.clone(), Rank::Whole { echo: flags.echo });
        let mut serve = std::pin::pin!(serve);
        loop {
            tokio::select! {
                () = &mut serve => break None,
                () = abandoned(&mut programs, flags.idle_timeout) => break None,
                signal = signals.next() => match signal {
                    Signal::Dump => dump(&node).await?,
                    Signal::Stop(number) => break Some(number),
                },
            }
        }
    };
    node.close().await;
    match ended {
        // As a shell tells of a program that a signal has ended.
        Some(signal) => std::process::exit(128 + signal),
        None => Ok(()),
    }
}

async fn start(flags: &Flags) -> Result<Node, Failure> {
    // A connection is there until somebody closes it, or there are too many.
    let mut config = Config {
        idle_timeout: None,
        ..Config::default()
    };
    if let Some((low, high, grace)) = flags.conn_manager {
        let marks = Some(Watermarks { low, high });
        config.swarm.inbound_watermarks = marks;
        config.swarm.outbound_watermarks = marks;
        config.swarm.trim_grace = grace;
    }
    let mut builder = Node::builder()
        .config(config)
        .agent("p2pd")
        .securities(flags.securities.iter().copied())
        .muxers([flags.muxer]);
    if let Some(file) = &flags.id {
        builder = builder.identity(key::load(Path::new(file))?);
    }
    for address in &flags.announce_addrs {
        builder = builder
            .announce(address.clone())
            .map_err(carrick::ListenError::from)?;
    }
    builder = builder.announce_only(!flags.announce_addrs.is_empty());
    let node = builder.spawn().await?;
    if !flags.no_listen {
        host::listen(&node, &flags.host_addrs, flags.quic).await?;
    }
    if flags.bootstrap {
        for address in &flags.bootstrap_peers {
            let kept = node.keep_connected(address).await;
            kept.map_err(|error| Failure::new(error, "see -bootstrapPeers"))?;
            if let Some(Protocol::P2p(peer)) = address.iter().last() {
                // As go's daemon has it; protected they are anyway.
                let _ = node.tag(peer, "bootstrap", Tag::fixed(1)).await;
            }
        }
    }
    Ok(node)
}

/// The lines that programs which start a daemon read.
fn print(service: &Service, node: &Node, flags: &Flags) -> Result<(), Failure> {
    let own = service::identify(node);
    let mut lines = vec![
        format!("Control socket: {}", service.endpoint()),
        format!("Peer ID: {}", own.peer),
        "Peer Addrs:".to_owned(),
    ];
    lines.extend(own.addresses.iter().map(ToString::to_string));
    if flags.bootstrap {
        lines.push("Bootstrap peers:".to_owned());
        lines.extend(flags.bootstrap_peers.iter().map(ToString::to_string));
    }
    lines.iter().try_for_each(|line| output::result(line))
}

/// What go's daemon prints at SIGUSR1.
async fn dump(node: &Node) -> Result<(), Failure> {
    let all = node.connections().await;
    output::result(&format!("Connections and streams ({}):", all.len()))?;
    for connection in all {
        let (peer, address) = (connection.peer, connection.address);
        output::result(&format!("peer: {peer}, multiaddr: {address}"))?;
        let info = node.peer(&peer);
        let told =
            |text: Option<&String>| text.map_or_else(|| "(unknown)".to_owned(), output::plain);
        let version = told(
            info.as_ref()
                .and_then(|info| info.protocol_version.as_ref()),
        );
        let agent = told(info.as_ref().and_then(|info| info.agent.as_ref()));
        output::result(&format!("\tprotoVersion: {version}, agent: {agent}"))?;
        let protocols =
            info.map_or_else(String::new, |info| output::texts(&info.protocols).join(" "));
        let protocols = output::plain(protocols);
        output::result(&format!("\tprotocols: [{protocols}]"))?;
        output::result(&format!("\tstreams ({})", connection.streams))?;
    }
    Ok(())
}

/// Ready when no program has held a socket for calls for so long, and when the last one of them has gone, as hivemind's
/// daemon ends; never without a time.
async fn abandoned(programs: &mut watch::Receiver<usize>, after: Option<Duration>) {
    let Some(after) = after else {
        return std::future::pending().await;
    };
    loop {
        let first = timeout(after, programs.wait_for(|count| *count > 0)).await;
        let came = matches!(first, Ok(Ok(_)));
        drop(first);
        if !came {
            return;
        }
        let gone = programs.wait_for(|count| *count == 0).await;
        if gone.is_err() {
            return;
        }
    }
}

/// What the system tells us to do.
enum Signal {
    /// End; the signal's number.
    Stop(i32),
    Dump,
}

#[cfg(unix)]
struct Signals(
    [(tokio::signal::unix::Signal, i32); 2],
    tokio::signal::unix::Signal,
);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let stop = |kind: SignalKind| Ok::<_, io::Error>((signal(kind)?, kind.as_raw_value()));
        let stops = [
            stop(SignalKind::interrupt())?,
            stop(SignalKind::terminate())?,
        ];
        Ok(Self(stops, signal(SignalKind::user_defined1())?))
    }

    /// Cancel-safe.
    async fn next(&mut self) -> Signal {
        let Self([(interrupt, two), (terminate, fifteen)], dump) = self;
        tokio::select! {
            _ = interrupt.recv() => Signal::Stop(*two),
            _ = terminate.recv() => Signal::Stop(*fifteen),
            _ = dump.recv() => Signal::Dump,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
        Signal::Stop(2)
    }
}

const NAME: &str = "p2pd";
