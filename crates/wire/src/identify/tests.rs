//! Tests of `identify`.

use proptest::prelude::*;

use super::*;

fn full() -> Message {
    Message {
        public_key: Some(vec![1]),
        listen_addrs: vec![vec![2], vec![3]],
        protocols: vec!["/a".into(), "/b".into()],
        observed_addr: Some(vec![4]),
        protocol_version: Some("v".into()),
        agent_version: Some("g".into()),
        signed_peer_record: Some(vec![5]),
    }
}

#[test]
fn fields_have_the_numbers_of_the_spec() {
    let expected = b"\x0a\x01\x01\x12\x01\x02\x12\x01\x03\x1a\x02/a\x1a\x02/b\x22\x01\x04\x2a\x01v\x32\x01g\x42\x01\x05";
    assert_eq!(full().encode(), expected);
    assert_eq!(Message::decode(expected), Ok(full()));
}

#[test]
fn message_above_8_kib_is_rejected_by_its_size() {
    let message = Message {
        agent_version: Some("a".repeat(1 << 20)),
        ..Message::default()
    };
    let bytes = message.encode();
    assert_eq!(
        Message::decode(&bytes),
        Err(DecodeError::TooLarge {
            what: "identify message",
            len: bytes.len(),
            max: LEN_MAX
        })
    );
    let message = Message {
        agent_version: Some("a".repeat(LEN_MAX - 3)),
        ..Message::default()
    };
    assert_eq!(message.encode().len(), LEN_MAX);
    assert_eq!(Message::decode(&message.encode()), Ok(message));
}

#[test]
fn protocols_and_addresses_are_counted_before_they_are_decoded() {
    for (field, max) in [(0x1a, PROTOCOLS_MAX), (0x12, ADDRESSES_MAX)] {
        assert!(Message::decode(&[field, 0].repeat(max)).is_ok());
        match Message::decode(&[field, 0].repeat(max + 1)) {
            Err(DecodeError::TooLarge {
                len, max: limit, ..
            }) => {
                assert_eq!((len, limit), (max + 1, max));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn missing_fields_stay_missing_and_unknown_ones_are_ignored() {
    assert_eq!(Message::decode(&[]), Ok(Message::default()));
    assert_eq!(
        Message::decode(&[0x3a, 1, 9, 0x48, 5]),
        Ok(Message::default())
    );
    let empty = Message {
        agent_version: Some(String::new()),
        ..Message::default()
    };
    assert_eq!(Message::decode(&empty.encode()), Ok(empty));
}

#[test]
fn text_that_is_not_utf8_and_truncated_fields_are_rejected() {
    Message::decode(&[0x32, 1, 0xff]).unwrap_err();
    Message::decode(&[0x32, 5, b'a']).unwrap_err();
    Message::decode(&[0x0b]).unwrap_err();
}

#[test]
fn second_part_adds_to_lists_and_replaces_only_the_values_it_has() {
    let mut message = full();
    message.merge(Message {
        listen_addrs: vec![vec![6]],
        signed_peer_record: Some(vec![7]),
        ..Message::default()
    });
    let expected = Message {
        listen_addrs: vec![vec![2], vec![3], vec![6]],
        signed_peer_record: Some(vec![7]),
        ..full()
    };
    assert_eq!(message, expected);
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let values = (
        prop::option::of(bytes()),
        prop::collection::vec(bytes(), 0..20),
        prop::collection::vec("\\PC{0,20}", 0..20),
        prop::option::of(bytes()),
        prop::option::of("\\PC{0,20}"),
        prop::option::of("\\PC{0,20}"),
        prop::option::of(bytes()),
    );
    values.prop_map(
        |(key, listen_addrs, protocols, observed, version, agent, record)| Message {
            public_key: key,
            listen_addrs,
            protocols,
            observed_addr: observed,
            protocol_version: version,
            agent_version: agent,
            signed_peer_record: record,
        },
    )
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn merging_parts_is_decoding_them_in_one_piece(first in message(), second in message()) {
        let whole = Message::decode(&[first.encode(), second.encode()].concat());
        let mut merged = first;
        merged.merge(second);
        prop_assert_eq!(whole, Ok(merged));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = Message::decode(&bytes);
    }
}
