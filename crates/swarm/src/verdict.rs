//! What becomes of who wants in: a plain value.

use std::{borrow::Cow, fmt};

/// What becomes of who wants in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is let in, as far as this stage goes.
    Accept,
    /// Not now: it may come again. Over QUIC, an address that is not validated is asked to prove itself, which costs us no
    /// memory, and comes again by itself; everywhere else it is closed without blame.
    Retry,
    /// It is told that it is not wanted, where there is a word for that (`0x1007`); the reason is for our own log.
    Reject(Cow<'static, str>),
    /// It is dropped, and told nothing that can be kept from it.
    Ignore,
}

impl Verdict {
    /// A rejection with its reason.
    pub fn reject(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Reject(reason.into())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("let in"),
            Self::Retry => f.write_str("may come again"),
            Self::Reject(reason) => write!(f, "rejected: {reason}"),
            Self::Ignore => f.write_str("ignored"),
        }
    }
}
