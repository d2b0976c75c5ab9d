//! Why a request has no answer.

use std::time::Duration;

use carrick_session::Code;
use carrick_swarm::{CloseReason, DialError, LimitReached};

use crate::{ConnectionError, OpenError, StreamError};

/// Why a request has no answer.
///
/// What it says of the peer is recorded where that is known, by whoever waited for the answer; so a handler may pass on what
/// its own request to somebody else came to, and its caller is not blamed for it. A handler may return one to say what its
/// caller shall get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The peer has too much to do; ask again later, or ask another.
    #[error("the peer is busy{}; ask again later", after(.retry_after))]
    Busy {
        /// When it makes sense to ask again, if the peer says so.
        retry_after: Option<Duration>,
    },
    /// The peer does not answer requests of this kind; ask another, or in another protocol.
    #[error("the peer does not support the request")]
    NotSupported,
    /// The request, or what came for an answer, makes no sense to who got it: one side has made a mistake, or the sides have
    /// different versions.
    #[error("the message is malformed: {0}")]
    Malformed(String),
    /// One side has banned the other; if it is us, [`Node::unban`](crate::Node::unban) takes it back.
    #[error("the peer is banned, or has banned us")]
    Banned,
    /// No answer came in time; ask again, give it more time, or ask another. The peer is told to stop.
    #[error("the request was not answered within {after:?}")]
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection ended before the answer came. The peer may have acted on the request: ask again if that is harmless.
    #[error("the connection was lost before the answer came")]
    ConnectionLost,
    /// A message is larger than is allowed; send less, or allow more.
    #[error("a message has more than {limit} bytes")]
    TooLarge {
        /// The most that was allowed, in bytes; 0 if only the peer knows.
        limit: usize,
    },
    /// The peer gave the request up, or we did.
    #[error("the request was cancelled")]
    Cancelled,
    /// The peer's handler failed; in its words, if it said any.
    #[error("the peer failed to answer: {0}")]
    Failed(String),
    /// There is no stream to the peer.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A limit of ours holds the request back; wait for others to end, or raise it.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// The node is closed.
    #[error("the node is closed")]
    Closed,
}

impl RequestError {
    pub(super) fn of_open(error: OpenError) -> Self {
        match error {
            OpenError::Dial(DialError::Banned { .. }) => Self::Banned,
            OpenError::Dial(DialError::Closed) => Self::Closed,
            OpenError::Dial(DialError::LimitReached(reached)) => Self::LimitReached(reached),
            OpenError::Unsupported { .. } => Self::NotSupported,
            OpenError::Stream(error) => Self::of_stream(error),
            error => Self::Open(error),
        }
    }

    pub(super) fn of_stream(error: StreamError) -> Self {
        match error {
            StreamError::Reset(Code::LIMIT | Code::RATE_LIMITED) => {
                Self::Busy { retry_after: None }
            }
            StreamError::Reset(Code::NEGOTIATION_FAILED) | StreamError::Unsupported(_) => {
                Self::NotSupported
            }
            StreamError::Reset(Code::VIOLATION) => {
                Self::Malformed("the peer makes no sense of the request".to_owned())
            }
            StreamError::Reset(Code::GATED) => Self::Banned,
            StreamError::Reset(Code::SHUTDOWN) => Self::ConnectionLost,
            StreamError::Reset(code) => Self::Failed(code.to_string()),
            StreamError::ConnectionLost(error) => Self::lost(Some(&error)),
            StreamError::TooLong { limit } => Self::TooLarge { limit },
            StreamError::ResetLocally(_) | StreamError::Finished => Self::Cancelled,
            error @ StreamError::EndedEarly => Self::Failed(error.to_string()),
        }
    }

    /// What is to be said of a request whose connection is over.
    pub(super) fn lost(error: Option<&ConnectionError>) -> Self {
        match error {
            Some(
                ConnectionError::Expelled(CloseReason::Banned)
                | ConnectionError::ClosedWith(Code::GATED),
            ) => Self::Banned,
            _ => Self::ConnectionLost,
        }
    }

    /// How an asker is told.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Busy { .. } => Code::RATE_LIMITED,
            Self::LimitReached(_) => Code::LIMIT,
            Self::NotSupported => Code::NEGOTIATION_FAILED,
            Self::Malformed(_) => Code::VIOLATION,
            Self::Banned => Code::GATED,
            Self::Closed => Code::SHUTDOWN,
            Self::Timeout { .. }
            | Self::ConnectionLost
            | Self::TooLarge { .. }
            | Self::Cancelled
            | Self::Failed(_)
            | Self::Open(_) => Code::NONE,
        }
    }
}

fn after(retry_after: &Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!(" for {after:?}"))
}
