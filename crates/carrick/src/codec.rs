//! Codecs: a value of the program's becomes the bytes of a message, and back.
//!
//! What holds always: bytes that a peer sent give a value or an error. No input overflows the stack, and none costs more
//! memory than a multiple of its own length: how long it may be, whoever reads it from the peer has decided before.

use bytes::Bytes;

#[cfg(feature = "serde")]
pub use self::serial::{Cbor, Json};

#[cfg(feature = "serde")]
mod serial;

/// How values of `T` become bytes: one of [`Raw`], [`Protobuf`], [`Cbor`] and [`Json`], or a type of your own.
///
/// ```
/// use carrick::codec::{Codec, CodecError};
///
/// /// A number as its decimal digits.
/// struct Decimal;
///
/// impl Codec<u64> for Decimal {
///     fn encode(value: &u64) -> Result<bytes::Bytes, CodecError> {
///         Ok(value.to_string().into())
///     }
///
///     fn decode(bytes: bytes::Bytes) -> Result<u64, CodecError> {
///         let text = str::from_utf8(&bytes).map_err(CodecError::decode)?;
///         text.parse().map_err(CodecError::decode)
///     }
/// }
///
/// assert_eq!(Decimal::decode(Decimal::encode(&7)?)?, 7);
/// assert!(Decimal::decode("seven".into()).is_err());
/// # Ok::<(), CodecError>(())
/// ```
pub trait Codec<T> {
    /// The bytes of a value.
    ///
    /// # Errors
    /// [`CodecError::Encode`]: the codec has no form for this value.
    fn encode(value: &T) -> Result<Bytes, CodecError>;

    /// The value of bytes that may come from anybody. All of them must belong to it.
    ///
    /// # Errors
    /// [`CodecError::Decode`]: they are not the form of a value.
    fn decode(bytes: Bytes) -> Result<T, CodecError>;
}

/// Bytes as they are, for `Bytes` and `Vec<u8>`. `Bytes` are not copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec<Bytes> for Raw {
    fn encode(value: &Bytes) -> Result<Bytes, CodecError> {
        Ok(value.clone())
    }

    fn decode(bytes: Bytes) -> Result<Bytes, CodecError> {
        Ok(bytes)
    }
}

impl Codec<Vec<u8>> for Raw {
    fn encode(value: &Vec<u8>) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(value))
    }

    fn decode(bytes: Bytes) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.into())
    }
}

/// Protocol buffers, for messages of `prost` 0.14. Messages may be nested 100 deep; unknown fields are skipped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protobuf;

impl<T: prost::Message + Default> Codec<T> for Protobuf {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        Ok(value.encode_to_vec().into())
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        T::decode(bytes).map_err(CodecError::decode)
    }
}

/// A value and its bytes do not fit together. The text is that of the codec, which may quote what came from a peer: it is
/// escaped, and at most 256 bytes long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The codec has no form for the value, such as JSON for a map whose keys are no strings; choose another codec or type.
    #[error("the message cannot be encoded: {0}")]
    Encode(String),
    /// The bytes are no form of a value: whoever sent them has made a mistake, or speaks another version.
    #[error("the message does not decode: {0}")]
    Decode(String),
}

impl CodecError {
    /// A value that has no form, for the reason given.
    pub fn encode(reason: impl ToString) -> Self {
        Self::Encode(shown(&reason.to_string()))
    }

    /// Bytes that are no value, for the reason given.
    pub fn decode(reason: impl ToString) -> Self {
        Self::Decode(shown(&reason.to_string()))
    }
}

/// A text that may quote a peer, so that it can be shown anywhere.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for char in text.chars() {
        // Quotes are harmless, and codecs use them around what they quote.
        let escaped: String = match char {
            '"' | '\'' => char.into(),
            _ => char.escape_debug().collect(),
        };
        if shown.len() + escaped.len() > TEXT_BYTES_MAX {
            break;
        }
        shown.push_str(&escaped);
    }
    shown
}

/// The most of a text that is shown.
const TEXT_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
