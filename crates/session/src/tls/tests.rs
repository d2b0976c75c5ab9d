//! The configurations, joined: what QUIC gets from here.

use std::sync::Arc;

use rustls::{ClientConnection, ServerConnection, pki_types::ServerName};

use super::*;
use crate::tls::forge::{identity as keypair, peer};

fn identity(seed: u8) -> TlsIdentity {
    TlsIdentity::new(&keypair(seed), vec![]).unwrap()
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"libp2p".to_vec()]
}

/// Both handshakes to their ends; what each said last.
fn shake(
    client: ClientConfig,
    server: ServerConfig,
) -> (
    Result<ClientConnection, rustls::Error>,
    Result<ServerConnection, rustls::Error>,
) {
    let name = ServerName::try_from("unused").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let (mut errors, mut buf) = ([None, None], Vec::new());
    while client.wants_write() || server.wants_write() {
        buf.clear();
        while client.wants_write() {
            client.write_tls(&mut buf).unwrap();
        }
        while let Ok(1..) = server.read_tls(&mut &buf[..]) {
            buf.clear();
        }
        errors[1] = errors[1]
            .take()
            .or_else(|| server.process_new_packets().err());
        buf.clear();
        while server.wants_write() {
            server.write_tls(&mut buf).unwrap();
        }
        while let Ok(1..) = client.read_tls(&mut &buf[..]) {
            buf.clear();
        }
        errors[0] = errors[0]
            .take()
            .or_else(|| client.process_new_packets().err());
    }
    let [at_client, at_server] = errors;
    (
        at_client.map_or(Ok(client), Err),
        at_server.map_or(Ok(server), Err),
    )
}

#[test]
fn both_sides_know_each_other_after_the_handshake() {
    let (client, refusal) = identity(1).client_config(Some(peer(2)), alpn());
    let (client, server) = shake(client, identity(2).server_config(alpn()));
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(
        peer_key(&client.peer_certificates().unwrap()[0]),
        Ok(keypair(2).public())
    );
    assert_eq!(
        peer_key(&server.peer_certificates().unwrap()[0]),
        Ok(keypair(1).public())
    );
    assert_eq!(client.alpn_protocol(), Some(&b"libp2p"[..]));
    assert_eq!(server.server_name(), None, "SNI is not sent");
    assert_eq!(refusal.reason(), None);
}

#[test]
fn the_wrong_peer_is_typed_in_the_error_and_in_the_refusal() {
    let (client, refusal) = identity(1).client_config(Some(peer(3)), alpn());
    let (client, server) = shake(client, identity(2).server_config(alpn()));
    let wrong = SecureError::WrongPeer {
        expected: peer(3),
        found: peer(2),
    };
    assert_eq!(error(&client.unwrap_err()), wrong);
    assert_eq!(refusal.reason(), Some(wrong));
    assert!(matches!(error(&server.unwrap_err()), SecureError::Alert(_)));
}
