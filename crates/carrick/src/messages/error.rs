//! What went wrong below, in the words of requests.

use carrick_protocols::messages::{NotTaken, Violation};
use carrick_session::Code;
use carrick_swarm::{CloseReason, DialError};

pub(super) use crate::request::{refusal, refused};
use crate::{ConnectionError, OpenError, RequestError, StreamError, codec::CodecError};

pub(super) fn codec(error: CodecError) -> RequestError {
    RequestError::Malformed(error.to_string())
}

pub(super) fn opening(error: OpenError) -> RequestError {
    match error {
        OpenError::Unsupported { .. } => RequestError::NotSupported,
        OpenError::Dial(DialError::Banned { .. }) => RequestError::Banned,
        OpenError::Dial(DialError::Closed) => RequestError::Closed,
        OpenError::Stream(error) => stream(error),
        error => RequestError::Open(error),
    }
}

pub(super) fn stream(error: StreamError) -> RequestError {
    match error {
        StreamError::Unsupported(_) => RequestError::NotSupported,
        StreamError::Reset(Code::LIMIT) => RequestError::Busy { retry_after: None },
        StreamError::Reset(Code::VIOLATION) => violation(Violation::Cut),
        StreamError::Reset(Code::SHUTDOWN) => RequestError::ConnectionLost,
        StreamError::Reset(Code::GATED) => RequestError::Banned,
        StreamError::Reset(_) | StreamError::ResetLocally(_) | StreamError::Finished => {
            RequestError::Cancelled
        }
        StreamError::ConnectionLost(
            ConnectionError::Expelled(CloseReason::Banned)
            | ConnectionError::ClosedWith(Code::GATED),
        ) => RequestError::Banned,
        StreamError::ConnectionLost(_) => RequestError::ConnectionLost,
        StreamError::EndedEarly => RequestError::Cancelled,
        StreamError::TooLong { limit } => RequestError::TooLarge { limit },
    }
}

pub(super) fn violation(violation: Violation) -> RequestError {
    RequestError::Malformed(violation.to_string())
}

pub(super) fn not_taken(error: NotTaken) -> RequestError {
    match error {
        NotTaken::TooLarge(limit) => RequestError::TooLarge { limit },
        NotTaken::LaneFull | NotTaken::TooMany => RequestError::Busy { retry_after: None },
    }
}
