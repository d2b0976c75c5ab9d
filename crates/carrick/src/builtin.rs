//! The protocols that every node speaks: ping, identify and its push. What they say is decided in `carrick-protocols`; here
//! are the streams.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use carrick_protocols::{
    identify::{self, Collector},
    ping::{self, Pinger, Responder},
};
use carrick_session::Code;
use tokio::time::timeout;
use tracing::debug;

use crate::{
    PingError, Stream,
    connection::Shared,
    control::Message,
    info::Info,
    node::{Inner, open_on},
};

/// How long an identify exchange may take.
pub(crate) const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that a peer of unknown make is asked to bear: some stacks end the connection at 512.
pub(crate) const FOREIGN_STREAMS_MAX: usize = 480;
/// How agents of this stack are known.
pub(crate) const AGENT: &str = concat!("carrick/", env!("CARGO_PKG_VERSION"));

/// The one outbound ping stream of a connection.
pub(crate) struct PingStream {
    stream: Stream,
    pinger: Pinger,
}

/// One round trip on the connection's ping stream, which is opened when it is first needed (specs/ping: at most one).
pub(crate) async fn ping(node: &Arc<Inner>, shared: &Arc<Shared>) -> Result<Duration, PingError> {
    let mut slot = shared.ping.lock().await;
    let mut ping = match slot.take() {
        Some(ping) => ping,
        None => {
            let mut stream = open_on(node, shared, vec![ping::PROTOCOL]).await?;
            stream.unhold();
            PingStream {
                stream,
                pinger: Pinger::default(),
            }
        }
    };
    let rtt = timeout(ping::TIMEOUT, ping.round())
        .await
        .map_err(|_| PingError::TimedOut)??;
    if shared.is_open() {
        *slot = Some(ping);
    }
    Ok(rtt)
}

impl PingStream {
    async fn round(&mut self) -> Result<Duration, PingError> {
        let payload = self.pinger.start(Instant::now(), rand::random());
        self.stream
            .write_all(&payload)
            .await
            .map_err(PingError::Stream)?;
        while let Some(bytes) = self.stream.read_chunk().await.map_err(PingError::Stream)? {
            if let Some(rtt) = self.pinger.recv(Instant::now(), &bytes)? {
                return Ok(rtt);
            }
        }
        self.pinger.finish()?;
        Err(PingError::Stream(crate::StreamError::EndedEarly))
    }
}

/// Echoes pings until the peer finishes.
pub(crate) async fn serve_ping(mut stream: Stream) {
    stream.unhold();
    let shared = stream.shared().clone();
    if shared.inbound_pings.fetch_add(1, Ordering::Relaxed) >= ping::INBOUND_MAX {
        stream.reset(Code::LIMIT);
    } else if let Err(error) = echo_pings(&mut stream).await {
        debug!(peer = %shared.peer, %error, "an inbound ping stream failed");
    }
    shared.inbound_pings.fetch_sub(1, Ordering::Relaxed);
}

async fn echo_pings(stream: &mut Stream) -> Result<(), PingError> {
    let mut responder = Responder::default();
    let mut echo = Vec::new();
    while let Some(bytes) = stream.read_chunk().await.map_err(PingError::Stream)? {
        responder.recv(&bytes, &mut echo);
        stream.write_all(&echo).await.map_err(PingError::Stream)?;
        echo.clear();
    }
    responder.finish()?;
    stream.finish().await.map_err(PingError::Stream)
}

/// Tells the peer who we are.
pub(crate) async fn serve_identify(node: &Inner, mut stream: Stream) {
    stream.unhold();
    tell(node, &mut stream).await;
}

async fn tell(node: &Inner, stream: &mut Stream) {
    let message = node.identify(Some(&stream.shared().address));
    let told = timeout(IDENTIFY_TIMEOUT, async {
        stream.write_all(&message).await?;
        stream.finish().await
    });
    if let Ok(Err(error)) = told.await {
        debug!(peer = %stream.peer(), %error, "identify was not sent");
    }
}

/// Asks the peer who it is.
pub(crate) async fn identify(node: Arc<Inner>, shared: Arc<Shared>) {
    let ask = async {
        let stream = open_on(&node, &shared, vec![identify::PROTOCOL])
            .await
            .map_err(|error| error.to_string())?;
        collect(stream).await
    };
    match timeout(IDENTIFY_TIMEOUT, ask).await {
        Ok(Ok(info)) => {
            learn(&shared, Info::new(shared.peer, &shared.key, &info));
            node.send(Message::Identified {
                connection: shared.id,
                info,
                push: false,
            })
            .await;
        }
        Ok(Err(error)) => debug!(peer = %shared.peer, %error, "the peer was not identified"),
        Err(_) => debug!(peer = %shared.peer, "the peer was not identified in time"),
    }
}

/// Tells the peer what has changed.
pub(crate) async fn push(node: Arc<Inner>, shared: Arc<Shared>) {
    // Peers that do not know the push are not told; that is no failure.
    if let Ok(mut stream) = open_on(&node, &shared, vec![identify::PUSH_PROTOCOL]).await {
        stream.unhold();
        tell(&node, &mut stream).await;
    }
}

/// Hears what has changed.
pub(crate) async fn serve_push(node: &Inner, stream: Stream) {
    let shared = stream.shared().clone();
    match timeout(IDENTIFY_TIMEOUT, collect(stream)).await {
        Ok(Ok(push)) => {
            let known = shared.info.borrow().clone();
            if let Some(known) = known {
                learn(&shared, known.updated(&push));
            }
            node.send(Message::Identified {
                connection: shared.id,
                info: push,
                push: true,
            })
            .await;
        }
        Ok(Err(error)) => {
            debug!(peer = %shared.peer, %error, "an identify push was not understood")
        }
        Err(_) => debug!(peer = %shared.peer, "an identify push did not end in time"),
    }
}

async fn collect(mut stream: Stream) -> Result<identify::Info, String> {
    stream.unhold();
    // Nothing of ours is left to say. A peer that cannot take the end of our side still tells us what we asked.
    let _ = stream.finish().await;
    let mut collector = Collector::new(stream.peer());
    while let Some(bytes) = stream
        .read_chunk()
        .await
        .map_err(|error| error.to_string())?
    {
        collector.recv(&bytes).map_err(|error| error.to_string())?;
    }
    collector.finish().map_err(|error| error.to_string())
}

fn learn(shared: &Shared, info: Info) {
    *shared
        .spoken
        .write()
        .unwrap_or_else(PoisonError::into_inner) = info.protocols.iter().cloned().collect();
    if info
        .agent
        .as_deref()
        .is_some_and(|agent| agent.contains("carrick/"))
    {
        shared.with(|state| state.mux.set_outbound_max(shared.outbound_max));
    }
    shared.info.send_replace(Some(Arc::new(info)));
}
