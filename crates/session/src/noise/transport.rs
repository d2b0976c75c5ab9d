//! Noise transport messages: sealed and opened in place, one half for the writer, one for the reader.
//!
//! Noise specification, section 12.3: ChaCha20-Poly1305 with a 96-bit nonce of 32 zero bits and the little-endian counter.

use std::fmt;

use bytes::{Bytes, BytesMut};
use carrick_wire::noise::{PLAINTEXT_MAX, TAG};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::{Layout, Records, SecureError};

/// Seals outgoing records. The writer owns it.
pub(crate) struct Sealer(Cipher);

impl Sealer {
    /// Room for the length prefix and the tag of each message.
    pub(crate) const LAYOUT: Layout = Layout {
        head: 2,
        body_max: PLAINTEXT_MAX,
        tail: TAG,
    };

    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Cipher::new(key))
    }

    /// Seals every record where it lies; afterwards `records` holds what goes onto the pipe.
    ///
    /// # Errors
    /// [`SecureError::NoncesExhausted`] after 2^64 - 1 records; nothing may be sent any more.
    pub(crate) fn seal(&mut self, records: &mut Records) -> Result<(), SecureError> {
        let key = self.0.key();
        records.seal(|head, rest| {
            let (body, tail) = rest.split_at_mut(rest.len() - TAG);
            let nonce = self.0.next_nonce()?;
            // A record's body is at most PLAINTEXT_MAX long, so body and tag fit in 16 bits.
            let len = u16::try_from(body.len() + TAG).map_err(|_| SecureError::Record)?;
            head.copy_from_slice(&len.to_be_bytes());
            #[cfg(fuzzing)]
            if self.0.is_mock() {
                return Ok(());
            }
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), body);
            tail.copy_from_slice(tag.map_err(|_| SecureError::Record)?.as_ref());
            Ok(())
        })
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealer").field(&self.0.nonce).finish()
    }
}

/// Opens incoming records. The reader owns it.
pub(crate) struct Opener(Cipher);

impl Opener {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Cipher::new(key))
    }

    /// Splits the next complete record off `buf`, opens it in place and returns the plaintext as a slice of the same
    /// memory; `None` when `buf` holds no complete record.
    ///
    /// # Errors
    /// [`SecureError::Record`]: the record is too short or does not authenticate. The connection must be closed; no
    /// plaintext was released.
    pub(crate) fn open(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, SecureError> {
        let Some(mut frame) = super::next_frame(buf) else {
            return Ok(None);
        };
        let Some(len) = frame.len().checked_sub(2 + TAG) else {
            return Err(SecureError::Record);
        };
        let nonce = self.0.next_nonce()?;
        #[cfg(fuzzing)]
        if self.0.is_mock() {
            frame.truncate(2 + len);
            return Ok(Some(frame.freeze().split_off(2)));
        }
        self.0
            .key()
            .open_in_place(nonce, Aad::empty(), &mut frame[2..])
            .map_err(|_| SecureError::Record)?;
        frame.truncate(2 + len);
        Ok(Some(frame.freeze().split_off(2)))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opener").field(&self.0.nonce).finish()
    }
}

struct Cipher {
    key: [u8; 32],
    nonce: u64,
}

impl Cipher {
    fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            nonce: 0,
        }
    }

    /// As ring wants it, which takes half a kilobyte: made when it is used, so that idle connections do not hold it.
    fn key(&self) -> LessSafeKey {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.key);
        LessSafeKey::new(key.expect("the key is 32 bytes: its type says so"))
    }

    /// Whether the handshake was the mock's.
    #[cfg(fuzzing)]
    fn is_mock(&self) -> bool {
        self.key == [0; 32]
    }

    /// specs/noise: the connection must end before the nonce reaches 2^64 - 1, which Noise reserves.
    fn next_nonce(&mut self) -> Result<Nonce, SecureError> {
        let next = self
            .nonce
            .checked_add(1)
            .ok_or(SecureError::NoncesExhausted)?;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.nonce.to_le_bytes());
        self.nonce = next;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

#[cfg(test)]
mod tests;
