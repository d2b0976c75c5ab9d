//! Whom a ban is on: a peer, an IP address, or a network of them. Pure values and their texts.
//! Invariant: a network's address has zeros behind its prefix, and an IPv4 address mapped into IPv6 is the IPv4 address.

use std::{fmt, net::IpAddr, str::FromStr};

use carrick_wire::peer_id;
use libp2p_identity::PeerId;

/// Whom a ban is on.
///
/// As a text it is a peer id, an IP address, or a network such as `192.0.2.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One identity, wherever it comes from.
    Peer(PeerId),
    /// Everybody at one address.
    Ip(IpAddr),
    /// Everybody in one network.
    Subnet(Network),
}

/// An IP network: the first bits of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of `bits` leading bits that `ip` is in; `None` when an address of its kind has fewer.
    pub fn new(ip: IpAddr, bits: u8) -> Option<Self> {
        let first = match ip {
            IpAddr::V4(ip) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { first, bits })
    }

    /// What one party has at least: an IPv4 address, or an IPv6 /64.
    pub(crate) fn host(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let bits = if ip.is_ipv4() { 32 } else { 64 };
        Self::new(ip, bits).unwrap_or(Self { first: ip, bits })
    }

    /// The address alone.
    pub(crate) fn of(ip: IpAddr) -> Self {
        let first = ip.to_canonical();
        let bits = if first.is_ipv4() { 32 } else { 128 };
        Self { first, bits }
    }

    /// The network's first address, and how many leading bits all have in common.
    pub const fn parts(&self) -> (IpAddr, u8) {
        (self.first, self.bits)
    }

    /// Whether the address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        Self::new(ip.to_canonical(), self.bits).as_ref() == Some(self)
    }
}

impl Subject {
    /// One spelling for the same: a network of one address is that address.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Ip(ip) => Self::Ip(ip.to_canonical()),
            Self::Subnet(network) if network == Network::of(network.first) => {
                Self::Ip(network.first)
            }
            Self::Peer(_) | Self::Subnet(_) => self,
        }
    }

    /// The addresses it is about.
    pub(crate) fn network(&self) -> Option<Network> {
        match self {
            Self::Peer(_) => None,
            Self::Ip(ip) => Some(Network::of(*ip)),
            Self::Subnet(network) => Some(*network),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => peer.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
            Self::Subnet(network) => network.fmt(f),
        }
    }
}

/// The text names neither a peer nor addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no peer id, no IP address and no network such as 192.0.2.0/24")]
pub struct SubjectError(String);

impl SubjectError {
    /// As much of the text as tells which one it was.
    fn new(text: &str) -> Self {
        let shown = text.get(..text.floor_char_boundary(peer_id::TEXT_MAX));
        Self(shown.unwrap_or_default().to_owned())
    }
}

impl FromStr for Network {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(ip, bits)| Some((ip.parse().ok()?, bits.parse().ok()?)));
        parts
            .and_then(|(ip, bits)| Self::new(ip, bits))
            .ok_or_else(|| SubjectError::new(text))
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let peer = text.strip_prefix("/p2p/").unwrap_or(text);
        let subject = if let Ok(ip) = text.parse() {
            Self::Ip(ip)
        } else if let Ok(peer) = peer_id::parse(peer) {
            Self::Peer(peer)
        } else {
            Self::Subnet(text.parse()?)
        };
        Ok(subject.canonical())
    }
}

impl From<PeerId> for Subject {
    fn from(peer: PeerId) -> Self {
        Self::Peer(peer)
    }
}

impl From<IpAddr> for Subject {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<Network> for Subject {
    fn from(network: Network) -> Self {
        Self::Subnet(network)
    }
}

#[cfg(test)]
mod tests;
