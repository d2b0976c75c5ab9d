//! The payload of an error: why a request is over without a last reply. One byte says why, four say when to come back, the rest is text.

use std::time::Duration;

use crate::DecodeError;

/// Why a request is over without a last reply, in its answerer's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has not: many replies have come, and these were all.
    Complete,
    /// There is too much to do; later it may work. The time is a whole number of milliseconds, 49 days at most.
    Busy {
        /// When to try again; `None`: it is not said.
        retry_after: Option<Duration>,
    },
    /// Nobody there handles messages of this code.
    NotSupported,
    /// The payload is not what the code says.
    Malformed(String),
    /// The asker is banned.
    Banned,
    /// The answer is larger than the protocol allows.
    TooLarge,
    /// Nobody works on it any more.
    Cancelled,
    /// The handler's own error, or one that this version does not know.
    Failed(String),
}

impl Refusal {
    /// Most bytes of a text; longer ones are cut.
    pub const TEXT_MAX: usize = 256;

    /// As a payload.
    pub fn encode(&self) -> Vec<u8> {
        let (code, retry_after, text) = match self {
            Self::Complete => (0, None, ""),
            Self::Busy { retry_after } => (1, *retry_after, ""),
            Self::NotSupported => (2, None, ""),
            Self::Malformed(text) => (3, None, text.as_str()),
            Self::Banned => (4, None, ""),
            Self::TooLarge => (5, None, ""),
            Self::Cancelled => (6, None, ""),
            Self::Failed(text) => (7, None, text.as_str()),
        };
        // Zero says nothing, so what is less than a millisecond is one.
        let millis = retry_after.map_or(0, |after| after.as_millis().max(1));
        let millis = u32::try_from(millis).unwrap_or(u32::MAX);
        let text = text.get(..text.floor_char_boundary(Self::TEXT_MAX));
        let mut out = vec![code];
        out.extend(millis.to_be_bytes());
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
        out
    }

    /// From a payload. A reason that is not known is [`Failed`](Self::Failed); what a reason does not have is ignored.
    ///
    /// # Errors
    /// It is too short or too long, or its text is none.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let [code, m0, m1, m2, m3, text @ ..] = payload else {
            return Err(DecodeError::Truncated("error of a message"));
        };
        DecodeError::check_max("text of an error", text.len(), Self::TEXT_MAX)?;
        let text = std::str::from_utf8(text);
        let text = text.map_err(|_| DecodeError::Malformed("error of a message is not text"))?;
        let millis = u32::from_be_bytes([*m0, *m1, *m2, *m3]);
        let retry_after = (millis > 0).then(|| Duration::from_millis(millis.into()));
        Ok(match code {
            0 => Self::Complete,
            1 => Self::Busy { retry_after },
            2 => Self::NotSupported,
            3 => Self::Malformed(text.to_owned()),
            4 => Self::Banned,
            5 => Self::TooLarge,
            6 => Self::Cancelled,
            _ => Self::Failed(text.to_owned()),
        })
    }
}
