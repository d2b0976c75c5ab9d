//! Tests of `key`.

use proptest::prelude::*;

use super::*;
use crate::der::{BIT_STRING, INTEGER, SEQUENCE};
use crate::fixtures::{VECTORS, bytes, hex, keypair, keypairs, list, text};

fn public(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![8, kind, 0x12];
    crate::varint::encode_prefixed(data, &mut out);
    out
}

fn private(kind: u8, data: &[u8]) -> Vec<u8> {
    public(kind, data)
}

fn der_value(tag: u8, value: &[u8]) -> Vec<u8> {
    der::encode(tag, value).unwrap()
}

fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let uint = |number: &[u8]| {
        let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        der_value(INTEGER, &[sign, number].concat())
    };
    let key = der_value(SEQUENCE, &[uint(modulus), uint(exponent)].concat());
    let info = [
        der_value(SEQUENCE, RSA_ENCRYPTION),
        der_value(BIT_STRING, &[&[0][..], &key].concat()),
    ];
    der_value(SEQUENCE, &info.concat())
}

fn modulus(bits: usize) -> Vec<u8> {
    let mut n = vec![0xff; bits.div_ceil(8)];
    n[0] >>= (8 - bits % 8) % 8;
    n
}

fn rsa_error(modulus: &[u8], exponent: &[u8]) -> Option<DecodeError> {
    decode_public(&public(0, &rsa_spki(modulus, exponent))).err()
}

#[test]
fn keys_of_the_spec_decode_and_give_their_peer_ids() {
    for key in list("keys") {
        let encoded = bytes(key, "public_pb");
        let decoded = decode_public(&encoded).unwrap();
        assert_eq!(decoded.encode_protobuf(), encoded);
        assert_eq!(kind(&decoded).to_lowercase(), text(key, "type"));
        assert_eq!(
            decoded.to_peer_id().to_bytes(),
            bytes(key, "peer_id_multihash")
        );
        assert_eq!(
            decode_private(&bytes(key, "private_pb")).unwrap().public(),
            decoded
        );
    }
}

#[test]
fn signatures_of_every_kind_verify_and_fail_when_a_bit_is_wrong() {
    for keypair in keypairs() {
        let key = keypair.public();
        let signature = keypair.sign(b"message").unwrap();
        assert!(verify(&key, b"message", &signature));
        assert!(!verify(&key, b"massage", &signature));
        assert!(!verify(&key, b"message", &[]));
        for at in 0..signature.len() {
            let mut wrong = signature.clone();
            wrong[at] ^= 1;
            assert!(!verify(&key, b"message", &wrong));
        }
    }
}

#[test]
fn signatures_published_with_the_tls_and_http_specs_verify() {
    const P256: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    for cert in list("tls_certs") {
        let der = text(cert, "der_hex");
        let start = der.find(P256).unwrap();
        let info = &der[start..start + P256.len() + 130];
        let signed = [&b"libp2p-tls-handshake:"[..], &hex(info)].concat();
        let key = decode_public(&bytes(cert, "ext_public_key_pb")).unwrap();
        assert_eq!(key.to_peer_id().to_string(), text(cert, "claimed_peer_id"));
        assert_eq!(
            verify(&key, &signed, &bytes(cert, "ext_signature")),
            cert["valid"]
        );
    }
    let http = &VECTORS["http_auth"];
    let server = decode_private(&bytes(http, "server_priv_pb"))
        .unwrap()
        .public();
    assert!(verify(
        &server,
        &bytes(http, "data_to_sign_hex"),
        &bytes(http, "signature_hex")
    ));
}

#[test]
fn public_key_with_an_extra_field_is_rejected() {
    let key = keypair("ed25519").public().encode_protobuf();
    for extra in [&[0x18, 1][..], &[0x1a, 0], &[8, 1], &[0]] {
        decode_public(&[&key, extra].concat()).unwrap_err();
    }
}

#[test]
fn public_key_in_reversed_order_is_rejected() {
    let key = keypair("ed25519").public().encode_protobuf();
    decode_public(&[&key[2..], &key[..2]].concat()).unwrap_err();
}

#[test]
fn public_key_without_type_or_data_is_rejected() {
    for kind in ["ed25519", "rsa"] {
        let key = keypair(kind).public().encode_protobuf();
        for part in [&key[2..], &key[..2], &[]] {
            assert_eq!(
                decode_public(part),
                Err(DecodeError::Malformed(
                    "public key is not exactly a type and its data"
                ))
            );
        }
    }
}

#[test]
fn public_key_with_a_varint_that_is_not_minimal_is_rejected() {
    let key = keypair("ed25519").public().encode_protobuf();
    for start in [
        &[8, 0x81, 0, 0x12, 0x20][..],
        &[8, 1, 0x12, 0xa0, 0],
        &[0x88, 0, 1, 0x12, 0x20],
    ] {
        decode_public(&[start, &key[4..]].concat()).unwrap_err();
    }
}

#[test]
fn public_key_of_unknown_type_is_rejected() {
    for kind in [4, 5, 0x7f] {
        assert_eq!(
            decode_public(&public(kind, &[1])),
            Err(DecodeError::Unsupported("key type"))
        );
    }
}

#[test]
fn public_key_above_two_kibibytes_is_rejected_by_its_size() {
    let key = public(0, &[0; 3000]);
    assert_eq!(
        decode_public(&key),
        Err(DecodeError::TooLarge {
            what: "public key",
            len: key.len(),
            max: PUBLIC_LEN_MAX
        })
    );
}

#[test]
fn private_ed25519_key_of_96_bytes_needs_two_equal_public_halves() {
    let keypair = keypair("ed25519");
    let pair = keypair.clone().try_into_ed25519().unwrap().to_bytes();
    let old = [&pair[..], &pair[32..]].concat();
    assert_eq!(
        decode_private(&private(1, &old)).unwrap().public(),
        keypair.public()
    );
    let mut mismatched = old;
    mismatched[95] ^= 1;
    assert_eq!(
        decode_private(&private(1, &mismatched)).unwrap_err(),
        DecodeError::Malformed("private key holds two public keys")
    );
}

#[test]
fn private_ed25519_key_whose_public_half_is_foreign_is_rejected() {
    let mut pair = keypair("ed25519").try_into_ed25519().unwrap().to_bytes();
    pair[32..].copy_from_slice(&Keypair::generate_ed25519().public().encode_protobuf()[4..]);
    for data in [
        &pair[..],
        &[&pair[..], &pair[32..]].concat(),
        &pair[..32],
        &pair[..63],
    ] {
        decode_private(&private(1, data)).unwrap_err();
    }
}

#[test]
fn private_key_of_unknown_type_is_rejected() {
    assert_eq!(
        decode_private(&private(4, &[1])).unwrap_err(),
        DecodeError::Unsupported("key type")
    );
}

#[test]
fn ed25519_key_of_small_order_is_rejected_though_its_signatures_can_be_forged() {
    // R is the identity and S is 0: fits whenever the challenge times the key is the identity.
    let mut forged = [0; 64];
    forged[0] = 1;
    for mut y in SMALL_ORDER_Y {
        y.reverse();
        for sign in [0, 0x80] {
            y[31] |= sign;
            let key = public(1, &y);
            assert_eq!(
                decode_public(&key),
                Err(DecodeError::Malformed("Ed25519 key has small order"))
            );
            if let Ok(upstream) = PublicKey::try_decode_protobuf(&key) {
                assert!((0..100).any(|message: u8| upstream.verify(&[message], &forged)));
            }
        }
    }
}

#[test]
fn ed25519_key_that_is_not_canonical_is_rejected() {
    for low in 0xed..=0xff {
        let mut y = [0xff; 32];
        y[0] = low;
        for high in [0x7f, 0xff] {
            y[31] = high;
            assert_eq!(
                decode_public(&public(1, &y)),
                Err(DecodeError::Malformed("Ed25519 key is not canonical"))
            );
        }
    }
}

#[test]
fn ed25519_signature_whose_scalar_is_not_reduced_is_rejected() {
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let keypair = keypair("ed25519");
    let mut signature = keypair.sign(b"message").unwrap();
    let mut carry = 0;
    for (s, l) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        (*s, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(!verify(&keypair.public(), b"message", &signature));
}

#[test]
fn secp256k1_key_that_is_not_compressed_is_rejected() {
    let key = keypair("secp256k1").public().try_into_secp256k1().unwrap();
    let full = key.to_bytes_uncompressed();
    assert!(PublicKey::try_decode_protobuf(&public(2, &full)).is_ok());
    let mut hybrid = full;
    hybrid[0] = 6 | full[64] & 1;
    let mut compact = key.to_bytes();
    compact[0] = 5;
    for data in [&full[..], &hybrid, &compact] {
        assert_eq!(
            decode_public(&public(2, data)),
            Err(DecodeError::Malformed("secp256k1 key is not compressed"))
        );
    }
}

#[test]
fn rsa_modulus_below_2048_bits_is_rejected() {
    let error = Some(DecodeError::Malformed("RSA modulus is too short"));
    for bits in [1024, 2040, 2047] {
        assert_eq!(rsa_error(&modulus(bits), &[1, 0, 1]), error);
    }
    assert_eq!(rsa_error(&modulus(2048), &[1, 0, 1]), None);
}

#[test]
fn rsa_modulus_above_8192_bits_is_rejected() {
    assert_eq!(rsa_error(&modulus(8192), &[1, 0, 1]), None);
    let error = |len| DecodeError::TooLarge {
        what: "bits of an RSA modulus",
        len,
        max: 8192,
    };
    assert_eq!(rsa_error(&modulus(8193), &[1, 0, 1]), Some(error(8193)));
    assert_eq!(rsa_error(&modulus(15_000), &[1, 0, 1]), Some(error(15_000)));
    assert!(rsa_error(&modulus(65_536), &[1, 0, 1]).is_some());
}

#[test]
fn rsa_modulus_that_is_even_or_exponent_that_makes_no_sense_is_rejected() {
    let error = Some(DecodeError::Malformed(
        "RSA modulus or exponent cannot be one",
    ));
    let mut even = modulus(2048);
    even[255] = 0xfe;
    assert_eq!(rsa_error(&even, &[3]), error);
    for exponent in [
        &[1][..],
        &[2],
        &[0x80, 0, 0, 0],
        &[2, 0, 0, 0, 1],
        &[0xff; 256],
    ] {
        assert_eq!(rsa_error(&modulus(2048), exponent), error);
    }
    assert_eq!(rsa_error(&modulus(2048), &[3]), None);
}

#[test]
fn rsa_key_with_loose_der_is_rejected() {
    let spki = rsa_spki(&modulus(2048), &[1, 0, 1]);
    let mut long_length = vec![SEQUENCE, 0x83, 0];
    long_length.extend(&spki[2..]);
    let trailing = [&spki[..], &[0]].concat();
    let zero_first = rsa_spki(&[&[0, 0], &modulus(2048)[..]].concat(), &[1, 0, 1]);
    let mut indefinite = spki.clone();
    indefinite[1] = 0x80;
    for data in [
        long_length,
        trailing,
        zero_first,
        indefinite,
        spki[..100].to_vec(),
        vec![],
    ] {
        assert!(decode_public(&public(0, &data)).is_err());
    }
}

#[test]
fn ecdsa_signature_with_bytes_after_its_der_is_rejected() {
    for kind in ["ecdsa", "secp256k1"] {
        let keypair = keypair(kind);
        let signature = keypair.sign(b"message").unwrap();
        for tail in [&[0][..], &[0, 0], &signature] {
            assert!(!verify(
                &keypair.public(),
                b"message",
                &[&signature, tail].concat()
            ));
        }
    }
}

#[test]
fn ecdsa_signature_in_loose_der_is_rejected() {
    for kind in ["ecdsa", "secp256k1"] {
        let keypair = keypair(kind);
        let signature = keypair.sign(b"message").unwrap();
        let long_length = [&[SEQUENCE, 0x81, signature[1]], &signature[2..]].concat();
        let (r, s) = numbers(&signature);
        let zero_first = [
            der_value(INTEGER, &[&[0, 0], r].concat()),
            der_value(INTEGER, s),
        ];
        for loose in [long_length, der_value(SEQUENCE, &zero_first.concat())] {
            assert!(!verify(&keypair.public(), b"message", &loose));
        }
    }
}

#[test]
fn second_form_of_a_secp256k1_signature_is_rejected() {
    let order = hex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let keypair = keypair("secp256k1");
    let signature = keypair.sign(b"message").unwrap();
    assert!(verify(&keypair.public(), b"message", &signature));
    assert!(!verify(
        &keypair.public(),
        b"message",
        &mirrored(&signature, &order)
    ));
}

#[test]
fn both_forms_of_a_p256_signature_are_accepted_because_go_sends_either() {
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let keypair = keypair("ecdsa");
    let signature = keypair.sign(b"message").unwrap();
    assert!(verify(
        &keypair.public(),
        b"message",
        &mirrored(&signature, &order)
    ));
}

#[test]
fn ecdsa_key_on_another_curve_or_not_canonical_is_rejected() {
    let key = keypair("ecdsa").public().encode_protobuf();
    let spki = &key[4..];
    let mut other_curve = spki.to_vec();
    other_curve[22] = 6;
    let mut wrong_length = spki.to_vec();
    wrong_length[1] += 1;
    let trailing = [spki, &[0]].concat();
    for data in [other_curve, wrong_length, trailing] {
        decode_public(&public(3, &data)).unwrap_err();
    }
}

fn numbers(mut signature: &[u8]) -> (&[u8], &[u8]) {
    let mut pair = der::value(&mut signature, SEQUENCE).unwrap();
    (der::uint(&mut pair).unwrap(), der::uint(&mut pair).unwrap())
}

/// The same signature with `order - s` in place of `s`.
fn mirrored(signature: &[u8], order: &[u8]) -> Vec<u8> {
    let (r, s) = numbers(signature);
    let mut padded = vec![0; 32 - s.len()];
    padded.extend(s);
    let mut borrow = 0;
    let mut other = [0; 32];
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(padded[at]) - borrow;
        borrow = i16::from(difference < 0);
        other[at] = difference as u8;
    }
    let zeros = other.iter().take_while(|byte| **byte == 0).count();
    let uint = |number: &[u8]| {
        let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        der_value(INTEGER, &[sign, number].concat())
    };
    der_value(SEQUENCE, &[uint(r), uint(&other[zeros..])].concat())
}

proptest! {
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        kind in 0..5_u8, data: Vec<u8>, at: usize, byte: u8, which in 0..4_usize,
    ) {
        let mut key = keypairs()[which].public().encode_protobuf();
        let at = at % key.len();
        key[at] = byte;
        for bytes in [public(kind, &data), data, key] {
            if let Ok(key) = decode_public(&bytes) {
                prop_assert_eq!(key.encode_protobuf(), bytes);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(kind in 0..5_u8, data: Vec<u8>) {
        let _ = decode_private(&data);
        let _ = decode_private(&private(kind, &data));
        for keypair in keypairs() {
            prop_assert!(!verify(&keypair.public(), b"message", &data));
        }
    }
}
