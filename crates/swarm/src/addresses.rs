//! What an address tells without dialing it: how far it reaches, whose network it is in, how soon to
//! try it. Pure functions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// This machine or this process.
    Loopback,
    /// This network.
    Private,
    /// The world, or unknown.
    Public,
}

/// How far the address reaches; for a relayed one, its relay's.
pub(crate) fn scope(address: &Multiaddr) -> Scope {
    match address.iter().next() {
        Some(Protocol::Memory(_) | Protocol::Unix(_)) => Scope::Loopback,
        Some(Protocol::Ip6zone(_)) => Scope::Private,
        Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => ip(address).map_or(Scope::Public, ip_scope),
        _ => Scope::Public,
    }
}

fn ip_scope(ip: IpAddr) -> Scope {
    let private = match ip {
        // Dialing the unspecified address reaches this machine.
        _ if ip.is_loopback() || ip.is_unspecified() => return Scope::Loopback,
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    if private {
        Scope::Private
    } else {
        Scope::Public
    }
}

/// The address's IP; a mapped IPv4 address is the IPv4 address.
fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    }
}

/// Whether the last hop goes through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|p| p == Protocol::P2pCircuit)
}

/// The order in which addresses are tried, smallest first.
pub(crate) fn rank(address: &Multiaddr) -> impl Ord + use<> {
    let family = match ip(address) {
        Some(IpAddr::V6(_)) => 0,
        Some(IpAddr::V4(_)) => 1,
        None => 2,
    };
    (is_relayed(address), scope(address) == Scope::Public, family)
}

/// The address without the peer id at its end, and that id.
pub(crate) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            (address, Some(peer))
        }
        _ => (address, None),
    }
}

/// A part of the network that one party can fill with addresses of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subnet {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// A /56 of IPv6.
    V6(u128),
    /// A /48 of IPv6.
    Site(u128),
}

/// The networks the address is in, smallest first; none for loopback and memory.
pub(crate) fn subnets(address: &Multiaddr) -> [Option<Subnet>; 2] {
    if scope(address) == Scope::Loopback {
        return [None, None];
    }
    let prefix = |ip: Ipv6Addr, bits: u32| ip.to_bits() >> (128 - bits);
    match ip(address) {
        Some(IpAddr::V4(ip)) => [Some(Subnet::V4(ip)), None],
        Some(IpAddr::V6(ip)) => [
            Some(Subnet::V6(prefix(ip, 56))),
            Some(Subnet::Site(prefix(ip, 48))),
        ],
        None => [None, None],
    }
}

#[cfg(test)]
mod tests;
