//! A node's own addresses: what it tells, to whom, and that peers hear of changes.

use carrick::{Multiaddr, Node, NodeEvent, PeerId, Protocol, TargetError};
use carrick_protocols::identify::{Collector, Info, PROTOCOL};

use crate::common::*;

const FORWARDED: &str = "/ip4/203.0.113.7/tcp/4001";

/// What the server says of itself now.
async fn asked(client: &Node, server: &Node) -> Info {
    let mut stream = soon(client.open_stream(server.address(), PROTOCOL))
        .await
        .unwrap();
    soon(stream.finish()).await.unwrap();
    let message = soon(stream.read_to_end(1 << 16)).await.unwrap();
    let mut collector = Collector::new(server.id());
    collector.recv(&message).unwrap();
    collector.finish().unwrap()
}

fn at(text: &str, peer: PeerId) -> Multiaddr {
    let address: Multiaddr = text.parse().unwrap();
    address.with(Protocol::P2p(peer))
}

#[test]
fn what_is_announced_is_told_signed_anew_and_pushed() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        identified(&client, &server).await;
        let mut events = server.events();
        let before = asked(&client, &server).await.signed_addresses.unwrap();
        soon(server.announce(FORWARDED)).await.unwrap();
        assert_eq!(
            server.told_addresses(),
            [at(FORWARDED, server.id()), server.address()]
        );
        assert_eq!(server.addresses(), [server.address()]);
        assert_eq!(server.external_addresses(), []);
        let forwarded: Multiaddr = FORWARDED.parse().unwrap();
        eventually("the change is pushed", || {
            let info = client.peer(&server.id()).unwrap();
            info.addresses.first() == Some(&forwarded)
        })
        .await;
        let after = asked(&client, &server).await.signed_addresses.unwrap();
        assert!(after.seq > before.seq);
        assert_eq!(after.addresses.len(), before.addresses.len() + 1);
        let told = soon(async {
            loop {
                if let Some(NodeEvent::AddressesChanged { addresses }) = events.next().await {
                    return addresses;
                }
            }
        });
        assert_eq!(told.await[0], forwarded);
        assert_eq!(soon(server.retract(FORWARDED)).await, Ok(true));
        assert_eq!(soon(server.retract(FORWARDED)).await, Ok(false));
        assert_eq!(server.told_addresses(), [server.address()]);
    });
}

#[test]
fn a_node_can_tell_announced_addresses_only() {
    run(async {
        let server = Node::builder()
            .listen(TCP)
            .unwrap()
            .announce(FORWARDED)
            .unwrap()
            .announce_only(true)
            .spawn()
            .await
            .unwrap();
        let client = client().await;
        let info = asked(&client, &server).await;
        assert_eq!(info.listen_addresses, [FORWARDED.parse().unwrap()]);
        soon(server.announce_only(false)).await;
        assert_eq!(asked(&client, &server).await.listen_addresses.len(), 2);
    });
}

#[test]
fn nobody_announces_an_address_of_another_peer() {
    run(async {
        let node = client().await;
        let other = at(FORWARDED, random_peer());
        let refused = soon(node.announce(other.clone())).await;
        assert!(matches!(refused, Err(TargetError::TwoPeers(..))));
        let own = at(FORWARDED, node.id());
        soon(node.announce(own.clone())).await.unwrap();
        assert_eq!(node.told_addresses(), [own]);
        let spawned = Node::builder().announce(other).unwrap().spawn().await;
        assert!(spawned.is_err());
    });
}
