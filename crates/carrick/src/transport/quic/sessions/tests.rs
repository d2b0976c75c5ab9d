//! Who is resumed, and that both ends still know whom they talk to.

use carrick_session::{SecureError, tls};
use carrick_wire::Keypair;
use quinn::rustls::{ClientConnection, Error, HandshakeKind, ServerConnection};

use super::*;

struct Identity {
    peer: PeerId,
    tls: TlsIdentity,
}

fn identity() -> Identity {
    let keypair = Keypair::generate_ed25519();
    Identity {
        peer: keypair.public().to_peer_id(),
        tls: TlsIdentity::new(&keypair, Vec::new()).unwrap(),
    }
}

/// A handshake, and what follows it.
fn shake(
    client: &ClientConfig,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from("unused").unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    while client.wants_write() || server.wants_write() {
        let mut buf = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut buf).unwrap();
        }
        server.read_tls(&mut &buf[..]).unwrap();
        let at_server = server.process_new_packets();
        buf.clear();
        while server.wants_write() {
            server.write_tls(&mut buf).unwrap();
        }
        client.read_tls(&mut &buf[..]).unwrap();
        client.process_new_packets()?;
        at_server?;
    }
    Ok((client, server))
}

fn peer(certificates: Option<&[quinn::rustls::pki_types::CertificateDer<'_>]>) -> PeerId {
    tls::peer_key(&certificates.unwrap()[0])
        .unwrap()
        .to_peer_id()
}

#[test]
fn who_is_met_again_is_resumed_and_known_at_both_ends() {
    let (ours, theirs) = (identity(), identity());
    let (config, ..) = client(&ours.tls, Some(theirs.peer));
    let listener = Arc::new(server(&theirs.tls));
    for expected in [
        HandshakeKind::Full,
        HandshakeKind::Resumed,
        HandshakeKind::Resumed,
    ] {
        let (client, server) = shake(&config, &listener).unwrap();
        assert_eq!(client.handshake_kind(), Some(expected));
        assert_eq!(server.handshake_kind(), Some(expected));
        assert_eq!(peer(client.peer_certificates()), theirs.peer);
        assert_eq!(peer(server.peer_certificates()), ours.peer);
    }
}

#[test]
fn each_listener_knows_its_own_dialer_again() {
    let (one, two, theirs) = (identity(), identity(), identity());
    let listener = Arc::new(server(&theirs.tls));
    let configs = [&one, &two].map(|who| (who.peer, client(&who.tls, Some(theirs.peer)).0));
    for _ in 0..3 {
        for (who, config) in &configs {
            let (_, server) = shake(config, &listener).unwrap();
            assert_eq!(peer(server.peer_certificates()), *who);
        }
    }
}

#[test]
fn a_ticket_serves_once() {
    let (ours, theirs) = (identity(), identity());
    let (config, _, tickets) = client(&ours.tls, Some(theirs.peer));
    let mut listener = server(&theirs.tls);
    shake(&config, &Arc::new(listener.clone())).unwrap();
    assert_eq!(tickets.unwrap().all().len(), 1);
    // The same listener, which gives no new ones.
    listener.send_tls13_tickets = 0;
    let listener = Arc::new(listener);
    for expected in [HandshakeKind::Resumed, HandshakeKind::Full] {
        let (client, _) = shake(&config, &listener).unwrap();
        assert_eq!(client.handshake_kind(), Some(expected));
    }
}

#[test]
fn a_ticket_is_no_way_around_who_is_expected() {
    let (ours, theirs, another) = (identity(), identity(), identity());
    let listener = Arc::new(server(&theirs.tls));
    let (config, _, tickets) = client(&ours.tls, Some(theirs.peer));
    shake(&config, &listener).unwrap();
    // Whoever expects another peer does not get in with it, even if it got there.
    let (stranger, refusal, wrong) = client(&ours.tls, Some(another.peer));
    let taken = std::mem::take(&mut *tickets.unwrap().all());
    *wrong.unwrap().all() = taken;
    assert!(shake(&stranger, &listener).is_err());
    let refused = SecureError::WrongPeer {
        expected: another.peer,
        found: theirs.peer,
    };
    assert_eq!(refusal.reason(), Some(refused));
}

#[test]
fn a_ticket_does_not_open_the_door_of_another_listener() {
    let (ours, theirs, another) = (identity(), identity(), identity());
    let (config, refusal, _) = client(&ours.tls, Some(theirs.peer));
    shake(&config, &Arc::new(server(&theirs.tls))).unwrap();
    // The same address, somebody else behind it.
    assert!(shake(&config, &Arc::new(server(&another.tls))).is_err());
    let refused = SecureError::WrongPeer {
        expected: theirs.peer,
        found: another.peer,
    };
    assert_eq!(refusal.reason(), Some(refused));
}

#[test]
fn who_expects_nobody_keeps_nothing() {
    let (ours, theirs) = (identity(), identity());
    let (config, _, tickets) = client(&ours.tls, None);
    assert!(tickets.is_none());
    let listener = Arc::new(server(&theirs.tls));
    for _ in 0..2 {
        let (client, _) = shake(&config, &listener).unwrap();
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn the_peers_met_last_are_kept_and_forgotten_when_they_fail() {
    let (ours, sessions) = (identity(), Sessions::default());
    let peers: Vec<_> = (0..=PEERS_MAX).map(|_| PeerId::random()).collect();
    let towards = |peer| sessions.towards(&ours.tls, Some(peer)).unwrap();
    for peer in &peers[..PEERS_MAX] {
        sessions.keep(*peer, towards(*peer));
    }
    let first = towards(peers[0]);
    // Met again, so it is not the oldest any more; what is kept of it stays.
    sessions.keep(peers[0], sessions.towards(&ours.tls, None).unwrap());
    sessions.keep(peers[PEERS_MAX], towards(peers[PEERS_MAX]));
    let kept = |peer| sessions.met().iter().any(|(known, _)| *known == peer);
    assert!(kept(peers[0]) && !kept(peers[1]) && kept(peers[2]));
    assert_eq!(sessions.met().len(), PEERS_MAX);
    assert!(Arc::ptr_eq(&first, &towards(peers[0])));
    sessions.forget(peers[0]);
    assert!(!kept(peers[0]) && !Arc::ptr_eq(&first, &towards(peers[0])));
}
