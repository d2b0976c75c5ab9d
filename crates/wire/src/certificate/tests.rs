//! Tests of `certificate`: the spec's vectors, and certificates put together by hand.

use super::*;
use crate::fixtures::{bytes, hex, keypair, keypairs, list, text};

fn seq(parts: &[&[u8]]) -> Vec<u8> {
    der::encode(SEQUENCE, &parts.concat()).unwrap()
}

fn bits(value: &[u8]) -> Vec<u8> {
    der::encode(der::BIT_STRING, &[&[0], value].concat()).unwrap()
}

fn extension_of(id: &[u8], critical: &[u8], content: &[u8]) -> Vec<u8> {
    let id = der::encode(OBJECT_ID, id).unwrap();
    let content = der::encode(OCTET_STRING, content).unwrap();
    seq(&[&id, critical, &content])
}

const CRITICAL: &[u8] = &[1, 1, 0xff];
const YEAR_2000: i64 = 946_684_800;

/// The parts of a certificate that a test may want to be odd.
struct Parts {
    version: Vec<u8>,
    inner_algorithm: Vec<u8>,
    validity: Vec<u8>,
    unique_id: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl Parts {
    fn good() -> Self {
        Self {
            version: hex("a003020102"),
            inner_algorithm: seq(&[b"\x06\x01\x2a"]),
            validity: [
                der::encode(UTC_TIME, b"000101000000Z").unwrap(),
                der::encode(GENERALIZED_TIME, b"40960101000000Z").unwrap(),
            ]
            .concat(),
            unique_id: vec![],
            extensions: vec![libp2p(&keypair("ed25519"))],
        }
    }

    fn signed(&self) -> Vec<u8> {
        let extensions = seq(&[&self.extensions.concat()]);
        let extensions = der::encode(EXTENSIONS, &extensions).unwrap();
        seq(&[
            &self.version,
            &[2, 1, 9],
            &self.inner_algorithm,
            &seq(&[]),
            &seq(&[&self.validity]),
            &seq(&[]),
            &key_info(),
            &self.unique_id,
            &extensions,
        ])
    }

    fn encode(&self) -> Vec<u8> {
        seq(&[
            &self.signed(),
            &seq(&[b"\x06\x01\x2a"]),
            &bits(b"signature"),
        ])
    }

    fn error(&self) -> Option<DecodeError> {
        Certificate::decode(&self.encode()).err()
    }
}

fn key_info() -> Vec<u8> {
    seq(&[&seq(&[b"\x06\x01\x2b"]), &bits(b"key")])
}

fn libp2p(identity: &Keypair) -> Vec<u8> {
    let content = extension(identity, &key_info()).unwrap();
    extension_of(EXTENSION_ID_DER, &[], &content)
}

#[test]
fn certificates_of_the_spec_decode_and_name_their_peers() {
    for vector in list("tls_certs") {
        let der = bytes(vector, "der_hex");
        let certificate = Certificate::decode(&der).unwrap();
        assert_eq!(certificate.host_key, bytes(vector, "ext_public_key_pb"));
        assert_eq!(certificate.host_signature, bytes(vector, "ext_signature"));
        assert_eq!(certificate.not_before, 1826 * 86_400 + 13 * 3600);
        assert_eq!(certificate.not_after, 67_090_165_200);
        let host = certificate.host_key();
        if vector["valid"] == true {
            assert_eq!(
                host.unwrap().to_peer_id().to_string(),
                text(vector, "claimed_peer_id")
            );
        } else {
            assert_eq!(host, Err(DecodeError::Signature("certificate extension")));
        }
    }
    assert_eq!(list("tls_certs").len(), 4);
}

#[test]
fn every_identity_signs_and_is_found_again() {
    for identity in keypairs() {
        let mut parts = Parts::good();
        parts.extensions = vec![libp2p(&identity)];
        let der = parts.encode();
        let certificate = Certificate::decode(&der).unwrap();
        assert_eq!(certificate.host_key(), Ok(identity.public()));
        assert_eq!(certificate.signed, parts.signed());
        assert_eq!(certificate.signature, b"signature");
        assert_eq!(certificate.algorithm, b"\x06\x01\x2a");
        assert_eq!(certificate.key_info, key_info());
        assert_eq!(certificate.key_algorithm, b"\x06\x01\x2b");
        assert_eq!(certificate.key, b"key");
        assert_eq!(certificate.not_before, YEAR_2000);
    }
}

#[test]
fn no_part_of_a_certificate_decodes_and_nothing_may_follow_one() {
    let der = Parts::good().encode();
    for len in 0..der.len() {
        assert!(Certificate::decode(&der[..len]).is_err(), "{len} bytes");
    }
    assert!(Certificate::decode(&[&der[..], &[0]].concat()).is_err());
    // The same with an indefinite length.
    let indefinite = [&[0x30, 0x80][..], &der[4..], &[0, 0]].concat();
    assert!(Certificate::decode(&indefinite).is_err());
    // And with a length in more bytes than it needs.
    let long = [&[0x30, 0x83, 0][..], &der[2..]].concat();
    assert!(Certificate::decode(&long).is_err());
}

#[test]
fn the_libp2p_extension_is_there_exactly_once() {
    let mut parts = Parts::good();
    parts.extensions = vec![];
    let missing = "certificate has no libp2p extension";
    assert_eq!(parts.error(), Some(DecodeError::Malformed(missing)));
    let twice = libp2p(&keypair("ed25519"));
    parts.extensions = vec![twice.clone(), twice];
    let two = "certificate has two libp2p extensions";
    assert_eq!(parts.error(), Some(DecodeError::Malformed(two)));
}

#[test]
fn only_an_unknown_critical_extension_matters() {
    let unknown = &[0x2b, 6, 1, 4, 1, 7];
    let digital_signature = hex("03020780");
    let sign_certificates_only = hex("03020204");
    for (other, good) in [
        (extension_of(unknown, &[], b"any"), true),
        (extension_of(unknown, &[1, 1, 0], b"any"), true),
        (extension_of(unknown, CRITICAL, b"any"), false),
        (extension_of(BASIC_CONSTRAINTS, CRITICAL, &seq(&[])), true),
        (extension_of(KEY_USAGE, CRITICAL, &digital_signature), true),
        (
            extension_of(KEY_USAGE, CRITICAL, &sign_certificates_only),
            false,
        ),
        (extension_of(KEY_USAGE, CRITICAL, b""), false),
        (extension_of(unknown, &[1, 1, 1], b"not a boolean"), false),
        (extension_of(unknown, &[1, 0], b"not a boolean"), false),
        (seq(&[b"\x06\x01\x2a"]), false),
        (seq(&[]), false),
        (vec![0x30], false),
        (vec![5, 0], false),
    ] {
        let mut parts = Parts::good();
        parts.extensions.push(other.clone());
        assert_eq!(parts.error().is_none(), good, "{other:x?}");
    }
}

#[test]
fn the_libp2p_extension_may_be_critical_and_holds_two_octet_strings() {
    let identity = keypair("ed25519");
    let content = extension(&identity, &key_info()).unwrap();
    let mut parts = Parts::good();
    parts.extensions = vec![extension_of(EXTENSION_ID_DER, CRITICAL, &content)];
    assert_eq!(parts.error(), None);
    let octets = |bytes: &[u8]| der::encode(OCTET_STRING, bytes).unwrap();
    let (key, signature) = (octets(&identity.public().encode_protobuf()), octets(b"s"));
    for content in [
        vec![],
        b"garbage".to_vec(),
        seq(&[]),
        seq(&[&key]),
        seq(&[&key, &signature, &[5, 0]]),
        seq(&[&key, &bits(b"s")]),
        [seq(&[&key, &signature]), vec![0]].concat(),
    ] {
        parts.extensions = vec![extension_of(EXTENSION_ID_DER, &[], &content)];
        assert!(parts.error().is_some(), "{content:x?}");
    }
    // Of the right form, but not a key.
    let no_key = seq(&[&octets(b"no key"), &signature]);
    parts.extensions = vec![extension_of(EXTENSION_ID_DER, &[], &no_key)];
    let der = parts.encode();
    assert!(Certificate::decode(&der).unwrap().host_key().is_err());
}

#[test]
fn unique_ids_other_versions_and_two_algorithms_are_refused() {
    for id in ["81020000", "82020000", "8102000082020000"] {
        let mut parts = Parts::good();
        parts.unique_id = hex(id);
        assert!(parts.error().is_some(), "{id}");
    }
    for version in ["", "a003020100", "a003020101", "a003020103", "a0020200"] {
        let mut parts = Parts::good();
        parts.version = hex(version);
        assert!(parts.error().is_some(), "version {version}");
    }
    let mut parts = Parts::good();
    parts.inner_algorithm = seq(&[b"\x06\x01\x2c"]);
    assert!(parts.error().is_some());
}

#[test]
fn times_are_exact_and_in_utc() {
    let time = |tag, text: &[u8]| super::time(&mut &der::encode(tag, text).unwrap()[..]);
    let utc = |text| time(UTC_TIME, text);
    let general = |text| time(GENERALIZED_TIME, text);
    for (text, seconds) in [
        (&b"19700101000000Z"[..], 0),
        (b"19700101235959Z", 86_399),
        (b"19691231235959Z", -1),
        (b"20000101000000Z", YEAR_2000),
        (b"20000229120000Z", 951_825_600),
        (b"20240301000000Z", 1_709_251_200),
        (b"21000228235959Z", 4_107_542_399),
        (b"21000301000000Z", 4_107_542_400),
        (b"99991231235959Z", 253_402_300_799),
        (b"00000101000000Z", -62_167_219_200),
    ] {
        assert_eq!(general(text), Some(seconds));
    }
    assert_eq!(utc(b"491231235959Z"), Some(2_524_607_999));
    assert_eq!(utc(b"500101000000Z"), Some(-631_152_000));
    for text in [
        &b""[..],
        b"Z",
        b"20000101000000",
        b"2000010100000Z",
        b"200001010000Z",
        b"20000101000000.5Z",
        b"20000101000000+0100",
        b"20000001000000Z",
        b"20001301000000Z",
        b"20000100000000Z",
        b"20000132000000Z",
        b"20010229000000Z",
        b"21000229000000Z",
        b"20000101240000Z",
        b"20000101006000Z",
        b"20000101000060Z",
        b"2000010100000:Z",
        b"20000101000000z",
        b"/0000101000000Z",
    ] {
        assert_eq!(general(text), None, "{}", text.escape_ascii());
    }
    assert_eq!(utc(b"0001010000Z"), None);
    assert_eq!(utc(b"20000101000000Z"), None);
    assert_eq!(general(b"000101000000Z"), None);
}
