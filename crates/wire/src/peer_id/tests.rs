//! Tests of `peer_id`.

use multibase::Base;
use proptest::prelude::*;

use super::*;
use crate::fixtures::{bytes, hex, keypairs, list, text};

const HASH: &str = "12209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9";

fn cid(base: Base, version: u8, codec: &[u8], multihash: &[u8]) -> String {
    multibase::encode(base, [&[version], codec, multihash].concat())
}

#[test]
fn base58_and_cids_in_base32_base36_and_base58_name_the_same_peer() {
    for key in list("keys") {
        let multihash = bytes(key, "peer_id_multihash");
        let peer = decode(&multihash).unwrap();
        for name in ["peer_id_b58", "peer_id_cid_b32", "peer_id_cid_b36"] {
            assert_eq!(parse(text(key, name)), Ok(peer));
        }
        for base in [
            Base::Base58Btc,
            Base::Base16Lower,
            Base::Base64Url,
            Base::Base2,
        ] {
            assert_eq!(parse(&cid(base, 1, &[0x72], &multihash)), Ok(peer));
        }
        assert_eq!(peer.to_string(), text(key, "peer_id_b58"));
    }
}

#[test]
fn texts_of_the_specs_parse() {
    for vector in list("peer_id_strings") {
        let peer = parse(text(vector, "b58")).unwrap();
        assert_eq!(peer.to_string(), text(vector, "b58"));
        for name in ["cid", "cid_b36"]
            .iter()
            .filter(|name| !vector[*name].is_null())
        {
            assert_eq!(parse(text(vector, name)), Ok(peer));
        }
        if !vector["multihash"].is_null() {
            assert_eq!(peer.to_bytes(), bytes(vector, "multihash"));
        }
    }
}

#[test]
fn cid_of_something_else_than_a_key_is_rejected() {
    for codec in [&[0x70][..], &[0x55], &[0x73], &[0xf2, 1]] {
        assert_eq!(
            parse(&cid(Base::Base32Lower, 1, codec, &hex(HASH))),
            Err(DecodeError::Unsupported("content type of a peer id"))
        );
    }
    for version in [0, 2, 3] {
        parse(&cid(Base::Base32Lower, version, &[0x72], &hex(HASH))).unwrap_err();
    }
}

#[test]
fn text_that_is_neither_base58_nor_multibase_is_rejected() {
    for text in [
        "",
        "!",
        "1",
        "Qm",
        "Qm0OIl",
        "hello",
        "2NEpo7TZRRrLZSi2U",
        "b",
        "k",
        "é",
        "12D3Koo",
    ] {
        parse(text).unwrap_err();
    }
    let long = "1".repeat(TEXT_MAX + 1);
    assert_eq!(
        parse(&long),
        Err(DecodeError::TooLarge {
            what: "peer id",
            len: TEXT_MAX + 1,
            max: TEXT_MAX
        })
    );
}

#[test]
fn inlined_key_above_42_bytes_is_rejected() {
    assert!(decode(&[&[0, 42][..], &[7; 42]].concat()).is_ok());
    decode(&[&[0, 43][..], &[7; 43]].concat()).unwrap_err();
}

#[cfg(feature = "aws-lc")]
#[test]
fn hash_of_a_short_key_is_not_that_keys_id() {
    let key = keypairs()[0].public();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key.encode_protobuf());
    let hashed = decode(&[&[0x12, 0x20], digest.as_ref()].concat()).unwrap();
    assert_ne!(hashed, key.to_peer_id());
    assert_eq!(public_key(&hashed), None);
}

#[test]
fn sha256_whose_digest_is_not_32_bytes_is_rejected() {
    for len in [0, 20, 31, 33, 64] {
        let multihash = [&[0x12, len][..], &vec![7; usize::from(len)]].concat();
        assert!(PeerId::from_bytes(&multihash).is_ok());
        decode(&multihash).unwrap_err();
        parse(&Base::Base58Btc.encode(&multihash)).unwrap_err();
    }
}

#[test]
fn multihash_with_another_hash_a_loose_varint_or_bytes_left_over_is_rejected() {
    let hash = hex(HASH);
    for bytes in [
        [&[0x13, 0x20], &hash[2..]].concat(),
        [&[0x92, 0, 0x20], &hash[2..]].concat(),
        [&[0x12, 0xa0, 0], &hash[2..]].concat(),
        [&hash[..], &[0]].concat(),
        hash[..33].to_vec(),
        vec![],
    ] {
        decode(&bytes).unwrap_err();
    }
}

#[test]
fn id_that_inlines_no_valid_key_is_an_id_but_yields_no_key() {
    let peer = decode(&[0, 3, 1, 2, 3]).unwrap();
    assert_eq!(public_key(&peer), None);
    let mut small_order = vec![0, 36, 8, 1, 0x12, 0x20];
    small_order.extend([0; 32]);
    assert_eq!(public_key(&decode(&small_order).unwrap()), None);
}

#[test]
fn short_keys_can_be_read_from_their_ids_and_long_ones_cannot() {
    let [ed25519, secp256k1, ecdsa, rsa] = keypairs().map(|keypair| keypair.public());
    for key in [ed25519, secp256k1] {
        assert_eq!(public_key(&key.to_peer_id()), Some(key));
    }
    for key in [ecdsa, rsa] {
        assert_eq!(public_key(&key.to_peer_id()), None);
    }
}

proptest! {
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes: Vec<u8>, len in 0..44_u8) {
        let inlined = [&[0, len][..], &vec![1; usize::from(len)]].concat();
        for bytes in [bytes, inlined] {
            if let Ok(peer) = decode(&bytes) {
                prop_assert_eq!(parse(&peer.to_string()), Ok(peer));
                prop_assert_eq!(peer.to_bytes(), bytes);
                let _ = public_key(&peer);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}|[1Qbkzf][a-zA-Z0-9]{0,90}") {
        let _ = parse(&text);
    }
}
