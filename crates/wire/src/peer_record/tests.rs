//! Tests of `peer_record`.

use proptest::prelude::*;

use super::*;
use crate::fixtures::{keypair, keypairs};

fn record(keypair: &Keypair) -> PeerRecord {
    let addresses = ["/ip4/1.2.3.4/tcp/1", "/ip6/::1/udp/2/quic-v1"];
    PeerRecord {
        peer: keypair.public().to_peer_id(),
        seq: 7,
        addresses: addresses.map(|text| text.parse().unwrap()).into(),
    }
}

fn payload(peer: &PeerId, seq: u64, addresses: &[&[u8]]) -> Vec<u8> {
    let addresses = addresses.iter().map(|bytes| AddressPb {
        multiaddr: bytes.to_vec(),
    });
    RecordPb {
        peer_id: peer.to_bytes(),
        seq,
        addresses: addresses.collect(),
    }
    .encode_to_vec()
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    envelope::seal(&keypair("ed25519"), DOMAIN, PAYLOAD_TYPE, payload).unwrap()
}

fn me() -> PeerId {
    keypair("ed25519").public().to_peer_id()
}

#[test]
fn record_is_sealed_in_the_form_that_go_and_js_read() {
    let keypair = keypair("ed25519");
    let opened = envelope::open(
        &record(&keypair).seal(&keypair).unwrap(),
        "libp2p-peer-record",
    )
    .unwrap();
    assert_eq!(opened.payload_type, [3, 1]);
    let peer = me().to_bytes();
    let expected = [
        &[0x0a, 38],
        &peer[..],
        &[0x10, 7, 0x1a, 10, 0x0a, 8, 4, 1, 2, 3, 4, 6, 0, 1],
        &[0x1a, 25, 0x0a, 23, 41],
        &[0; 15],
        &[1, 0x91, 2, 0, 2, 0xcd, 3],
    ];
    assert_eq!(opened.payload, expected.concat());
}

#[test]
fn records_of_every_kind_of_key_come_back() {
    for keypair in keypairs() {
        let record = record(&keypair);
        assert_eq!(
            PeerRecord::open(&record.seal(&keypair).unwrap()),
            Ok(record)
        );
    }
}

#[test]
fn record_in_the_form_of_the_rfc_is_accepted_too() {
    let keypair = keypair("ed25519");
    let payload = payload(&me(), 7, &[]);
    let bytes = envelope::seal(
        &keypair,
        "libp2p-routing-state",
        b"/libp2p/routing-state-record",
        &payload,
    );
    let expected = PeerRecord {
        addresses: vec![],
        ..record(&keypair)
    };
    assert_eq!(PeerRecord::open(&bytes.unwrap()), Ok(expected));
}

#[test]
fn domain_of_one_form_with_the_type_of_the_other_fails() {
    let keypair = keypair("ed25519");
    for (domain, payload_type) in [(DOMAIN, PAYLOAD_TYPE_RFC), (DOMAIN_RFC, PAYLOAD_TYPE)] {
        let bytes = envelope::seal(&keypair, domain, payload_type, &payload(&me(), 7, &[]));
        assert_eq!(
            PeerRecord::open(&bytes.unwrap()),
            Err(DecodeError::Signature("envelope"))
        );
    }
}

#[test]
fn record_for_another_peer_than_the_signer_is_discarded() {
    let other = Keypair::generate_ed25519();
    let bytes = record(&other).seal(&keypair("ed25519")).unwrap();
    assert_eq!(
        PeerRecord::open(&bytes),
        Err(DecodeError::Malformed(
            "peer record is not signed by its peer"
        ))
    );
}

#[test]
fn payload_is_not_decoded_when_the_signature_is_wrong() {
    let mut bytes = sealed(&[0xff; 20]);
    assert_eq!(
        PeerRecord::open(&bytes),
        Err(DecodeError::Varint("is longer than 10 bytes"))
    );
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(
        PeerRecord::open(&bytes),
        Err(DecodeError::Signature("envelope"))
    );
}

#[test]
fn number_in_the_far_future_is_accepted_because_it_is_no_time() {
    for seq in [0, u64::MAX] {
        assert_eq!(
            PeerRecord::open(&sealed(&payload(&me(), seq, &[])))
                .unwrap()
                .seq,
            seq
        );
    }
}

#[test]
fn envelope_of_another_payload_type_is_rejected() {
    for payload_type in [&[3, 2][..], &[], b"/libp2p/other"] {
        let payload = payload(&me(), 7, &[]);
        let bytes = envelope::seal(&keypair("ed25519"), DOMAIN, payload_type, &payload).unwrap();
        assert_eq!(
            PeerRecord::open(&bytes),
            Err(DecodeError::Unsupported("payload type"))
        );
    }
}

#[test]
fn addresses_that_do_not_decode_are_left_out_and_the_others_kept() {
    let good = [4, 1, 2, 3, 4, 6, 0, 1];
    let bytes = sealed(&payload(&me(), 7, &[b"", &good, b"\xff\xff", &[6, 0]]));
    let record = PeerRecord::open(&bytes).unwrap();
    assert_eq!(record.addresses, ["/ip4/1.2.3.4/tcp/1".parse().unwrap()]);
}

#[test]
fn record_may_have_256_addresses_and_no_more() {
    let opened =
        |count| PeerRecord::open(&sealed(&payload(&me(), 7, &vec![&[6, 0, 1][..]; count])));
    assert_eq!(opened(256).unwrap().addresses.len(), 256);
    let error = DecodeError::TooLarge {
        what: "addresses in a peer record",
        len: 257,
        max: 256,
    };
    assert_eq!(opened(257), Err(error));
}

#[test]
fn record_without_a_peer_is_rejected() {
    PeerRecord::open(&sealed(&[])).unwrap_err();
}

proptest! {
    #[test]
    fn every_record_comes_back(seq: u64, ports: Vec<u16>) {
        let keypair = keypair("ed25519");
        let addresses = ports.iter().map(|port| format!("/ip4/9.9.9.9/tcp/{port}").parse().unwrap());
        let record = PeerRecord { peer: me(), seq, addresses: addresses.collect() };
        prop_assert_eq!(PeerRecord::open(&record.seal(&keypair).unwrap()), Ok(record));
    }

    #[test]
    fn no_payload_makes_it_panic(payload: Vec<u8>) {
        let _ = PeerRecord::open(&payload);
        let _ = PeerRecord::open(&sealed(&payload));
    }
}
