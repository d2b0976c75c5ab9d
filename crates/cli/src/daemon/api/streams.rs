//! `streams_*`: sockets of this machine that stand for protocols of peers, and the other way round. Each forward is a task; it
//! ends, and its streams with it, when it is stopped or the daemon ends.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use carrick::{Code, Incoming, IntoTarget, Node, ProtocolId, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::debug;

use super::{Api, Context, Nothing, Outcome, failed, invalid, parsed};
use crate::{
    failure::Failure,
    relay::relay,
    socket::{self, Address, Listener, Socket},
};

/// Forwards at once.
const FORWARDS_MAX: usize = 64;
/// Streams of one forward at once; further ones wait.
const STREAMS_MAX: usize = 256;
/// How long a program of this machine may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nobody is taken after the system had no socket to give.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inbound {
    #[serde(deserialize_with = "parsed")]
    protocol: ProtocolId,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outbound {
    at: String,
    target: String,
    #[serde(deserialize_with = "parsed")]
    protocol: ProtocolId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    forward: u64,
}

pub(super) fn register(api: &mut Api) {
    api.method("streams_forward", inbound);
    api.method("streams_listen", outbound);
    api.method("streams_list", |context, Nothing {}| async move {
        Ok(context.forwards.all().values().map(row).collect())
    });
    api.method("streams_stop", |context, Stop { forward }| async move {
        Ok(Value::Bool(
            context.forwards.all().remove(&forward).is_some(),
        ))
    });
}

/// All forwards, by number.
#[derive(Default)]
pub(super) struct Forwards(Mutex<BTreeMap<u64, Forward>>);

struct Forward {
    number: u64,
    /// Where the peer's streams go is inbound.
    direction: &'static str,
    protocol: ProtocolId,
    address: Address,
    target: Option<String>,
    tally: Arc<Tally>,
    task: AbortHandle,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What has become of the streams.
#[derive(Default)]
struct Tally {
    open: AtomicU64,
    total: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Tally {
    fn last_error(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forwards {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Forward>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs it, unless there are too many.
    fn add<F>(&self, mut forward: Forward, run: impl FnOnce(Arc<Tally>) -> F) -> Outcome
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut all = self.all();
        if all.len() >= FORWARDS_MAX {
            return Err(failed(Failure::new(
                format!("there are {FORWARDS_MAX} forwards already"),
                "stop one: streams_list, streams_stop",
            )));
        }
        let last = all.last_key_value().map_or(0, |(number, _)| *number);
        forward.number = last.saturating_add(1);
        forward.task = tokio::spawn(run(forward.tally.clone())).abort_handle();
        let row = row(&forward);
        all.insert(forward.number, forward);
        Ok(row)
    }
}

async fn inbound(context: Arc<Context>, Inbound { protocol, to }: Inbound) -> Outcome {
    let address = address(&to)?;
    let incoming = context.node.accept(&protocol).map_err(|error| {
        failed(Failure::new(
            error,
            "choose another protocol, or stop what has it",
        ))
    })?;
    let forward = Forward::new("inbound", protocol, address.clone(), None);
    context
        .forwards
        .add(forward, |tally| bring_in(incoming, address, tally))
}

async fn outbound(
    context: Arc<Context>,
    Outbound {
        at,
        target,
        protocol,
    }: Outbound,
) -> Outcome {
    let wanted = address(&at)?;
    (&*target)
        .into_target()
        .map_err(|error| invalid(&error.to_string()))?;
    let listener = Listener::bind(&wanted).await.map_err(failed)?;
    let address = listener.address();
    if let Address::Tcp(local) = &address
        && !local
            .parse::<SocketAddr>()
            .is_ok_and(|local| local.ip().is_loopback())
    {
        return Err(failed(Failure::new(
            format!("others than this machine can reach {local}"),
            "listen on 127.0.0.1, on [::1] or on a Unix socket",
        )));
    }
    let forward = Forward::new("outbound", protocol.clone(), address, Some(target.clone()));
    let node = context.node.clone();
    context.forwards.add(forward, |tally| {
        bring_out(listener, node, target, protocol, tally)
    })
}

impl Forward {
    fn new(
        direction: &'static str,
        protocol: ProtocolId,
        address: Address,
        target: Option<String>,
    ) -> Self {
        Self {
            number: 0,
            direction,
            protocol,
            address,
            target,
            tally: Arc::default(),
            task: tokio::spawn(async {}).abort_handle(),
        }
    }
}

fn row(forward: &Forward) -> Value {
    json!({
        "forward": forward.number,
        "direction": forward.direction,
        "protocol": forward.protocol.as_str(),
        "address": forward.address.to_string(),
        "target": forward.target,
        "open": forward.tally.open.load(Relaxed),
        "total": forward.tally.total.load(Relaxed),
        "failed": forward.tally.failed.load(Relaxed),
        "last_error": *forward.tally.last_error(),
    })
}

/// A Unix socket's path, or a host and a port.
fn address(text: &str) -> Result<Address, jsonrpsee::types::ErrorObjectOwned> {
    if text.starts_with('/') {
        return Ok(Address::Unix(PathBuf::from(text)));
    }
    let tcp = socket::tcp(text).map(Address::Tcp);
    tcp.map_err(|error| invalid(&format!("{error}, or /path/of/a.sock")))
}

/// Streams of peers to a socket.
async fn bring_in(mut incoming: Incoming, address: Address, tally: Arc<Tally>) {
    let mut moves = Moves::new(tally);
    loop {
        let place = moves.place().await;
        let Some(stream) = incoming.next().await else {
            return;
        };
        let address = address.clone();
        moves.start(place, async move {
            match timeout(CONNECT_TIMEOUT, Socket::connect(&address)).await {
                Ok(Ok(socket)) => moved(relay(stream, socket).await),
                Ok(Err(error)) => {
                    stream.reset(Code::NONE);
                    Err(format!("nobody answers at {address}: {error}"))
                }
                Err(_) => {
                    stream.reset(Code::NONE);
                    Err(format!("nobody answers at {address}"))
                }
            }
        });
    }
}

/// Connections to a socket to a peer.
async fn bring_out(
    listener: Listener,
    node: Node,
    target: String,
    protocol: ProtocolId,
    tally: Arc<Tally>,
) {
    let mut moves = Moves::new(tally);
    loop {
        let place = moves.place().await;
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                debug!(%error, "no connection was taken");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (node, target, protocol) = (node.clone(), target.clone(), protocol.clone());
        moves.start(place, async move {
            match open(&node, &target, &protocol).await {
                Ok(stream) => moved(relay(stream, socket).await),
                Err(failure) => {
                    socket.reset();
                    Err(failure.to_string())
                }
            }
        });
    }
}

async fn open(node: &Node, target: &str, protocol: &ProtocolId) -> Result<Stream, Failure> {
    let mut stream = node.open_stream(target, protocol).await?;
    stream.confirm().await?;
    Ok(stream)
}

fn moved(outcome: io::Result<(u64, u64)>) -> Result<(), String> {
    outcome.map(|_| ()).map_err(|error| error.to_string())
}

/// The streams of one forward.
struct Moves {
    tally: Arc<Tally>,
    places: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

type Place = Option<tokio::sync::OwnedSemaphorePermit>;

impl Moves {
    fn new(tally: Arc<Tally>) -> Self {
        Self {
            tally,
            places: Arc::new(Semaphore::new(STREAMS_MAX)),
            tasks: JoinSet::new(),
        }
    }

    async fn place(&mut self) -> Place {
        while self.tasks.try_join_next().is_some() {}
        // It is never closed.
        self.places.clone().acquire_owned().await.ok()
    }

    fn start(
        &mut self,
        place: Place,
        moving: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let tally = self.tally.clone();
        tally.total.fetch_add(1, Relaxed);
        tally.open.fetch_add(1, Relaxed);
        self.tasks.spawn(async move {
            if let Err(error) = moving.await {
                tally.failed.fetch_add(1, Relaxed);
                *tally.last_error() = Some(error);
            }
            tally.open.fetch_sub(1, Relaxed);
            drop(place);
        });
    }
}
