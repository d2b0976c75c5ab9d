//! The ping protocol's streams (specs/ping): one of ours on each connection, kept between pings, and at most two of the
//! peer's. What they say is decided in `carrick-protocols`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use carrick_protocols::ping::{self, Pinger, Responder};
use carrick_session::Code;
use tokio::time::timeout;
use tracing::debug;

use crate::{
    PingError, Stream, StreamError,
    connection::{Channel, Shared},
    open,
};

/// One round trip on the connection's ping stream, which is opened when it is first needed and when the peer has ended it:
/// many stacks do so after some seconds without a ping.
pub(crate) async fn ping(shared: &Arc<Shared>) -> Result<Duration, PingError> {
    // Whoever is before us has deadlines, but may have stopped looking at them.
    let parked = timeout(2 * ping::TIMEOUT, shared.ping.lock()).await;
    let mut parked = parked.map_err(|_| PingError::TimedOut)?;
    if let Some(channel) = parked.take() {
        let stream = Stream::resume(shared.clone(), channel, ping::PROTOCOL);
        match round_on(stream, &mut parked).await {
            Err(PingError::Stream(StreamError::Reset(_) | StreamError::EndedEarly)) => {}
            outcome => return outcome,
        }
    }
    round_on(open::open_own(shared, ping::PROTOCOL).await?, &mut parked).await
}

async fn round_on(mut stream: Stream, parked: &mut Option<Channel>) -> Result<Duration, PingError> {
    stream.unhold();
    let rtt = timeout(ping::TIMEOUT, round(&mut stream))
        .await
        .map_err(|_| PingError::TimedOut)?;
    if let Err(PingError::Protocol(
        wrong @ (ping::PingError::Mismatch | ping::PingError::Unsolicited),
    )) = &rtt
    {
        stream.shared().lose((*wrong).into());
    }
    let rtt = rtt?;
    stream.shared().pinged(rtt);
    *parked = stream.park();
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
    let Ok(permit) = shared.inbound_pings.try_acquire() else {
        return stream.reset(Code::LIMIT);
    };
    let mut echoed = echo_pings(&mut stream).await;
    // Before the end is said: with that the peer may open another.
    drop(permit);
    if echoed.is_ok() {
        echoed = stream.finish().await.map_err(PingError::Stream);
    }
    if let Err(error) = echoed {
        debug!(peer = %shared.peer, %error, "an inbound ping stream failed");
    }
}

async fn echo_pings(stream: &mut Stream) -> Result<(), PingError> {
    let mut responder = Responder::default();
    let mut echo = Vec::new();
    while let Some(bytes) = stream.read_chunk().await.map_err(PingError::Stream)? {
        responder.recv(&bytes, &mut echo);
        stream.write_all(&echo).await.map_err(PingError::Stream)?;
        echo.clear();
    }
    Ok(responder.finish()?)
}
