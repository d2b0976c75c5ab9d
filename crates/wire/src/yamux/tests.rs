//! Tests of `yamux`.

use proptest::prelude::*;

use super::*;

const VALID: [u8; HEADER_LEN] = [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 1, 0];

fn with(at: usize, byte: u8) -> Result<Header, DecodeError> {
    let mut bytes = VALID;
    bytes[at] = byte;
    Header::decode(&bytes)
}

#[test]
fn fields_are_big_endian_and_in_the_order_of_the_spec() {
    let header = Header {
        kind: Kind::Data,
        flags: Flags::SYN,
        stream: 3,
        length: 256,
    };
    assert_eq!(header.encode(), VALID);
    assert_eq!(Header::decode(&VALID), Ok(header));
}

#[test]
fn version_other_than_zero_is_rejected() {
    for version in 1..=255 {
        assert_eq!(
            with(0, version),
            Err(DecodeError::Unsupported("yamux version"))
        );
    }
}

#[test]
fn unknown_frame_type_is_rejected() {
    for kind in 4..=255 {
        assert_eq!(
            with(1, kind),
            Err(DecodeError::Unsupported("yamux frame type"))
        );
    }
}

#[test]
fn undefined_flag_bits_are_rejected() {
    for bit in 4..16 {
        let (at, byte) = if bit < 8 {
            (3, 1 << bit)
        } else {
            (2, 1 << (bit - 8))
        };
        assert_eq!(with(at, byte), Err(DecodeError::Unsupported("yamux flag")));
    }
}

#[test]
fn combinations_of_flags_decode() {
    for bits in 0..16 {
        let flags = with(3, bits).unwrap().flags;
        assert_eq!(flags.contains(Flags::SYN | Flags::FIN), bits & 5 == 5);
        assert_eq!(flags.contains(Flags::ACK | Flags::RST), bits & 10 == 10);
        assert_eq!(flags.is_empty(), bits == 0);
    }
}

#[test]
fn parity_of_an_id_tells_who_opened_the_stream() {
    assert!(opened_by_client(1) && opened_by_client(u32::MAX));
    assert!(!opened_by_client(2) && !opened_by_client(0));
}

#[test]
fn stream_frame_on_the_id_of_the_session_is_rejected() {
    for kind in [0, 1] {
        let bytes = [0, kind, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            Header::decode(&bytes),
            Err(DecodeError::Malformed(
                "yamux stream frame on the session's id 0"
            ))
        );
    }
    for kind in [2, 3] {
        assert!(Header::decode(&[0, kind, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).is_ok());
    }
}

#[test]
fn data_length_of_two_to_the_32_minus_1_is_rejected_by_the_header_alone() {
    let header = |kind, length| Header {
        kind,
        flags: Flags::EMPTY,
        stream: 1,
        length,
    };
    for length in [DATA_MAX + 1, u32::MAX] {
        assert_eq!(
            Header::decode(&header(Kind::Data, length).encode()),
            Err(DecodeError::TooLarge {
                what: "yamux data frame",
                len: length as usize,
                max: DATA_MAX as usize
            })
        );
    }
    assert!(Header::decode(&header(Kind::Data, DATA_MAX).encode()).is_ok());
    for kind in [Kind::WindowUpdate, Kind::Ping, Kind::GoAway] {
        assert!(Header::decode(&header(kind, u32::MAX).encode()).is_ok());
    }
}

proptest! {
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        kind in 0..4_u8, flags in 0..16_u8, stream: u32, length: u32,
    ) {
        let header = Header {
            kind: Kind::Ping,
            flags: Flags(u16::from(flags)),
            stream,
            length,
        };
        let mut bytes = header.encode();
        prop_assert_eq!(Header::decode(&bytes), Ok(header));
        bytes[1] = kind;
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: [u8; HEADER_LEN]) {
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }
}

#[test]
fn a_flag_that_is_set_twice_is_set() {
    let both = Flags::SYN | Flags::ACK;
    assert_eq!(both | Flags::SYN, both);
    assert!(both.contains(Flags::SYN) && !both.contains(Flags::FIN));
}
