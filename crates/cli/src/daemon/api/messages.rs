//! `messages_request`: one question to a peer, and its answer.

use std::sync::Arc;

use carrick::{ProtocolId, RequestError, Target};
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Context, Outcome, invalid, parsed, target};
use crate::{
    ask::{self, Codec, Payload},
    failure::Failure,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(deserialize_with = "target")]
    target: Target,
    #[serde(deserialize_with = "parsed")]
    protocol: ProtocolId,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    codec: Codec,
    #[serde(default)]
    encoding: Encoding,
    timeout_ms: Option<u64>,
}

/// How bytes stand in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Text,
    Hex,
}

pub(super) fn register(api: &mut Api) {
    api.method("messages_request", request);
}

async fn request(context: Arc<Context>, request: Request) -> Outcome {
    let payload = payload(request.codec, request.encoding, request.data)?;
    let timeout_ms = request.timeout_ms.unwrap_or(ask::TIMEOUT_MS);
    let Request {
        target,
        protocol,
        codec,
        ..
    } = request;
    let asked = ask::ask(
        &context.node,
        target,
        protocol.as_str(),
        codec,
        payload,
        timeout_ms,
    );
    asked
        .await
        .map(|answer| answer.to_json())
        .map_err(|error| refused(&error))
}

fn payload(codec: Codec, encoding: Encoding, data: Value) -> Result<Payload, ErrorObjectOwned> {
    match (codec, encoding, data) {
        (Codec::Raw, _, Value::Null) => Ok(Payload::Raw(Vec::new())),
        (Codec::Raw, Encoding::Text, Value::String(text)) => Ok(Payload::Raw(text.into_bytes())),
        (Codec::Raw, Encoding::Hex, Value::String(text)) => match ask::unhex(&text) {
            Some(bytes) => Ok(Payload::Raw(bytes)),
            None => Err(invalid("data is no hexadecimal number")),
        },
        (Codec::Raw, ..) => Err(invalid("with the codec raw, data is a string")),
        (Codec::Json | Codec::Cbor, _, value) => Ok(Payload::Value(value)),
    }
}

/// Why there is no answer, for people and for programs.
fn refused(error: &RequestError) -> ErrorObjectOwned {
    let (code, kind) = match error {
        RequestError::Timeout { .. } => (2, "timeout"),
        RequestError::Busy { .. } | RequestError::LimitReached(_) => (3, "busy"),
        RequestError::NotSupported => (4, "not_supported"),
        RequestError::Malformed(_) => (5, "malformed"),
        RequestError::Banned => (6, "banned"),
        RequestError::ConnectionLost => (7, "connection_lost"),
        RequestError::TooLarge { .. } => (8, "too_large"),
        _ => (1, "failed"),
    };
    let retry_after_ms = match error {
        RequestError::Busy {
            retry_after: Some(after),
        } => u64::try_from(after.as_millis()).ok(),
        _ => None,
    };
    let text = Failure::from(error.clone()).to_string();
    let data = json!({"kind": kind, "retry_after_ms": retry_after_ms});
    ErrorObject::owned(code, text, Some(data))
}
