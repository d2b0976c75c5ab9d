//! A stream's chunks in, frames out. Invariant: a frame that lies in one chunk is a slice of it; what is put together, of
//! several, has been received before there is memory for it.

use bytes::{Bytes, BytesMut};

use super::{Frame, HEADER_LEN, Header};
use crate::{DecodeError, varint};

/// Cuts a stream into frames, whatever chunks it comes in. After an error there is nothing more to be had from it.
#[derive(Debug)]
pub struct Decoder {
    tag: u32,
    payload_max: usize,
    /// Not looked at yet.
    chunk: Bytes,
    /// The start of a frame, which earlier chunks held.
    pub(super) partial: BytesMut,
}

impl Decoder {
    /// For frames with this tag, and payloads of at most so many bytes.
    pub fn new(tag: u32, payload_max: usize) -> Self {
        Self {
            tag,
            payload_max,
            chunk: Bytes::new(),
            partial: BytesMut::new(),
        }
    }

    /// Takes the next bytes; what was taken before must have been used up, so that [`frame`](Self::frame) gave `None`.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "chunks come one by one");
        self.chunk = chunk;
    }

    /// The next whole frame; `None`: more bytes are needed.
    ///
    /// # Errors
    /// These are no frames of this protocol, or the payload is too large.
    #[inline]
    pub fn frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if !self.partial.is_empty() {
            return self.complete();
        }
        let Some((len, prefix)) = self.length(&self.chunk)? else {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return Ok(None);
        };
        if self.chunk.len() - prefix < len {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return Ok(None);
        }
        let mut body = self.chunk.split_to(prefix + len);
        let payload = body.split_off(prefix + HEADER_LEN);
        self.check(body.get(prefix..).unwrap_or_default(), payload)
            .map(Some)
    }

    /// The bytes of the payload that has begun to come, once that is known; after [`frame`](Self::frame) gave `None`.
    pub fn expects(&self) -> Option<usize> {
        let (len, _) = self.length(&self.partial).ok().flatten()?;
        Some(len - HEADER_LEN)
    }

    /// Whether the stream may end here: between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.chunk.is_empty() && self.partial.is_empty()
    }

    /// Goes on with a frame that has begun in an earlier chunk.
    fn complete(&mut self) -> Result<Option<Frame>, DecodeError> {
        let (len, prefix) = loop {
            if let Some(known) = self.length(&self.partial)? {
                break known;
            }
            if self.chunk.is_empty() {
                return Ok(None);
            }
            self.partial.extend_from_slice(&self.chunk.split_to(1));
        };
        let missing = prefix + len - self.partial.len();
        let came = self.chunk.split_to(missing.min(self.chunk.len()));
        self.partial.extend_from_slice(&came);
        if came.len() < missing {
            return Ok(None);
        }
        let mut body = std::mem::take(&mut self.partial).freeze();
        let payload = body.split_off(prefix + HEADER_LEN);
        self.check(body.get(prefix..).unwrap_or_default(), payload)
            .map(Some)
    }

    /// The bytes of header and payload, and those of the length before them.
    fn length(&self, bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
        let Some((len, prefix)) = varint::decode(bytes)? else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let payload_len = len.checked_sub(HEADER_LEN);
        let payload_len = payload_len.ok_or(DecodeError::Truncated("header of a message"))?;
        DecodeError::check_max("message", payload_len, self.payload_max)?;
        Ok(Some((len, prefix)))
    }

    fn check(&self, header: &[u8], payload: Bytes) -> Result<Frame, DecodeError> {
        let header = header.try_into();
        let header = header.map_err(|_| DecodeError::Truncated("header of a message"))?;
        let header = Header::decode(header, payload.len())?;
        if header.tag != self.tag {
            return Err(DecodeError::Malformed(
                "message is of another protocol or domain",
            ));
        }
        Ok(Frame { header, payload })
    }
}
