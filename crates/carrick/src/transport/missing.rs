//! What this build lacks: addresses that one of the crate's features would make dialable.

use multiaddr::{Multiaddr, Protocol};

/// What an address would need, and the feature that brings it; `None`: it needs nothing that could be switched on.
pub(crate) fn missing(address: &Multiaddr) -> Option<&'static str> {
    let parts = address.iter();
    match parts
        .filter(|part| !matches!(part, Protocol::HttpPath(_)))
        .last()?
    {
        Protocol::QuicV1 if !cfg!(feature = "quic") => Some("QUIC: enable the feature `quic`"),
        Protocol::Ws(_) | Protocol::Wss(_) if !cfg!(feature = "websocket") => {
            Some("WebSocket: enable the feature `websocket`")
        }
        _ => None,
    }
}
