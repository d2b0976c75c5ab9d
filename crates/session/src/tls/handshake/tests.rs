//! Our handshake with peers that are rustls', and that are wrong in one way each.

use std::io::{Read, Write};

use carrick_wire::Keypair;
use proptest::prelude::*;
use rustls::{
    ClientConfig, HandshakeKind, ServerConnection,
    crypto::aws_lc_rs::{cipher_suite, kx_group},
    version::TLS13,
};

use super::*;
use crate::{
    NoProofs, Records,
    tls::{
        forge::{Forge, certified, hex, identity, peer, vectors},
        provider,
        verifier::Verifier,
    },
};

const YAMUX: ProtocolId = ProtocolId::from_static("/yamux/1.0.0");
const MPLEX: ProtocolId = ProtocolId::from_static("/mplex/6.7.0");
const OURS: u8 = 1;
const THEIRS: u8 = 2;

fn tls(seed: u8, muxers: &[ProtocolId]) -> Arc<TlsIdentity> {
    Arc::new(TlsIdentity::new(&identity(seed), muxers.to_vec()).unwrap())
}

fn ours(role: Role, muxers: &[ProtocolId]) -> Handshake {
    Handshake::new(role, tls(OURS, muxers), None).unwrap()
}

fn alpn(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// A peer that is honest, and offers only "libp2p".
fn honest(role: Role) -> Connection {
    other(role, &tls(THEIRS, &[]))
}

/// A peer with this identity, in the role that is not ours.
fn other(ours: Role, identity: &TlsIdentity) -> Connection {
    match ours {
        Role::Dialer => server(identity.server_config(alpn(&["libp2p"]))),
        Role::Listener => client(identity.client_config(None, alpn(&["libp2p"])).0),
    }
}

fn server(config: ServerConfig) -> Connection {
    ServerConnection::new(Arc::new(config)).unwrap().into()
}

fn client(config: ClientConfig) -> Connection {
    let name = ServerName::try_from("example.org").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name);
    connection.unwrap().into()
}

/// A peer whose certificate is as `chain` says, for both roles.
fn with_certificate(role: Role, certified: rustls::sign::CertifiedKey) -> Connection {
    other(
        role,
        &TlsIdentity::with(certified, provider(), vec![], Arc::new(NoProofs)).unwrap(),
    )
}

type Outcome = (
    Result<Option<(Opener, Sealer, Proof)>, SecureError>,
    Option<rustls::Error>,
);

/// Both to their ends: what ours gives, and what the peer complains of.
fn meet(ours: &mut Handshake, theirs: &mut Connection) -> Outcome {
    let (mut input, mut verdict, mut complaint) = (BytesMut::new(), Ok(()), None);
    loop {
        let mut out = Vec::new();
        ours.poll_transmit(&mut out);
        hear(theirs, &out, &mut complaint);
        let mut answer = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut answer).unwrap();
        }
        if out.is_empty() && answer.is_empty() {
            return (verdict.and_then(|()| ours.finish()), complaint);
        }
        input.extend_from_slice(&answer);
        verdict = verdict.and_then(|()| ours.recv(&mut input));
    }
}

fn hear(theirs: &mut Connection, mut wire: &[u8], complaint: &mut Option<rustls::Error>) {
    while !wire.is_empty() {
        if !matches!(theirs.read_tls(&mut wire), Ok(1..)) {
            return;
        }
        if let Err(error) = theirs.process_new_packets() {
            complaint.get_or_insert(error);
        }
    }
}

fn seal(sealer: &mut Sealer, data: &[u8]) -> Vec<u8> {
    let mut records = Records::new(Sealer::LAYOUT);
    records.push(data);
    sealer.seal(&mut records).unwrap();
    records.as_slice().to_vec()
}

/// Data both ways over what a handshake left behind.
fn talk(opener: &mut Opener, sealer: &mut Sealer, theirs: &mut Connection) {
    let data: Vec<u8> = (0..50_000).map(|i| i as u8).collect();
    for piece in data.chunks(20_000) {
        hear(theirs, &seal(sealer, piece), &mut None);
        let mut heard = vec![0; piece.len()];
        theirs.reader().read_exact(&mut heard).unwrap();
        assert_eq!(heard, piece);

        theirs.writer().write_all(piece).unwrap();
        let mut wire = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut wire).unwrap();
        }
        let (mut wire, mut heard) = (BytesMut::from(&wire[..]), Vec::new());
        while let Some(data) = opener.open(&mut wire).unwrap() {
            heard.extend_from_slice(&data);
        }
        assert_eq!(heard, piece);
    }
}

fn both(test: impl Fn(Role)) {
    [Role::Dialer, Role::Listener].into_iter().for_each(test);
}

/// Any dialer or listener of ours with this peer.
fn check(theirs: impl Fn(Role) -> Connection, expected: impl Fn(&SecureError) -> bool) {
    both(|role| {
        let (ours, complaint) = meet(&mut ours(role, &[]), &mut theirs(role));
        let error = ours.unwrap_err();
        assert!(expected(&error), "{role:?}: {error:?}");
        assert!(complaint.is_some(), "the peer gets an alert");
    });
}

#[test]
fn our_records_are_those_of_rustls_in_every_suite() {
    for suite in [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        both(|role| {
            let mut provider = provider();
            provider.cipher_suites = vec![suite];
            let certified = Forge::new(THEIRS).certified();
            let theirs =
                TlsIdentity::with(certified, provider, vec![], Arc::new(NoProofs)).unwrap();
            let mut theirs = other(role, &theirs);
            let (ours, complaint) = meet(&mut ours(role, &[YAMUX]), &mut theirs);
            let (mut opener, mut sealer, proof) = ours.unwrap().unwrap();
            assert_eq!(complaint, None);
            assert_eq!(proof.key, identity(THEIRS).public());
            assert_eq!(proof.muxer, None);
            talk(&mut opener, &mut sealer, &mut theirs);
        });
    }
}

#[test]
fn between_us_aes_128_and_x25519_are_used_and_p_256_when_a_peer_has_nothing_else() {
    both(|role| {
        let mut theirs = honest(role);
        meet(&mut ours(role, &[]), &mut theirs).0.unwrap().unwrap();
        let suite = theirs.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let group = theirs.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519);

        let mut provider = provider();
        provider.kx_groups = vec![kx_group::SECP256R1];
        let certified = Forge::new(THEIRS).certified();
        let theirs = TlsIdentity::with(certified, provider, vec![], Arc::new(NoProofs)).unwrap();
        let mut theirs = other(role, &theirs);
        let (ours, _) = meet(&mut ours(role, &[]), &mut theirs);
        let (mut opener, mut sealer, _) = ours.unwrap().unwrap();
        talk(&mut opener, &mut sealer, &mut theirs);
    });
}

#[test]
fn keys_change_with_rustls_both_ways() {
    both(|role| {
        let mut theirs = honest(role);
        let (ours, _) = meet(&mut ours(role, &[]), &mut theirs);
        let (mut opener, mut sealer, _) = ours.unwrap().unwrap();
        for _ in 0..3 {
            // It changes its own and asks for a change of ours.
            theirs.refresh_traffic_keys().unwrap();
            talk(&mut opener, &mut sealer, &mut theirs);
        }
        theirs.send_close_notify();
        let mut wire = Vec::new();
        theirs.write_tls(&mut wire).unwrap();
        assert_eq!(opener.open(&mut BytesMut::from(&wire[..])), Ok(None));
        assert!(opener.ended());
        let mut records = Records::new(Sealer::LAYOUT);
        sealer.close(&mut records).unwrap();
        hear(&mut theirs, records.as_slice(), &mut None);
        assert_eq!(theirs.reader().read(&mut [0]).unwrap(), 0, "a clean end");
    });
}

/// Our first bytes with `find` replaced.
fn patched(bytes: &[u8], find: &[u8], replace: &[u8]) -> Vec<u8> {
    let at = bytes.windows(find.len()).position(|part| part == find);
    let mut bytes = bytes.to_vec();
    bytes[at.unwrap()..][..replace.len()].copy_from_slice(replace);
    bytes
}

#[test]
fn a_peer_that_has_only_tls_1_2_is_refused() {
    // The extension that lists the client's versions, and the one that tells the server's.
    let (listed, chosen) = ([0, 43, 0, 3, 2, 3, 4], [0, 43, 0, 2, 3, 4]);
    let mut hello = Vec::new();
    ours(Role::Dialer, &[]).poll_transmit(&mut hello);
    let old = patched(&hello, &listed, &[0, 43, 0, 3, 2, 3, 3]);
    let mut listener = ours(Role::Listener, &[]);
    let verdict = listener.recv(&mut BytesMut::from(&old[..]));
    assert!(matches!(verdict, Err(SecureError::Tls(_))), "{verdict:?}");
    let mut alert = Vec::new();
    listener.poll_transmit(&mut alert);
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 70], "protocol_version");

    let (mut dialer, mut listener) = (ours(Role::Dialer, &[]), ours(Role::Listener, &[]));
    let (mut hello, mut answer) = (Vec::new(), Vec::new());
    dialer.poll_transmit(&mut hello);
    listener.recv(&mut BytesMut::from(&hello[..])).unwrap();
    listener.poll_transmit(&mut answer);
    let old = patched(&answer, &chosen, &[0, 43, 0, 2, 3, 3]);
    let verdict = dialer.recv(&mut BytesMut::from(&old[..]));
    assert!(matches!(verdict, Err(SecureError::Tls(_))), "{verdict:?}");
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let provider = Arc::new(provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Verifier::new(&provider, None, Arc::new(NoProofs)))
        .with_no_client_auth();
    config.alpn_protocols = alpn(&["libp2p"]);
    let (ours, complaint) = meet(&mut ours(Role::Listener, &[]), &mut client(config));
    assert!(matches!(ours, Err(SecureError::Tls(_))));
    let alert = rustls::AlertDescription::CertificateRequired;
    assert_eq!(complaint, Some(rustls::Error::AlertReceived(alert)));
}

#[test]
fn a_chain_of_two_certificates_is_refused() {
    check(
        |role| {
            let (certificate, key) = Forge::new(THEIRS).p256();
            let (other, _) = Forge::new(THEIRS).p256();
            with_certificate(role, certified(vec![certificate, other], &key))
        },
        |error| *error == SecureError::Certificate("there is more than one"),
    );
}

#[test]
fn certificates_that_are_too_old_or_too_new_are_refused() {
    for (not_before, not_after, why) in [
        ("20000101000000Z", "20010101000000Z", "it has expired"),
        ("40000101000000Z", "40960101000000Z", "it is not valid yet"),
    ] {
        check(
            |role| {
                let forge = Forge {
                    not_before,
                    not_after,
                    ..Forge::new(THEIRS)
                };
                with_certificate(role, forge.certified())
            },
            |error| *error == SecureError::Certificate(why),
        );
    }
}

#[test]
fn a_peer_without_the_certificates_key_is_refused() {
    check(
        |role| {
            let (certificate, _) = Forge::new(THEIRS).p256();
            let (_, another_key) = Forge::new(THEIRS).p256();
            with_certificate(role, certified(vec![certificate], &another_key))
        },
        |error| matches!(error, SecureError::Tls(_)),
    );
}

#[test]
fn unknown_forms_of_a_certificate_are_refused_without_a_panic() {
    for certificate in [vec![], vec![0x30], vec![0x30, 0x80, 0, 0], vec![0xff; 3000]] {
        check(
            |role| {
                let (_, key) = Forge::new(THEIRS).p256();
                let chain = vec![certificate.clone().into()];
                with_certificate(role, certified(chain, &key))
            },
            |error| matches!(error, SecureError::Payload(_) | SecureError::Tls(_)),
        );
    }
}

#[test]
fn a_dialer_refuses_whom_it_did_not_expect() {
    let mut dialer = Handshake::new(Role::Dialer, tls(OURS, &[]), Some(peer(3))).unwrap();
    let (ours, complaint) = meet(&mut dialer, &mut honest(Role::Dialer));
    let (expected, found) = (peer(3), peer(THEIRS));
    assert_eq!(
        ours.unwrap_err(),
        SecureError::WrongPeer { expected, found }
    );
    assert!(matches!(complaint, Some(rustls::Error::AlertReceived(_))));
}

#[test]
fn identities_of_every_kind_are_known_by_their_keys() {
    let keys = vectors("keys");
    let rsa = keys.iter().find(|key| key["type"] == "rsa").unwrap();
    let rsa = hex(rsa["private_pb"].as_str().unwrap());
    for keypair in [
        Keypair::generate_ed25519(),
        Keypair::generate_secp256k1(),
        Keypair::generate_ecdsa(),
        Keypair::from_protobuf_encoding(&rsa).unwrap(),
    ] {
        both(|role| {
            let theirs = TlsIdentity::new(&keypair, vec![]).unwrap();
            let (ours, _) = meet(&mut ours(role, &[]), &mut other(role, &theirs));
            assert_eq!(ours.unwrap().unwrap().2.key, keypair.public());
        });
    }
}

/// The muxer that our listener chooses from a dialer's list; `None`: it is left open.
fn listens(ours_has: &[ProtocolId], offered: &[&str]) -> Result<Option<String>, SecureError> {
    let config = tls(THEIRS, &[]).client_config(None, alpn(offered)).0;
    let mut theirs = client(config);
    let (ours, complaint) = meet(&mut ours(Role::Listener, ours_has), &mut theirs);
    if ours.is_err() {
        let alert = rustls::AlertDescription::NoApplicationProtocol;
        assert_eq!(complaint, Some(rustls::Error::AlertReceived(alert)));
    }
    ours.map(|ours| ours.unwrap().2.muxer.map(|muxer| muxer.to_string()))
}

/// The muxer that our dialer learns from a listener that would take these.
fn dials(ours_has: &[ProtocolId], taken: &[&str]) -> Result<Option<String>, SecureError> {
    let mut theirs = server(tls(THEIRS, &[]).server_config(alpn(taken)));
    let (ours, _) = meet(&mut ours(Role::Dialer, ours_has), &mut theirs);
    ours.map(|ours| ours.unwrap().2.muxer.map(|muxer| muxer.to_string()))
}

#[test]
fn the_dialers_first_alpn_entry_that_the_listener_has_is_the_muxer() {
    let (yamux, mplex) = ("/yamux/1.0.0", "/mplex/6.7.0");
    let some = |muxer: &str| Ok(Some(muxer.to_owned()));
    let both = [YAMUX, MPLEX];
    assert_eq!(listens(&both, &[mplex, yamux, "libp2p"]), some(mplex));
    assert_eq!(listens(&both, &["/x", yamux, "libp2p"]), some(yamux));
    assert_eq!(listens(&[MPLEX], &[yamux, mplex, "libp2p"]), some(mplex));
    assert_eq!(listens(&both, &["libp2p"]), Ok(None));
    assert_eq!(listens(&[], &[yamux, "libp2p"]), Ok(None));
    assert_eq!(listens(&both, &["libp2p", yamux]), Ok(None), "its order");
    assert_eq!(
        listens(&both, &["/x", "h2"]),
        Err(SecureError::NoCommonMuxer)
    );
    assert!(matches!(
        listens(&both, &[]),
        Err(SecureError::Handshake(_))
    ));

    assert_eq!(dials(&both, &[mplex, "libp2p"]), some(mplex));
    assert_eq!(dials(&both, &["libp2p"]), Ok(None));
    assert_eq!(dials(&[], &["libp2p", yamux]), Ok(None));
    assert_eq!(dials(&both, &["h2"]), Err(SecureError::Alert(120)));
    assert!(matches!(dials(&both, &[]), Err(SecureError::Handshake(_))));
}

/// The types of a ClientHello's extensions (RFC 8446, section 4.1.2).
fn extensions(hello: &[u8]) -> Vec<u16> {
    let number = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    // Record, message, version, random; then three lists with lengths before them.
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(number(at));
    at += 1 + usize::from(hello[at]);
    at += 2;
    let mut types = Vec::new();
    while at < hello.len() {
        types.push(number(at));
        at += 4 + usize::from(number(at + 2));
    }
    types
}

#[test]
fn a_dialer_sends_no_name_no_ticket_and_no_early_data_and_a_listener_ignores_names() {
    let mut hello = Vec::new();
    ours(Role::Dialer, &[YAMUX]).poll_transmit(&mut hello);
    let extensions = extensions(&hello);
    assert!(extensions.contains(&16), "ALPN is there: {extensions:?}");
    for (unwanted, name) in [(0, "SNI"), (35, "ticket"), (41, "PSK"), (42, "early data")] {
        assert!(!extensions.contains(&unwanted), "{name}");
    }
    let mut config = tls(THEIRS, &[]).client_config(None, alpn(&["libp2p"])).0;
    config.enable_sni = true;
    let (ours, _) = meet(&mut ours(Role::Listener, &[]), &mut client(config));
    assert!(ours.unwrap().is_some());
}

#[test]
fn nothing_is_resumed() {
    let identity = tls(OURS, &[]);
    let mut config = tls(THEIRS, &[]).client_config(None, alpn(&["libp2p"])).0;
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    config.enable_early_data = true;
    for _ in 0..3 {
        let mut listener = Handshake::new(Role::Listener, identity.clone(), None).unwrap();
        let mut theirs = client(config.clone());
        let (ours, _) = meet(&mut listener, &mut theirs);
        assert_eq!(theirs.handshake_kind(), Some(HandshakeKind::Full));
        let (mut opener, mut sealer, _) = ours.unwrap().unwrap();
        let mut out = Vec::new();
        assert!(!listener.poll_transmit(&mut out), "no ticket follows");
        talk(&mut opener, &mut sealer, &mut theirs);
    }
}

#[test]
fn a_listener_that_refuses_late_fails_the_connection_that_the_dialer_has_up() {
    let forge = Forge {
        not_after: "20010101000000Z",
        ..Forge::new(OURS)
    };
    let identity =
        TlsIdentity::with(forge.certified(), provider(), vec![], Arc::new(NoProofs)).unwrap();
    let mut dialer = Handshake::new(Role::Dialer, Arc::new(identity), None).unwrap();
    let mut theirs = honest(Role::Dialer);
    let mut out = Vec::new();
    dialer.poll_transmit(&mut out);
    hear(&mut theirs, &out, &mut None);
    out.clear();
    theirs.write_tls(&mut out).unwrap();
    dialer.recv(&mut BytesMut::from(&out[..])).unwrap();
    let (mut opener, _, _) = dialer.finish().unwrap().unwrap();
    out.clear();
    dialer.poll_transmit(&mut out);
    let mut complaint = None;
    hear(&mut theirs, &out, &mut complaint);
    assert!(complaint.is_some());
    out.clear();
    theirs.write_tls(&mut out).unwrap();
    let alert = opener.open(&mut BytesMut::from(&out[..]));
    assert!(matches!(alert, Err(SecureError::Alert(_))), "{alert:?}");
}

#[test]
fn secrets_are_not_printed() {
    both(|role| {
        let mut handshake = ours(role, &[]);
        let text = format!("{handshake:?} {:?}", handshake.identity);
        let expected =
            format!("Handshake {{ role: {role:?}, .. }} TlsIdentity {{ muxers: [], .. }}");
        assert_eq!(text, expected);
        let (ours, _) = meet(&mut handshake, &mut honest(role));
        let (opener, sealer, _) = ours.unwrap().unwrap();
        let text = format!("{opener:?} {sealer:?} {:?}", handshake.secrets);
        assert_eq!(text, "Opener(0) Sealer(0) Secrets");
    });
}

/// Garbage of any length, before the handshake and in the middle of it.
fn garbage(role: Role, bytes: &[u8]) {
    for honest_first in [false, true] {
        let (mut handshake, mut theirs) = (ours(role, &[YAMUX]), honest(role));
        let (mut input, mut out) = (BytesMut::new(), Vec::new());
        if honest_first {
            handshake.poll_transmit(&mut out);
            hear(&mut theirs, &out, &mut None);
            out.clear();
            theirs.write_tls(&mut out).unwrap();
            input.extend_from_slice(&out[..out.len() * 3 / 4]);
        }
        input.extend_from_slice(bytes);
        let mut verdict = Ok(());
        while verdict.is_ok() {
            let before = input.len();
            verdict = handshake.recv(&mut input);
            if input.len() == before {
                break;
            }
        }
        out.clear();
        handshake.poll_transmit(&mut out);
        assert!(out.len() < 4096, "few bytes for a stranger");
        assert!(!matches!(handshake.finish(), Ok(Some(_))));
    }
}

#[test]
fn garbage_of_every_length_is_no_handshake() {
    both(|role| {
        for len in (0..100).chain([1000, 16_645, 16_646, 70_000]) {
            garbage(role, &vec![0x16; len]);
            let record = [&[0x16, 3, 1, 0x40, 0][..], &vec![1; len]].concat();
            garbage(role, &record);
        }
        // A hello that never ends.
        let mut endless = Vec::new();
        for i in 0..10 {
            endless.extend([0x16, 3, 1, 0x40, 0]);
            endless.extend([if i == 0 { 1 } else { 0xff }; 0x4000]);
        }
        garbage(role, &endless);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn random_records_are_no_handshake(
        listens in any::<bool>(),
        records in prop::collection::vec((20..24_u8, prop::collection::vec(any::<u8>(), 0..300)), 0..5),
        rest in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut bytes = Vec::new();
        for (kind, content) in records {
            bytes.extend([kind, 3, 3]);
            bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            bytes.extend(content);
        }
        bytes.extend(rest);
        garbage(if listens { Role::Listener } else { Role::Dialer }, &bytes);
    }
}

#[test]
fn a_hello_may_be_as_long_as_our_limit() {
    let mut ours = ours(Role::Listener, &[]);
    let record = |len: usize| {
        let mut record = vec![22, 3, 1];
        record.extend((len as u16 - 5).to_be_bytes());
        // The beginning of a message that is longer than any record.
        record.extend([1, 0, 0xff, 0xff]);
        record.resize(len, 3);
        BytesMut::from(&*record)
    };
    for len in [PART, HELLO_MAX - PART - 100, 100] {
        let mut records = record(len);
        ours.recv(&mut records).unwrap();
        assert!(records.is_empty());
    }
    let refused = ours.recv(&mut record(6));
    assert_eq!(
        refused,
        Err(SecureError::Misbehaved("its hello is too long"))
    );
}

#[test]
fn a_hello_of_many_muxers_in_small_pieces_is_heard() {
    let mut ours = ours(Role::Listener, &[]);
    let names: Vec<_> = (0..80)
        .map(|n| format!("/a-muxer-that-nobody-has-but-whose-name-is-long/{n}"))
        .collect();
    let mut offered: Vec<_> = names.iter().map(String::as_str).collect();
    offered.push("libp2p");
    let mut theirs = client(tls(THEIRS, &[]).client_config(None, alpn(&offered)).0);
    let mut hello = Vec::new();
    theirs.write_tls(&mut hello).unwrap();
    assert!(hello.len() > PART && hello.len() < HELLO_MAX);
    let mut buf = BytesMut::new();
    for piece in hello.chunks(100) {
        assert!(!ours.poll_transmit(&mut Vec::new()));
        buf.extend_from_slice(piece);
        ours.recv(&mut buf).unwrap();
    }
    assert!(ours.poll_transmit(&mut Vec::new()));
}
