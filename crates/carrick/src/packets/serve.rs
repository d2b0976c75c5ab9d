//! Flows that the peer opens: the control stream is negotiated, what follows names the application's protocol.

use std::sync::Arc;

use carrick_protocols::packets as machine;
use carrick_session::Code;
use carrick_wire::{ProtocolId, packets as codec};
use tokio::time::timeout;
use tracing::debug;

use super::Packets;
use crate::{
    AcceptError, Stream, StreamError,
    core::Core,
    router::{Outcome, Router},
};

/// Registers a handler.
pub(crate) fn register<F, R>(
    router: &Router,
    protocol: ProtocolId,
    handler: F,
) -> Result<(), AcceptError>
where
    F: Fn(Packets) -> R + Send + Sync + 'static,
    R: Future<Output: Outcome> + Send + 'static,
{
    let handler = Arc::new(handler);
    let named = protocol.clone();
    let start = move |stream: Stream| {
        let (handler, protocol) = (handler.clone(), named.clone());
        async move {
            let packets = Packets::start(stream, protocol)?;
            handler(packets).await.fault().map_or(Ok(()), Err)
        }
    };
    router.handle_packets(protocol, start)
}

/// Serves a control stream, or a stream that stands in for datagrams.
pub(crate) async fn serve(node: &Core, mut stream: Stream) {
    let peer = stream.peer();
    stream.shared().read_datagrams();
    if *stream.protocol() == machine::PROTOCOL && !stream.shared().has_datagrams() {
        debug!(%peer, "a flow of packets on a connection without datagrams was refused");
        return stream.reset(Code::NEGOTIATION_FAILED);
    }
    let limit = stream.shared().negotiation_timeout;
    let protocol = match timeout(limit, opening(&mut stream)).await {
        Ok(Ok(protocol)) => protocol,
        Ok(Err(error)) => {
            debug!(%peer, %error, "a flow of packets was not opened");
            return stream.reset(Code::NEGOTIATION_FAILED);
        }
        Err(_) => {
            debug!(%peer, "a flow of packets was not opened in time");
            return stream.reset(Code::NEGOTIATION_FAILED);
        }
    };
    match node.router.packets(&protocol) {
        Some(Some((handler, _permit))) => {
            if let Some(fault) = handler(stream).await {
                debug!(%peer, %protocol, %fault, "a handler of packets failed");
                node.blame(peer, &fault, "handler").await;
            }
        }
        Some(None) => stream.reset(Code::LIMIT),
        // The draft does not say how an application's protocol is refused. This is what the peer's datagrams may
        // meet already, so nothing but the stream's end can tell it.
        None => stream.reset(Code::NEGOTIATION_FAILED),
    }
}

/// Reads which protocol the flow is for.
async fn opening(stream: &mut Stream) -> Result<ProtocolId, StreamError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = stream.read_chunk().await?.ok_or(StreamError::EndedEarly)?;
        let before = bytes.len();
        // More than the longest name is not kept; it is the peer's first packets, on a stream that stands in.
        bytes.extend_from_slice(&chunk[..chunk.len().min(OPENING_MAX)]);
        let limit = OPENING_MAX;
        let opened = codec::decode_opening(&bytes).map_err(|_| StreamError::TooLong { limit })?;
        if let Some((protocol, used)) = opened {
            stream.unread(chunk.slice(used - before..));
            return Ok(protocol);
        }
    }
}

/// The longest name, with its length.
const OPENING_MAX: usize = ProtocolId::LEN_MAX + 2;
