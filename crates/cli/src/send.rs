//! `carrick send`: files and directories, to whoever shows the ticket, or to a peer who waits for them.

use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use carrick::{
    Behaviour, Multiaddr, Node, PeerId, Stream,
    transfer::{PROTOCOL, Secret, Ticket},
};
use fast_qr::{ECL, QRBuilder};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    address,
    failure::Failure,
    host, key, listen,
    network::Network,
    output,
    transfer::{
        give::Give,
        guests::Guests,
        show::{Position, Show, counted, size},
        source::Source,
        trouble::Trouble,
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick send photos/ notes.txt                 prints a ticket, also as a QR code; on the other machine:
  carrick receive carrick1af…                      whoever has the ticket can receive, once
  carrick send --keep photos/                    serves the ticket until Ctrl-C, to any number of receivers
  carrick send --to /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… notes.txt
                                                 to a `carrick receive` that waits there

Every 256 KiB are verified with BLAKE3 before they are written; an interrupted transfer goes on where it stopped when both
sides run the same commands again. Files must not change meanwhile. Links inside directories are refused.")]
pub(crate) struct Args {
    /// Files and directories.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Send it to the peer that waits at this address, instead of printing a ticket.
    #[arg(long, value_name = "ADDR", value_parser = address::peer, conflicts_with_all = ["keep", "listen"])]
    to: Option<Multiaddr>,
    /// Serve until Ctrl-C, not only until somebody has received everything.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    network: Network,
}

/// Options of both sides.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where to be reached, such as /ip4/0.0.0.0/tcp/4001; may be given several times. Without it, free ports on every interface.
    #[arg(long, value_name = "ADDR", value_parser = address::local)]
    pub(crate) listen: Vec<Multiaddr>,
    /// The identity; without it, a new one.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Give up when nothing has moved for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) timeout: u64,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Common {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// A node for much data: TLS first, whose ciphers are the faster ones.
    pub(crate) async fn node(&self, network: &Network) -> Result<Node, Failure> {
        let mut builder = network.builder()?;
        builder = builder.securities([carrick::Security::Tls, carrick::Security::Noise]);
        if let Some(file) = &self.key {
            builder = builder.identity(key::load(file)?);
        }
        Ok(builder.spawn().await?)
    }
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let show = Show::new(args.common.json);
    let source = Arc::new(hash(args, &show).await?);
    let node = args.common.node(&args.network).await?;
    let outcome = match &args.to {
        Some(address) => push(args, &show, &node, source, address).await,
        None => serve(args, &show, &node, source).await,
    };
    node.close().await;
    outcome
}

async fn hash(args: &Args, show: &Show) -> Result<Source, Failure> {
    let begun = Instant::now();
    let paths = args.paths.clone();
    let counters = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let [found, hashed] = &*counters;
    let theirs = counters.clone();
    let work = tokio::task::spawn_blocking(move || Source::new(&paths, &theirs[0], &theirs[1]));
    let position = || Position {
        done: hashed.load(Ordering::Relaxed),
        total: found.load(Ordering::Relaxed),
        ..Position::default()
    };
    let source = show.watch("hashing", position, work).await;
    let source = source.expect("hashing neither panics nor is aborted")?;
    show.event(&json!({
        "event": "hashed",
        "root": hex(&source.root()),
        "files": source.files(),
        "bytes": source.bytes(),
        "seconds": begun.elapsed().as_secs_f64(),
    }))?;
    Ok(source)
}

async fn push(
    args: &Args,
    show: &Show,
    node: &Node,
    source: Arc<Source>,
    address: &Multiaddr,
) -> Result<(), Failure> {
    let connection = node.dial(address).await?;
    let stream = connection.open_stream(PROTOCOL).await?;
    let give = give(args, &source);
    session(show, &give, stream, None)
        .await
        .map_err(|(_, trouble)| trouble.into())
}

async fn serve(args: &Args, show: &Show, node: &Node, source: Arc<Source>) -> Result<(), Failure> {
    let secret: Secret = secret();
    let stop = listen::stop_signal()?;
    let mut stop = std::pin::pin!(stop);
    let mut incoming = node.accept(PROTOCOL).map_err(carrick::ListenError::from)?;
    host::listen(node, &args.common.listen, !args.network.is_private()).await?;
    tell(
        args,
        show,
        &Ticket::new(node.id(), source.root(), secret, node.addresses()),
        &source,
    )?;
    let give = give(args, &source);
    let guests = Guests::new(STRANGERS_MAX);
    let mut sessions = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            Some(ended) = sessions.join_next() => {
                match ended.expect("a session neither panics nor is aborted") {
                    Ok(()) if !args.keep => return Ok(()),
                    Ok(()) => {}
                    Err((peer, trouble)) => blame(show, node, peer, &trouble).await?,
                }
                continue;
            }
            Some(stream) = incoming.next() => stream,
        };
        // Beyond that only those come who have no ticket: a dropped stream tells them.
        if let Some(guest) = guests.admit(stream.peer()) {
            let (show, mut give) = (show.clone(), give.clone());
            give.sent = Arc::default();
            sessions.spawn(async move {
                let _guest = guest;
                session(&show, &give, stream, Some(secret)).await
            });
        }
    }
    if args.keep {
        return Ok(());
    }
    Err(Failure::new(
        "stopped before anybody had received everything",
        "run it again and give the new ticket to the receiver: what has arrived counts",
    ))
}

fn give(args: &Args, source: &Arc<Source>) -> Give {
    Give {
        source: source.clone(),
        patience: args.common.patience(),
        sent: Arc::default(),
        places: Arc::new(Semaphore::new(RECEIVERS_MAX)),
    }
}

/// One receiver; with a secret, it must know it.
async fn session(
    show: &Show,
    give: &Give,
    stream: Stream,
    secret: Option<Secret>,
) -> Result<(), (PeerId, Trouble)> {
    let begun = Instant::now();
    let connection = stream.connection();
    let (peer, path) = (stream.peer(), connection.address().to_string());
    let position = || Position {
        done: give.sent.load(Ordering::Relaxed),
        total: give.source.bytes(),
        ..Position::default()
    };
    let work = async {
        match &secret {
            Some(secret) => give.serve(stream, secret).await,
            None => give.push(stream).await,
        }
    };
    let outcome = show.watch(&path, position, work).await;
    outcome.map_err(|trouble| (peer, trouble))?;
    let (bytes, seconds) = (
        give.sent.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f64(),
    );
    show.note(&format!(
        "sent to {peer} at {path}: {} in {seconds:.1} s",
        size(bytes)
    ));
    let _ = show.event(&json!({
        "event": "sent",
        "peer": peer.to_string(),
        "address": path,
        "files": give.source.files(),
        "bytes": give.source.bytes(),
        "moved_bytes": bytes,
        "seconds": seconds,
    }));
    Ok(())
}

/// What a receiver's failure means to whoever waits for another one.
async fn blame(show: &Show, node: &Node, peer: PeerId, trouble: &Trouble) -> Result<(), Failure> {
    match trouble {
        Trouble::Unauthorized => {
            node.record_behaviour(&peer, Behaviour::Invalid, "transfer")
                .await
        }
        Trouble::Violation(_) => {
            node.record_behaviour(&peer, Behaviour::Protocol, "transfer")
                .await
        }
        _ => {}
    }
    if output::may_note() {
        show.note(&format!("{peer}: {trouble}; still serving"));
    }
    show.event(&json!({"event": "failed", "peer": peer.to_string(), "error": trouble.to_string()}))
}

fn tell(args: &Args, show: &Show, ticket: &Ticket, source: &Source) -> Result<(), Failure> {
    let text = ticket.to_string();
    if args.common.json {
        return show.event(&json!({
            "event": "ticket",
            "ticket": text,
            "root": hex(&ticket.root),
            "files": source.files(),
            "bytes": source.bytes(),
        }));
    }
    show.note(&format!(
        "{}, {}; on the other machine: carrick receive TICKET",
        counted(source.files()),
        size(source.bytes())
    ));
    output::result(&text)?;
    if stderr().is_terminal() {
        // In capitals, which take less room in the code.
        let code = QRBuilder::new(text.to_ascii_uppercase())
            .ecl(ECL::L)
            .build();
        for line in code
            .iter()
            .flat_map(|code| code.to_str().lines().map(str::to_owned).collect::<Vec<_>>())
        {
            show.note(&line);
        }
    }
    Ok(())
}

fn secret() -> Secret {
    let mut secret = Secret::default();
    aws_lc_rs::rand::fill(&mut secret).expect("the system has entropy");
    secret
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Receivers at once.
const RECEIVERS_MAX: usize = 16;
/// Receivers, and those who have not shown their ticket yet.
const STRANGERS_MAX: usize = 64;
