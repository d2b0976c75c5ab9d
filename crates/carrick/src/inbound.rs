//! The negotiation of inbound streams: from the peer's first word to a handler, a queue, or ourselves.

use std::{pin::pin, sync::Arc, task::Poll, time::Instant};

use bytes::Bytes;
use carrick_session::{
    Code,
    negotiate::{Listener, Request},
};
use carrick_swarm::LimitReached;
use carrick_wire::ProtocolId;
use tokio::time::timeout;
use tracing::debug;

use crate::{
    Stream, StreamError,
    connection::{
        Channel, Shared,
        arrivals::{Arrival, Newcomer},
    },
    core::Core,
    identify, packets, ping,
    quotas::Permit,
    router::Place,
    steps::{self, Step},
};

/// Takes a stream that the peer has opened.
pub(crate) fn arrive(node: &Arc<Core>, shared: &Arc<Shared>, channel: Channel) {
    let since = Instant::now();
    match shared
        .arrivals
        .arrive(Newcomer { channel, since }, &node.quotas)
    {
        Arrival::Begins(newcomer, permit) => begin(node, shared, newcomer, Ok(permit)),
        Arrival::Refused(newcomer, reached) => begin(node, shared, newcomer, Err(reached)),
        Arrival::Waits { is_first: true } => {
            drop(tokio::spawn(call(node.clone(), shared.clone())));
        }
        Arrival::Waits { is_first: false } => {}
    }
}

/// Lets those who wait begin, each when it is its turn. What comes in one burst is soon dealt with.
async fn call(node: Arc<Core>, shared: Arc<Shared>) {
    // Streams that nobody has looked at are no reason to close a connection.
    shared.hold_stream();
    while let Some((newcomer, turn)) = shared.arrivals.call(&node.quotas).await {
        if shared.lost().is_some() || newcomer.channel.is_reset(&shared) {
            drop(turn.map(|permit| Slot::new(&shared, permit)));
            newcomer.channel.release(&shared, false);
        } else {
            begin(&node, &shared, newcomer, turn);
        }
    }
    shared.unhold_stream();
}

fn begin(
    node: &Arc<Core>,
    shared: &Arc<Shared>,
    newcomer: Newcomer,
    turn: Result<Permit, LimitReached>,
) {
    let stream = Stream::inbound(shared.clone(), newcomer.channel, UNNEGOTIATED);
    match turn {
        Ok(permit) => {
            let slot = Slot::new(shared, permit);
            drop(tokio::spawn(serve(
                node.clone(),
                stream,
                slot,
                newcomer.since,
            )));
        }
        Err(reached) => refuse(stream, &reached),
    }
}

fn refuse(stream: Stream, reached: &LimitReached) {
    debug!(peer = %stream.peer(), %reached, "an inbound stream was refused");
    stream.reset(Code::LIMIT);
}

/// Negotiates a stream that the peer opened and brings it where it belongs. Runs as the stream's own task: a panicking
/// handler ends its stream and nothing else.
async fn serve(node: Arc<Core>, mut stream: Stream, slot: Slot, since: Instant) {
    steps::passed(Step::StreamAccepted);
    // Whoever has waited for too long is still asked once: it may have said everything long ago.
    let time = node.config.negotiation_timeout;
    let time = time.saturating_sub(since.elapsed());
    let negotiated = negotiate(&node, &mut stream, slot);
    let place = match timeout(time, negotiated).await {
        Ok(Ok(Some(place))) => place,
        Ok(Ok(None)) => return,
        Ok(Err(Refusal::Limit(reached))) => return refuse(stream, &reached),
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
                Box::pin(node.blame(peer, &fault, "handler")).await;
            }
        }
        Place::Queue(permit, _) => drop(permit.send(stream)),
        // Boxed, since every stream's task would carry the room for them.
        Place::Ping => Box::pin(ping::serve(stream)).await,
        Place::Identify => Box::pin(identify::serve(&node, stream)).await,
        Place::IdentifyPush => Box::pin(identify::serve_push(node, stream)).await,
        Place::Packets(_) => Box::pin(packets::serve(&node, stream)).await,
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

/// A stream that is waiting for the peer's word. Whoever is called next finds the permit free.
struct Slot {
    _permit: Permit,
    _place: InLine,
}

/// Leaves when it is dropped.
struct InLine(Arc<Shared>);

impl Slot {
    fn new(shared: &Arc<Shared>, permit: Permit) -> Self {
        Self {
            _permit: permit,
            _place: InLine(shared.clone()),
        }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.arrivals.leave();
    }
}

/// `None`: the peer went away before it had chosen.
async fn negotiate(node: &Core, stream: &mut Stream, slot: Slot) -> Result<Option<Place>, Refusal> {
    let (router, mut slot) = (&node.router, Some(slot));
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
    slot: &mut Option<Slot>,
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
