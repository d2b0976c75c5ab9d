//! Listening: real addresses, several of them, and errors that say what to do.

use std::collections::BTreeSet;

use carrick::{ListenError, Multiaddr, Node, NodeEvent, Protocol};

use crate::common::*;

fn port(address: &Multiaddr) -> u16 {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    port.unwrap()
}

#[test]
fn port_zero_becomes_a_real_port_and_addresses_end_in_our_id() {
    run(async {
        let node = server(TCP).await;
        let [address] = node.addresses().try_into().unwrap();
        assert_ne!(port(&address), 0);
        assert_eq!(address.iter().last(), Some(Protocol::P2p(node.id())));
        assert_eq!(address, node.address());
        let idle = client().await;
        assert!(idle.addresses().is_empty());
        assert_eq!(
            idle.address(),
            Multiaddr::empty().with(Protocol::P2p(idle.id()))
        );
    });
}

#[test]
fn a_wildcard_stands_for_real_interfaces_which_can_be_dialed() {
    run(async {
        for (wildcard, loopback) in [
            ("/ip4/0.0.0.0/tcp/0", "/ip4/127.0.0.1/"),
            ("/ip6/::/tcp/0", "/ip6/::1/"),
        ] {
            if wildcard.contains("ip6") && !has_ipv6() {
                continue;
            }
            let node = server(wildcard).await;
            let addresses = node.addresses();
            assert!(!addresses.is_empty());
            for address in &addresses {
                let text = address.to_string();
                assert!(
                    !text.contains("/0.0.0.0/") && !text.contains("/::/"),
                    "{text}"
                );
                assert_ne!(port(address), 0);
            }
            let local = addresses
                .iter()
                .find(|address| address.to_string().starts_with(loopback));
            let local = local.expect("the loopback interface").clone();
            let stream = soon(client().await.open_stream(local, ECHO)).await;
            drop(stream.unwrap());
        }
    });
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn ipv6_works_like_ipv4() {
    if !has_ipv6() {
        return;
    }
    run(async {
        let (server, client) = (server("/ip6/::1/tcp/0").await, client().await);
        assert!(server.address().to_string().starts_with("/ip6/::1/tcp/"));
        soon(echo(&client, &server, b"over six")).await.unwrap();
    });
}

#[test]
fn several_listeners_serve_side_by_side_and_may_be_added_later() {
    run(async {
        let node = Node::builder()
            .handle(ECHO, |mut stream: carrick::Stream| async move {
                stream.echo().await
            })
            .listen(TCP)
            .unwrap()
            .listen("/memory/0")
            .unwrap()
            .spawn()
            .await
            .unwrap();
        let mut events = node.events();
        let added = soon(node.listen(TCP)).await.unwrap();
        assert_eq!(added.len(), 1);
        let addresses = node.addresses();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 3);
        for address in addresses {
            let stream = soon(client().await.open_stream(address, ECHO))
                .await
                .unwrap();
            soon(echo_on(stream, b"here too")).await.unwrap();
        }
        let mut listening = None;
        while listening.is_none() {
            if let Some(NodeEvent::Listening { address }) = soon(events.next()).await {
                listening = Some(address);
            }
        }
        assert_eq!(listening, Some(added[0].clone()));
    });
}

#[test]
fn an_address_in_use_is_refused_with_advice() {
    on_all(|listen| async move {
        let first = server(listen).await;
        let mut address = first.address();
        address.pop();
        let error = soon(client().await.listen(address.clone()))
            .await
            .unwrap_err();
        let ListenError::Io { kind, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*kind, std::io::ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("another port"),
            "{text}"
        );
        // The builder says the same, and the node that was half made is gone.
        let built = Node::builder()
            .listen(TCP)
            .unwrap()
            .listen(address)
            .unwrap()
            .spawn()
            .await;
        assert!(built.is_err());
    });
}

#[test]
fn an_address_without_a_transport_is_refused_with_an_example() {
    run(async {
        for address in [
            "/ip4/127.0.0.1/udp/0/quic-v1/webtransport",
            "/dns4/example.invalid/tcp/0",
            "/ip4/127.0.0.1",
        ] {
            let error = soon(client().await.listen(address)).await.unwrap_err();
            assert!(matches!(error, ListenError::NoTransport(_)), "{error}");
            assert!(
                error.to_string().contains("/ip4/0.0.0.0/tcp/4001"),
                "{error}"
            );
        }
        let error = client().await.listen("127.0.0.1:80").await.unwrap_err();
        assert!(matches!(error, ListenError::Invalid(_)), "{error}");
    });
}

#[test]
fn connected_peers_hear_of_a_new_address() {
    run(async {
        let (server, client) = (server("/memory/0").await, client().await);
        identified(&client, &server).await;
        let added = soon(server.listen(TCP)).await.unwrap();
        eventually("the address is announced", || {
            client
                .peer(&server.id())
                .unwrap()
                .addresses
                .contains(&added[0])
        })
        .await;
    });
}

#[test]
fn with_reuse_port_the_peer_sees_the_port_that_the_dialer_listens_on() {
    run(async {
        for (wildcard, shared) in [(false, false), (true, false), (false, true)] {
            let listen = if wildcard { "/ip4/0.0.0.0/tcp/0" } else { TCP };
            let server = server(TCP).await;
            let dialer = Node::builder().reuse_port(true).share_port(shared);
            let dialer = dialer.listen(listen).unwrap().spawn().await.unwrap();
            let ours = port(&dialer.address());
            let mut events = server.events();
            let connection = soon(dialer.dial(server.address())).await.unwrap();
            assert_eq!(remote_port(&mut events).await, ours);
            // The two ports are taken by the first connection: the next one leaves from a free port.
            connection.close().await;
            soon(dialer.ping(server.address())).await.unwrap();
            // And whoever knows the port reaches its listener.
            soon(client().await.ping(dialer.address())).await.unwrap();
        }
    });
}

#[test]
fn without_reuse_port_a_dial_leaves_from_a_free_port() {
    run(async {
        let (server, dialer) = (server(TCP).await, server(TCP).await);
        let mut events = server.events();
        soon(dialer.dial(server.address())).await.unwrap();
        assert_ne!(remote_port(&mut events).await, port(&dialer.address()));
    });
}

async fn remote_port(events: &mut carrick::Events) -> u16 {
    loop {
        if let Some(NodeEvent::Connected { address, .. }) = soon(events.next()).await {
            return port(&address);
        }
    }
}
