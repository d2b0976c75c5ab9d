//! Addresses there and back, before and after rebindings.

use super::*;
use crate::packet::{TCP, UDP, address, readdress, tests::packet};

const A: Ipv4Addr = Ipv4Addr::new(9, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(9, 0, 0, 2);

fn between(protocol: u8, source: SocketAddrV4, target: SocketAddrV4) -> Vec<u8> {
    let mut packet = packet(protocol, b"payload");
    readdress(&mut packet, End::Source, source);
    readdress(&mut packet, End::Target, target);
    packet
}

fn ends(packet: &[u8]) -> [SocketAddrV4; 2] {
    [End::Source, End::Target].map(|end| address(packet, end).unwrap().1)
}

#[test]
fn before_a_rebinding_nothing_changes() {
    let mut translation = Translation::new(A, B, false);
    let [client, server] = [SocketAddrV4::new(A, 5), SocketAddrV4::new(B, 80)];
    let mut there = between(UDP, client, server);
    translation.outbound(&mut there);
    assert_eq!(ends(&there), [client, server]);
    let mut back = between(UDP, server, client);
    assert!(translation.inbound(&mut back));
    assert_eq!(ends(&back), [server, client]);
}

#[test]
fn what_comes_for_b_reaches_its_loopback_address_and_seems_to_come_from_b() {
    let mut translation = Translation::new(A, B, true);
    let [client, server] = [SocketAddrV4::new(A, 5), SocketAddrV4::new(B, 80)];
    let inner = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
    let mut there = between(TCP, client, server);
    translation.outbound(&mut there);
    assert_eq!(ends(&there), [client, inner]);
    let mut back = between(TCP, inner, client);
    assert!(translation.inbound(&mut back));
    assert_eq!(ends(&back), [server, client]);
}

#[test]
fn after_a_rebinding_another_port_leads_back_and_the_old_one_nowhere() {
    for new_address in [false, true] {
        let mut translation = Translation::new(A, B, false);
        let [client, server] = [SocketAddrV4::new(A, 5), SocketAddrV4::new(B, 80)];
        let mut seen = vec![client];
        for _ in 0..20 {
            translation.rebind(new_address);
            let mut there = between(UDP, client, server);
            translation.outbound(&mut there);
            let [outer, target] = ends(&there);
            assert_eq!(target, server);
            assert_eq!(*outer.ip() != A, new_address);
            assert!(!seen.contains(&outer));
            for old in &seen {
                assert!(!translation.inbound(&mut between(UDP, server, *old)));
            }
            let mut back = between(UDP, server, outer);
            assert!(translation.inbound(&mut back));
            assert_eq!(ends(&back), [server, client]);
            // TCP has ports of its own.
            assert!(!translation.inbound(&mut between(TCP, server, outer)));
            seen.push(outer);
        }
    }
}

#[test]
fn ports_stay_apart() {
    let mut translation = Translation::new(A, B, false);
    translation.rebind(false);
    let ports: std::collections::BTreeSet<_> = (1..=u16::MAX)
        .map(|port| translation.port(UDP, port))
        .collect();
    assert_eq!(ports.len(), usize::from(u16::MAX));
    assert!(!ports.contains(&0));
}
