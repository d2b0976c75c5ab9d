//! What comes: chunks in, frames out, in the order of their nonces.

use bytes::Bytes;
use carrick_wire::messages::Decoder;

use super::{Frame, Limits, Violation};

#[derive(Debug)]
pub(super) struct Inbox {
    decoder: Decoder,
    last: u64,
}

impl Inbox {
    pub(super) fn new(tag: u32, limits: &Limits) -> Self {
        Self {
            decoder: Decoder::new(tag, limits.payload_max),
            last: 0,
        }
    }

    pub(super) fn recv(&mut self, chunk: Bytes) {
        self.decoder.push(chunk);
    }

    pub(super) fn finish(&self) -> Result<(), Violation> {
        if self.decoder.is_between_frames() {
            Ok(())
        } else {
            Err(Violation::Cut)
        }
    }

    pub(super) fn expects(&self) -> Option<usize> {
        self.decoder.expects()
    }

    #[inline]
    pub(super) fn frame(&mut self) -> Result<Option<Frame>, Violation> {
        let Some(frame) = self.decoder.frame()? else {
            return Ok(None);
        };
        let (nonce, last) = (frame.header.nonce, self.last);
        if nonce <= last {
            return Err(Violation::Nonce { nonce, last });
        }
        self.last = nonce;
        Ok(Some(frame))
    }
}
