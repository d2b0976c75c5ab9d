//! What a node counts: the right figures under go-libp2p's names, in as many lines however many peers there are.

use std::collections::BTreeSet;

use crate::common::eventually;
use carrick::{Builder, Config, Connection, DialOptions, Multiaddr, Node};

async fn listener() -> Node {
    let builder: Builder = Node::builder();
    let builder = builder.listen("/ip4/127.0.0.1/tcp/0").unwrap();
    let builder = builder.listen("/ip4/127.0.0.1/udp/0/quic-v1").unwrap();
    builder.spawn().await.unwrap()
}

/// A connection to this address, whatever else is known of the peer by now.
async fn connect(client: &Node, address: Multiaddr) -> Connection {
    let options = DialOptions {
        only_given: true,
        ..DialOptions::default()
    };
    client.dial_with(address, options).await.unwrap()
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
        connect(&client, address).await.close().await;
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
            // Each side asks for itself, and is counted there.
            let known = || server.peer(&client.id()).is_some();
            eventually("the server knows it", known).await;
            connection.close().await;
            client.close().await;
        }
        let text = server.metrics().await;
        assert!(!text.contains("12D3Koo"), "a peer is named: {text}");
        let names = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines.push(BTreeSet::from_iter(names.map(|(name, _)| name.to_owned())));
    }
    let new: Vec<_> = lines[2].difference(&lines[0]).collect();
    assert_eq!(new, Vec::<&String>::new());
}

#[tokio::test]
async fn streams_are_counted_while_they_live_and_by_protocols_that_this_side_has_named() {
    let (server, client) = (listener().await, Node::spawn().await.unwrap());
    let mut incoming = server.accept("/here/1.0.0").unwrap();
    for address in server.addresses() {
        let opened = client.open_stream(address.clone(), "/here/1.0.0").await;
        let mut stream = opened.unwrap();
        stream.write_all(b"here").await.unwrap();
        let theirs = incoming.next().await.unwrap();
        let (here, there) = (client.metrics().await, server.metrics().await);
        let row = |direction, scope, protocol| {
            format!(
                "libp2p_rcmgr_streams{{dir=\"{direction}\",scope=\"{scope}\",protocol=\"{protocol}\"}}"
            )
        };
        assert_eq!(
            value(&here, &row("outbound", "protocol", "/here/1.0.0")),
            1.0
        );
        assert_eq!(
            value(&there, &row("inbound", "protocol", "/here/1.0.0")),
            1.0
        );
        assert_eq!(value(&there, &row("inbound", "transient", "")), 0.0);
        drop((stream, theirs));
        let refused = client.open_stream(address, "/not-here/1.0.0").await;
        refused.unwrap_err();
        let (here, there) = (client.metrics().await, server.metrics().await);
        assert_eq!(
            value(&here, &row("outbound", "protocol", "/here/1.0.0")),
            0.0
        );
        assert_eq!(
            value(&there, &row("inbound", "protocol", "/here/1.0.0")),
            0.0
        );
        assert!(here.contains("/not-here/1.0.0"));
        assert!(!there.contains("/not-here/1.0.0"), "a peer has named a row");
    }
}

#[tokio::test]
async fn identify_dials_limits_and_events_are_counted() {
    let (server, client) = (listener().await, Node::spawn().await.unwrap());
    let _events = client.events();
    for address in server.addresses() {
        let connection = connect(&client, address).await;
        connection.info().await.unwrap();
        connection.close().await;
    }
    let text = client.metrics().await;
    let limits = Config::default().swarm;
    for (row, expected) in [
        ("libp2p_identify_identify_total{dir=\"outbound\"}", 2.0),
        (
            "libp2p_identify_conn_push_support_total{support=\"supported\"}",
            2.0,
        ),
        ("libp2p_identify_addrs_received_count", 2.0),
        ("libp2p_identify_addrs_count", 0.0),
        (
            "libp2p_swarm_dial_ranking_delay_seconds_bucket{le=\"+Inf\"}",
            2.0,
        ),
        ("libp2p_swarm_black_hole_filter_state{name=\"UDP\"}", 0.0),
        ("libp2p_rcmgr_peer_connections_count{dir=\"outbound\"}", 2.0),
        (
            "libp2p_rcmgr_previous_peer_connections_count{dir=\"outbound\"}",
            2.0,
        ),
        (
            "libp2p_rcmgr_limit{scope=\"system\",resource=\"conns_inbound\"}",
            limits.connections_inbound_max as f64,
        ),
        (
            "carrick_limit_max{limit=\"dials\",level=\"global\"}",
            limits.dials_max as f64,
        ),
        (
            "carrick_limit_refused_total{limit=\"dials\",level=\"global\"}",
            0.0,
        ),
        (
            "libp2p_eventbus_subscribers_total{event=\"NodeEvent\"}",
            1.0,
        ),
        (
            "libp2p_eventbus_events_emitted_total{event=\"EvtPeerConnectednessChanged\"}",
            4.0,
        ),
    ] {
        assert_eq!(value(&text, row), expected, "{row}");
    }
    for direction in ["inbound", "outbound"] {
        let row =
            format!("carrick_transport_bytes_total{{transport=\"quic-v1\",dir=\"{direction}\"}}");
        assert!(value(&text, &row) > 1000.0, "{row}");
    }
}

#[tokio::test]
async fn a_registry_of_the_users_has_the_same_figures() {
    let node = Node::spawn().await.unwrap();
    let own = node.metrics().await;
    let mut registry = prometheus_client::registry::Registry::with_prefix("app");
    node.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let names = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("# TYPE"))
            .count()
    };
    assert_eq!(names(&own), names(&text));
    assert!(text.contains("app_carrick_limit_max"));
}

#[tokio::test]
async fn every_metric_of_the_dashboard_is_one_that_a_node_has() {
    let dashboard = include_str!("../../../../docs/grafana/carrick.json");
    let (server, client) = (listener().await, Node::spawn().await.unwrap());
    let gone = listener().await;
    let nowhere = gone.address();
    gone.close().await;
    client.dial(nowhere).await.unwrap_err();
    for address in server.addresses() {
        let connection = client.dial(address).await.unwrap();
        connection.info().await.unwrap();
        connection.close().await;
    }
    // Families of counters are not there before their first event.
    let text = client.metrics().await;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = dashboard.split(|c: char| !is_part(c));
    let named: BTreeSet<_> = words
        .filter(|word| word.starts_with("libp2p_") || word.starts_with("carrick_"))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let rare = [
        "libp2p_identify_identify_push_total",
        "carrick_behaviours_total",
    ];
    for name in named.iter().filter(|name| !rare.contains(name)) {
        let has = |line: &str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        assert!(text.lines().any(has), "{name} is on the dashboard only");
    }
}
