//! What carries a connection, for logs and metrics.

use carrick_wire::{Multiaddr, Protocol};

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
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 6] = [
        Self::Tcp,
        Self::Quic,
        Self::WebSocket,
        Self::Memory,
        Self::Unix,
        Self::Other,
    ];

    /// The last part of the address that names a transport decides, since each stands on those before it.
    pub(crate) fn by(address: &Multiaddr) -> Self {
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

    pub(crate) const fn name(self) -> &'static str {
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
