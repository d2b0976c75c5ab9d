//! Keys of private networks, pnet/Private-Networks-PSK-V1.md: the `swarm.key` file, and the fingerprint that may be shown.

use std::fmt;

use multibase::Base;
use salsa20::{
    Salsa20,
    cipher::{KeyIvInit, StreamCipher},
};
use sha3::{
    Shake128,
    digest::{ExtendableOutput, Update},
};

use crate::DecodeError;

/// A key's length, in bytes.
pub const KEY_LEN: usize = 32;
/// Longest key file that is decoded, in bytes; the longest that is valid needs about a hundred.
pub const FILE_MAX: usize = 1024;

/// The key that all peers of a private network share. `Debug` shows its fingerprint only.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk([u8; KEY_LEN]);

impl Psk {
    /// The key that has these bytes.
    pub fn new(key: [u8; KEY_LEN]) -> Self {
        Self(key)
    }

    /// Reads a key file: `/key/swarm/psk/1.0.0/`, the encoding (`/base16/`, `/base64/` or `/bin/`) and the key, a line
    /// each. Lines end in LF or CRLF; the last one may lack its end.
    ///
    /// # Errors
    /// Longer than [`FILE_MAX`], another header or encoding, digits that are none, a key of another length, or anything
    /// after it.
    pub fn decode(file: &[u8]) -> Result<Self, DecodeError> {
        DecodeError::check_max("swarm key file", file.len(), FILE_MAX)?;
        let (header, rest) = line(file)?;
        if header != HEADER {
            return Err(DecodeError::Malformed(
                "swarm key file does not begin with /key/swarm/psk/1.0.0/",
            ));
        }
        let (encoding, rest) = line(rest)?;
        let key = match encoding {
            BIN => match rest.split_at_checked(KEY_LEN) {
                Some((key, b"" | b"\n" | b"\r\n")) => Some(key.to_vec()),
                _ => None,
            },
            BASE16 => hex(text(rest)),
            BASE64 => str::from_utf8(text(rest))
                .ok()
                .and_then(|text| Base::Base64Pad.decode(text).ok()),
            _ => return Err(DecodeError::Unsupported("encoding of a swarm key")),
        };
        key.and_then(|key| key.try_into().ok())
            .map(Self)
            .ok_or(DecodeError::Malformed(
                "swarm key is not 32 bytes in its encoding",
            ))
    }

    /// The key as a file, in base 16, as the tools of other stacks write it.
    pub fn encode(&self) -> String {
        let digits = Base::Base16Lower.encode(self.0);
        format!("/key/swarm/psk/1.0.0/\n/base16/\n{digits}\n")
    }

    /// Sixteen bytes that tell keys apart and give nothing away: SHAKE-128 of a Salsa20 block under the key, as
    /// go-libp2p and rust-libp2p make it.
    pub fn fingerprint(&self) -> [u8; 16] {
        let mut block = [0; 64];
        Salsa20::new(&self.0.into(), b"finprint".into()).apply_keystream(&mut block);
        let mut fingerprint = [0; 16];
        let mut hash = Shake128::default();
        hash.update(&block);
        hash.finalize_xof_into(&mut fingerprint);
        fingerprint
    }

    /// The key itself.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Psk({})", Base::Base16Lower.encode(self.fingerprint()))
    }
}

/// Takes one line off the front, without its end.
fn line(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    match (parts.next(), parts.next()) {
        (Some(line), Some(rest)) => Ok((line.strip_suffix(b"\r").unwrap_or(line), rest)),
        _ => Err(DecodeError::Truncated("swarm key file")),
    }
}

/// A last line without its end.
fn text(rest: &[u8]) -> &[u8] {
    let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
    rest.strip_suffix(b"\r").unwrap_or(rest)
}

/// Upper and lower case, as Go's decoder takes them.
fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(digits).ok()?.to_ascii_lowercase();
    Base::Base16Lower.decode(text).ok()
}

const HEADER: &[u8] = b"/key/swarm/psk/1.0.0/";
const BIN: &[u8] = b"/bin/";
const BASE16: &[u8] = b"/base16/";
const BASE64: &[u8] = b"/base64/";

#[cfg(test)]
mod tests;
