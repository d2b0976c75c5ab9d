//! Every integer that a peer, or a store, puts into what the swarm keeps, at the edges of what it can hold; then a month goes
//! by. Sums and differences are checked in tests, so one that does not hold panics.

use carrick_wire::stored_peer::{StoredAddress, StoredPeer};

use super::*;

const EDGES: [u64; 11] = [
    0,
    1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 31) + 1,
    (1 << 32) - 1,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX,
];
const DAY: Duration = seconds(24 * 60 * 60);
const UNIX: Duration = seconds(1_800_000_000);

/// A record with an edge in one of its fields, or in all.
fn stored(edge: u64, field: usize) -> StoredPeer {
    let unix = 1_800_000_000_000;
    let at = |this: usize, usual: u64| {
        if field == this || field == 8 {
            edge
        } else {
            usual
        }
    };
    let low =
        |this, usual| u32::try_from(at(this, usual) & u64::from(u32::MAX)).expect("it was cut");
    StoredPeer {
        saved_ms: at(0, unix),
        connected: edge.is_multiple_of(2),
        seen_ms: Some(at(1, unix)),
        until_ms: at(2, unix + 1_000_000),
        addresses: vec![StoredAddress {
            address: address("/ip4/1.2.3.4/tcp/1"),
            expires_ms: at(3, unix + 1_000_000),
            source: low(4, 1),
            reach: low(5, 0),
        }],
        seq: Some((at(6, 1), at(7, unix + 1_000_000))),
        rtt_us: Some(low(8, 1000)),
        ..StoredPeer::default()
    }
}

#[test]
fn what_a_store_says_is_borne_whatever_the_numbers() {
    for edge in EDGES {
        for field in 0..=8 {
            for unix in [Duration::ZERO, UNIX, seconds(u64::MAX)] {
                let mut node = Node::new(Config::default());
                let key = format!("peer/{}", peer(2));
                let record = stored(edge, field).encode();
                node.swarm.restore(node.now, unix, &key, &record);
                for _ in 0..30 {
                    node.pass(DAY);
                    let _ = node.swarm.peer_metadata(node.now, &peer(2));
                }
                // What is left of it is written again.
                node.swarm.save(node.now);
                node.learns(peer(2), &["/ip4/1.2.3.4/tcp/9"]);
                assert_eq!(node.swarm.take_changes(node.now, unix).len(), 1);
            }
        }
    }
}

#[test]
fn a_record_s_number_is_borne_whatever_it_is() {
    for edge in EDGES {
        let mut node = Node::new(Config::default());
        node.swarm.save(node.now);
        for seq in [edge, edge.wrapping_sub(1), edge.wrapping_add(1)] {
            let (connection, _) = node.inbound(peer(2), "/ip4/1.2.3.4/tcp/1");
            node.event(Event::Identified {
                connection,
                info: super::identity::record(seq, "/ip4/1.2.3.4/tcp/2"),
            });
            node.swarm.take_changes(node.now, UNIX);
            for _ in 0..10 {
                node.pass(DAY);
                node.swarm.take_changes(node.now, UNIX);
            }
        }
    }
}
