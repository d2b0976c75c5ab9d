//! `carrick receive`: what a ticket is for, or what a peer pushes.

use std::{
    collections::BTreeSet,
    io::{BufRead, IsTerminal, Write, stderr, stdin},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use carrick::{
    Behaviour, Connection, Multiaddr, Node, PeerId, Protocol, Stream,
    transfer::{PROTOCOL, Ticket},
};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{
    address,
    failure::Failure,
    host, listen,
    network::Network,
    output, perf,
    send::{Common, hex},
    transfer::{
        guests::Guests,
        show::{Position, Show, counted, size},
        take::{Offer, Progress, Received, Take},
        trouble::Trouble,
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick receive carrick1af… --output Downloads   what `carrick send` on the other machine has printed a ticket for
  carrick receive                                  waits for one `carrick send --to ADDR`, and asks before it takes anything
  carrick receive --from 12D3Koo… --keep           takes everything from this peer, until Ctrl-C
  carrick receive --yes --max-size 1GiB            takes whatever comes first, unless it is too large

What has arrived is verified, and kept beside its final place (.carrick-part-…) until everything is there. After an
interruption the same command goes on where it stopped. Nothing that exists is overwritten.")]
pub(crate) struct Args {
    /// The ticket that `carrick send` has printed; without it, wait for somebody who sends with --to.
    #[arg(value_name = "TICKET", value_parser = ticket)]
    ticket: Option<Ticket>,
    /// Where to put it.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Refuse more bytes than this, such as 10GiB.
    #[arg(long, value_name = "BYTES", value_parser = perf::bytes)]
    max_size: Option<u64>,
    /// Take from this peer without asking, and from nobody else; may be given several times.
    #[arg(long, value_name = "PEER", conflicts_with = "ticket", value_parser = address::peer_id)]
    from: Vec<PeerId>,
    /// Take from anybody without asking.
    #[arg(long, conflicts_with_all = ["ticket", "from"])]
    yes: bool,
    /// Go on waiting when something was received, until Ctrl-C.
    #[arg(long, conflicts_with = "ticket")]
    keep: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    network: Network,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let show = Show::new(args.common.json);
    let is_asked = args.ticket.is_none() && args.from.is_empty() && !args.yes;
    if is_asked && !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(Failure::new(
            "there is no terminal on which somebody could be asked whether to take what comes",
            "say from whom: --from PEER; or take everything: --yes",
        ));
    }
    let node = args.common.node(&args.network).await?;
    let outcome = match &args.ticket {
        Some(ticket) => fetch(args, &show, &node, ticket).await,
        None => wait(args, &show, &node).await,
    };
    node.close().await;
    outcome
}

async fn fetch(args: &Args, show: &Show, node: &Node, ticket: &Ticket) -> Result<(), Failure> {
    let connection = dial(node, ticket).await?;
    let stream = connection.open_stream(PROTOCOL).await?;
    let (root, secret) = (ticket.root, ticket.secret);
    let take = take(args);
    let path = connection.address().to_string();
    let received = watched(show, &take, &path, take.fetch(stream, root, secret));
    let received = received.await?;
    drop(connection);
    received
}

/// A connection over TCP, if one comes about soon: TLS over TCP carries about twice as much as QUIC for the same work.
async fn dial(node: &Node, ticket: &Ticket) -> Result<Connection, Failure> {
    let all = ticket.addresses.clone();
    let is_tcp = |address: &Multiaddr| address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
    let over_tcp: Vec<_> = all
        .iter()
        .filter(|address| is_tcp(address))
        .cloned()
        .collect();
    if !over_tcp.is_empty() {
        let dialed = timeout(HEAD_START, node.dial((ticket.peer, over_tcp)));
        if let Ok(Ok(connection)) = dialed.await {
            return Ok(connection);
        }
    }
    Ok(node.dial((ticket.peer, all)).await?)
}

async fn wait(args: &Args, show: &Show, node: &Node) -> Result<(), Failure> {
    let stop = listen::stop_signal()?;
    let mut stop = std::pin::pin!(stop);
    let mut incoming = node.accept(PROTOCOL).map_err(carrick::ListenError::from)?;
    host::listen(node, &args.common.listen, !args.network.is_private()).await?;
    for address in node.addresses() {
        let address = address.to_string();
        output::result(&if args.common.json {
            json!({"event": "listening", "address": address}).to_string()
        } else {
            format!("listening {address}")
        })?;
    }
    show.note("on the other machine: carrick send --to ADDR FILE…, with one of these addresses");
    let friends: BTreeSet<PeerId> = args.from.iter().copied().collect();
    let (guests, place) = (Guests::new(SENDERS_MAX), Arc::new(Semaphore::new(1)));
    let mut refusals = JoinSet::new();
    let mut sessions = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            Some(_) = refusals.join_next() => continue,
            Some(ended) = sessions.join_next() => {
                match ended.expect("a session neither panics nor is aborted") {
                    Ok(()) if !args.keep => return Ok(()),
                    Ok(()) | Err((_, Trouble::Busy)) => {}
                    Err((peer, trouble)) => blame(show, node, peer, &trouble).await?,
                }
                continue;
            }
            Some(stream) = incoming.next() => stream,
        };
        let (peer, take) = (stream.peer(), take(args));
        // Beyond what there is room for, a dropped stream tells them.
        if !friends.is_empty() && !friends.contains(&peer) {
            let refusal = Trouble::Declined("the receiver takes nothing from this peer");
            if refusals.len() < REFUSALS_MAX {
                refusals.spawn(async move { take.refuse(stream, refusal).await });
            }
        } else if let Some(guest) = guests.admit(peer) {
            let (show, is_asked) = (show.clone(), friends.is_empty() && !args.yes);
            let place = place.clone();
            sessions.spawn(async move {
                let _guest = guest;
                session(&show, &take, stream, &place, is_asked).await
            });
        }
    }
    if args.keep {
        return Ok(());
    }
    Err(Failure::new(
        "stopped before anything was received",
        "run it again: what has arrived in part counts",
    ))
}

/// One sender. Only one at a time has the place, and none who has not said what it has.
async fn session(
    show: &Show,
    take: &Take,
    stream: Stream,
    place: &Semaphore,
    is_asked: bool,
) -> Result<(), (PeerId, Trouble)> {
    let peer = stream.peer();
    let path = stream.connection().address().to_string();
    let consent = async |offer: Offer| {
        let place = place.try_acquire().map_err(|_| Trouble::Busy)?;
        if is_asked {
            ask(show, peer, &offer).await?;
        }
        Ok(place)
    };
    let received = watched(show, take, &path, take.accept(stream, consent));
    match received.await {
        Ok(_) => Ok(()),
        Err(trouble) => Err((peer, trouble)),
    }
}

/// One transfer, shown.
async fn watched(
    show: &Show,
    take: &Take,
    path: &str,
    work: impl Future<Output = Result<Received, Trouble>>,
) -> Result<Result<(), Failure>, Trouble> {
    let begun = Instant::now();
    let progress = take.progress.clone();
    let position = || {
        let before = progress.resumed.load(Ordering::Relaxed);
        Position {
            done: before.saturating_add(progress.received.load(Ordering::Relaxed)),
            before,
            total: progress.total.load(Ordering::Relaxed),
        }
    };
    let Received {
        files,
        bytes,
        moved,
    } = show.watch(path, position, work).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let resumed = progress.resumed.load(Ordering::Relaxed);
    let before = match resumed {
        0 => String::new(),
        _ => format!(", {} of them were here before", size(resumed)),
    };
    show.note(&format!(
        "received {}, {}{before}, in {seconds:.1} s by {path}: verified, in {}",
        counted(files),
        size(bytes),
        take.output.display(),
    ));
    Ok(show.event(&json!({
        "event": "received",
        "address": path,
        "output": take.output,
        "files": files,
        "bytes": bytes,
        "moved_bytes": moved,
        "resumed_bytes": resumed,
        "seconds": seconds,
    })))
}

async fn blame(show: &Show, node: &Node, peer: PeerId, trouble: &Trouble) -> Result<(), Failure> {
    match trouble {
        Trouble::Corrupt(_) => {
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
        show.note(&format!("{peer}: {trouble}; still waiting"));
    }
    show.event(&json!({"event": "failed", "peer": peer.to_string(), "error": trouble.to_string()}))
}

/// Asks the person at the terminal.
async fn ask(show: &Show, peer: PeerId, offer: &Offer) -> Result<(), Trouble> {
    let (name, what) = (offer.name.as_str(), size(offer.bytes));
    let others = match offer.entries {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    show.note(&format!(
        "{peer} wants to send {name}{others}, {what} ({})",
        hex(&offer.root[..8])
    ));
    let answer = tokio::task::spawn_blocking(|| {
        let _ = write!(stderr(), "take it? [y/N] ").and_then(|()| stderr().flush());
        let mut line = String::new();
        let _ = stdin().lock().read_line(&mut line);
        matches!(line.trim(), "y" | "Y" | "yes")
    });
    match answer.await {
        Ok(true) => Ok(()),
        _ => Err(Trouble::Declined("the receiver declined")),
    }
}

fn take(args: &Args) -> Take {
    Take {
        output: args.output.clone(),
        size_max: args.max_size,
        patience: args.common.patience(),
        progress: Arc::new(Progress::default()),
    }
}

fn ticket(text: &str) -> Result<Ticket, String> {
    text.parse()
        .map_err(|error| format!("{error}; copy it anew, as `carrick send` printed it"))
}

/// What TCP gets before everything else is tried as well.
const HEAD_START: Duration = Duration::from_secs(3);
/// Senders: one who has the place, and those who have not said yet what they have.
const SENDERS_MAX: usize = 32;
/// Peers who are being told that they may not.
const REFUSALS_MAX: usize = 32;
