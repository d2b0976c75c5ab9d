//! Who takes the inbound streams of which protocol: a socket that a program listens on, a program that takes calls, or the
//! daemon itself. Several may take turns.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use carrick::{
    Code, Incoming, Node, ProtocolId, Stream,
    p2pd::{Endpoint, StreamInfo},
};
use tokio::{
    io::AsyncWriteExt,
    sync::{Mutex, Semaphore},
    task::JoinHandle,
    time::timeout,
};
use tracing::debug;

use super::{program::Program, service::address};
use crate::{relay::relay, socket::Socket};

/// Who takes a stream.
#[derive(Clone, PartialEq)]
pub(super) enum Handler {
    /// The daemon, which sends everything back.
    Echo,
    /// Whoever listens there.
    Socket(Endpoint),
    /// A program with a socket for calls.
    Program(Program),
}

/// All of them.
pub(super) struct Handlers {
    node: Node,
    /// Held while a protocol is given up, so that whoever wants it next finds it free.
    table: Mutex<HashMap<ProtocolId, Entry>>,
    streams: Arc<Semaphore>,
}

struct Entry {
    /// The first one is next; never empty.
    turns: VecDeque<Handler>,
    accepting: JoinHandle<()>,
}

impl Handlers {
    pub(super) fn new(node: Node) -> Arc<Self> {
        Arc::new(Self {
            node,
            table: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        })
    }

    /// Adds a handler; `balanced`: beside those that are there, `None`: in their stead.
    pub(super) async fn add(
        self: &Arc<Self>,
        protocol: &ProtocolId,
        handler: Handler,
        balanced: Option<bool>,
    ) -> Result<(), String> {
        let mut table = self.table.lock().await;
        let full = table.len() >= PROTOCOLS_MAX;
        let Some(entry) = table.get_mut(protocol) else {
            if full {
                return Err(format!("more than {PROTOCOLS_MAX} protocols are handled"));
            }
            let incoming = self
                .node
                .accept(protocol)
                .map_err(|error| error.to_string())?;
            let accepting = tokio::spawn(self.clone().accept(protocol.clone(), incoming));
            let turns = VecDeque::from([handler]);
            table.insert(protocol.clone(), Entry { turns, accepting });
            return Ok(());
        };
        let ours = entry.turns.contains(&Handler::Echo);
        match balanced {
            _ if ours => entry.turns = VecDeque::from([handler]),
            None => entry.turns = VecDeque::from([handler]),
            Some(false) => return Err(format!("handler for protocol {protocol} already set")),
            Some(true) if entry.turns.len() >= TURNS_MAX => {
                return Err(format!(
                    "more than {TURNS_MAX} handlers for protocol {protocol}"
                ));
            }
            Some(true) => entry.turns.push_back(handler),
        }
        Ok(())
    }

    /// Takes one away; the last one gives up the protocol.
    pub(super) async fn remove(
        &self,
        protocol: &ProtocolId,
        handler: &Handler,
    ) -> Result<(), String> {
        let mut table = self.table.lock().await;
        let entry = table
            .get_mut(protocol)
            .ok_or_else(|| format!("handler for protocol {protocol} does not exist"))?;
        let at = entry.turns.iter().position(|one| one == handler);
        let at = at.ok_or_else(|| match handler {
            Handler::Socket(endpoint) => {
                format!("handler for protocol {protocol} with maddr {endpoint} does not exist")
            }
            Handler::Program(_) | Handler::Echo => format!(
                "handler for protocol {protocol} was not created in this persistent connection"
            ),
        })?;
        entry.turns.remove(at);
        if entry.turns.is_empty()
            && let Some(entry) = table.remove(protocol)
        {
            entry.accepting.abort();
            // Its end gives the protocol back.
            let _ = entry.accepting.await;
        }
        Ok(())
    }

    async fn accept(self: Arc<Self>, protocol: ProtocolId, mut incoming: Incoming) {
        while let Some(stream) = incoming.next().await {
            let Ok(permit) = self.streams.clone().try_acquire_owned() else {
                stream.reset(Code::LIMIT);
                continue;
            };
            let next = self.next(&protocol).await;
            tokio::spawn(async move {
                match next {
                    None => stream.reset(Code::NONE),
                    Some(handler) => handler.take(stream).await,
                }
                drop(permit);
            });
        }
    }

    async fn next(&self, protocol: &ProtocolId) -> Option<Handler> {
        let mut table = self.table.lock().await;
        let turns = &mut table.get_mut(protocol)?.turns;
        turns.rotate_left(1);
        turns.back().cloned()
    }
}

impl Handler {
    async fn take(self, mut stream: Stream) {
        let done = match self {
            Self::Echo => stream.echo().await.map_err(|error| error.to_string()),
            Self::Socket(endpoint) => bring(stream, &endpoint).await,
            Self::Program(program) => program.take(stream).await,
        };
        if let Err(error) = done {
            debug!(error, "an inbound stream was not served");
        }
    }
}

/// Connects to the program, says whose stream it is, and then carries it.
async fn bring(stream: Stream, endpoint: &Endpoint) -> Result<(), String> {
    let info = StreamInfo {
        peer: stream.peer(),
        address: stream.connection().address().clone(),
        protocol: stream.protocol().clone(),
    };
    let connect = async {
        let mut socket = Socket::connect(&address(endpoint)).await?;
        socket.write_all(&info.encode()).await?;
        std::io::Result::Ok(socket)
    };
    let socket = match timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            stream.reset(Code::NONE);
            return Err(format!("{endpoint}: {error}"));
        }
        Err(late) => {
            stream.reset(Code::NONE);
            return Err(format!("{endpoint}: {late}"));
        }
    };
    let carried = relay(stream, socket).await;
    carried.map(drop).map_err(|error| error.to_string())
}

/// Protocols that programs handle.
const PROTOCOLS_MAX: usize = 1024;
/// Handlers of one protocol.
const TURNS_MAX: usize = 256;
/// Inbound streams that are served at once.
const STREAMS_MAX: usize = 4096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
