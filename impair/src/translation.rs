//! What stands between the two sides' addresses: a NAT before side A that can forget what it knew, and a door to what side B
//! serves on its loopback address.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::packet::{self, End};

/// Translates addresses of TCP and UDP; every other packet passes as it is.
#[derive(Debug)]
pub(crate) struct Translation {
    /// Where A seems to be: its own address, until a rebinding gives it another.
    seen_at: Ipv4Addr,
    a: Ipv4Addr,
    b: Ipv4Addr,
    /// What comes for B goes to its loopback address.
    to_loopback: bool,
    rebindings: u16,
    /// Protocol and port outside ⇒ A's port, of what A has sent since the last rebinding.
    inside: BTreeMap<(u8, u16), u16>,
}

impl Translation {
    pub(crate) const fn new(a: Ipv4Addr, b: Ipv4Addr, to_loopback: bool) -> Self {
        Self {
            seen_at: a,
            a,
            b,
            to_loopback,
            rebindings: 0,
            inside: BTreeMap::new(),
        }
    }

    /// The NAT forgets: what A sends comes from other ports, and what comes to the old ones is dropped. With `address`, from
    /// another address, too, which follows those of the two sides.
    pub(crate) fn rebind(&mut self, address: bool) {
        self.rebindings = self.rebindings.wrapping_add(1);
        self.inside.clear();
        if address {
            let next = u32::from(self.a.max(self.b)) + 1 + u32::from(self.rebindings) % 100;
            self.seen_at = Ipv4Addr::from(next);
        }
    }

    /// From A to B.
    pub(crate) fn outbound(&mut self, packet: &mut [u8]) {
        if let Some((protocol, source)) = packet::address(packet, End::Source)
            && *source.ip() == self.a
            && self.rebindings > 0
        {
            let port = self.port(protocol, source.port());
            packet::readdress(packet, End::Source, SocketAddrV4::new(self.seen_at, port));
        }
        if let Some((_, target)) = packet::address(packet, End::Target)
            && *target.ip() == self.b
            && self.to_loopback
        {
            let inner = SocketAddrV4::new(Ipv4Addr::LOCALHOST, target.port());
            packet::readdress(packet, End::Target, inner);
        }
    }

    /// From B to A; false if it is for a port that nobody has any more.
    #[must_use]
    pub(crate) fn inbound(&self, packet: &mut [u8]) -> bool {
        if let Some((_, source)) = packet::address(packet, End::Source)
            && source.ip().is_loopback()
        {
            let outer = SocketAddrV4::new(self.b, source.port());
            packet::readdress(packet, End::Source, outer);
        }
        if self.rebindings == 0 {
            return true;
        }
        let Some((protocol, target)) = packet::address(packet, End::Target) else {
            return true;
        };
        match self.inside.get(&(protocol, target.port())) {
            Some(port) if *target.ip() == self.seen_at => {
                packet::readdress(packet, End::Target, SocketAddrV4::new(self.a, *port));
                true
            }
            _ => false,
        }
    }

    /// The port outside for A's port: it moves by a step with each rebinding, so that no two ports meet.
    fn port(&mut self, protocol: u8, port: u16) -> u16 {
        let step = u32::from(self.rebindings) * STEP % u32::from(u16::MAX);
        let moved = 1 + (u32::from(port.max(1)) - 1 + step) % u32::from(u16::MAX);
        let moved = moved as u16;
        self.inside.insert((protocol, moved), port);
        moved
    }
}

/// A prime, far from what kernels hand out one after another.
const STEP: u32 = 7919;

#[cfg(test)]
mod tests;
