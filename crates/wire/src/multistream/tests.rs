//! Tests of `multistream`.

use proptest::prelude::*;

use super::*;
use crate::fixtures::{VECTORS, bytes};

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

fn prefixed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode_prefixed(body, &mut out);
    out
}

fn id(text: &str) -> ProtocolId {
    ProtocolId::new(text).unwrap()
}

fn check(body: &[u8], expected: Result<Message, DecodeError>) {
    let bytes = prefixed(body);
    assert_eq!(
        Message::decode(&bytes),
        expected.map(|message| Some((message, bytes.len())))
    );
}

#[test]
fn the_vectors_of_the_spec_hold() {
    let vectors = &VECTORS["multistream"];
    for (name, message) in [
        ("header", Message::Header),
        ("na", Message::NotAvailable),
        ("ls", Message::ListProtocols),
    ] {
        let bytes = bytes(vectors, name);
        assert_eq!(encoded(&message), bytes);
        assert_eq!(Message::decode(&bytes), Ok(Some((message, bytes.len()))));
    }
}

#[test]
fn other_version_of_multistream_is_not_the_header() {
    check(
        b"/multistream/1.0.1\n",
        Ok(Message::Protocol(id("/multistream/1.0.1"))),
    );
    check(
        b"/MULTISTREAM/1.0.0\n",
        Ok(Message::Protocol(id("/MULTISTREAM/1.0.0"))),
    );
}

#[test]
fn message_without_a_newline_at_its_end_is_rejected() {
    for body in [
        &b"/multistream/1.0.0"[..],
        b"na",
        b"/echo/1.0.0",
        b"/echo\n/1.0.0",
    ] {
        check(
            body,
            Err(DecodeError::Malformed(
                "multistream message does not end in a newline",
            )),
        );
    }
}

#[test]
fn message_of_length_zero_or_one_is_rejected() {
    check(
        b"",
        Err(DecodeError::Malformed(
            "multistream message does not end in a newline",
        )),
    );
    check(b"\n", Err(DecodeError::Malformed("protocol id is empty")));
}

#[test]
fn message_longer_than_1024_bytes_is_rejected_before_it_is_complete() {
    let mut message = Vec::new();
    varint::encode(1025, &mut message);
    message.extend([b'/'; 600]);
    assert_eq!(
        Message::decode(&message),
        Err(DecodeError::TooLarge {
            what: "multistream message",
            len: 1025,
            max: 1024
        })
    );
}

#[test]
fn length_of_three_bytes_is_rejected_at_once() {
    let mut length = Vec::new();
    varint::encode(16_384, &mut length);
    assert_eq!(length.len(), 3);
    assert_eq!(
        Message::decode(&length),
        Err(DecodeError::TooLarge {
            what: "multistream message",
            len: 16_384,
            max: 16_383
        })
    );
}

#[test]
fn text_that_is_not_utf8_is_rejected() {
    check(
        b"/a\xff\n",
        Err(DecodeError::Malformed("protocol id is not UTF-8")),
    );
}

#[test]
fn newline_or_control_character_inside_an_id_is_rejected() {
    check(b"/a\n/b\n", Err(DecodeError::Truncated("listing")));
    check(
        b"/a\r\n",
        Err(DecodeError::Malformed(
            "protocol id has a control character",
        )),
    );
}

#[test]
fn not_available_is_its_own_message_and_leaves_what_follows() {
    let mut bytes = encoded(&Message::NotAvailable);
    let len = bytes.len();
    bytes.extend(encoded(&Message::Protocol(id("/b"))));
    assert_eq!(
        Message::decode(&bytes),
        Ok(Some((Message::NotAvailable, len)))
    );
    assert_eq!(
        Message::decode(&bytes[len..]),
        Ok(Some((Message::Protocol(id("/b")), bytes.len() - len)))
    );
}

#[test]
fn listing_of_more_than_1000_protocols_is_rejected() {
    let mut body = b"\x03/a\n".repeat(1001);
    body.push(b'\n');
    let error = DecodeError::TooLarge {
        what: "protocols in a listing",
        len: 1001,
        max: PROTOCOLS_MAX,
    };
    check(&body, Err(error));
    body.drain(..4);
    assert!(Message::decode(&prefixed(&body)).is_ok());
}

#[test]
fn listing_whose_lengths_do_not_add_up_is_rejected() {
    check(
        b"\x03/a\n\x09/b\n\n",
        Err(DecodeError::Truncated("listing")),
    );
    check(
        b"\x03/a\n\x02/b\n\n",
        Err(DecodeError::Malformed(
            "entry of a listing does not end in a newline",
        )),
    );
    check(
        b"\x03/a\n\x01\n\n",
        Err(DecodeError::Malformed("protocol id is empty")),
    );
    assert!(Message::decode(&prefixed(&b"\x03/a\n".repeat(300))).is_err());
}

#[test]
fn listing_is_cut_at_its_limits_when_it_is_sent() {
    let short = Message::Protocols(vec![id("/a"); PROTOCOLS_MAX + 5]);
    let long = Message::Protocols(vec![id(&"a".repeat(512)); PROTOCOLS_MAX]);
    for (message, count) in [(short, PROTOCOLS_MAX), (long, 31)] {
        match Message::decode(&encoded(&message)) {
            Ok(Some((Message::Protocols(ids), _))) => assert_eq!(ids.len(), count),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        encoded(&Message::Protocols(Vec::new())),
        encoded(&Message::NotAvailable)
    );
}

#[test]
fn listing_may_start_with_an_id_whose_length_reads_as_a_slash() {
    let ids = Message::Protocols(vec![id(&"x".repeat(usize::from(b'/') - 1)), id("/b")]);
    let bytes = encoded(&ids);
    assert_eq!(Message::decode(&bytes), Ok(Some((ids, bytes.len()))));
}

#[test]
fn other_id_than_the_proposed_one_is_a_different_message() {
    assert_ne!(
        Message::decode(&prefixed(b"/echo/1.0.1\n"))
            .unwrap()
            .unwrap()
            .0,
        Message::Protocol(id("/echo/1.0.0"))
    );
}

#[test]
fn header_proposal_and_data_in_one_segment_leave_the_data_untouched() {
    let mut bytes = encoded(&Message::Header);
    Message::Protocol(id("/echo/1.0.0")).encode(&mut bytes);
    bytes.extend(b"data\n");
    let (_, header) = Message::decode(&bytes).unwrap().unwrap();
    let (_, proposal) = Message::decode(&bytes[header..]).unwrap().unwrap();
    assert_eq!(&bytes[header + proposal..], b"data\n");
}

fn message() -> impl Strategy<Value = Message> {
    let id = "[!-~]{3,60}".prop_map(|text| ProtocolId::new(&text).unwrap());
    prop_oneof![
        Just(Message::Header),
        Just(Message::NotAvailable),
        Just(Message::ListProtocols),
        id.clone().prop_map(Message::Protocol),
        prop::collection::vec(id, 1..60).prop_map(Message::Protocols),
    ]
}

proptest! {
    #[test]
    fn every_message_comes_back_however_it_is_split(message in message()) {
        let bytes = encoded(&message);
        for cut in 0..bytes.len() {
            prop_assert_eq!(Message::decode(&bytes[..cut]), Ok(None));
        }
        prop_assert_eq!(Message::decode(&bytes), Ok(Some((message, bytes.len()))));
    }

    #[test]
    fn no_bytes_make_it_panic_or_read_too_far(bytes: Vec<u8>, body in "[\\x00-/na\n]{0,60}") {
        for bytes in [bytes, prefixed(body.as_bytes())] {
            if let Ok(Some((message, used))) = Message::decode(&bytes) {
                prop_assert_eq!(encoded(&message), &bytes[..used]);
            }
        }
    }
}
