//! What a node counts: the right figures under go-libp2p's names, in as many lines however many peers there are.

use carrick::{Builder, Node};

async fn listener() -> Node {
    let builder: Builder = Node::builder();
    let builder = builder.listen("/ip4/127.0.0.1/tcp/0").unwrap();
    let builder = builder.listen("/ip4/127.0.0.1/udp/0/quic-v1").unwrap();
    builder.spawn().await.unwrap()
}

/// The value of the one line that starts so; 0: there is none.
fn value(text: &str, start: &str) -> f64 {
    let mut found = text.lines().filter(|line| line.starts_with(start));
    let value = found.next().and_then(|line| line.rsplit(' ').next());
    assert_eq!(found.next(), None, "{start} is not one line");
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn connections_are_counted_under_the_labels_of_go_libp2p() {
    let (server, client) = (listener().await, Node::spawn().await.unwrap());
    for address in server.addresses() {
        client.dial(address.clone()).await.unwrap().close().await;
    }
    let tcp = "transport=\"tcp\",security=\"/noise\",muxer=\"/yamux/1.0.0\",early_muxer=\"true\",ip_version=\"ip4\"";
    let quic =
        "transport=\"quic-v1\",security=\"\",muxer=\"\",early_muxer=\"false\",ip_version=\"ip4\"";
    let text = client.metrics().await;
    for session in [tcp, quic] {
        let both = format!("{{dir=\"outbound\",{session}}}");
        let value = |name: &str| value(&text, &format!("{name}{both}"));
        assert_eq!(value("libp2p_swarm_connections_opened_total"), 1.0);
        assert_eq!(value("libp2p_swarm_connections_closed_total"), 1.0);
        assert_eq!(value("libp2p_swarm_connection_duration_seconds_count"), 1.0);
    }
    for session in [tcp, quic] {
        let name = format!("libp2p_swarm_handshake_latency_seconds_count{{{session}}}");
        assert_eq!(value(&text, &name), 1.0);
    }
    let keys = "libp2p_swarm_key_types_total{dir=\"outbound\",key_type=\"Ed25519\"}";
    assert_eq!(value(&text, keys), 2.0);
    let now = "libp2p_rcmgr_connections{dir=\"outbound\",scope=\"system\"}";
    assert_eq!(value(&text, now), 0.0);
    let sent = "carrick_transport_bytes_total{transport=\"tcp\",dir=\"outbound\"}";
    assert!(value(&text, sent) > 0.0);
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_counted_with_its_reason() {
    let (server, client) = (listener().await, Node::spawn().await.unwrap());
    let address = server.address();
    server.close().await;
    client.dial(address).await.unwrap_err();
    let refused = "libp2p_swarm_dial_errors_total{transport=\"tcp\",error=\"connection refused\",ip_version=\"ip4\"}";
    assert_eq!(value(&client.metrics().await, refused), 1.0);
}

#[tokio::test]
async fn there_are_as_many_lines_however_many_peers_there_are() {
    let server = listener().await;
    let mut lines = Vec::new();
    for _ in 0..3 {
        for _ in 0..8 {
            let client = Node::spawn().await.unwrap();
            let connection = client.dial(server.address()).await.unwrap();
            connection.info().await.unwrap();
            connection.close().await;
            client.close().await;
        }
        let text = server.metrics().await;
        assert!(!text.contains("12D3Koo"), "a peer is named: {text}");
        lines.push(text.lines().count());
    }
    assert_eq!(lines[0], lines[2]);
}
