//! Addresses and protocols as people type them. Output: values that can be used, or a text that says what is missing.

use carrick::{
    IntoAddress, IntoProtocols, Multiaddr, PeerId, Protocol, ProtocolId, Subject, SubjectError,
    TargetError,
};

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

/// Who a peer is: its id, alone or at the end of an address.
pub(crate) fn peer_id(text: &str) -> Result<PeerId, String> {
    if text.starts_with('/') {
        return match multiaddr(text)?.iter().last() {
            Some(Protocol::P2p(peer)) => Ok(peer),
            _ => Err("it does not say which peer; append /p2p/<peer-id>".to_owned()),
        };
    }
    text.parse()
        .map_err(|_| format!("it is no peer id; {PEER_ID}"))
}

/// Whom to ban: a peer, also by its address, an IP address, or a network.
pub(crate) fn subject(text: &str) -> Result<Subject, String> {
    if text.starts_with('/') {
        return peer_id(text).map(Subject::Peer);
    }
    text.parse()
        .map_err(|error: SubjectError| error.to_string())
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
    text.into_address()
        .map_err(|error| match text.rsplit_once("/p2p/") {
            Some((_, id)) if !id.contains('/') && id.parse::<PeerId>().is_err() => {
                format!("{id:?} is no peer id; {PEER_ID}")
            }
            _ => reason(&error),
        })
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

const PEER_ID: &str = "one looks like 12D3Koo…, as the other side or `carrick key show` prints it";
