//! Tests of `envelope`.

use proptest::prelude::*;

use super::*;
use crate::fixtures::{keypair, keypairs};

const DOMAIN: &str = "test-domain";
const SIGNATURE: DecodeError = DecodeError::Signature("envelope");

fn sealed(payload_type: &[u8], payload: &[u8]) -> Vec<u8> {
    seal(&keypair("ed25519"), DOMAIN, payload_type, payload).unwrap()
}

fn altered(change: impl FnOnce(&mut EnvelopePb)) -> Vec<u8> {
    let mut envelope = EnvelopePb::decode(&*sealed(b"type", b"payload")).unwrap();
    change(&mut envelope);
    envelope.encode_to_vec()
}

#[test]
fn every_kind_of_key_seals_and_opens() {
    for keypair in keypairs() {
        let bytes = seal(&keypair, DOMAIN, b"type", b"payload").unwrap();
        let opened = Opened {
            key: keypair.public(),
            payload_type: b"type".to_vec(),
            payload: b"payload".to_vec(),
        };
        assert_eq!(open(&bytes, DOMAIN), Ok(opened));
    }
}

#[test]
fn layout_and_signed_bytes_are_those_of_the_rfc() {
    let keypair = keypair("ed25519");
    let signature = keypair.sign(b"\x0btest-domain\x04type\x07payload").unwrap();
    let key = keypair.public().encode_protobuf();
    let expected = [
        b"\x0a\x24",
        &key[..],
        b"\x12\x04type\x1a\x07payload\x2a\x40",
        &signature,
    ]
    .concat();
    assert_eq!(sealed(b"type", b"payload"), expected);
}

#[test]
fn envelope_verified_under_another_domain_fails() {
    for domain in ["test-domai", "test-domain2", "Test-domain", ""] {
        assert_eq!(open(&sealed(b"type", b"payload"), domain), Err(SIGNATURE));
    }
}

#[test]
fn envelope_with_an_altered_payload_type_fails() {
    assert_eq!(
        open(&altered(|e| e.payload_type = b"typo".to_vec()), DOMAIN),
        Err(SIGNATURE)
    );
    assert_eq!(
        open(&altered(|e| e.payload_type.clear()), DOMAIN),
        Err(SIGNATURE)
    );
}

#[test]
fn envelope_with_an_altered_payload_fails() {
    assert_eq!(
        open(&altered(|e| e.payload[0] ^= 1), DOMAIN),
        Err(SIGNATURE)
    );
    assert_eq!(
        open(&altered(|e| e.payload.clear()), DOMAIN),
        Err(SIGNATURE)
    );
}

#[test]
fn bytes_moved_from_type_to_payload_do_not_verify() {
    let moved = altered(|e| {
        e.payload_type = b"typ".to_vec();
        e.payload = b"epayload".to_vec();
    });
    assert_eq!(open(&moved, DOMAIN), Err(SIGNATURE));
}

#[test]
fn envelope_with_another_key_or_signature_fails() {
    let other = Keypair::generate_ed25519().public().encode_protobuf();
    assert_eq!(
        open(&altered(|e| e.public_key = other), DOMAIN),
        Err(SIGNATURE)
    );
    assert_eq!(
        open(&altered(|e| e.signature[5] ^= 4), DOMAIN),
        Err(SIGNATURE)
    );
    assert_eq!(
        open(&altered(|e| e.signature.clear()), DOMAIN),
        Err(SIGNATURE)
    );
    open(&altered(|e| e.public_key.clear()), DOMAIN).unwrap_err();
    open(&altered(|e| e.public_key.extend([0x18, 1])), DOMAIN).unwrap_err();
}

#[test]
fn empty_domain_is_rejected_on_seal() {
    assert_eq!(
        seal(&keypair("ed25519"), "", b"type", b"payload"),
        Err(SealError::EmptyDomain)
    );
}

#[test]
fn envelope_above_its_limit_is_neither_sealed_nor_opened() {
    let keypair = keypair("ed25519");
    assert_eq!(
        seal(&keypair, DOMAIN, b"type", &[0; LEN_MAX]),
        Err(SealError::TooLarge)
    );
    let len = LEN_MAX + 1;
    assert_eq!(
        open(&vec![0; len], DOMAIN),
        Err(DecodeError::TooLarge {
            what: "envelope",
            len,
            max: LEN_MAX
        })
    );
}

proptest! {
    #[test]
    fn every_envelope_comes_back_and_no_changed_byte_goes_unseen(
        payload_type: Vec<u8>, payload: Vec<u8>, at: usize, flip in 1..=255_u8,
    ) {
        let mut bytes = sealed(&payload_type, &payload);
        let opened = open(&bytes, DOMAIN).unwrap();
        prop_assert_eq!((&opened.payload_type, &opened.payload), (&payload_type, &payload));
        let at = at % bytes.len();
        bytes[at] ^= flip;
        // A changed tag may hide an empty field; what is opened must still be what was signed.
        if let Ok(other) = open(&bytes, DOMAIN) {
            prop_assert_eq!(other, opened);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = open(&bytes, DOMAIN);
    }
}
