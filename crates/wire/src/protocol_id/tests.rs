//! Tests of `protocol_id`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn ids_of_either_kind_are_equal_when_their_text_is() {
    const PING: ProtocolId = ProtocolId::from_static("/ipfs/ping/1.0.0");
    let shared = ProtocolId::new("/ipfs/ping/1.0.0").unwrap();
    assert_eq!(PING, shared);
    assert_eq!(BTreeSet::from([PING, shared.clone()]).len(), 1);
    assert!(BTreeSet::from([shared]).contains("/ipfs/ping/1.0.0"));
}

#[test]
fn id_with_a_control_character_is_rejected() {
    for id in [
        "/a\n",
        "\n",
        "/a\0b",
        "/a\x7f",
        "/a\u{80}",
        "/a\u{9f}b",
        "\t/a",
    ] {
        assert_eq!(
            ProtocolId::new(id),
            Err(DecodeError::Malformed(
                "protocol id has a control character"
            ))
        );
    }
    assert!(ProtocolId::new("/a\u{a0}\u{e9}").is_ok());
}

#[test]
fn id_without_text_or_with_a_word_of_multistream_is_rejected() {
    for id in ["", "na", "ls", "/multistream/1.0.0"] {
        assert!(ProtocolId::new(id).is_err());
    }
}

#[test]
fn id_may_have_512_bytes_and_no_more() {
    assert!(ProtocolId::new(&"a".repeat(512)).is_ok());
    assert_eq!(
        ProtocolId::new(&"a".repeat(513)),
        Err(DecodeError::TooLarge {
            what: "protocol id",
            len: 513,
            max: 512
        })
    );
}

proptest! {
    #[test]
    fn an_id_has_no_control_character_and_any_other_text_is_one(text in "\\PC{0,40}|.{0,40}") {
        let bad = text.contains(char::is_control)
            || text.len() > ProtocolId::LEN_MAX
            || ["", "na", "ls", "/multistream/1.0.0"].contains(&text.as_str());
        prop_assert_eq!(ProtocolId::new(&text).is_err(), bad);
    }
}

#[test]
fn ids_come_from_text_in_every_usual_way() {
    let id = ProtocolId::new("/a").unwrap();
    assert_eq!("/a".parse(), Ok(id.clone()));
    assert_eq!(ProtocolId::try_from("/a"), Ok(id.clone()));
    assert_eq!(
        (id.as_ref(), id.to_string(), format!("{id:?}")),
        ("/a", "/a".to_owned(), "\"/a\"".to_owned())
    );
    assert!("na".parse::<ProtocolId>().is_err() && ProtocolId::try_from("").is_err());
}

#[test]
fn ids_hash_and_compare_as_their_text_does() {
    let hash = |id: &ProtocolId| {
        let mut hasher = std::hash::DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish()
    };
    let (a, b) = (ProtocolId::from_static("/a"), ProtocolId::from_static("/b"));
    assert_eq!(hash(&a), hash(&ProtocolId::new("/a").unwrap()));
    assert_ne!(hash(&a), hash(&b));
    assert_eq!(a.partial_cmp(&b), Some(Ordering::Less));
}
