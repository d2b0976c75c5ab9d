//! Tests of `noise`.

use proptest::prelude::*;

use super::*;

fn payload(muxers: Vec<String>, hashes: Vec<Vec<u8>>) -> HandshakePayload {
    HandshakePayload {
        identity_key: vec![1; 36],
        identity_sig: vec![2; 64],
        stream_muxers: muxers,
        webtransport_certhashes: hashes,
    }
}

#[test]
fn payload_without_lists_has_no_extensions_field() {
    let bytes = payload(vec![], vec![]).encode();
    assert_eq!(bytes.len(), 2 + 36 + 2 + 64);
    assert_eq!((bytes[0], bytes[38]), (0x0a, 0x12));
}

#[test]
fn extensions_are_field_four_with_hashes_first_and_muxers_second() {
    let bytes = payload(vec!["/m".into()], vec![vec![9]]).encode();
    assert_eq!(&bytes[104..], [0x22, 7, 0x0a, 1, 9, 0x12, 2, b'/', b'm']);
}

#[test]
fn payload_without_identity_key_or_signature_is_rejected() {
    let error = DecodeError::Malformed("noise payload has no identity key or signature");
    let whole = payload(vec![], vec![]);
    for payload in [
        HandshakePayload {
            identity_key: vec![],
            ..whole.clone()
        },
        HandshakePayload {
            identity_sig: vec![],
            ..whole
        },
    ] {
        assert_eq!(
            HandshakePayload::decode(&payload.encode()),
            Err(error.clone())
        );
    }
}

#[test]
fn payload_whose_key_is_unknown_or_garbage_fails_when_the_key_is_decoded() {
    let key = |bytes: &[u8]| crate::key::decode_public(bytes);
    assert_eq!(
        key(&[8, 9, 18, 1, 7]),
        Err(DecodeError::Unsupported("key type"))
    );
    key(&payload(vec![], vec![]).identity_key).unwrap_err();
}

#[test]
fn empty_payload_as_in_message_one_is_no_handshake_payload() {
    HandshakePayload::decode(&[]).unwrap_err();
}

#[test]
fn muxer_lists_keep_the_order_of_preference_and_foreign_entries() {
    for muxers in [
        vec!["/yamux/1.0.0", "/mplex/6.7.0"],
        vec!["/mplex/6.7.0", "/yamux/1.0.0"],
    ] {
        let muxers: Vec<_> = muxers.into_iter().map(String::from).collect();
        let decoded = HandshakePayload::decode(&payload(muxers.clone(), vec![]).encode()).unwrap();
        assert_eq!(decoded.stream_muxers, muxers);
    }
}

#[test]
fn payload_without_muxers_decodes_to_an_empty_list() {
    let bytes = payload(vec![], vec![]).encode();
    assert!(
        HandshakePayload::decode(&bytes)
            .unwrap()
            .stream_muxers
            .is_empty()
    );
}

#[test]
fn payload_with_33_muxers_is_rejected_and_with_32_is_not() {
    let bytes = payload(vec!["/m".into(); 33], vec![]).encode();
    assert_eq!(
        HandshakePayload::decode(&bytes),
        Err(DecodeError::TooLarge {
            what: "muxers in a noise payload",
            len: 33,
            max: 32
        })
    );
    assert!(HandshakePayload::decode(&payload(vec!["/m".into(); 32], vec![]).encode()).is_ok());
}

#[test]
fn muxers_spread_over_several_extensions_fields_are_counted_together() {
    let mut bytes = payload(vec!["/m".into(); 20], vec![]).encode();
    let extensions = bytes[104..].to_vec();
    bytes.extend(extensions);
    HandshakePayload::decode(&bytes).unwrap_err();
}

#[test]
fn payload_with_17_certificate_hashes_is_rejected() {
    HandshakePayload::decode(&payload(vec![], vec![vec![1]; 17]).encode()).unwrap_err();
}

#[test]
fn payload_of_64_kib_with_ten_thousand_muxers_is_rejected_by_its_size() {
    let bytes = payload(vec!["/mux".into(); 10_000], vec![]).encode();
    assert_eq!(
        HandshakePayload::decode(&bytes),
        Err(DecodeError::TooLarge {
            what: "noise payload",
            len: bytes.len(),
            max: PAYLOAD_MAX
        })
    );
}

#[test]
fn duplicate_and_unknown_muxers_are_handed_on_as_they_came() {
    let muxers: Vec<String> = ["/none", "/yamux/1.0.0", "/yamux/1.0.0"]
        .map(String::from)
        .into();
    let decoded = HandshakePayload::decode(&payload(muxers.clone(), vec![]).encode()).unwrap();
    assert_eq!(decoded.stream_muxers, muxers);
}

#[test]
fn unknown_fields_and_extensions_are_ignored() {
    let mut bytes = payload(vec![], vec![]).encode();
    bytes.extend([0x1a, 1, 9, 0x22, 5, 0x1a, 3, 1, 2, 3, 0xf8, 0x3f, 5]);
    assert_eq!(
        HandshakePayload::decode(&bytes),
        Ok(payload(vec![], vec![]))
    );
}

proptest! {
    #[test]
    fn every_payload_comes_back(
        muxers in prop::collection::vec("[!-~]{1,40}", 0..32),
        hashes in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..16),
    ) {
        let payload = payload(muxers, hashes);
        prop_assert_eq!(HandshakePayload::decode(&payload.encode()), Ok(payload));
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes: Vec<u8>, flips: Vec<(usize, u8)>) {
        let _ = HandshakePayload::decode(&bytes);
        bytes = payload(vec!["/m".into()], vec![vec![1]]).encode();
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = HandshakePayload::decode(&bytes);
    }
}
