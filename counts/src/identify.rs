//! What peers say of themselves: written for a peer that asks, read from one that was asked.

use carrick_protocols::identify::{Collector, Own, Sealed};
use carrick_wire::{Keypair, Multiaddr, ProtocolId};
use std::hint::black_box;

fn sealed() -> (Keypair, Sealed) {
    let keypair = Keypair::ed25519_from_bytes([1; 32]).expect("any bytes are a key");
    let own = Own {
        protocol_version: "ipfs/0.1.0".to_owned(),
        agent: "carrick/0.1.0".to_owned(),
        listen_addresses: vec![
            address("/ip4/192.0.2.1/tcp/4001"),
            address("/ip4/192.0.2.1/udp/4001/quic-v1"),
            address("/ip6/2001:db8::1/tcp/4001"),
        ],
        protocols: [
            "/ipfs/id/1.0.0",
            "/ipfs/id/push/1.0.0",
            "/ipfs/ping/1.0.0",
            "/echo/1.0.0",
        ]
        .map(ProtocolId::from_static)
        .to_vec(),
    };
    let sealed = own.seal(&keypair, 1);
    (keypair, sealed)
}

pub(crate) fn address(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

/// Our message for one more peer.
pub(crate) fn encodes(times: usize) {
    let (_, sealed) = sealed();
    let observed = address("/ip4/198.51.100.7/tcp/50000");
    for _ in 0..times {
        black_box(sealed.encode(Some(&observed)));
    }
}

/// A peer's message, its signature checked.
pub(crate) fn decodes(times: usize) {
    let (keypair, sealed) = sealed();
    let message = sealed.encode(Some(&address("/ip4/198.51.100.7/tcp/50000")));
    let peer = keypair.public().to_peer_id();
    for _ in 0..times {
        let mut collector = Collector::new(peer);
        collector.recv(&message).expect("our own message");
        black_box(collector.finish().expect("our own message"));
    }
}
