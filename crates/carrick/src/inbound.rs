//! The negotiation of inbound streams: from the peer's first word to a handler, a queue, or ourselves.

use std::{pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use carrick_session::{
    Code,
    negotiate::{Listener, Request},
};
use carrick_swarm::{Limit, LimitReached};
use carrick_wire::ProtocolId;
use tokio::{sync::SemaphorePermit, time::timeout};
use tracing::debug;

use crate::{
    Stream, StreamError,
    connection::{Channel, Shared},
    core::Core,
    identify, packets, ping,
    quotas::{Permit, Quotas},
    router::Place,
    steps::{self, Step},
};

/// Negotiates a stream that the peer opened and brings it where it belongs. Runs as the stream's own task: a panicking
/// handler ends its stream and nothing else.
pub(crate) async fn serve(node: Arc<Core>, shared: Arc<Shared>, channel: Channel) {
    let mut stream = Stream::inbound(shared, channel, UNNEGOTIATED);
    steps::passed(Step::StreamAccepted);
    let negotiated = negotiate(&node, &mut stream);
    let place = match timeout(node.config.negotiation_timeout, negotiated).await {
        Ok(Ok(Some(place))) => place,
        Ok(Ok(None)) => return,
        Ok(Err(Refusal::Limit(reached))) => {
            debug!(peer = %stream.peer(), %reached, "an inbound stream was refused");
            return stream.reset(Code::LIMIT);
        }
        Ok(Err(Refusal::Failed(error))) => {
            debug!(peer = %stream.peer(), %error, "an inbound stream was not negotiated");
            return stream.refuse(Code::NEGOTIATION_FAILED);
        }
        Err(_) => {
            debug!(peer = %stream.peer(), "an inbound stream was not negotiated in time");
            return stream.reset(Code::NEGOTIATION_FAILED);
        }
    };
    if !matches!(place, Place::Ping | Place::Identify | Place::IdentifyPush) {
        stream.shared().carry();
    }
    match place {
        Place::Handler(handler, _permit, _) => {
            let (peer, protocol) = (stream.peer(), stream.protocol().clone());
            if let Some(fault) = handler(stream).await {
                debug!(%peer, %protocol, %fault, "a handler failed");
                node.blame(peer, &fault, "handler").await;
            }
        }
        Place::Queue(permit, _) => drop(permit.send(stream)),
        Place::Ping => ping::serve(stream).await,
        Place::Identify => identify::serve(&node, stream).await,
        Place::IdentifyPush => identify::serve_push(node, stream).await,
        Place::Packets(_) => packets::serve(&node, stream).await,
    }
}

const UNNEGOTIATED: ProtocolId = ProtocolId::from_static("(not negotiated)");

/// Why a stream has no protocol.
enum Refusal {
    Failed(StreamError),
    Limit(LimitReached),
}

impl From<StreamError> for Refusal {
    fn from(error: StreamError) -> Self {
        Self::Failed(error)
    }
}

impl From<LimitReached> for Refusal {
    fn from(reached: LimitReached) -> Self {
        Self::Limit(reached)
    }
}

/// A stream that is waiting for the peer's word.
struct Slot<'a> {
    _global: Permit,
    _of_connection: SemaphorePermit<'a>,
}

/// Of one connection, those that are too many wait for the others: what comes in one burst is soon dealt with.
async fn slot<'a>(quotas: &Arc<Quotas>, shared: &'a Shared) -> Result<Slot<'a>, LimitReached> {
    let limit = Limit::NegotiationsPerConnection;
    match shared.negotiations.available_permits() {
        0 => drop(quotas.refuse(limit)),
        free => quotas.saw(limit, quotas.max(limit).saturating_sub(free as u64) + 1),
    }
    let of_connection = shared.negotiations.acquire().await;
    Ok(Slot {
        _of_connection: of_connection.map_err(|_| quotas.refuse(limit))?,
        _global: quotas.permit(Limit::Negotiations)?,
    })
}

/// `None`: the peer went away before it had chosen.
async fn negotiate(node: &Core, stream: &mut Stream) -> Result<Option<Place>, Refusal> {
    let (router, shared) = (&node.router, stream.shared().clone());
    let mut slot = Some(slot(&node.quotas, &shared).await?);
    let mut listener = Listener::new();
    let mut out = Vec::new();
    loop {
        let Some(mut bytes) = stream.read_chunk().await? else {
            return Ok(None);
        };
        while !bytes.is_empty() {
            let (used, request) = match listener.recv(&bytes) {
                Ok(received) => received,
                Err(error) => {
                    // Data that followed a proposal at once makes no sense here; its sender must still hear that the
                    // proposal was refused.
                    stream.write_all(&out).await?;
                    return Err(StreamError::from(error).into());
                }
            };
            bytes = bytes.slice(used..);
            let place = match request {
                Some(Request::Protocol(protocol)) => {
                    listener.poll_transmit(&mut out);
                    let place = reserve(node, &protocol, stream, &mut out, &mut slot).await?;
                    if place.is_some() {
                        steps::passed(Step::StreamReserved);
                        listener.accept();
                    } else {
                        listener.refuse();
                    }
                    place.map(|place| (place, protocol))
                }
                Some(Request::List) => {
                    listener.list(router.protocols());
                    None
                }
                None => None,
            };
            listener.poll_transmit(&mut out);
            if let Some((place, protocol)) = place {
                return Ok(Some(confirm(stream, &out, place, protocol, bytes).await?));
            }
        }
        // An answer that is sent only when all that came was read: header and answer leave in one frame.
        stream.write_all(&out).await?;
        out.clear();
    }
}

/// A place for the stream. If it must wait for one, what there is to say is said before: streams that wait here
/// unacknowledged would fill the peer's ack backlog and keep it from opening streams for other protocols.
async fn reserve(
    node: &Core,
    protocol: &ProtocolId,
    stream: &mut Stream,
    out: &mut Vec<u8>,
    slot: &mut Option<Slot<'_>>,
) -> Result<Option<Place>, Refusal> {
    let mut place = pin!(node.router.reserve(protocol, &node.quotas));
    let place = match futures::poll!(&mut place) {
        Poll::Ready(place) => place,
        Poll::Pending => {
            // It waits for us now, and other negotiations must not wait for that.
            drop(slot.take());
            stream.write_all(out).await?;
            out.clear();
            place.await
        }
    };
    if let Some(streams) = place.as_ref().and_then(Place::streams) {
        stream.count(stream.shared().share.stream(streams)?);
    }
    Ok(place)
}

async fn confirm(
    stream: &mut Stream,
    answer: &[u8],
    place: Place,
    protocol: ProtocolId,
    mut rest: Bytes,
) -> Result<Place, StreamError> {
    match stream.write_all(answer).await {
        Ok(()) => {}
        // Over QUIC a peer may not listen any more, and what it has to say still comes.
        Err(StreamError::Reset(_)) => match futures::poll!(pin!(stream.read_chunk())) {
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Ready(Ok(Some(next))) => rest = [rest, next].concat().into(),
            Poll::Ready(Ok(None)) | Poll::Pending => {}
        },
        Err(error) => return Err(error),
    }
    stream.set_protocol(protocol);
    stream.unread(rest);
    steps::passed(Step::StreamConfirmed);
    Ok(place)
}
