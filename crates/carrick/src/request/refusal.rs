//! What a failed request is called on the wire of messages, both ways.

use carrick_wire::messages::Refusal;

use super::RequestError;

/// What the peer, or our own switcher, has said.
pub(crate) fn refused(why: Refusal) -> RequestError {
    match why {
        Refusal::Complete => RequestError::Failed("it has no reply".to_owned()),
        Refusal::Busy { retry_after } => RequestError::Busy { retry_after },
        Refusal::NotSupported => RequestError::NotSupported,
        Refusal::Malformed(text) => RequestError::Malformed(crate::codec::shown(&text)),
        Refusal::Banned => RequestError::Banned,
        Refusal::TooLarge => RequestError::TooLarge { limit: 0 },
        Refusal::Cancelled => RequestError::Cancelled,
        Refusal::Failed(text) => RequestError::Failed(crate::codec::shown(&text)),
    }
}

/// What a handler wants its asker to hear.
pub(crate) fn refusal(error: RequestError) -> Refusal {
    match error {
        RequestError::Busy { retry_after } => Refusal::Busy { retry_after },
        RequestError::NotSupported => Refusal::NotSupported,
        RequestError::Malformed(text) => Refusal::Malformed(text),
        RequestError::Banned => Refusal::Banned,
        RequestError::TooLarge { .. } => Refusal::TooLarge,
        RequestError::Cancelled => Refusal::Cancelled,
        RequestError::LimitReached(_) => Refusal::Busy { retry_after: None },
        RequestError::Failed(text) => Refusal::Failed(text),
        RequestError::Timeout { .. }
        | RequestError::ConnectionLost
        | RequestError::Open(_)
        | RequestError::Closed => Refusal::Failed(error.to_string()),
    }
}
