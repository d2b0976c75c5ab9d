//! Protocol ids: the names that multistream-select negotiates, such as `/ipfs/ping/1.0.0`.
//! Invariant: 1 to 512 bytes, no control character, none of multistream's own words.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use crate::DecodeError;

/// The name of a protocol. Cheap to clone.
#[derive(Clone)]
pub struct ProtocolId(Name);

#[derive(Clone)]
enum Name {
    Static(&'static str),
    Shared(Arc<str>),
}

impl ProtocolId {
    /// Longest id, in bytes.
    pub const LEN_MAX: usize = 512;

    /// Checks and copies a name.
    ///
    /// # Errors
    /// Empty, longer than [`Self::LEN_MAX`], a control character (a newline would end the message),
    /// or a word that multistream-select keeps for itself: `na`, `ls`, `/multistream/1.0.0`.
    pub fn new(s: &str) -> Result<Self, DecodeError> {
        DecodeError::check_max("protocol id", s.len(), Self::LEN_MAX)?;
        match fault(s.as_bytes()) {
            Some(fault) => Err(DecodeError::Malformed(fault)),
            None => Ok(Self(Name::Shared(s.into()))),
        }
    }

    /// A name known at compile time; a bad one does not compile in a `const`.
    ///
    /// # Panics
    /// When [`Self::new`] would fail.
    #[expect(
        clippy::panic,
        reason = "for names in our own source, where it is an error of the compiler's"
    )]
    pub const fn from_static(s: &'static str) -> Self {
        assert!(s.len() <= Self::LEN_MAX, "protocol id is too long");
        if let Some(fault) = fault(s.as_bytes()) {
            panic!("{}", fault);
        }
        Self(Name::Static(s))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Static(s) => s,
            Name::Shared(s) => s,
        }
    }
}

const fn fault(mut bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        b"" => return Some("protocol id is empty"),
        b"na" | b"ls" | b"/multistream/1.0.0" => {
            return Some("protocol id is a word of multistream-select");
        }
        _ => {}
    }
    while let [byte, rest @ ..] = bytes {
        // U+0080 to U+009F, the second block of control characters, begin with C2 in UTF-8.
        let control = *byte < 0x20
            || *byte == 0x7f
            || matches!(rest, [second, ..] if *byte == 0xc2 && *second < 0xa0);
        if control {
            return Some("protocol id has a control character");
        }
        bytes = rest;
    }
    None
}

impl AsRef<str> for ProtocolId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for ProtocolId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for ProtocolId {
    type Err = DecodeError;

    fn from_str(s: &str) -> Result<Self, DecodeError> {
        Self::new(s)
    }
}

impl TryFrom<&str> for ProtocolId {
    type Error = DecodeError;

    fn try_from(s: &str) -> Result<Self, DecodeError> {
        Self::new(s)
    }
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for ProtocolId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ProtocolId {}

impl PartialOrd for ProtocolId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProtocolId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for ProtocolId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests;
