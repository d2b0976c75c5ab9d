//! Ids of every length, every datagram that is too short, openings in any chunking.

use proptest::prelude::*;

use super::*;

#[test]
fn the_examples_of_rfc_9000_decode() {
    for (bytes, id) in [
        (
            &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
            151_288_809_941_952_652,
        ),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
        // Not the shortest form, and valid.
        (&[0x40, 0x25], 37),
    ] {
        assert_eq!(decode(bytes), Ok((id, bytes.len())));
    }
}

#[test]
fn ids_take_as_few_bytes_as_they_need() {
    for (id, len) in [
        (0, 1),
        (63, 1),
        (64, 2),
        (16_383, 2),
        (16_384, 4),
        (0x3fff_ffff, 4),
        (0x4000_0000, 8),
        (ID_MAX, 8),
    ] {
        let datagram = encode(id, b"payload");
        assert_eq!(decode(&datagram), Ok((id, len)));
        assert_eq!(&datagram[len..], b"payload");
        assert_eq!(id_len(id), len);
    }
}

#[test]
fn a_datagram_that_ends_inside_its_id_is_an_error() {
    assert_eq!(decode(&[]), Err(TOO_SHORT));
    for first in [0x40, 0x80, 0xc0] {
        let whole = [first; 8];
        let (_, len) = decode(&whole).unwrap();
        for short in 1..len {
            assert_eq!(decode(&whole[..short]), Err(TOO_SHORT));
        }
    }
}

#[test]
fn an_opening_must_be_a_protocol_id() {
    let mut bytes = Vec::new();
    encode_opening(&ProtocolId::from_static("/voice/1"), &mut bytes);
    assert_eq!(bytes, b"\x08/voice/1");
    for cut in 0..bytes.len() {
        assert_eq!(decode_opening(&bytes[..cut]), Ok(None));
    }
    let (protocol, used) = decode_opening(b"\x08/voice/1rest").unwrap().unwrap();
    assert_eq!((protocol.as_str(), used), ("/voice/1", 9));
    for bad in [
        &b"\x00"[..],
        b"\x02\xff\xff",
        b"\x81\x04",
        b"\x80\x00",
        b"\x02/\n",
    ] {
        assert!(decode_opening(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_packet_on_a_stream_has_a_limit() {
    let mut bytes = Vec::new();
    encode_on_stream(&vec![1; STREAM_PACKET_MAX], &mut bytes);
    let (packet, used) = decode_on_stream(&bytes).unwrap().unwrap();
    assert_eq!((packet.len(), used), (STREAM_PACKET_MAX, bytes.len()));
    assert_eq!(decode_on_stream(&bytes[..used - 1]), Ok(None));
    let mut bytes = Vec::new();
    varint::encode(STREAM_PACKET_MAX as u64 + 1, &mut bytes);
    assert!(decode_on_stream(&bytes).is_err());
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(id in 0..=ID_MAX, payload: Vec<u8>) {
        let datagram = encode(id, &payload);
        let (decoded, used) = decode(&datagram).unwrap();
        prop_assert_eq!(decoded, id);
        prop_assert_eq!(&datagram[used..], &payload[..]);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        if let Ok((id, used)) = decode(&bytes) {
            prop_assert!(id <= ID_MAX && used <= bytes.len());
        }
        let _ = decode_opening(&bytes);
        let _ = decode_on_stream(&bytes);
    }
}
