//! What an address tells without dialing it: how far it reaches, whose network it is in, what carries
//! it. Pure functions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

/// How far an address reaches. Who is at an address of one scope has no use for ours of a lesser one: what is loopback or
/// private there is another machine than here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This machine or this process.
    Loopback,
    /// This network.
    Private,
    /// The world, or unknown.
    Public,
}

/// How far the address reaches; for a relayed one, its relay's.
pub fn scope(address: &Multiaddr) -> Scope {
    match address.iter().next() {
        Some(Protocol::Memory(_) | Protocol::Unix(_)) => Scope::Loopback,
        Some(Protocol::Ip6zone(_)) => Scope::Private,
        Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => ip(address).map_or(Scope::Public, ip_scope),
        _ => Scope::Public,
    }
}

/// Whether the address names no host: a listener's wildcard.
pub(crate) fn is_unspecified(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_unspecified())
}

/// Whether the address stands for no host in particular: a listener's wildcard, or a group of hosts.
pub(crate) fn is_nobody(address: &Multiaddr) -> bool {
    let broadcast = |ip| matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip(address).is_some_and(|ip| ip.is_unspecified() || ip.is_multicast() || broadcast(ip))
}

/// Whether the address means something on one network only, and does not say on which.
pub(crate) fn lacks_zone(address: &Multiaddr) -> bool {
    let zoned = matches!(address.iter().next(), Some(Protocol::Ip6zone(_)));
    !zoned && matches!(ip(address), Some(IpAddr::V6(ip)) if ip.is_unicast_link_local())
}

fn ip_scope(ip: IpAddr) -> Scope {
    let private = match ip {
        // Dialing the unspecified address reaches this machine.
        _ if ip.is_loopback() || ip.is_unspecified() => return Scope::Loopback,
        IpAddr::V4(ip) => is_private_v4(ip),
        IpAddr::V6(ip) => match embedded(ip) {
            Some(ip) => ip_scope(ip.into()) < Scope::Public,
            None => is_private_v6(ip),
        },
    };
    if private {
        Scope::Private
    } else {
        Scope::Public
    }
}

/// What is not of the world (the registry of special addresses, RFC 6890), and what is not one host.
fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = matches!(
        (a, b, c),
        (0 | 240.., ..) | (192, 0, 0) | (100, 64..128, _) | (198, 18 | 19, _)
    );
    special || ip.is_private() || ip.is_link_local() || ip.is_loopback() || ip.is_multicast()
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, ..] = ip.segments();
    // Once site-local; discarded (RFC 6666); translated for one network alone (RFC 8215).
    let special = a & 0xffc0 == 0xfec0 || (a, b) == (0x100, 0) || (a, b, c) == (0x64, 0xff9b, 1);
    special || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast()
}

/// The IPv4 address that a translator or a tunnel makes of it: NAT64 (RFC 6052), 6to4, and ::1.2.3.4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = ip.to_bits();
    let v4 = match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => bits,
        [0x2002, ..] => bits >> 80,
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(v4 as u32))
}

/// The address's IP; a mapped IPv4 address is the IPv4 address.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    let mut parts = address.iter();
    let first = match parts.next()? {
        Protocol::Ip6zone(_) => parts.next()?,
        first => first,
    };
    match first {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    }
}

/// What carries an address, in the order in which it is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carrier {
    /// Memory or a Unix socket: no network at all.
    Local,
    Quic,
    WebTransport,
    Tcp,
    WebSocket,
    Other,
}

/// What carries the address; for a relayed one, the way to its relay.
pub(crate) fn carrier(address: &Multiaddr) -> Carrier {
    let mut carrier = Carrier::Other;
    for part in address.iter() {
        carrier = match (part, carrier) {
            (Protocol::P2pCircuit, _) => break,
            (Protocol::Memory(_) | Protocol::Unix(_), _) => Carrier::Local,
            (Protocol::Quic | Protocol::QuicV1, _) => Carrier::Quic,
            (Protocol::WebTransport, Carrier::Quic) => Carrier::WebTransport,
            (Protocol::Tcp(_), _) => Carrier::Tcp,
            (Protocol::Ws(_) | Protocol::Wss(_), Carrier::Tcp) => Carrier::WebSocket,
            _ => carrier,
        }
    }
    carrier
}

/// The first port, which is the host's.
pub(crate) fn port(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

/// Whether it is carried by UDP.
pub(crate) fn is_udp(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Udp(_)))
}

/// One spelling for what is the same socket: `/wss` is `/tls/ws`, and the name in `/sni` chooses a
/// certificate, not an address.
pub(crate) fn canonical(address: &Multiaddr) -> Multiaddr {
    let mut canonical = Multiaddr::empty();
    for part in address.iter() {
        match part {
            Protocol::Wss(path) => {
                canonical.push(Protocol::Tls);
                canonical.push(Protocol::Ws(path));
            }
            Protocol::Sni(_) => {}
            part => canonical.push(part),
        }
    }
    canonical
}

/// Whether the last hop goes through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|p| p == Protocol::P2pCircuit)
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
    V6(u64),
    /// A /48 of IPv6.
    Site(u64),
}

/// The networks of an address, smallest first.
pub(crate) type Subnets = [Option<Subnet>; 2];

/// The networks the address is in; none for memory, nor for loopback if that is `exempt`.
pub(crate) fn subnets(address: &Multiaddr, exempt: bool) -> Subnets {
    if exempt && scope(address) == Scope::Loopback {
        return [None, None];
    }
    let prefix = |ip: Ipv6Addr, bits: u32| (ip.to_bits() >> 64) as u64 >> (64 - bits);
    match ip(address) {
        Some(IpAddr::V4(ip)) => [Some(Subnet::V4(ip)), None],
        Some(IpAddr::V6(ip)) => [
            Some(Subnet::V6(prefix(ip, 56))),
            Some(Subnet::Site(prefix(ip, 48))),
        ],
        None => [None, None],
    }
}

/// The part of the network whose word counts once, whoever speaks there: an IPv4 /24, an IPv6 /48.
pub(crate) fn neighbourhood(address: &Multiaddr) -> Option<Subnet> {
    match subnets(address, true) {
        [Some(Subnet::V4(ip)), _] => {
            let [a, b, c, _] = ip.octets();
            Some(Subnet::V4(Ipv4Addr::new(a, b, c, 0)))
        }
        [_, site] => site,
    }
}

#[cfg(test)]
mod tests;
