//! Lines over a Unix socket, both ways.

use std::io;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    time::{Instant, timeout_at},
};

use super::{
    calls::REQUEST_BYTES_MAX,
    lines::{Lines, TooLong},
    talk::{Drain, Source, TEXT_TIMEOUT, Unreadable},
};

const READ_BYTES: usize = 16 << 10;

/// Lines that arrive.
#[derive(Debug)]
pub(crate) struct Reader {
    pipe: OwnedReadHalf,
    lines: Lines,
    /// When the line that has begun must have ended.
    deadline: Option<Instant>,
}

impl Reader {
    pub(crate) fn new(pipe: OwnedReadHalf) -> Self {
        Self {
            pipe,
            lines: Lines::new(REQUEST_BYTES_MAX),
            deadline: None,
        }
    }
}

impl Source for Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        loop {
            if let Some(line) = self.lines.next().map_err(|TooLong| Unreadable::TooLong)? {
                self.deadline = None;
                return Ok(Some(line));
            }
            let mut piece = [0; READ_BYTES];
            let read = self.pipe.read(&mut piece);
            let read = if self.lines.is_within() {
                let deadline = *self
                    .deadline
                    .get_or_insert_with(|| Instant::now() + TEXT_TIMEOUT);
                timeout_at(deadline, read)
                    .await
                    .map_err(|_| Unreadable::TooSlow)?
            } else {
                read.await
            };
            match read {
                Ok(0) => return Ok(None),
                Ok(count) => self.lines.push(piece.get(..count).unwrap_or_default()),
                Err(_) => return Err(Unreadable::Broken),
            }
        }
    }
}

/// Lines that leave.
#[derive(Debug)]
pub(crate) struct Writer(OwnedWriteHalf);

impl Writer {
    pub(crate) fn new(pipe: OwnedWriteHalf) -> Self {
        Self(pipe)
    }
}

impl Drain for Writer {
    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await?;
        self.0.write_all(b"\n").await
    }
}
