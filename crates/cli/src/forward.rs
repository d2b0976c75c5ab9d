//! `carrick forward`: a socket of this machine stands for one of a peer's. Each connection to it becomes a stream to the peer,
//! where `carrick expose` connects it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carrick::{Multiaddr, Node, PeerId, Protocol, ProtocolId};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::{
    address,
    failure::Failure,
    host::Identity,
    output,
    relay::relay,
    socket::{self, Address, Listener, Socket},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick forward --tcp 8080 --to /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… --key my.key
                                         what connects to port 8080 here reaches what the peer exposes
  carrick forward --unix /tmp/db.sock --to /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… --key my.key

The peer runs `carrick expose --tcp 80 --allow PEER`, which prints the address; `carrick key generate my.key` makes a key
and prints the PEER to allow.

Any number of connections share one to the peer, each as fast as its readers. The end of one direction is passed on and
the other goes on; a reset is passed on as a reset. Ends at Ctrl-C or SIGTERM.")]
#[command(group = clap::ArgGroup::new("local").required(true))]
pub(crate) struct Args {
    /// Where programs of this machine connect: a port, or HOST:PORT; port 0 is a free one.
    #[arg(long, value_name = "HOST:PORT", group = "local", value_parser = socket::tcp)]
    tcp: Option<String>,
    /// Where they connect: the path of a Unix socket, for your own programs only.
    #[arg(long, value_name = "PATH", group = "local")]
    unix: Option<PathBuf>,
    /// The peer that exposes something, a multiaddr ending in /p2p/<peer-id>.
    #[arg(long, value_name = "ADDR", value_parser = address::peer)]
    to: Multiaddr,
    /// Connections at once; further ones wait.
    #[arg(long, value_name = "N", default_value_t = STREAMS, value_parser = clap::value_parser!(u32).range(1..=STREAMS_MAX))]
    max_streams: u32,
    /// The protocol's name, if the other side has given one.
    #[arg(long, default_value = PROTOCOL, value_parser = address::protocol)]
    protocol: ProtocolId,
    /// One JSON object a line: where it listens, then each connection when it is over.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    identity: Identity,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let mut stop = std::pin::pin!(stop()?);
    let listener = Listener::bind(&address(args.tcp.as_deref(), args.unix.as_deref())?).await?;
    let node = args.identity.builder()?.spawn().await?;
    // Whoever waits in vain is to know why, and now.
    let first = node.dial(&args.to).await?;
    let info = first.info().await;
    if let Some(info) = info
        && !info.protocols.contains(&args.protocol)
    {
        return Err(Failure::new(
            format!(
                "{} exposes nothing by the name of {}",
                info.peer, args.protocol
            ),
            "run `carrick expose` there, with the same --protocol",
        ));
    }
    if let Some(error) = first.lost() {
        return Err(Failure::new(
            format!("the peer does not let us in: {error}"),
            format!("it must `carrick expose … --allow {}`", node.id()),
        ));
    }
    drop(first);
    let local = listener.address().to_string();
    output::result(&if args.json {
        json!({"forwarding": local, "to": args.to.to_string()}).to_string()
    } else {
        format!("forwarding {local} to {}", args.to)
    })?;
    let serve = serve(&listener, &node, args);
    tokio::select! {
        () = &mut stop => {}
        () = serve => {}
    }
    drop(listener);
    node.close().await;
    Ok(())
}

async fn serve(listener: &Listener, node: &Node, args: &Args) {
    let tally = Tally::new(args.json);
    let streams = Arc::new(Semaphore::new(args.max_streams as usize));
    let peer = args.to.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    });
    let Some(peer) = peer else { return };
    while let Ok(permit) = streams.clone().acquire_owned().await {
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                output::note(&format!("a connection was not taken: {error}"));
                sleep(PAUSE).await;
                continue;
            }
        };
        let (node, to) = (node.clone(), args.to.clone());
        let (protocol, tally) = (args.protocol.clone(), tally.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            let outcome = bring(socket, &node, &to, &protocol).await;
            drop(permit);
            tally.tell(&peer, begun, outcome);
        });
    }
}

/// Opens a stream to the peer and makes the two one; then what came from the peer and what went to it.
async fn bring(
    socket: Socket,
    node: &Node,
    to: &Multiaddr,
    protocol: &ProtocolId,
) -> Result<(u64, u64), String> {
    let open = async {
        let mut stream = node.open_stream(to, protocol).await?;
        stream.confirm().await?;
        Ok::<_, Failure>(stream)
    };
    match open.await {
        Ok(stream) => {
            let moved = relay(stream, socket).await;
            moved.map_err(|error| error.to_string())
        }
        Err(failure) => {
            socket.reset();
            Err(failure.line())
        }
    }
}

/// Counts connections and tells of each when it is over.
#[derive(Clone)]
pub(crate) struct Tally {
    json: bool,
    next: Arc<AtomicU64>,
}

impl Tally {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            next: Arc::default(),
        }
    }

    /// With JSON each is told; without, what went wrong. `outcome`: what came from the peer, and what went to it.
    pub(crate) fn tell(&self, peer: &PeerId, begun: Instant, outcome: Result<(u64, u64), String>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let seconds = begun.elapsed().as_secs_f64();
        if self.json {
            let (moved, error) = match outcome {
                Ok(moved) => (Some(moved), None),
                Err(why) => (None, Some(output::plain(why))),
            };
            // Whoever reads it may have gone; what it tells of has happened all the same.
            let _ = output::result(
                &json!({
                    "connection": number,
                    "peer": peer.to_string(),
                    "received": moved.map(|moved| moved.0),
                    "sent": moved.map(|moved| moved.1),
                    "seconds": seconds,
                    "error": error,
                })
                .to_string(),
            );
        } else if let Err(why) = outcome
            && output::may_note()
        {
            output::note(&format!("connection {number}: {why}"));
        }
    }
}

/// Of the two arguments, of which one is given.
pub(crate) fn address(tcp: Option<&str>, unix: Option<&Path>) -> Result<Address, Failure> {
    match (tcp, unix) {
        (Some(host), _) => Ok(Address::Tcp(host.to_owned())),
        (None, Some(path)) => Ok(Address::Unix(path.to_owned())),
        (None, None) => Err(Failure::new("no socket is named", "give --tcp or --unix")),
    }
}

/// Ready at Ctrl-C and SIGTERM; signals count from the call on.
pub(crate) fn stop() -> Result<impl Future<Output = ()>, Failure> {
    crate::listen::stop().map_err(|error| {
        Failure::new(
            format!("cannot wait for signals: {error}"),
            "try another shell",
        )
    })
}

pub(crate) const PROTOCOL: &str = "/carrick/forward/1.0.0";
pub(crate) const STREAMS: u32 = 256;
pub(crate) const STREAMS_MAX: i64 = 65_536;
const PAUSE: Duration = Duration::from_millis(200);
