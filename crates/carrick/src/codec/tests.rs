//! What codecs write, and what they refuse to read.

use prost::Message as _;

use super::*;

#[test]
fn raw_bytes_are_what_they_are() {
    let bytes = Bytes::from_static(b"\x00\xff");
    let encoded = Raw::encode(&bytes).unwrap();
    assert_eq!(encoded.as_ptr(), bytes.as_ptr(), "nothing is copied");
    let decoded: Bytes = Raw::decode(encoded.clone()).unwrap();
    assert_eq!(decoded, bytes);
    let decoded: Vec<u8> = Raw::decode(encoded).unwrap();
    assert_eq!(Raw::encode(&decoded).unwrap(), bytes);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Chain {
    #[prost(message, optional, boxed, tag = "1")]
    next: Option<Box<Self>>,
    #[prost(uint64, tag = "2")]
    value: u64,
}

#[test]
fn protobuf_is_read_as_it_was_written_and_no_deeper_than_100() {
    let chain = |depth| {
        (0..depth).fold(Bytes::new(), |inner, _| {
            let mut outer = Vec::new();
            prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut outer);
            prost::encode_length_delimiter(inner.len(), &mut outer).unwrap();
            outer.extend_from_slice(&inner);
            outer.into()
        })
    };
    let known: Chain = Protobuf::decode(chain(50)).unwrap();
    assert_eq!(Protobuf::encode(&known).unwrap().len(), known.encoded_len());
    assert_eq!(
        Protobuf::decode(Protobuf::encode(&known).unwrap()),
        Ok(known)
    );
    let refused: Result<Chain, _> = Protobuf::decode(chain(10_000));
    assert!(matches!(refused, Err(CodecError::Decode(_))), "{refused:?}");
    let refused: Result<Chain, _> = Protobuf::decode(Bytes::from_static(b"\x0a\xff\xff\x03"));
    assert!(matches!(refused, Err(CodecError::Decode(_))), "{refused:?}");
}

#[test]
fn what_an_error_quotes_is_escaped_and_short() {
    let error = CodecError::decode("\x1b[2J\n".to_owned() + &"é".repeat(10_000));
    let text = error.to_string();
    assert!(
        text.starts_with(r"the message does not decode: \u{1b}[2J\né"),
        "{text}"
    );
    assert!(text.len() <= 300, "{}", text.len());
}

#[cfg(feature = "serde")]
mod serial {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle(u32),
        Line(u8, i8),
        Box { width: f64, name: Option<String> },
    }

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    struct Tree(Vec<Self>);

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    struct List {
        next: Option<Box<Self>>,
    }

    fn shapes() -> Vec<Shape> {
        vec![
            Shape::Point,
            Shape::Circle(7),
            Shape::Line(1, -1),
            Shape::Box {
                width: 0.5,
                name: Some("é".to_owned()),
            },
        ]
    }

    #[test]
    fn cbor_has_the_bytes_of_rust_libp2p() {
        // An array of: text; {text: 7}; {text: [1, -1]}; {text: {text: 0.5, text: text}}.
        let expected = b"\x84\x65Point\xa1\x66Circle\x07\xa1\x64Line\x82\x01\x20\
            \xa1\x63Box\xa2\x65width\xfb\x3f\xe0\0\0\0\0\0\0\x64name\x62\xc3\xa9";
        assert_eq!(Cbor::encode(&shapes()).unwrap(), expected.as_slice());
        assert_eq!(Cbor::decode(Bytes::from_static(expected)), Ok(shapes()));
        assert_eq!(Cbor::encode(&()).unwrap(), b"\x80".as_slice());
        assert_eq!(Cbor::encode(&None::<u8>).unwrap(), b"\xf6".as_slice());
    }

    #[test]
    fn json_is_what_everybody_writes() {
        let expected = r#"["Point",{"Circle":7},{"Line":[1,-1]},{"Box":{"width":0.5,"name":"é"}}]"#;
        assert_eq!(Json::encode(&shapes()).unwrap(), expected);
        assert_eq!(Json::decode(expected.into()), Ok(shapes()));
        let unwritable = BTreeMap::from([(vec![1_u8], 1)]);
        let refused = <Json as Codec<BTreeMap<Vec<u8>, i32>>>::encode(&unwritable);
        assert!(matches!(refused, Err(CodecError::Encode(_))), "{refused:?}");
    }

    #[test]
    fn bytes_behind_the_value_are_refused() {
        let refused: Result<u8, _> = Cbor::decode(Bytes::from_static(b"\x01\x02"));
        assert_eq!(refused, Err(CodecError::decode("bytes follow the value")));
        let refused: Result<u8, _> = Json::decode("1 2".into());
        assert!(refused.is_err());
        assert_eq!(<Json as Codec<u8>>::decode(" 1 ".into()), Ok(1));
    }

    /// Nobody may ask for it.
    #[derive(Debug, Serialize)]
    struct Unreached;

    impl<'de> Deserialize<'de> for Unreached {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("what has not arrived is read")
        }
    }

    #[test]
    fn what_cbor_claims_to_have_and_has_not_makes_no_room_anywhere() {
        for major in [0x40, 0x60, 0x80, 0xa0] {
            for claim in [3, 1 << 32, 1 << 63, u64::MAX] {
                let claim = [&[major | 0x1b], &claim.to_be_bytes()[..], b"\x01\x01"].concat();
                for before in [b"".as_slice(), b"\x82\x01", b"\xa1\x61a", b"\x9f\x01"] {
                    let refused: Result<Unreached, _> =
                        Cbor::decode([before, &claim].concat().into());
                    assert!(matches!(refused, Err(CodecError::Decode(_))), "{claim:x?}");
                }
            }
        }
    }

    #[test]
    fn in_cbor_the_null_of_json_becomes_an_empty_array_and_none_stays_none() {
        let null = serde_json::Value::Null;
        let encoded = Cbor::encode(&null).unwrap();
        assert_eq!(Cbor::decode(encoded), Ok(serde_json::json!([])));
        let encoded = Cbor::encode(&None::<serde_json::Value>).unwrap();
        assert_eq!(Cbor::decode(encoded.clone()), Ok(null));
        assert_eq!(Cbor::decode(encoded), Ok(None::<serde_json::Value>));
    }

    #[test]
    fn nesting_of_a_hundred_thousand_is_an_error_whatever_it_is_read_as() {
        const DEPTH: usize = 100_000;
        let nested = |open: &[u8]| Bytes::from(open.repeat(DEPTH));
        for array in [nested(b"\x81"), nested(b"\x9f"), nested(b"\xc1\x81")] {
            assert!(<Cbor as Codec<Tree>>::decode(array.clone()).is_err());
            assert!(<Cbor as Codec<serde_json::Value>>::decode(array).is_err());
        }
        let map = nested(b"\xa1\x64next");
        assert!(<Cbor as Codec<List>>::decode(map.clone()).is_err());
        assert!(<Cbor as Codec<serde_json::Value>>::decode(map.clone()).is_err());
        // As a field that nobody asked for.
        let ignored = [b"\xa1\x65other".as_slice(), &map].concat();
        assert!(<Cbor as Codec<List>>::decode(ignored.into()).is_err());
        for open in ["[", "{\"next\":", "{\"other\":"] {
            assert!(<Json as Codec<Tree>>::decode(nested(open.as_bytes())).is_err());
            assert!(<Json as Codec<List>>::decode(nested(open.as_bytes())).is_err());
            assert!(<Json as Codec<serde_json::Value>>::decode(nested(open.as_bytes())).is_err());
        }
    }
}
