//! The codecs of serde: CBOR and JSON, as rust-libp2p's request-response writes them.

use bytes::Bytes;
use cbor4ii::{
    core::{
        dec::{Decode, IgnoredAny, Read},
        utils::SliceReader,
    },
    serde::Deserializer,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError};

/// CBOR (RFC 8949), for types of serde. Byte for byte what rust-libp2p's `request_response::cbor` writes, whose library this
/// is: structs are maps with their fields' names, enums are a name or a map with one. Values may be nested 128 deep.
///
/// `()` is an empty array, and only `None` is CBOR's null. So `serde_json::Value::Null`, which serde takes for `()`, arrives as
/// an empty array, here and at rust-libp2p: say `Option<Value>` where nothing may be said, or use [`Json`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Cbor;

impl<T: Serialize + DeserializeOwned> Codec<T> for Cbor {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        let encoded = cbor4ii::serde::to_vec(Vec::new(), value);
        encoded.map(Bytes::from).map_err(CodecError::encode)
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        // Types make room for as many elements as an array claims to have: it must have them.
        let mut whole = SliceReader::new(&bytes);
        IgnoredAny::decode(&mut whole).map_err(CodecError::decode)?;
        ended(whole)?;
        let mut deserializer = Deserializer::new(SliceReader::new(&bytes));
        let value = T::deserialize(&mut deserializer).map_err(CodecError::decode)?;
        ended(deserializer.into_inner()).map(|()| value)
    }
}

fn ended(mut rest: SliceReader<'_>) -> Result<(), CodecError> {
    if rest.fill(1).is_ok_and(|rest| rest.as_ref().is_empty()) {
        Ok(())
    } else {
        Err(CodecError::decode("bytes follow the value"))
    }
}

/// JSON (RFC 8259), for types of serde, as rust-libp2p's `request_response::json` writes it. Values may be nested 128 deep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        let encoded = serde_json::to_vec(value);
        encoded.map(Bytes::from).map_err(CodecError::encode)
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        serde_json::from_slice(&bytes).map_err(CodecError::decode)
    }
}
