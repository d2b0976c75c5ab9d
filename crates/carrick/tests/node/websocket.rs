//! WebSocket and WSS: nodes over them, and bare clients and servers that do as they please.

use crate::common::*;

const WS: &str = "/ip4/127.0.0.1/tcp/0/ws";

#[test]
fn nodes_talk_over_websocket_and_name_its_addresses() {
    run(async {
        let (server, client) = (server(WS).await, client().await);
        let address = server.address().to_string();
        assert!(address.contains("/ws/p2p/"), "{address}");
        let big = vec![5; 200_000];
        for text in [b"over the web".as_slice(), b"", b"1", &big] {
            soon(echo(&client, &server, text)).await.unwrap();
        }
        let there = back(&server, client.id()).await;
        assert!(there.address().to_string().ends_with("/ws"));
        there.close().await;
    });
}
