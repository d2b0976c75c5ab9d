//! What can go wrong, one enum per operation: what happened, whose doing it was, and with dials every address tried.

use std::{io, time::Duration};

use carrick_session::{Code, NegotiateError, SecureError, Violation};
use carrick_wire::{Multiaddr, PeerId, Protocol, ProtocolId};

pub use carrick_swarm::{AttemptError, DialError};
use carrick_swarm::{Behaviour, CloseReason, LimitReached};

/// Why a connection is over, or takes no new streams.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// We closed it, or it was idle.
    #[error("the connection was closed")]
    Closed,
    /// We closed it at once for what the peer is or did: it is banned, not admitted, or misbehaves.
    #[error("we closed the connection: {0}")]
    Expelled(CloseReason),
    /// One side has said that it closes; open streams may still finish.
    #[error("the connection is closing")]
    Closing,
    /// The peer closed it and gave no reason.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// The peer closed it and said why.
    #[error("the peer closed the connection: {0}")]
    ClosedWith(Code),
    /// The peer did not answer, or did not read, for too long.
    #[error("the peer does not answer any more")]
    TimedOut,
    /// The peer broke the muxer's protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The peer broke the protocol of packets.
    #[error(transparent)]
    Packets(#[from] carrick_protocols::packets::Violation),
    /// The peer answered a ping with something else.
    #[error(transparent)]
    Ping(#[from] carrick_protocols::ping::PingError),
    /// A record was changed on the way.
    #[error(transparent)]
    Secure(#[from] SecureError),
    /// QUIC itself failed, here or at the peer; in its own words.
    #[error("QUIC: {0}")]
    Quic(String),
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Io(io::ErrorKind),
}

impl ConnectionError {
    /// What the end of a connection says of its peer, and in which part of ours.
    pub(crate) fn behaviour(&self) -> Option<(Behaviour, &'static str)> {
        match self {
            Self::Violation(violation) if violation.is_reported() => None,
            Self::Violation(_) => Some((Behaviour::Protocol, "muxer")),
            Self::Packets(_) => Some((Behaviour::Protocol, "packets")),
            Self::Ping(_) => Some((Behaviour::Protocol, "ping")),
            Self::TimedOut => Some((Behaviour::Timeout, "connection")),
            // A changed record may be another's doing, who stands between us.
            Self::Secure(_)
            | Self::Closed
            | Self::Closing
            | Self::Expelled(_)
            | Self::ClosedByPeer
            | Self::ClosedWith(_)
            | Self::Quic(_)
            | Self::Io(_) => None,
        }
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// Why reading from or writing to a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer reset the stream.
    #[error("the peer reset the stream: {0}")]
    Reset(Code),
    /// We reset or stopped the stream.
    #[error("the stream was reset locally: {0}")]
    ResetLocally(Code),
    /// The write side is finished.
    #[error("the write side is finished")]
    Finished,
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    ConnectionLost(ConnectionError),
    /// The peer finished before all that was asked for had come.
    #[error("the peer ended the stream early")]
    EndedEarly,
    /// The peer sent more than the reader was willing to take.
    #[error("the peer sent more than {limit} bytes")]
    TooLong {
        /// The most that was allowed.
        limit: usize,
    },
    /// The peer does not support the protocol after all.
    #[error("{0}")]
    Unsupported(NegotiateError),
}

impl From<NegotiateError> for StreamError {
    fn from(error: NegotiateError) -> Self {
        Self::Unsupported(error)
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Reset(_) | StreamError::ResetLocally(_) => io::ErrorKind::ConnectionReset,
            StreamError::Finished => io::ErrorKind::BrokenPipe,
            StreamError::ConnectionLost(_) => io::ErrorKind::NotConnected,
            StreamError::EndedEarly => io::ErrorKind::UnexpectedEof,
            StreamError::TooLong { .. } => io::ErrorKind::InvalidData,
            StreamError::Unsupported(_) => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}

/// Why no stream was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no connection to the peer, and none came about.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer supports none of the protocols.
    #[error("peer {peer} does not support {}", protocols.iter().map(ProtocolId::as_str).collect::<Vec<_>>().join(", "))]
    Unsupported {
        /// Who refused.
        peer: PeerId,
        /// What was asked for.
        protocols: Vec<ProtocolId>,
    },
    /// The peer did not agree to a protocol in time.
    #[error("peer {peer} did not answer within {after:?}")]
    TimedOut {
        /// Who did not answer.
        peer: PeerId,
        /// How long it was waited for.
        after: Duration,
    },
    /// The stream or its connection failed while it was being opened.
    #[error("the stream failed while it was opened: {0}")]
    Stream(StreamError),
    /// What was given does not name a peer or a protocol.
    #[error(transparent)]
    Invalid(#[from] TargetError),
}

/// What was given does not name a peer, an address or a protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a multiaddr nor a peer id.
    #[error(
        "{text:?} is neither a multiaddr nor a peer id ({reason}); an address looks like \
         /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…"
    )]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The addresses name more than one peer.
    #[error("the addresses name two peers, {0} and {1}")]
    TwoPeers(PeerId, PeerId),
    /// No peer and no address.
    #[error("no address was given")]
    Empty,
    /// Not a protocol id.
    #[error("{text:?} is not a protocol id ({reason}); one looks like /echo/1.0.0")]
    Protocol {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a node does not listen on an address, or was not spawned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ListenError {
    /// No transport of the node handles this address.
    #[error(
        "no transport for {0}; TCP is /ip4/0.0.0.0/tcp/4001 or /ip6/::/tcp/4001, QUIC is \
         /ip4/0.0.0.0/udp/4001/quic-v1"
    )]
    NoTransport(Multiaddr),
    /// This build lacks the transport; the text names the feature of the crate that brings it.
    #[error("cannot listen on {0}: this build of carrick has no {1}")]
    NotBuilt(Multiaddr, &'static str),
    /// The operating system refused.
    #[error("cannot listen on {address}: {reason}{}", hint(.address, *.kind))]
    Io {
        /// Where.
        address: Multiaddr,
        /// The operating system's error.
        kind: io::ErrorKind,
        /// Its text.
        reason: String,
    },
    /// The address does not parse.
    #[error(transparent)]
    Invalid(#[from] TargetError),
    /// A protocol was given two handlers.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// QUIC, WebTransport and WebRTC cannot be hidden under a swarm key.
    #[error("{0} cannot be part of a private network; use TCP, WebSocket or a Unix socket")]
    PrivateNetwork(Multiaddr),
    /// A shared port tells protocols apart by their first byte, and a private network hides it.
    #[error(
        "a private network cannot share a port among TCP and WebSocket; leave share_port off and give each its own port"
    )]
    PrivateSharedPort,
    /// The environment demands a private network.
    #[error(
        "LIBP2P_FORCE_PNET=1 forbids a node without a swarm key; give it the key of its private network, or unset the \
         variable"
    )]
    NoSwarmKey,
    /// The system gives the node no threads of its own, as [`Config::workers`](crate::Config::workers) asks.
    #[error("cannot start threads for the node: {0}")]
    Workers(String),
    /// The node has as many sockets as it may have.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// The identity's private key cannot sign.
    #[error("the identity key cannot be used to sign")]
    Identity,
    /// What an earlier run has stored cannot be used.
    #[error(transparent)]
    Store(#[from] crate::StoreError),
    /// The node was closed.
    #[error("the node is closed")]
    Closed,
}

fn hint(address: &Multiaddr, kind: io::ErrorKind) -> &'static str {
    match kind {
        _ if address.iter().any(|part| matches!(part, Protocol::Unix(_))) => "",
        io::ErrorKind::AddrInUse => "; choose another port, or 0 for a free one",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}

/// Why a protocol cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Somebody accepts it already; the protocol is free again once that one is dropped.
    #[error("the protocol {0} is already registered")]
    AlreadyRegistered(ProtocolId),
    /// Not a protocol id.
    #[error(transparent)]
    Invalid(#[from] TargetError),
}

/// Why a ping has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// There is no ping stream to the peer.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ping stream failed.
    #[error("the ping stream failed: {0}")]
    Stream(StreamError),
    /// The answer is not what was sent.
    #[error(transparent)]
    Protocol(#[from] carrick_protocols::ping::PingError),
    /// No answer came in time.
    #[error("the ping was not answered within 10 s")]
    TimedOut,
}

impl From<ConnectionError> for OpenError {
    fn from(error: ConnectionError) -> Self {
        Self::Stream(StreamError::ConnectionLost(error))
    }
}
