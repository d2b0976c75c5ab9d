//! A pipe over an open WebSocket: the two halves work apart, as reader and writer do, and meet only over control frames.
//!
//! The reader unmasks in the caller's buffer. The writer sends a header and then the caller's bytes as they lie; a client
//! must mask them, which is its one copy. A ping is answered by whichever half can: the reader, unless the writer
//! waits for the pipe already. An idle pipe holds no buffer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::coding::CloseCode;

use super::frames::{self, Decoder, End, Request};
use crate::transport::{Pipe, PipeRead};

/// Most payload in one of our frames: what one write of a connection brings, more or less.
const FRAME_MAX: usize = 256 << 10;

/// Makes a pipe of what is left when the HTTP upgrade is done.
pub(super) fn pipe(
    end: End,
    reader: impl PipeRead + 'static,
    writer: impl AsyncWrite + Send + Unpin + 'static,
    leftover: BytesMut,
) -> Pipe {
    let output = Arc::new(Mutex::new(Output::new(end, writer)));
    Pipe {
        reader: Box::new(Reader::new(end, reader, leftover, output.clone())),
        writer: Box::new(Writer(output)),
    }
}

struct Reader<R, W> {
    pipe: R,
    decoder: Decoder,
    /// Bytes that followed the HTTP head.
    leftover: BytesMut,
    output: Arc<Mutex<Output<W>>>,
    /// A control frame of ours waits for the pipe, and we are who is woken.
    answering: bool,
    over: bool,
}

struct Writer<W>(Arc<Mutex<Output<W>>>);

/// The way out.
struct Output<W> {
    end: End,
    pipe: W,
    /// Encoded bytes that go next, and how many of them have gone.
    pending: Vec<u8>,
    sent: usize,
    /// Payload of the frame that has begun and is not complete: nothing else may come before it.
    owed: usize,
    /// The control frame that goes between two frames.
    control: Option<Request>,
    /// Our goodbye is on its way: nothing may come after it.
    closed: bool,
    /// The writer waits for the pipe and will send what there is.
    writing: bool,
}

impl<R: PipeRead, W: AsyncWrite + Send + Unpin> PipeRead for Reader<R, W> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_answer(cx);
        if self.over || !self.leftover.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.pipe.poll_readable(cx)
    }
}

impl<R: PipeRead, W: AsyncWrite + Unpin> AsyncRead for Reader<R, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.poll_answer(cx);
        while !this.over && buf.remaining() > 0 {
            let start = buf.filled().len();
            ready!(this.poll_bytes(cx, buf))?;
            let received = &mut buf.filled_mut()[start..];
            if received.is_empty() {
                this.over = true;
                break;
            }
            let mut request = None;
            let decoded = this.decoder.recv(received, &mut request);
            this.over = this.decoder.is_closed();
            buf.set_filled(start + decoded.unwrap_or(0));
            if let Err(violation) = decoded {
                this.over = true;
                let code = u16::from(violation.code).to_be_bytes();
                this.ask(Request::Close(Some(code)), cx);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
            }
            if let Some(request) = request {
                this.ask(request, cx);
            }
            if buf.filled().len() > start {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: PipeRead, W: AsyncWrite + Unpin> Reader<R, W> {
    fn new(end: End, pipe: R, leftover: BytesMut, output: Arc<Mutex<Output<W>>>) -> Self {
        Self {
            pipe,
            decoder: Decoder::new(end),
            leftover,
            output,
            answering: false,
            over: false,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.leftover.is_empty() {
            return Pin::new(&mut self.pipe).poll_read(cx, buf);
        }
        let now = self.leftover.len().min(buf.remaining());
        buf.put_slice(&self.leftover.split_to(now));
        if self.leftover.is_empty() {
            self.leftover = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn ask(&mut self, request: Request, cx: &mut Context<'_>) {
        let mut output = lock(&self.output);
        // A goodbye is not replaced by a pong.
        if !matches!(output.control, Some(Request::Close(_))) {
            output.control = Some(request);
        }
        drop(output);
        self.answering = true;
        self.poll_answer(cx);
    }

    /// Sends a control frame, if one waits and the writer is not there to do so.
    fn poll_answer(&mut self, cx: &mut Context<'_>) {
        if self.answering {
            let mut output = lock(&self.output);
            // An error of the pipe is the writer's to report, and the reader meets its own.
            self.answering = !output.writing && output.poll_drain(cx).is_pending();
        }
    }
}

impl<W: AsyncWrite + Unpin> Output<W> {
    fn new(end: End, pipe: W) -> Self {
        Self {
            end,
            pipe,
            pending: Vec::new(),
            sent: 0,
            owed: 0,
            control: None,
            closed: false,
            writing: false,
        }
    }

    /// Sends what is encoded, and control frames where they may stand.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.sent == self.pending.len() {
                self.pending = Vec::new();
                self.sent = 0;
                self.push_control();
                if self.pending.is_empty() {
                    return Pin::new(&mut self.pipe).poll_flush(cx);
                }
            }
            let rest = &self.pending[self.sent..];
            let sent = ready!(Pin::new(&mut self.pipe).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
    }

    /// Encodes the control frame that waits, if this is a place for one. Only behind bytes that have gone: pings that
    /// come faster than their answers leave are answered once.
    fn push_control(&mut self) {
        if self.owed > 0 || self.closed || !self.pending.is_empty() {
            return;
        }
        match self.control.take() {
            Some(Request::Pong(payload)) => frames::pong(self.end, &payload, &mut self.pending),
            Some(Request::Close(code)) => {
                frames::close(self.end, code, &mut self.pending);
                self.closed = true;
            }
            None => {}
        }
    }

    /// A client's frame: masked, so it is encoded as a whole.
    fn poll_write_masked(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        self.check_open()?;
        let data = &data[..data.len().min(FRAME_MAX)];
        self.pending.reserve_exact(data.len() + frames::HEADER_MAX);
        let mut mask = frames::begin_data(self.end, data.len(), &mut self.pending);
        frames::push_masked(&mut mask, data, &mut self.pending);
        // What the pipe does not take now, a flush or the next write brings.
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(data.len()))
    }

    /// A server's frame: its header, then the data where it lies.
    fn poll_write_plain(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.push_control();
        self.check_open()?;
        if self.owed == 0 {
            self.owed = data.len().min(FRAME_MAX);
            frames::begin_data(self.end, self.owed, &mut self.pending);
        }
        let data = &data[..data.len().min(self.owed)];
        loop {
            let head = &self.pending[self.sent..];
            let both = [IoSlice::new(head), IoSlice::new(data)];
            let sent = ready!(Pin::new(&mut self.pipe).poll_write_vectored(cx, &both))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if sent <= head.len() {
                self.sent += sent;
                continue;
            }
            let sent = sent - head.len();
            self.pending = Vec::new();
            self.sent = 0;
            self.owed -= sent;
            return Poll::Ready(Ok(sent));
        }
    }

    fn check_open(&self) -> io::Result<()> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// Says goodbye, if the frame before it is whole.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed && self.owed == 0 && !matches!(self.control, Some(Request::Close(_))) {
            let normal = u16::from(CloseCode::Normal).to_be_bytes();
            self.control = Some(Request::Close(Some(normal)));
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Runs one of the writer's calls. While it waits for the pipe it is who is woken, so the reader leaves it alone.
    fn poll<T>(&self, call: impl FnOnce(&mut Output<W>) -> Poll<T>) -> Poll<T> {
        let mut output = lock(&self.0);
        let result = call(&mut output);
        output.writing = result.is_pending();
        result
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Writer<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll(|output| match output.end {
            End::Client => output.poll_write_masked(cx, data),
            End::Server => output.poll_write_plain(cx, data),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|output| output.poll_drain(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|output| output.poll_close(cx))
    }
}

fn lock<W>(output: &Mutex<Output<W>>) -> MutexGuard<'_, Output<W>> {
    // Nothing of ours panics under the lock; a user's pipe that does has lost this connection.
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
