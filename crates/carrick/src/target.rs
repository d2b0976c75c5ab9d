//! What users may say to name a peer or a protocol.

use carrick_wire::{
    Multiaddr, PeerId, Protocol, ProtocolId,
    address::{self, unix},
    peer_id,
};

use crate::TargetError;

/// A peer and the addresses where it may be found; at least one of the two is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) peer: Option<PeerId>,
    pub(crate) addresses: Vec<Multiaddr>,
}

impl Target {
    fn new(peer: Option<PeerId>, addresses: Vec<Multiaddr>) -> Result<Self, TargetError> {
        let mut target = Self { peer, addresses };
        for address in &target.addresses {
            let Some(Protocol::P2p(named)) = address.iter().last() else {
                continue;
            };
            match target.peer {
                Some(peer) if peer != named => return Err(TargetError::TwoPeers(peer, named)),
                _ => target.peer = Some(named),
            }
        }
        // `/p2p/12D3Koo…` alone is a peer without an address.
        target
            .addresses
            .retain(|address| address.iter().any(|part| !matches!(part, Protocol::P2p(_))));
        if target.peer.is_none() && target.addresses.is_empty() {
            return Err(TargetError::Empty);
        }
        Ok(target)
    }
}

/// Anything that names a peer: a [`PeerId`], a [`Multiaddr`], a text of either, a list of addresses.
///
/// ```
/// use carrick::IntoTarget;
///
/// assert!("/ip4/192.0.2.1/tcp/4001".into_target().is_ok());
/// assert!("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq".into_target().is_ok());
/// assert!("192.0.2.1:4001".into_target().is_err());
/// ```
pub trait IntoTarget {
    /// The peer and its addresses.
    ///
    /// # Errors
    /// The text does not parse, or the addresses name two peers.
    fn into_target(self) -> Result<Target, TargetError>;
}

impl IntoTarget for Target {
    fn into_target(self) -> Result<Target, TargetError> {
        Ok(self)
    }
}

impl IntoTarget for PeerId {
    fn into_target(self) -> Result<Target, TargetError> {
        Target::new(Some(self), Vec::new())
    }
}

impl IntoTarget for Multiaddr {
    fn into_target(self) -> Result<Target, TargetError> {
        Target::new(None, vec![self])
    }
}

impl IntoTarget for &Multiaddr {
    fn into_target(self) -> Result<Target, TargetError> {
        self.clone().into_target()
    }
}

impl IntoTarget for Vec<Multiaddr> {
    fn into_target(self) -> Result<Target, TargetError> {
        Target::new(None, self)
    }
}

impl IntoTarget for &[Multiaddr] {
    fn into_target(self) -> Result<Target, TargetError> {
        self.to_vec().into_target()
    }
}

impl IntoTarget for (PeerId, Vec<Multiaddr>) {
    fn into_target(self) -> Result<Target, TargetError> {
        Target::new(Some(self.0), self.1)
    }
}

impl IntoTarget for &str {
    fn into_target(self) -> Result<Target, TargetError> {
        // In base 58, text costs the square of its length.
        match peer_id::parse(self) {
            Ok(peer) => peer.into_target(),
            Err(_) => parse_address(self)?.into_target(),
        }
    }
}

impl IntoTarget for String {
    fn into_target(self) -> Result<Target, TargetError> {
        self.as_str().into_target()
    }
}

/// Anything that names one protocol or several in order of preference.
///
/// ```
/// use carrick::IntoProtocols;
///
/// assert_eq!("/echo/1.0.0".into_protocols().unwrap().len(), 1);
/// assert_eq!(["/echo/2.0.0", "/echo/1.0.0"].into_protocols().unwrap().len(), 2);
/// assert!("no\nnewlines".into_protocols().is_err());
/// ```
pub trait IntoProtocols {
    /// The protocols, at least one.
    ///
    /// # Errors
    /// One of the texts is not a protocol id, or there is none.
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError>;
}

impl IntoProtocols for ProtocolId {
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError> {
        Ok(vec![self])
    }
}

impl IntoProtocols for &ProtocolId {
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError> {
        Ok(vec![self.clone()])
    }
}

impl IntoProtocols for Vec<ProtocolId> {
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError> {
        if self.is_empty() {
            Err(protocol_error("", "none was given"))
        } else {
            Ok(self)
        }
    }
}

impl IntoProtocols for &str {
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError> {
        Ok(vec![parse_protocol(self)?])
    }
}

impl IntoProtocols for String {
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError> {
        self.as_str().into_protocols()
    }
}

impl IntoProtocols for &[&str] {
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError> {
        self.iter()
            .map(|text| parse_protocol(text))
            .collect::<Result<Vec<_>, _>>()?
            .into_protocols()
    }
}

impl<const N: usize> IntoProtocols for [&str; N] {
    fn into_protocols(self) -> Result<Vec<ProtocolId>, TargetError> {
        self.as_slice().into_protocols()
    }
}

pub(crate) fn parse_protocol(text: &str) -> Result<ProtocolId, TargetError> {
    ProtocolId::new(text).map_err(|error| protocol_error(text, &error.to_string()))
}

/// As much of a text as tells which one it was.
fn shown(text: &str) -> String {
    let shown = text.get(..text.floor_char_boundary(address::LEN_MAX));
    shown.unwrap_or_default().to_owned()
}

fn protocol_error(text: &str, reason: &str) -> TargetError {
    TargetError::Protocol {
        text: shown(text),
        reason: reason.to_owned(),
    }
}

pub(crate) fn parse_address(text: &str) -> Result<Multiaddr, TargetError> {
    if text.is_empty() {
        return Err(TargetError::Empty);
    }
    let failed = |reason: String| TargetError::Address {
        text: shown(text),
        reason,
    };
    if text.len() > address::LEN_MAX {
        return Err(failed(format!("it has {} bytes", text.len())));
    }
    let parsed = unix::fold(text).parse();
    parsed.map_err(|error: multiaddr::Error| failed(error.to_string()))
}

/// Anything that is one address: a [`Multiaddr`] or its text.
pub trait IntoAddress {
    /// The address.
    ///
    /// # Errors
    /// The text does not parse.
    fn into_address(self) -> Result<Multiaddr, TargetError>;
}

impl IntoAddress for Multiaddr {
    fn into_address(self) -> Result<Multiaddr, TargetError> {
        Ok(self)
    }
}

impl IntoAddress for &str {
    fn into_address(self) -> Result<Multiaddr, TargetError> {
        parse_address(self)
    }
}

impl IntoAddress for String {
    fn into_address(self) -> Result<Multiaddr, TargetError> {
        parse_address(&self)
    }
}
