//! One request to a peer, with what it says as people and JSON write it: what `carrick call` and the daemon share.

use std::time::Duration;

use carrick::{
    Node, RequestError, Requests, Target,
    codec::{Cbor, Json, Raw},
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

/// How what is said becomes bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    /// As it is.
    #[default]
    Raw,
    /// JSON, between peers, too.
    Json,
    /// JSON here, CBOR between peers.
    Cbor,
}

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    Raw(Vec<u8>),
    /// In JSON or CBOR.
    Value(Value),
}

impl Payload {
    /// Bytes stand there as text if they can, or else as a hexadecimal number.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Value(value) => json!({"data": value, "encoding": "json"}),
            Self::Raw(bytes) => match str::from_utf8(bytes) {
                Ok(text) => json!({"data": text, "encoding": "text"}),
                Err(_) => json!({"data": hex(bytes), "encoding": "hex"}),
            },
        }
    }
}

/// How long an answer may take to come, unless somebody says otherwise, and at most.
pub(crate) const TIMEOUT_MS: u64 = 10_000;
pub(crate) const TIMEOUT_MS_MAX: u64 = 300_000;

/// Asks a peer, in the way of rust-libp2p's request-response.
pub(crate) async fn ask(
    node: &Node,
    target: Target,
    protocol: &str,
    codec: Codec,
    payload: Payload,
    timeout_ms: u64,
) -> Result<Payload, RequestError> {
    let timeout = Duration::from_millis(timeout_ms.min(TIMEOUT_MS_MAX));
    match (codec, payload) {
        (_, Payload::Raw(bytes)) => {
            let requests = Requests::<Vec<u8>, Vec<u8>, Raw>::new(protocol).timeout(timeout);
            let answer = node.request(target, &requests, &bytes).await?;
            Ok(Payload::Raw(answer))
        }
        (Codec::Cbor, Payload::Value(value)) => {
            let requests = Requests::<Plain, Plain, Cbor>::new(protocol).timeout(timeout);
            let answer = node.request(target, &requests, &Plain(value)).await?;
            Ok(Payload::Value(answer.0))
        }
        (_, Payload::Value(value)) => {
            let requests = Requests::<Value, Value, Json>::new(protocol).timeout(timeout);
            let answer = node.request(target, &requests, &value).await?;
            Ok(Payload::Value(answer))
        }
    }
}

/// JSON whose null is CBOR's null, too. By itself it would be what Rust's `()` is there: an empty array.
#[derive(Deserialize)]
#[serde(transparent)]
struct Plain(Value);

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Nulled(&self.0).serialize(to)
    }
}

struct Nulled<'a>(&'a Value);

impl Serialize for Nulled<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_none(),
            Value::Array(all) => to.collect_seq(all.iter().map(Nulled)),
            Value::Object(all) => {
                to.collect_map(all.iter().map(|(name, value)| (name, Nulled(value))))
            }
            value => value.serialize(to),
        }
    }
}

/// Bytes as a hexadecimal number.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] has written; `None`: it has not.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let [high, low] = *pair else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(digit(high)? * 16 + digit(low)?).ok()
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_null_in_cbor() {
        use carrick::codec::Codec as _;
        let value = json!([null, {"a": null}]);
        let bytes = Cbor::encode(&Plain(value.clone())).expect("it is small");
        assert_eq!(bytes, &b"\x82\xf6\xa1\x61a\xf6"[..]);
        let back: Plain = Cbor::decode(bytes).expect("it is CBOR");
        assert_eq!(back.0, value);
    }

    #[test]
    fn hexadecimal_numbers_come_back_and_nothing_else_is_one() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)), Some(all));
        assert_eq!(unhex("0Aff"), Some(vec![10, 255]));
        for text in ["0", "0g", "+1", " 1", "é"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
