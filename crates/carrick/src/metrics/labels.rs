//! The words that figures are told apart by: few, and ours, whatever peers say (so no peer can make a table grow).

use carrick_session::Summary;
use carrick_swarm::{AttemptError, Direction};
use carrick_wire::{Multiaddr, Protocol, ProtocolId};

/// The labels of one figure.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What carries a connection, by go-libp2p's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    Tcp,
    Quic,
    WebSocket,
    Memory,
    Unix,
    Other,
}

impl Carried {
    pub(super) const ALL: [Self; 6] = [
        Self::Tcp,
        Self::Quic,
        Self::WebSocket,
        Self::Memory,
        Self::Unix,
        Self::Other,
    ];

    /// The last part of the address that names a transport decides, since each stands on those before it.
    pub(super) fn by(address: &Multiaddr) -> Self {
        let named = address.iter().filter_map(|part| match part {
            Protocol::Tcp(_) => Some(Self::Tcp),
            Protocol::QuicV1 => Some(Self::Quic),
            Protocol::Ws(_) | Protocol::Wss(_) => Some(Self::WebSocket),
            Protocol::Memory(_) => Some(Self::Memory),
            Protocol::Unix(_) => Some(Self::Unix),
            Protocol::P2pCircuit => Some(Self::Other),
            _ => None,
        });
        named.last().unwrap_or(Self::Other)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic-v1",
            Self::WebSocket => "websocket",
            Self::Memory => "memory",
            Self::Unix => "unix",
            Self::Other => "other",
        }
    }
}

pub(super) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// Which IP the address starts with, or asks for.
pub(super) fn ip_version(address: &Multiaddr) -> &'static str {
    match address.iter().next() {
        Some(Protocol::Ip4(_) | Protocol::Dns4(_)) => "ip4",
        Some(Protocol::Ip6(_) | Protocol::Ip6zone(_) | Protocol::Dns6(_)) => "ip6",
        _ => "unknown",
    }
}

/// What was negotiated. QUIC has neither a security nor a muxer beside itself, and go-libp2p leaves them empty.
pub(super) fn session(address: &Multiaddr, summary: &Summary) -> Labels<5> {
    let carried = Carried::by(address);
    let told = |name| if carried == Carried::Quic { "" } else { name };
    let early = summary.early_muxer && carried != Carried::Quic;
    [
        ("transport", carried.name()),
        ("security", told(known(&summary.security))),
        ("muxer", told(known(&summary.muxer))),
        ("early_muxer", if early { "true" } else { "false" }),
        ("ip_version", ip_version(address)),
    ]
}

fn known(protocol: &ProtocolId) -> &'static str {
    const ALL: [&str; 4] = ["/noise", "/tls/1.0.0", "/yamux/1.0.0", "/mplex/6.7.0"];
    let found = ALL.into_iter().find(|name| protocol.as_str() == *name);
    found.unwrap_or("other")
}

/// Why an address did not lead to the peer, in go-libp2p's words where it has one.
pub(super) fn dial_error(error: &AttemptError) -> &'static str {
    match error {
        AttemptError::Timeout => "deadline",
        AttemptError::Aborted => "canceled: other",
        // The system's words, which `io::Error` alone keeps apart from other transports' errors.
        AttemptError::Transport(text) if text.contains("refused") => "connection refused",
        AttemptError::Transport(text) if text.contains("timed out") => "timeout",
        AttemptError::WrongPeer { .. } => "wrong peer",
        AttemptError::Upgrade(_) => "upgrade",
        AttemptError::Banned(_) | AttemptError::Rejected(_) => "gated",
        AttemptError::Transport(_)
        | AttemptError::NoTransport
        | AttemptError::NotBuilt(_)
        | AttemptError::PrivateNetwork
        | AttemptError::OwnAddress
        | AttemptError::Skipped(_)
        | AttemptError::LimitReached(_)
        | AttemptError::Name(_) => "other",
    }
}
