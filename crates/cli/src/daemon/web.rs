//! Texts over a WebSocket, both ways. The library hands out whole messages and says nothing of one that has only begun, so
//! the pipe below it follows the frames, for the deadline's sake alone.

use std::{
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{
            Role, WebSocketConfig,
            frame::{FrameHeader, coding::OpCode},
        },
    },
};

use super::{
    calls::REQUEST_BYTES_MAX,
    talk::{Drain, Source, TEXT_TIMEOUT, Unreadable},
};

/// What a WebSocket reads at once.
const READ_BYTES: usize = 16 << 10;

/// A WebSocket whose handshake is over.
pub(crate) async fn open<P>(pipe: P) -> (Reader<P>, Writer<P>)
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(REQUEST_BYTES_MAX))
        .max_frame_size(Some(REQUEST_BYTES_MAX));
    let pipe = Timed {
        pipe,
        frames: Frames::default(),
        deadline: None,
    };
    let socket = WebSocketStream::from_raw_socket(pipe, Role::Server, Some(config));
    let (sink, stream) = socket.await.split();
    (Reader(stream), Writer(sink))
}

/// Messages that arrive.
#[derive(Debug)]
pub(crate) struct Reader<P>(SplitStream<WebSocketStream<Timed<P>>>);

impl<P: AsyncRead + AsyncWrite + Unpin + Send> Source for Reader<P> {
    async fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Text(text))) => Ok(Some(text.into())),
                Some(Ok(Message::Binary(text))) => Ok(Some(text)),
                // The other side's pings are answered below us.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => Ok(None),
                Some(Err(tungstenite::Error::Capacity(_))) => Err(Unreadable::TooLong),
                Some(Err(tungstenite::Error::Io(error)))
                    if error.kind() == io::ErrorKind::TimedOut =>
                {
                    Err(Unreadable::TooSlow)
                }
                Some(Err(_)) => Err(Unreadable::Broken),
            };
        }
    }
}

/// Messages that leave.
#[derive(Debug)]
pub(crate) struct Writer<P>(SplitSink<WebSocketStream<Timed<P>>, Message>);

impl<P: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drain for Writer<P> {
    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.0
            .send(Message::text(text))
            .await
            .map_err(io::Error::other)
    }
}

/// A pipe whose reading times out when a message has begun and not ended within [`TEXT_TIMEOUT`].
#[derive(Debug)]
pub(crate) struct Timed<P> {
    pipe: P,
    frames: Frames,
    /// When the message that has begun must have ended.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<P: AsyncRead + Unpin> AsyncRead for Timed<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.pipe).poll_read(cx, buf) {
            let bytes = buf.filled().get(before..).unwrap_or_default();
            if self.frames.follow(bytes) {
                self.deadline = None;
            }
            if self.frames.is_within() {
                self.deadline
                    .get_or_insert_with(|| Box::pin(sleep(TEXT_TIMEOUT)));
            }
            return Poll::Ready(read);
        }
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<P: AsyncWrite + Unpin> AsyncWrite for Timed<P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// Where one frame ends and the next begins (RFC 6455 §5.2). What is no frame the library refuses.
#[derive(Debug, Default)]
struct Frames {
    /// What has arrived of a frame's head.
    head: Vec<u8>,
    /// So much of its payload has not.
    missing: u64,
    /// More frames of a message follow; others' may come between.
    is_open: bool,
}

impl Frames {
    /// Tells whether there was a moment at which nothing had begun that had not ended.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut paused = false;
        loop {
            let skipped = usize::try_from(self.missing).map_or(bytes.len(), |n| n.min(bytes.len()));
            self.missing -= skipped as u64;
            let Some((first, rest)) = bytes.get(skipped..).and_then(<[u8]>::split_first) else {
                return paused | !self.is_within();
            };
            paused |= !self.is_within();
            bytes = rest;
            self.head.push(*first);
            match FrameHeader::parse(&mut Cursor::new(&self.head)) {
                Ok(None) => {}
                Ok(Some((head, length))) => {
                    self.head.clear();
                    self.missing = length;
                    if matches!(head.opcode, OpCode::Data(_)) {
                        self.is_open = !head.is_final;
                    }
                }
                Err(_) => self.head.clear(),
            }
        }
    }

    /// Whether a message, or a frame between its frames, has begun and not ended.
    fn is_within(&self) -> bool {
        self.is_open || self.missing > 0 || !self.head.is_empty()
    }
}

#[cfg(test)]
mod tests;
