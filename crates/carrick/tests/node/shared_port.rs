//! One port for TCP, WebSocket and WSS.

use carrick::{Builder, ListenError, Multiaddr, Node, Stream, SwarmKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{certificates::Authority, raw::socket, *};

fn echoing(authority: &Authority) -> Builder {
    let (chain, key) = authority.issue(&["127.0.0.1"]);
    Node::builder()
        .wss_certificate(chain, key)
        .unwrap()
        .wss_root(authority.root())
        .unwrap()
        .handle(
            ECHO,
            |mut stream: Stream| async move { stream.echo().await },
        )
}

/// The address without its peer, and this behind it.
fn beside(node: &Node, suffix: &str) -> Multiaddr {
    let mut address = node.address();
    address.pop();
    format!("{address}{suffix}").parse().unwrap()
}

/// Listens for all three at one port.
async fn all_three(authority: &Authority) -> Node {
    let node = echoing(authority).share_port(true).listen(TCP).unwrap();
    let node = node.spawn().await.unwrap();
    for suffix in ["/ws", "/tls/ws"] {
        let address = beside(&node, suffix);
        assert_eq!(soon(node.listen(address.clone())).await.unwrap(), [address]);
    }
    node
}

/// Such a node, whose files are not needed any more.
pub(crate) async fn server() -> Node {
    all_three(&Authority::default()).await
}

#[test]
fn three_protocols_are_served_at_one_port_at_once() {
    run(async {
        let authority = Authority::default();
        let server = all_three(&authority).await;
        assert_eq!(server.addresses().len(), 3);
        let mut dials = Vec::new();
        for address in server.addresses().into_iter().cycle().take(30) {
            let client = echoing(&authority).spawn().await.unwrap();
            dials.push(async move {
                let stream = client.open_stream(address, ECHO).await.unwrap();
                echo_on(stream, b"at one port").await.unwrap();
            });
        }
        soon(futures::future::join_all(dials)).await;
    });
}

#[test]
fn a_port_is_not_shared_unless_asked_nor_twice_for_one_protocol() {
    run(async {
        let authority = Authority::default();
        let alone = crate::common::server(TCP).await;
        let shared = all_three(&authority).await;
        for (node, suffix) in [
            (&alone, "/ws"),
            (&shared, "/ws"),
            (&shared, "/wss"),
            (&shared, ""),
        ] {
            let error = soon(node.listen(beside(node, suffix))).await.unwrap_err();
            let ListenError::Io { kind, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(kind, std::io::ErrorKind::AddrInUse);
        }
        // Nor with another node.
        let other = echoing(&authority).share_port(true).spawn().await.unwrap();
        assert!(soon(other.listen(beside(&shared, "/ws"))).await.is_err());
    });
}

#[test]
fn the_port_is_free_when_its_node_is_closed() {
    run(async {
        let node = server().await;
        let address = beside(&node, "");
        soon(node.close()).await;
        soon(client().await.listen(address)).await.unwrap();
    });
}

#[test]
fn who_says_nothing_or_something_else_keeps_nobody_waiting() {
    run(async {
        let server = server().await;
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(socket(&server.address()).await);
        }
        let mut strange = socket(&server.address()).await;
        strange.write_all(b"SSH-2.0-none\r\n").await.unwrap();
        assert!(matches!(
            soon(strange.read(&mut [0; 1])).await,
            Ok(0) | Err(_)
        ));
        for address in server.addresses().into_iter().take(2) {
            let stream = soon(client().await.open_stream(address, ECHO))
                .await
                .unwrap();
            soon(echo_on(stream, b"all the same")).await.unwrap();
        }
        // The silent ones have a deadline, too.
        let mut first = silent.swap_remove(0);
        assert!(matches!(
            soon(first.read(&mut [0; 1])).await,
            Ok(0) | Err(_)
        ));
    });
}

#[test]
fn a_protocol_without_a_listener_is_closed() {
    run(async {
        let node = Node::builder().share_port(true).listen(TCP).unwrap();
        let node = node.spawn().await.unwrap();
        for first in ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"] {
            let mut socket = socket(&node.address()).await;
            socket.write_all(first.as_bytes()).await.unwrap();
            assert!(matches!(
                soon(socket.read(&mut [0; 1])).await,
                Ok(0) | Err(_)
            ));
        }
    });
}

#[test]
fn a_private_network_does_not_share_its_ports() {
    run(async {
        let builder = Node::builder().private_network(SwarmKey::generate());
        let error = builder.share_port(true).spawn().await.unwrap_err();
        assert!(matches!(error, ListenError::PrivateSharedPort), "{error}");
    });
}
