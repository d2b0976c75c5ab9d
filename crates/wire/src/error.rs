//! The one error of this crate: what is wrong with the bytes. The sender is at fault, always.

/// Why bytes are not the value they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A varint breaks the unsigned-varint spec.
    #[error("varint {0}")]
    Varint(&'static str),
    /// A size or a count is above its limit; nothing was allocated for it.
    #[error("{what}: {len} is above the limit of {max}")]
    TooLarge {
        /// The thing with the limit, with its unit where it is not bytes.
        what: &'static str,
        /// Size or count asked for; saturates at `usize::MAX`.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The input ends inside a value although it must hold the whole value.
    #[error("{0} ends too early")]
    Truncated(&'static str),
    /// The bytes break the grammar or a rule of their spec.
    #[error("{0}")]
    Malformed(&'static str),
    /// A value of a kind that the spec does not define or that we do not support.
    #[error("unsupported {0}")]
    Unsupported(&'static str),
    /// A signature does not fit its key, domain or content.
    #[error("{0}: signature is not valid")]
    Signature(&'static str),
}

impl DecodeError {
    /// `Ok` when `len <= max`.
    pub(crate) fn check_max(what: &'static str, len: usize, max: usize) -> Result<(), Self> {
        if len > max {
            Err(Self::TooLarge { what, len, max })
        } else {
            Ok(())
        }
    }
}
