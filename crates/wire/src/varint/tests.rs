//! Tests of `varint`.

use proptest::prelude::*;

use super::*;
use crate::fixtures::{VECTORS, hex};

fn encoded(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out);
    out
}

#[test]
fn the_vectors_of_the_spec_hold() {
    for (bytes, value) in VECTORS["unsigned_varint"]["valid"].as_object().unwrap() {
        let (bytes, value) = (hex(bytes), value.as_u64().unwrap());
        assert_eq!(decode(&bytes), Ok(Some((value, bytes.len()))));
        assert_eq!(encoded(value), bytes);
    }
    for bytes in VECTORS["unsigned_varint"]["invalid"].as_array().unwrap() {
        decode(&hex(bytes.as_str().unwrap())).unwrap_err();
    }
}

#[test]
fn uvarint_of_ten_bytes_is_rejected() {
    let long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(
        decode(&long),
        Err(DecodeError::Varint("is longer than 9 bytes"))
    );
    assert_eq!(
        decode(&[0xff; 40]),
        Err(DecodeError::Varint("is longer than 9 bytes"))
    );
}

#[test]
fn uvarint_above_63_bits_is_rejected_at_its_ninth_byte() {
    assert_eq!(
        decode(&[0xff; 9]),
        Err(DecodeError::Varint("is longer than 9 bytes"))
    );
    assert_eq!(decode(&[0xff; 8]), Ok(None));
}

#[test]
fn uvarint_that_is_not_minimal_is_rejected() {
    for bytes in [
        &[0x81, 0][..],
        &[0x80, 0],
        &[0x80, 0x80, 0],
        &[0xff, 0xff, 0xff, 0],
    ] {
        assert_eq!(decode(bytes), Err(DecodeError::Varint("is not minimal")));
    }
}

#[test]
fn truncated_uvarint_asks_for_more_and_never_yields_a_value() {
    for bytes in [&[][..], &[0x80], &[0xff, 0xff], &[0x80; 8]] {
        assert_eq!(decode(bytes), Ok(None));
    }
}

#[test]
fn length_prefix_of_two_to_the_63_minus_1_is_rejected_before_its_bytes_come() {
    let max = usize::try_from(i64::MAX).unwrap();
    assert_eq!(
        decode_prefixed(&encoded(i64::MAX as u64), "body", 10),
        Err(DecodeError::TooLarge {
            what: "body",
            len: max,
            max: 10
        })
    );
}

#[test]
fn length_prefix_is_accepted_up_to_its_limit() {
    assert_eq!(
        decode_prefixed(&[2, 7, 8, 9], "body", 2),
        Ok(Some((&[7, 8][..], 3)))
    );
    assert_eq!(decode_prefixed(&[2, 7], "body", 2), Ok(None));
    assert_eq!(
        decode_prefixed(&[3], "body", 2),
        Err(DecodeError::TooLarge {
            what: "body",
            len: 3,
            max: 2
        })
    );
}

proptest! {
    #[test]
    fn every_63_bit_value_comes_back(value in 0..=i64::MAX as u64, tail: Vec<u8>) {
        let mut bytes = encoded(value);
        let len = bytes.len();
        prop_assert!((0..len).all(|cut| decode(&bytes[..cut]) == Ok(None)));
        bytes.extend(tail);
        prop_assert_eq!(decode(&bytes), Ok(Some((value, len))));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes: Vec<u8>) {
        if let Ok(Some((value, used))) = decode(&bytes) {
            prop_assert_eq!(encoded(value), &bytes[..used]);
        }
        let _ = decode_prefixed(&bytes, "body", 100);
    }
}
