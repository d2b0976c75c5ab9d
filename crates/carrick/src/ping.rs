//! The ping protocol's streams (specs/ping): one of ours on each connection, kept between pings, and at most two of the
//! peer's. What they say is decided in `carrick-protocols`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use carrick_protocols::ping::{self, Pinger, Responder};
use carrick_session::Code;
use tokio::time::timeout;
use tracing::debug;

use crate::{PingError, Stream, StreamError, connection::Shared, open};

/// One round trip on the connection's ping stream, which is opened when it is first needed.
pub(crate) async fn ping(shared: &Arc<Shared>) -> Result<Duration, PingError> {
    let mut parked = shared.ping.lock().await;
    let mut stream = match parked.take() {
        Some(key) => Stream::resume(shared.clone(), key, ping::PROTOCOL),
        None => open::open_own(shared, ping::PROTOCOL).await?,
    };
    stream.unhold();
    let rtt = timeout(ping::TIMEOUT, round(&mut stream))
        .await
        .map_err(|_| PingError::TimedOut)??;
    *parked = Some(stream.park());
    Ok(rtt)
}

async fn round(stream: &mut Stream) -> Result<Duration, PingError> {
    let mut pinger = Pinger::default();
    let payload = pinger.start(Instant::now(), rand::random());
    stream
        .write_all(&payload)
        .await
        .map_err(PingError::Stream)?;
    while let Some(bytes) = stream.read_chunk().await.map_err(PingError::Stream)? {
        if let Some(rtt) = pinger.recv(Instant::now(), &bytes)? {
            return Ok(rtt);
        }
    }
    pinger.finish()?;
    Err(PingError::Stream(StreamError::EndedEarly))
}

/// Echoes pings until the peer finishes.
pub(crate) async fn serve(mut stream: Stream) {
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
