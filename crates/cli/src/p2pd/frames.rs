//! Messages out of a socket, one after the other. What follows the last one that was asked for is not lost.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use carrick::p2pd;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};

/// What was read and not yet used.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

impl Frames {
    /// The next message, without its length; `None` at the end. Waits for the first byte as long as it takes, for the others
    /// a minute. Memory grows with what comes, not with what is promised. Cancel-safe.
    pub(super) async fn next(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<Bytes>> {
        let mut deadline = None;
        loop {
            let decoded = p2pd::decode_frame(&self.0);
            let decoded =
                decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some((body, used)) = decoded {
                let len = body.len();
                return Ok(Some(self.0.split_to(used).freeze().slice(used - len..)));
            }
            self.0.reserve(READ);
            let read = if self.0.is_empty() {
                socket.read_buf(&mut self.0).await?
            } else {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + MESSAGE_TIMEOUT);
                timeout_at(deadline, socket.read_buf(&mut self.0)).await??
            };
            match read {
                0 if self.0.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
    }

    /// What came behind the last message.
    pub(super) fn rest(self) -> Bytes {
        self.0.freeze()
    }
}

const READ: usize = 4 << 10;
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
