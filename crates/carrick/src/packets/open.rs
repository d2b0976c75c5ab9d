//! Opening a flow: a connection with datagrams is found, or dialed, or it is said why there is none.

use std::sync::Arc;

use carrick_protocols::packets as machine;
use carrick_wire::{Multiaddr, Protocol, ProtocolId, packets as codec};
use tokio::{sync::oneshot, time::timeout};

use super::{NoPackets, Packets, PacketsError, PacketsOptions, flow};
use crate::{
    Code, Connection, DialOptions, OpenError, StreamError, connection::Shared, core::Core,
    message::Message, open, target::Target,
};

/// A flow to the target.
pub(crate) async fn to(
    node: &Core,
    target: Target,
    protocol: ProtocolId,
    options: PacketsOptions,
) -> Result<Packets, PacketsError> {
    let first = once(node, target.clone(), protocol.clone(), options).await;
    match first {
        // It ended under our hands; the peer has not taken the flow. Another connection will do.
        Err(PacketsError::Open(OpenError::Stream(
            StreamError::ConnectionLost(_) | StreamError::Reset(Code::SHUTDOWN),
        ))) => once(node, target, protocol, options).await,
        outcome => outcome,
    }
}

async fn once(
    node: &Core,
    target: Target,
    protocol: ProtocolId,
    options: PacketsOptions,
) -> Result<Packets, PacketsError> {
    let found = find(node, target, options).await?;
    if found.shared().has_datagrams() {
        return over(found.shared(), protocol, machine::PROTOCOL).await;
    }
    let peer = found.peer();
    if options.fallback_to_stream {
        return over(found.shared(), protocol, machine::STREAM_PROTOCOL).await;
    }
    let reason = match found.shared().datagrams() {
        Some(_) => NoPackets::Disabled,
        None => NoPackets::Transport(found.address().clone()),
    };
    Err(PacketsError::Unsupported { peer, reason })
}

/// A connection to the target, with datagrams if one can be had.
async fn find(
    node: &Core,
    target: Target,
    options: PacketsOptions,
) -> Result<Connection, PacketsError> {
    if let Some(peer) = target.peer {
        let (reply, all) = oneshot::channel();
        node.send(Message::Connections { peer, reply }).await;
        let usable = |connection: &Connection| {
            connection.shared().is_open() && connection.shared().has_datagrams()
        };
        // A closed node does not answer.
        if let Some(connection) = all.await.unwrap_or_default().into_iter().find(usable) {
            return Ok(connection);
        }
    }
    let mut quic = quic_addresses(&target.addresses);
    let existing = target.peer.and_then(|peer| node.connected(&peer));
    let mut other = existing.map(Connection::new);
    if quic.is_empty() {
        let connection = match other {
            Some(connection) => connection,
            None => dial(node, target.clone(), DialOptions::default()).await?,
        };
        // It is QUIC already, and if the peer has not enabled datagrams on this connection, it will on no other.
        if connection.shared().datagrams().is_some() {
            return Ok(connection);
        }
        if let Some(info) = connection.info().await {
            quic = quic_addresses(&info.addresses);
        }
        other = Some(connection);
    }
    if quic.is_empty() {
        return other.map_or_else(
            || Err(OpenError::from(crate::TargetError::Empty).into()),
            Ok,
        );
    }
    let peer = target.peer.or_else(|| other.as_ref().map(Connection::peer));
    let only_quic = Target {
        peer,
        addresses: quic,
    };
    let how = DialOptions {
        force_new: other.is_some(),
        only_given: true,
    };
    match dial(node, only_quic, how).await {
        Err(_) if options.fallback_to_stream => match other {
            Some(connection) => Ok(connection),
            None => Ok(dial(node, target, DialOptions::default()).await?),
        },
        dialed => Ok(dialed?),
    }
}

async fn dial(node: &Core, target: Target, how: DialOptions) -> Result<Connection, OpenError> {
    Ok(node.connect(target, how).await?)
}

fn quic_addresses(all: &[Multiaddr]) -> Vec<Multiaddr> {
    let is_quic = |address: &&Multiaddr| {
        let mut parts = address.iter();
        parts.any(|part| part == Protocol::QuicV1)
            // Behind it may stand what is another transport.
            && parts.all(|part| matches!(part, Protocol::P2p(_)))
    };
    all.iter().filter(is_quic).cloned().collect()
}

/// A flow over this connection, by datagrams or on a stream.
async fn over(
    shared: &Arc<Shared>,
    protocol: ProtocolId,
    carrier: ProtocolId,
) -> Result<Packets, PacketsError> {
    let peer = shared.peer;
    shared.read_datagrams();
    let opened = open::open(shared, vec![carrier.clone()]).await;
    let mut stream = opened.map_err(|error| match error {
        OpenError::Unsupported { .. } => PacketsError::Unsupported {
            peer,
            reason: NoPackets::Protocol(carrier),
        },
        error => PacketsError::Open(error),
    })?;
    let mut opening = Vec::new();
    codec::encode_opening(&protocol, &mut opening);
    // The flow is there before the peer can answer it.
    let flow = Packets::prepare(&stream, protocol.clone())?;
    let after = shared.negotiation_timeout;
    match timeout(after, stream.write_all(&opening)).await {
        Ok(Ok(())) => Ok(Packets::run(flow, stream)),
        Ok(Err(error @ StreamError::Reset(_))) => Err(flow::reason(peer, &protocol, error)),
        Ok(Err(error)) => Err(OpenError::Stream(error).into()),
        Err(_) => Err(OpenError::TimedOut { peer, after }.into()),
    }
}
