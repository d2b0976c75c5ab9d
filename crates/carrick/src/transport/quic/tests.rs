//! QUIC addresses: which are ours, and which socket reaches which.

use super::*;
use crate::{carried::Carried, metrics::Metrics};

#[test]
fn only_an_ip_a_udp_port_and_quic_v1_are_ours_and_the_draft_is_refused_by_name() {
    for (text, ours) in [
        ("/ip4/127.0.0.1/udp/80/quic-v1", true),
        ("/ip6/::1/udp/80/quic-v1", true),
        ("/ip4/127.0.0.1/udp/80/quic-v1/webtransport", false),
        ("/ip4/127.0.0.1/udp/80", false),
        ("/ip4/127.0.0.1/tcp/80", false),
        ("/dns4/example.org/udp/80/quic-v1", false),
        ("/memory/1", false),
    ] {
        let address: Multiaddr = text.parse().unwrap();
        assert_eq!(can_handle(&address), ours, "{text}");
    }
    let draft: Multiaddr = "/ip4/127.0.0.1/udp/80/quic".parse().unwrap();
    assert!(can_handle(&draft));
    let error = socket_address(&draft).unwrap_err().to_string();
    assert!(error.contains("unsupported"), "{error}");
}

#[test]
fn a_socket_reaches_its_own_family_and_loopback_only_loopback() {
    for (local, remote, expected) in [
        ("0.0.0.0", "127.0.0.1", true),
        ("0.0.0.0", "192.0.2.1", true),
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "192.0.2.1", false),
        ("192.0.2.7", "127.0.0.1", false),
        ("192.0.2.7", "192.0.2.1", true),
        ("::", "::1", true),
        ("::", "127.0.0.1", false),
        ("0.0.0.0", "::1", false),
    ] {
        let reached = reaches(local.parse().unwrap(), remote.parse().unwrap());
        assert_eq!(reached, expected, "{local} -> {remote}");
    }
}

#[tokio::test]
async fn packets_between_programs_on_one_machine_grow_beyond_ethernets() {
    let metrics = Metrics::default();
    let quic = || {
        let keypair = Keypair::generate_ed25519();
        let (session, traffic) = (Default::default(), metrics.traffic(Carried::Quic).clone());
        Quic::new(&keypair, &session, 8, Arc::default(), traffic).unwrap()
    };
    let (dialer, server) = (quic(), quic());
    let mut listener = server
        .listen(&"/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap())
        .unwrap();
    let address = listener.addresses()[0].clone();
    let (dialed, accepted) = tokio::join!(dialer.dial(&address, None), async {
        server.secure(listener.accept().await.unwrap()).await
    });
    let (dialed, accepted) = (dialed.unwrap().connection, accepted.unwrap().connection);
    let grown =
        |connection: &Connection| connection.stats().path.current_mtu > config::UDP_PAYLOAD_AWAY;
    // What is acknowledged meanwhile answers the questions for longer packets.
    let talk = async {
        let (mut up, mut down) = dialed.open_bi().await.unwrap();
        up.write_all(b"?").await.unwrap();
        let (mut back, mut from) = accepted.accept_bi().await.unwrap();
        while !(grown(&dialed) && grown(&accepted)) {
            let mut byte = [0];
            from.read_exact(&mut byte).await.unwrap();
            back.write_all(&byte).await.unwrap();
            down.read_exact(&mut byte).await.unwrap();
            up.write_all(&byte).await.unwrap();
        }
    };
    timeout(Duration::from_secs(60), talk).await.unwrap();
}
