//! The handshake against a published vector, and against peers that lie.

use snow::{HandshakeState, resolvers::CryptoResolver};

use super::*;
use crate::proofs::tests::Memory;

fn hex(text: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn snow(role: Role, secret: [u8; 32], ephemeral: [u8; 32], prologue: &[u8]) -> HandshakeState {
    let primitives = Primitives::new(Arc::new(StaticKey::new(secret).unwrap()), ephemeral);
    let builder = snow::Builder::with_resolver(PATTERN.parse().unwrap(), Box::new(primitives));
    let builder = builder
        .prologue(prologue)
        .unwrap()
        .local_private_key(&secret)
        .unwrap();
    match role {
        Role::Dialer => builder.build_initiator().unwrap(),
        Role::Listener => builder.build_responder().unwrap(),
    }
}

/// From the cacophony suite, as snow ships it.
#[test]
fn a_published_handshake_comes_out_byte_for_byte() {
    let prologue = hex("4a6f686e2047616c74");
    let key = |text: &str| <[u8; 32]>::try_from(hex(text)).unwrap();
    let mut dialer = snow(
        Role::Dialer,
        key("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"),
        key("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"),
        &prologue,
    );
    let mut listener = snow(
        Role::Listener,
        key("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"),
        key("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"),
        &prologue,
    );
    let messages = [
        (
            "4c756477696720766f6e204d69736573",
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573",
        ),
        (
            "4d757272617920526f746862617264",
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285e08d6b68aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23dbd8d162c9326ad",
        ),
        (
            "462e20412e20486179656b",
            "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f58c9fea0d4ec82a286427402f113e4b6ae769a1d95941d49b25030",
        ),
    ];
    let mut buf = vec![0; 1000];
    for (i, (payload, ciphertext)) in messages.into_iter().enumerate() {
        let (from, to) = if i % 2 == 0 {
            (&mut dialer, &mut listener)
        } else {
            (&mut listener, &mut dialer)
        };
        let len = from.write_message(&hex(payload), &mut buf).unwrap();
        assert_eq!(buf[..len], hex(ciphertext), "message {i}");
        let len = to.read_message(&hex(ciphertext), &mut buf).unwrap();
        assert_eq!(buf[..len], hex(payload), "payload {i}");
    }
    let hash = hex("c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e");
    assert_eq!(dialer.get_handshake_hash(), hash);

    // What follows the handshake goes through our own halves.
    let (ours, theirs) = dialer.dangerously_get_raw_split();
    let transport = [
        (
            theirs,
            "4361726c204d656e676572",
            "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df",
        ),
        (
            ours,
            "4a65616e2d426170746973746520536179",
            "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5",
        ),
    ];
    for (key, payload, ciphertext) in transport {
        let mut records = crate::Records::new(Sealer::LAYOUT);
        records.push(&hex(payload));
        Sealer::new(&key).seal(&mut records).unwrap();
        assert_eq!(records.as_slice()[2..], hex(ciphertext));
        let mut wire = BytesMut::from(records.as_slice());
        let opened = Opener::new(&key).open(&mut wire).unwrap().unwrap();
        assert_eq!(opened, hex(payload));
    }
}

#[test]
fn low_order_points_agree_on_nothing() {
    let key = Arc::new(StaticKey::new([1; 32]).unwrap());
    let mut dh = Primitives::new(key.clone(), [2; 32])
        .resolve_dh(&snow::params::DHChoice::Curve25519)
        .unwrap();
    dh.set(key.secret());
    let low_order = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for point in low_order {
        assert!(dh.dh(&hex(point), &mut [0; 32]).is_err(), "{point}");
        // As an ephemeral key in the first message: the handshake ends where it is used.
        let (mut handshake, message) = (listener(&[]), [&[0, 32][..], &hex(point)].concat());
        let result = handshake.recv(&mut BytesMut::from(&message[..]));
        assert!(matches!(result, Err(SecureError::Handshake(_))), "{point}");
    }
}

const OURS: [u8; 32] = [1; 32];
const THEIRS: [u8; 32] = [2; 32];

fn keypair(seed: [u8; 32]) -> Keypair {
    Keypair::ed25519_from_bytes(seed).unwrap()
}

fn handshake(role: Role, muxers: &[ProtocolId]) -> Handshake {
    handshake_with(role, muxers, Arc::new(NoProofs))
}

fn handshake_with(role: Role, muxers: &[ProtocolId], proofs: Arc<dyn Proofs>) -> Handshake {
    let identity =
        NoiseIdentity::with_proofs(&keypair(OURS), OURS, muxers.to_vec(), proofs).unwrap();
    Handshake::new(role, Arc::new(identity), None, [3; 32]).unwrap()
}

fn listener(muxers: &[ProtocolId]) -> Handshake {
    handshake(Role::Listener, muxers)
}

/// The payload that an honest peer would send.
fn honest() -> HandshakePayload {
    let public = *StaticKey::new(THEIRS).unwrap().public();
    HandshakePayload {
        identity_key: keypair(THEIRS).public().encode_protobuf(),
        identity_sig: keypair(THEIRS)
            .sign(&[SIGNATURE_PREFIX, &public].concat())
            .unwrap(),
        stream_muxers: Vec::new(),
        webtransport_certhashes: Vec::new(),
    }
}

fn framed(message: &[u8]) -> BytesMut {
    let len = u16::try_from(message.len()).unwrap().to_be_bytes();
    BytesMut::from(&[&len[..], message].concat()[..])
}

/// Our handshake in `role` with a peer that sends `payload`, and `first` in its first message if it dials.
fn meet(
    role: Role,
    muxers: &[ProtocolId],
    first: &[u8],
    payload: &[u8],
) -> Result<Option<Proof>, SecureError> {
    meet_as(handshake(role, muxers), first, payload)
}

fn meet_as(
    mut ours: Handshake,
    first: &[u8],
    payload: &[u8],
) -> Result<Option<Proof>, SecureError> {
    let mut out = Vec::new();
    let mut buf = vec![0; 65535];
    match ours.role {
        Role::Dialer => {
            let mut peer = snow(Role::Listener, THEIRS, [4; 32], &[]);
            ours.poll_transmit(&mut out);
            assert_eq!(
                out.len(),
                34,
                "our first message is an ephemeral key and nothing else"
            );
            peer.read_message(&out[2..], &mut buf).unwrap();
            let len = peer.write_message(payload, &mut buf).unwrap();
            ours.recv(&mut framed(&buf[..len]))?;
        }
        Role::Listener => {
            let mut peer = snow(Role::Dialer, THEIRS, [4; 32], &[]);
            let len = peer.write_message(first, &mut buf).unwrap();
            ours.recv(&mut framed(&buf[..len]))?;
            ours.poll_transmit(&mut out);
            peer.read_message(&out[2..], &mut buf).unwrap();
            let len = peer.write_message(payload, &mut buf).unwrap();
            ours.recv(&mut framed(&buf[..len]))?;
        }
    }
    Ok(ours.finish()?.map(|(_, _, proof)| proof))
}

/// Both roles meet a peer with this payload.
fn check(
    payload: &HandshakePayload,
    expected: impl Fn(Result<Option<Proof>, SecureError>) -> bool,
) {
    check_bytes(&payload.encode(), expected);
}

fn check_bytes(payload: &[u8], expected: impl Fn(Result<Option<Proof>, SecureError>) -> bool) {
    for role in [Role::Dialer, Role::Listener] {
        assert!(expected(meet(role, &[], &[], payload)), "{role:?}");
        // The same when the honest peer was met before.
        let proofs = Arc::new(Memory::default());
        let again = || handshake_with(role, &[], proofs.clone());
        assert!(is_up(meet_as(again(), &[], &honest().encode())));
        assert!(expected(meet_as(again(), &[], payload)), "{role:?}");
        assert!(is_up(meet_as(again(), &[], &honest().encode())));
    }
}

fn is_up(result: Result<Option<Proof>, SecureError>) -> bool {
    result.unwrap().unwrap().key == keypair(THEIRS).public()
}

#[test]
fn an_honest_peer_is_known_by_its_key() {
    check(&honest(), is_up);
}

#[test]
fn any_changed_bit_of_the_signature_is_refused() {
    for bit in 0..64 * 8 {
        let mut payload = honest();
        payload.identity_sig[bit / 8] ^= 1 << (bit % 8);
        check(&payload, |result| {
            matches!(result, Err(SecureError::Signature))
        });
    }
    for len in [63, 65] {
        let mut payload = honest();
        payload.identity_sig.resize(len, 0);
        check(&payload, |result| {
            matches!(result, Err(SecureError::Signature))
        });
    }
}

#[test]
fn a_signature_with_another_prefix_or_none_is_refused() {
    let public = *StaticKey::new(THEIRS).unwrap().public();
    for prefix in [
        &b""[..],
        b"libp2p-tls-handshake:",
        b"noise-libp2p-static-key",
    ] {
        let mut payload = honest();
        payload.identity_sig = keypair(THEIRS).sign(&[prefix, &public].concat()).unwrap();
        check(&payload, |result| {
            matches!(result, Err(SecureError::Signature))
        });
    }
}

#[test]
fn a_payload_replayed_from_another_handshake_is_refused() {
    let public = *StaticKey::new([9; 32]).unwrap().public();
    let mut payload = honest();
    payload.identity_sig = keypair(THEIRS)
        .sign(&[SIGNATURE_PREFIX, &public].concat())
        .unwrap();
    check(&payload, |result| {
        matches!(result, Err(SecureError::Signature))
    });
    // Our own payload, sent back to us, is signed for our static key, not theirs.
    let own = NoiseIdentity::new(&keypair(OURS), OURS, vec![])
        .unwrap()
        .payload;
    check_bytes(&own, |result| matches!(result, Err(SecureError::Signature)));
}

#[test]
fn another_identity_key_than_the_signer_is_refused() {
    let mut payload = honest();
    payload.identity_key = keypair([9; 32]).public().encode_protobuf();
    check(&payload, |result| {
        matches!(result, Err(SecureError::Signature))
    });
}

#[test]
fn a_missing_or_undecodable_identity_key_is_refused() {
    for key in [
        vec![],
        vec![0xff; 36],
        vec![0x08, 0x09, 0x12, 0x00],
        vec![0; 5000],
    ] {
        let mut payload = honest();
        payload.identity_key = key;
        check(&payload, |result| {
            matches!(result, Err(SecureError::Payload(_)))
        });
    }
    for payload in [&b""[..], b"\xff", &[0x0a, 0xff, 0xff, 0xff, 0x7f]] {
        check_bytes(payload, |result| result.is_err());
    }
}

#[test]
fn the_payload_of_the_first_message_is_ignored() {
    let mut lie = honest();
    lie.identity_key = keypair([9; 32]).public().encode_protobuf();
    lie.stream_muxers = vec!["/yamux/1.0.0".into()];
    for first in [lie.encode(), vec![0xff; 100], vec![0; 8_000]] {
        let met = meet(
            Role::Listener,
            &[crate::mux::YAMUX],
            &first,
            &honest().encode(),
        );
        assert!(met.as_ref().is_ok_and(|secured| {
            secured
                .as_ref()
                .is_some_and(|secured| secured.muxer.is_none())
        }));
        assert!(is_up(met));
    }
}

#[test]
fn unknown_fields_of_the_payload_are_ignored() {
    // Field 15, and an unknown extension in field 4.
    let payload = [
        honest().encode(),
        vec![0x7a, 3, 1, 2, 3],
        vec![0x22, 4, 0x7a, 2, 1, 2],
    ]
    .concat();
    check_bytes(&payload, is_up);
}

#[test]
fn a_payload_or_muxer_list_beyond_bounds_is_refused() {
    let mut many = honest();
    many.stream_muxers = vec!["/m".into(); 40];
    check(&many, |result| {
        matches!(result, Err(SecureError::Payload(_)))
    });
    let mut large = honest();
    large.webtransport_certhashes = vec![vec![0; 5_000]];
    check(&large, |result| {
        matches!(result, Err(SecureError::Payload(_)))
    });
    large.webtransport_certhashes = vec![vec![0; 60_000]];
    check(&large, |result| {
        matches!(result, Err(SecureError::Handshake(_)))
    });
}

#[test]
fn a_message_that_is_too_long_is_refused_by_its_length_alone() {
    let max = usize::from(MESSAGE_MAX);
    let mut begun = framed(&vec![9; max]);
    begun.truncate(2);
    assert!(listener(&[]).recv(&mut begun).is_ok());
    let mut too_long = framed(&vec![9; max + 1]);
    too_long.truncate(2);
    let refused = listener(&[]).recv(&mut too_long);
    assert!(
        matches!(refused, Err(SecureError::Handshake(_))),
        "{refused:?}"
    );
    assert!(listener(&[]).recv(&mut framed(&vec![9; max])).is_ok());
}

#[test]
fn the_dialers_order_decides_the_muxer_whatever_else_is_in_the_lists() {
    let ids = ["/a", "/b", "/c"].map(ProtocolId::from_static);
    let meet = |role, theirs: &[&str]| {
        let mut payload = honest();
        payload.stream_muxers = theirs.iter().map(ToString::to_string).collect();
        let secured = meet(role, &ids, &[], &payload.encode()).map(|secured| secured.unwrap());
        secured.map(|secured| secured.muxer.map(|muxer| muxer.to_string()))
    };
    let some = |muxer: &str| Ok(Some(muxer.to_owned()));
    assert_eq!(
        meet(Role::Dialer, &["/c", "/b", "/b"]),
        some("/b"),
        "our order"
    );
    assert_eq!(
        meet(Role::Listener, &["/c", "/b", "/b"]),
        some("/c"),
        "their order"
    );
    assert_eq!(meet(Role::Listener, &["/none", "\n", "", "/b"]), some("/b"));
    for role in [Role::Dialer, Role::Listener] {
        assert_eq!(meet(role, &[]), Ok(None), "multistream-select decides");
        assert_eq!(
            meet(role, &["/none", "/A", "/a "]),
            Err(SecureError::NoCommonMuxer)
        );
    }
}

#[test]
fn short_and_wrong_handshake_messages_are_refused() {
    for len in (0..32).chain([33]) {
        let result = listener(&[]).recv(&mut framed(&vec![9; len]));
        assert_eq!(result.is_ok(), len == 33, "{len} bytes");
    }
    for len in [0, 1, 31, 32, 95, 96, 200, 65535] {
        let mut dialer = handshake(Role::Dialer, &[]);
        let result = dialer.recv(&mut framed(&vec![9; len]));
        assert!(
            matches!(result, Err(SecureError::Handshake(_))),
            "{len} bytes"
        );
        assert!(dialer.finish().unwrap().is_none());
    }
}

#[test]
fn a_node_uses_a_new_ephemeral_key_for_every_handshake() {
    let first = |seed| {
        let identity = Arc::new(NoiseIdentity::new(&keypair(OURS), OURS, vec![]).unwrap());
        let mut out = Vec::new();
        Handshake::new(Role::Dialer, identity, None, seed)
            .unwrap()
            .poll_transmit(&mut out);
        out
    };
    assert_ne!(first([1; 32]), first([2; 32]));
    let secret = format!(
        "{:?}",
        NoiseIdentity::new(&keypair(OURS), OURS, vec![]).unwrap()
    );
    assert_eq!(
        secret, "NoiseIdentity { muxers: [], .. }",
        "nothing secret is printed"
    );
}
