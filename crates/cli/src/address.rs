//! Addresses and protocols as people type them. Output: values that can be used, or a text that says what is missing.

use carrick::{IntoAddress, IntoProtocols, Multiaddr, Protocol, ProtocolId, TargetError};

/// A peer to dial: a multiaddr that ends in `/p2p/<peer-id>`.
pub(crate) fn peer(text: &str) -> Result<Multiaddr, String> {
    let address = multiaddr(text)?;
    match address.iter().last() {
        Some(Protocol::P2p(_)) if address.iter().count() > 1 => Ok(address),
        Some(Protocol::P2p(_)) => Err(
            "it names a peer but not where to find it; put the address before it: \
             /ip4/192.0.2.1/tcp/4001/p2p/<peer-id>"
                .to_owned(),
        ),
        _ => Err(
            "it does not say which peer; append /p2p/<peer-id>, as the other side prints it"
                .to_owned(),
        ),
    }
}

/// An address to listen on.
pub(crate) fn local(text: &str) -> Result<Multiaddr, String> {
    let address = multiaddr(text)?;
    if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
        return Err("the node's own id comes from its key; leave /p2p/… out".to_owned());
    }
    Ok(address)
}

pub(crate) fn protocol(text: &str) -> Result<ProtocolId, String> {
    let protocols = text.into_protocols().map_err(|error| reason(&error))?;
    protocols.into_iter().next().ok_or_else(String::new)
}

fn multiaddr(text: &str) -> Result<Multiaddr, String> {
    text.into_address().map_err(|error| reason(&error))
}

/// The text itself stands in the message already.
fn reason(error: &TargetError) -> String {
    match error {
        TargetError::Address { reason, .. } => {
            format!("{reason}; a multiaddr looks like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…")
        }
        TargetError::Protocol { reason, .. } => format!("{reason}; one looks like /echo/1.0.0"),
        TargetError::Empty => {
            "it is empty; a multiaddr looks like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…".to_owned()
        }
        error @ TargetError::TwoPeers(..) => error.to_string(),
    }
}
