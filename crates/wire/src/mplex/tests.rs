//! Tests of `mplex`.

use proptest::prelude::*;

use super::*;

fn encoded(header: Header) -> Vec<u8> {
    let mut out = Vec::new();
    header.encode(&mut out);
    out
}

#[test]
fn flags_are_numbered_as_in_the_spec() {
    for (flag, kind, sent_by_opener) in [
        (0, Kind::Open, true),
        (1, Kind::Message, false),
        (2, Kind::Message, true),
        (3, Kind::Close, false),
        (4, Kind::Close, true),
        (5, Kind::Reset, false),
        (6, Kind::Reset, true),
    ] {
        let header = Header {
            kind,
            id: 2,
            sent_by_opener,
            length: 0,
        };
        assert_eq!(encoded(header), [2 << 3 | flag, 0]);
        assert_eq!(Header::decode(&[2 << 3 | flag, 0]), Ok(Some((header, 2))));
    }
}

#[test]
fn header_varint_of_more_than_nine_bytes_is_rejected() {
    let error = Err(DecodeError::Varint("is longer than 9 bytes"));
    assert_eq!(Header::decode(&[0x80; 10]), error);
    assert_eq!(Header::decode(&[&[0x0a][..], &[0xff; 10]].concat()), error);
}

#[test]
fn highest_id_is_two_to_the_60_minus_1() {
    let header = Header {
        kind: Kind::Message,
        id: ID_MAX,
        sent_by_opener: true,
        length: 1,
    };
    assert_eq!(encoded(header).len(), 10);
    assert_eq!(Header::decode(&encoded(header)), Ok(Some((header, 10))));
}

#[test]
fn flag_seven_is_rejected() {
    assert_eq!(
        Header::decode(&[7, 0]),
        Err(DecodeError::Unsupported("mplex flag"))
    );
    assert_eq!(
        Header::decode(&[0x0f]),
        Err(DecodeError::Unsupported("mplex flag"))
    );
}

#[test]
fn data_above_one_mebibyte_is_rejected_by_the_header_alone() {
    for (length, ok) in [
        (DATA_MAX, true),
        (DATA_MAX + 1, false),
        (i64::MAX as usize, false),
    ] {
        let header = Header {
            kind: Kind::Message,
            id: 1,
            sent_by_opener: true,
            length,
        };
        assert_eq!(Header::decode(&encoded(header)).is_ok(), ok);
    }
}

#[test]
fn close_or_reset_with_a_body_is_rejected() {
    for flag in 3..7 {
        Header::decode(&[flag, 1, 0]).unwrap_err();
    }
}

proptest! {
    #[test]
    fn every_header_comes_back(
        kind in prop_oneof![Just(Kind::Open), Just(Kind::Message)],
        id in 0..=ID_MAX, opener: bool, length in 0..=DATA_MAX, tail: Vec<u8>,
    ) {
        let header = Header { kind, id, sent_by_opener: opener || kind == Kind::Open, length };
        let mut bytes = encoded(header);
        let len = bytes.len();
        prop_assert!((0..len).all(|cut| Header::decode(&bytes[..cut]) == Ok(None)));
        bytes.extend(tail);
        prop_assert_eq!(Header::decode(&bytes), Ok(Some((header, len))));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes: Vec<u8>) {
        if let Ok(Some((header, used))) = Header::decode(&bytes) {
            prop_assert_eq!(encoded(header), &bytes[..used]);
        }
    }
}
