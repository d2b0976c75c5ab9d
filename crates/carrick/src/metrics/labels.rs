//! The words that figures are told apart by: few, and ours, whatever peers say (so no peer can make a table grow).

use carrick_session::Summary;
use carrick_swarm::{AttemptError, Direction};
use carrick_wire::{Multiaddr, Protocol, ProtocolId};

use crate::carried::Carried;

/// The labels of one figure.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

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
