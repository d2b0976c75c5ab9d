//! Rows 160 to 166 of identify: whose message, how large, in how many parts, and what of it is kept.

use super::*;

fn keypair(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).unwrap()
}

fn peer(n: u8) -> PeerId {
    keypair(n).public().to_peer_id()
}

fn parse(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

fn part(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode_prefixed(&message.encode(), &mut out);
    out
}

fn read(bytes: &[u8]) -> Result<Info, IdentifyError> {
    let mut collector = Collector::new(peer(2));
    collector.recv(bytes)?;
    collector.finish()
}

fn own() -> Own {
    Own {
        protocol_version: "ipfs/0.1.0".into(),
        agent: "carrick/1".into(),
        listen_addresses: vec![parse("/ip4/1.1.1.1/tcp/1"), parse("/ip6/::1/tcp/2")],
        protocols: vec![PROTOCOL, PUSH_PROTOCOL],
    }
}

#[test]
fn what_one_side_says_the_other_reads_in_any_chunking() {
    let observed = parse("/ip4/3.3.3.3/tcp/3");
    let bytes = own().seal(&keypair(2), 7).encode(Some(&observed));
    for size in 1..=bytes.len() {
        let mut collector = Collector::new(peer(2));
        bytes
            .chunks(size)
            .for_each(|chunk| collector.recv(chunk).unwrap());
        let info = collector.finish().unwrap();
        assert_eq!(info.key, Some(keypair(2).public()));
        assert_eq!(info.listen_addresses, own().listen_addresses);
        assert_eq!(info.protocols, own().protocols);
        assert_eq!(info.observed_address.as_ref(), Some(&observed));
        assert_eq!(info.protocol_version.as_deref(), Some("ipfs/0.1.0"));
        assert_eq!(info.agent.as_deref(), Some("carrick/1"));
        let record = info.signed_addresses.unwrap();
        assert_eq!((record.peer, record.seq), (peer(2), 7));
        assert_eq!(record.addresses, own().listen_addresses);
    }
}

#[test]
fn a_key_of_another_peer_than_the_connections_is_an_error_that_names_it() {
    let error = read(&own().seal(&keypair(3), 7).encode(None)).unwrap_err();
    assert_eq!(error, IdentifyError::WrongPeer(peer(3)));
    assert!(error.to_string().contains(&peer(3).to_string()));
}

#[test]
fn a_key_that_is_none_is_an_error() {
    let public_key = Some(vec![8, 1, 18, 1, 0]);
    let message = Message {
        public_key,
        ..Message::default()
    };
    assert!(matches!(
        read(&part(&message)),
        Err(IdentifyError::Decode(_))
    ));
}

#[test]
fn a_part_above_the_cap_is_refused_before_it_is_read() {
    let mut length = Vec::new();
    varint::encode(PART_MAX as u64 + 1, &mut length);
    let mut collector = Collector::new(peer(2));
    assert!(matches!(
        collector.recv(&length),
        Err(IdentifyError::Decode(_))
    ));
    let mut length = Vec::new();
    varint::encode(PART_MAX as u64, &mut length);
    let mut collector = Collector::new(peer(2));
    assert_eq!(collector.recv(&length), Ok(()));
    assert!(Collector::new(peer(2)).recv(&[0xff; 10]).is_err());
}

#[test]
fn a_message_in_two_parts_is_merged() {
    let sealed = PeerRecord {
        peer: peer(2),
        seq: 1,
        addresses: vec![parse("/ip4/2.2.2.2/tcp/2")],
    }
    .seal(&keypair(2))
    .unwrap();
    let first = Message {
        listen_addrs: vec![parse("/ip4/1.1.1.1/tcp/1").to_vec()],
        ..Message::default()
    };
    let second = Message {
        signed_peer_record: Some(sealed),
        ..Message::default()
    };
    let info = read(&[part(&first), part(&second)].concat()).unwrap();
    assert_eq!(info.listen_addresses, [parse("/ip4/1.1.1.1/tcp/1")]);
    assert_eq!(
        info.signed_addresses.unwrap().addresses,
        [parse("/ip4/2.2.2.2/tcp/2")]
    );
}

#[test]
fn ten_parts_are_read_and_an_eleventh_is_an_error() {
    let parts = part(&Message::default()).repeat(PARTS_MAX);
    assert!(read(&parts).is_ok());
    let parts = part(&Message::default()).repeat(PARTS_MAX + 1);
    assert_eq!(read(&parts), Err(IdentifyError::TooManyParts));
}

#[test]
fn a_stream_that_ends_early_is_an_error() {
    assert_eq!(read(&[]), Err(IdentifyError::Truncated));
    let bytes = own().seal(&keypair(2), 7).encode(None);
    let and_a_half = [bytes.as_slice(), &bytes[..9]].concat();
    for early in [&bytes[..bytes.len() - 1], &and_a_half] {
        assert_eq!(read(early), Err(IdentifyError::Truncated));
    }
}

#[test]
fn addresses_and_protocols_that_are_not_valid_are_skipped_and_the_others_kept() {
    let message = Message {
        listen_addrs: vec![
            vec![0xff; 20],
            parse("/ip4/1.1.1.1/tcp/1").to_vec(),
            Vec::new(),
            parse(&format!("/p2p/{}", peer(2))).to_vec(),
            parse(&format!("/ip4/1.1.1.1/tcp/1/p2p/{}", peer(2))).to_vec(),
            parse(&format!("/ip4/1.1.1.2/tcp/1/p2p/{}", peer(3))).to_vec(),
            parse("/ip4/1.1.1.3/tcp/1").to_vec(),
        ],
        protocols: ["", "/a/1", "/b\n/1", "/a/1", "/c/1"]
            .map(String::from)
            .to_vec(),
        observed_addr: Some(vec![0xff; 20]),
        ..Message::default()
    };
    let info = read(&part(&message)).unwrap();
    let expected = ["/ip4/1.1.1.1/tcp/1", "/ip4/1.1.1.3/tcp/1"].map(parse);
    assert_eq!(info.listen_addresses, expected);
    assert_eq!(
        info.protocols,
        ["/a/1", "/c/1"].map(|p| ProtocolId::new(p).unwrap())
    );
    assert_eq!(info.observed_address, None);
}

#[test]
fn a_push_with_missing_fields_says_nothing_about_them() {
    let agent_version = Some("new/1".to_owned());
    let message = Message {
        agent_version,
        ..Message::default()
    };
    let info = read(&part(&message)).unwrap();
    let agent = Some("new/1".to_owned());
    assert_eq!(
        info,
        Info {
            agent,
            ..Info::default()
        }
    );
}

#[test]
fn a_signed_record_of_another_peer_or_a_broken_one_is_ignored() {
    let record = PeerRecord {
        peer: peer(3),
        seq: 1,
        addresses: vec![parse("/ip4/2.2.2.2/tcp/2")],
    };
    let mut broken = PeerRecord {
        peer: peer(2),
        ..record.clone()
    }
    .seal(&keypair(2))
    .unwrap();
    *broken.last_mut().unwrap() ^= 1;
    for sealed in [record.seal(&keypair(3)).unwrap(), broken, vec![1, 2, 3]] {
        let message = Message {
            listen_addrs: vec![parse("/ip4/1.1.1.1/tcp/1").to_vec()],
            signed_peer_record: Some(sealed),
            ..Message::default()
        };
        let info = read(&part(&message)).unwrap();
        assert_eq!(info.signed_addresses, None);
        assert_eq!(info.listen_addresses.len(), 1);
    }
}

#[test]
fn ten_thousand_protocols_and_addresses_are_bounded() {
    let protocols: Vec<_> = (0..1000).map(|n| format!("/{n}")).collect();
    let listen_addrs = (0..100).map(|n| parse(&format!("/ip4/1.1.1.{n}/tcp/1")).to_vec());
    let message = Message {
        protocols,
        listen_addrs: listen_addrs.collect(),
        ..Message::default()
    };
    let info = read(&part(&message).repeat(10)).unwrap();
    assert_eq!(info.protocols.len(), PROTOCOLS_MAX);
    assert_eq!(info.listen_addresses.len(), ADDRESSES_MAX);
}

#[test]
fn a_huge_agent_string_is_cut_and_control_characters_are_replaced() {
    let long = Message {
        agent_version: Some("é".repeat(4000)),
        ..Message::default()
    };
    let agent = read(&part(&long)).unwrap().agent.unwrap();
    assert_eq!(agent, "é".repeat(AGENT_MAX / 2));

    let nasty = "a\x1b[31m\n\u{202e}b\u{200b}\u{9b}\u{e0041}".to_owned();
    let both = Some(nasty);
    let message = Message {
        agent_version: both.clone(),
        protocol_version: both,
        ..Message::default()
    };
    let info = read(&part(&message)).unwrap();
    let safe = "a\u{fffd}[31m\u{fffd}\u{fffd}b\u{fffd}\u{fffd}\u{fffd}";
    assert_eq!(info.agent.as_deref(), Some(safe));
    assert_eq!(info.protocol_version.as_deref(), Some(safe));
}

#[test]
fn our_own_message_is_cut_to_four_kibibytes_and_stays_whole() {
    let ecdsa = Keypair::generate_ecdsa();
    for keypair in [keypair(2), Keypair::generate_secp256k1(), ecdsa] {
        let peer = keypair.public().to_peer_id();
        for (addresses, protocols) in [(1000_u32, 1000), (1000, 0), (0, 1000), (30, 40), (3, 200)] {
            let own = Own {
                agent: "x".repeat(10_000),
                protocol_version: "y".repeat(10_000),
                listen_addresses: (0..addresses)
                    .map(|n| parse(&format!("/ip6/2001:db8::{n:x}/udp/1/quic-v1")))
                    .collect(),
                protocols: (0..protocols)
                    .map(|n| ProtocolId::new(&format!("/a-protocol/{n}")).unwrap())
                    .collect(),
            };
            let observed = parse(&format!("/dns/{}/tcp/1", "a".repeat(200)));
            let bytes = own.seal(&keypair, u64::MAX >> 1).encode(Some(&observed));
            assert!(bytes.len() <= OWN_MAX, "{}", bytes.len());
            let mut collector = Collector::new(peer);
            collector.recv(&bytes).unwrap();
            let info = collector.finish().unwrap();
            let record = info.signed_addresses.unwrap();
            assert_eq!(record.addresses, info.listen_addresses);
            assert!(own.listen_addresses.starts_with(&info.listen_addresses));
            assert!(own.protocols.starts_with(&info.protocols));
            if addresses + protocols > 500 {
                assert!(bytes.len() > OWN_MAX / 2, "{}", bytes.len());
            }
        }
    }
}

#[test]
fn ten_pushes_are_allowed_at_once_and_then_one_per_five_seconds() {
    let mut now = start();
    let mut limiter = PushLimiter::new(now);
    assert_eq!((0..100).filter(|_| limiter.allow(now)).count(), 10);
    now = limiter.next() - Duration::from_nanos(1);
    assert!(!limiter.allow(now));
    now = limiter.next();
    assert!(limiter.allow(now) && !limiter.allow(now));
    now += Duration::from_secs(3600);
    assert_eq!((0..100).filter(|_| limiter.allow(now)).count(), 10);
}
