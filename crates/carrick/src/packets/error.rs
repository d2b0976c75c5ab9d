//! Why packets cannot be sent or received.

use carrick_session::Code;
use carrick_wire::{Multiaddr, PeerId, ProtocolId};

use crate::{ConnectionError, OpenError};

/// Why there is no flow of packets, or no more, or why a packet was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketsError {
    /// There is no connection to the peer, or no control stream on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The peer cannot be sent packets to.
    #[error("no packets to peer {peer}: {reason}")]
    Unsupported {
        /// Which peer.
        peer: PeerId,
        /// Why not, and what helps.
        reason: NoPackets,
    },
    /// The peer has no handler for packets of this protocol.
    #[error("peer {peer} takes no packets for {protocol}")]
    Refused {
        /// Who refused.
        peer: PeerId,
        /// What was asked for.
        protocol: ProtocolId,
    },
    /// The connection has too many flows.
    #[error(transparent)]
    TooManyFlows(#[from] carrick_protocols::packets::TooManyFlows),
    /// The packet does not fit into a datagram; see [`Packets::max_payload`](crate::Packets::max_payload).
    #[error("a packet of {len} bytes is larger than the {max} that fit")]
    TooLarge {
        /// Its size.
        len: usize,
        /// The most that fits now.
        max: usize,
    },
    /// We closed the flow.
    #[error("the flow of packets was closed")]
    Closed,
    /// The peer closed the flow.
    #[error("the peer closed the flow of packets: {0}")]
    ClosedByPeer(Code),
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    Lost(ConnectionError),
}

/// Why a peer cannot be sent packets to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPackets {
    /// The connection has no datagrams, and no address of the peer's is known that would give one that has.
    #[error(
        "the connection to {0} has no datagrams and no QUIC address of it is known; name one, such as \
         /ip4/192.0.2.1/udp/4001/quic-v1, or allow the fallback to a stream"
    )]
    Transport(Multiaddr),
    /// The connection is QUIC, but the peer takes no datagrams.
    #[error("it has not enabled datagrams on its QUIC connections; allow the fallback to a stream")]
    Disabled,
    /// The peer does not know flows of packets.
    #[error("it does not speak {0}")]
    Protocol(ProtocolId),
}
