//! One QUIC stream: both halves, and what `quinn` does not remember of their ends.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    task::{Context, Poll, Wake, Waker, ready},
};

use bytes::Bytes;
use carrick_session::Code;
use quinn::{ReadError, RecvStream, SendStream, StoppedError, WriteError};
use tokio::io::ReadBuf;

use super::{Quic, stream_code, stream_varint};
use crate::StreamError;

/// Both halves of a stream.
pub(crate) struct QuicChannel {
    /// `None`: finished, and watched until it has arrived.
    send: Option<SendStream>,
    /// Why nothing can be written any more.
    write_error: Option<StreamError>,
    recv: RecvStream,
    /// How reading has ended.
    read_end: Option<Result<(), StreamError>>,
    /// Received and not handed out yet.
    chunks: VecDeque<Bytes>,
    /// Who waits for room, when it may be two.
    waiting: Option<Arc<Waiting>>,
    ours: bool,
    /// The peer knows of it.
    spoken: bool,
    /// It counts against the limit of its side.
    counted: bool,
    /// `quinn` remembers that somebody has waited for the peer to stop it.
    watched: bool,
}

impl QuicChannel {
    pub(super) fn new(send: SendStream, recv: RecvStream, ours: bool) -> Self {
        Self {
            send: Some(send),
            write_error: None,
            recv,
            read_end: None,
            chunks: VecDeque::new(),
            waiting: None,
            ours,
            spoken: !ours,
            counted: true,
            watched: false,
        }
    }

    /// Its id in the connection, RFC 9000 §2.1.
    pub(crate) fn id(&self) -> u64 {
        self.recv.id().into()
    }

    /// Takes received bytes; `None` at the clean end.
    pub(crate) fn poll_read(
        &mut self,
        quic: &Quic,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        if let Some(bytes) = self.chunks.pop_front() {
            return Poll::Ready(Ok(Some(bytes)));
        }
        if let Some(end) = &self.read_end {
            return Poll::Ready(end.clone().map(|()| None));
        }
        let mut chunks = [const { Bytes::new() }; CHUNKS_MAX];
        // What it waits with is kept in the connection; the future itself holds nothing.
        let read = ready!(pin!(self.recv.read_chunks(&mut chunks)).poll(cx));
        match read {
            Ok(Some(count)) => {
                let mut chunks = chunks.into_iter().take(count);
                let first = chunks.next();
                self.chunks.extend(chunks);
                Poll::Ready(Ok(first))
            }
            Ok(None) => {
                self.read_end = Some(Ok(()));
                Poll::Ready(Ok(None))
            }
            Err(error) => Poll::Ready(Err(self.read_failed(quic, error))),
        }
    }

    /// As [`poll_read`](Self::poll_read), into a buffer; nothing is put there at the clean end.
    pub(crate) fn poll_fill(
        &mut self,
        quic: &Quic,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), StreamError>> {
        if let Some(chunk) = self.chunks.front_mut() {
            let taken = chunk.split_to(chunk.len().min(buf.remaining()));
            buf.put_slice(&taken);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = &self.read_end {
            return Poll::Ready(end.clone());
        }
        let before = buf.filled().len();
        match ready!(self.recv.poll_read_buf(cx, buf)) {
            Ok(()) => {
                if buf.filled().len() == before && buf.remaining() > 0 {
                    self.read_end = Some(Ok(()));
                }
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.read_failed(quic, error))),
        }
    }

    /// Queues `head` and as much of `data` as there is room for; both leave together. Then `head` is empty.
    pub(crate) fn poll_write(
        &mut self,
        quic: &Quic,
        cx: &mut Context<'_>,
        role: Role,
        head: &mut Vec<u8>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        while !head.is_empty() {
            let mut both = head.clone();
            both.extend_from_slice(&data[..data.len().min(FIRST_MAX)]);
            let written = ready!(self.poll_write_first(quic, cx, role, &both))?;
            let of_head = written.min(head.len());
            head.drain(..of_head);
            if head.is_empty() {
                // Whoever waited to write it, too, has nothing to wait for any more.
                self.waiting.take().into_iter().for_each(Wake::wake);
                if written > of_head || data.is_empty() {
                    return Poll::Ready(Ok(written - of_head));
                }
            }
        }
        self.poll_write_some(quic, cx, data)
    }

    /// As [`poll_write_some`](Self::poll_write_some), where reader and writer may both be waiting.
    fn poll_write_first(
        &mut self,
        quic: &Quic,
        cx: &mut Context<'_>,
        role: Role,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        let written = self.poll_write_some(quic, cx, data);
        if written.is_ready() {
            return written;
        }
        let waker = self.waiting.get_or_insert_default().with(role, cx);
        self.poll_write_some(quic, &mut Context::from_waker(&waker), data)
    }

    fn poll_write_some(
        &mut self,
        quic: &Quic,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        if let Some(error) = &self.write_error {
            return Poll::Ready(Err(error.clone()));
        }
        let Some(send) = &mut self.send else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        let data = &data[..data.len().min(WRITE_MAX)];
        let written = ready!(Pin::new(send).poll_write(cx, data));
        if matches!(written, Ok(1..)) {
            self.speak(quic);
        }
        Poll::Ready(written.map_err(|error| {
            let error = match error {
                WriteError::Stopped(by) => StreamError::Reset(stream_code(by)),
                WriteError::ConnectionLost(error) => StreamError::ConnectionLost(quic.why(error)),
                WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                    StreamError::ResetLocally(Code::NONE)
                }
            };
            self.write_error.insert(error).clone()
        }))
    }

    /// Waits until the peer stops our side, and says why. Cancel-safe.
    pub(crate) async fn unwanted(&mut self, quic: &Quic) -> StreamError {
        let watched = match &self.send {
            Some(send) if quic.may_watch() => send.stopped(),
            _ => return std::future::pending().await,
        };
        self.watched = true;
        match watched.await {
            Ok(Some(by)) => {
                // Now `quinn` has forgotten it.
                self.watched = false;
                StreamError::Reset(stream_code(by))
            }
            Ok(None) => StreamError::Finished,
            Err(StoppedError::ConnectionLost(error)) => {
                StreamError::ConnectionLost(quic.why(error))
            }
            Err(StoppedError::ZeroRttRejected) => StreamError::ResetLocally(Code::NONE),
        }
    }

    /// Closes our write side. Finishing twice is no error.
    pub(crate) fn finish(&mut self, quic: &Quic) -> Result<(), StreamError> {
        if self.send.is_none() {
            return Ok(());
        }
        // `quinn` does not mind finishing what the peer has stopped, or after the connection's end. We do.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Err(error)) = self.poll_write_some(quic, &mut cx, &[]) {
            return Err(error);
        }
        if let Some(mut send) = self.send.take() {
            if !self.ours && self.read_end.is_some() {
                self.discount(quic);
            }
            if send.finish().is_err() {
                return Ok(());
            }
            self.speak(quic);
            quic.watch(send);
        }
        Ok(())
    }

    /// Ends both directions, except what is finished.
    pub(crate) fn reset(&mut self, by: Code) {
        // First, as each half leaves by itself: who reads that the stream was reset can no longer write to it.
        self.stop(by);
        if let Some(send) = &mut self.send {
            // An error means that it has ended before.
            let _ = send.reset(stream_varint(by));
            self.write_error = Some(StreamError::ResetLocally(by));
        }
    }

    /// Gives up reading, and tells the peer so.
    pub(crate) fn stop(&mut self, by: Code) {
        self.chunks.clear();
        if self.read_end.is_none() {
            // An error means that it has ended before.
            let _ = self.recv.stop(stream_varint(by));
            self.read_end = Some(Err(StreamError::ResetLocally(by)));
        }
    }

    /// Ends both directions, but what was written still arrives.
    pub(crate) fn refuse(&mut self, quic: &Quic, by: Code) {
        if self.finish(quic).is_err() {
            self.reset(by);
        }
        self.stop(by);
    }

    /// The stream's user is gone. If it was finished but the peer has not agreed to the protocol yet, it is left to the
    /// connection: who is told to stop in the middle of the negotiation would take it for failed.
    pub(crate) fn release_unless_unanswered(self: Box<Self>, quic: &Quic, unanswered: bool) {
        if unanswered && self.send.is_none() && self.read_end.is_none() {
            quic.leave(*self);
        } else {
            self.release(quic);
        }
    }

    /// The stream's user is gone.
    pub(super) fn release(mut self, quic: &Quic) {
        self.discount(quic);
        self.reset(Code::NONE);
        if self.watched && self.send.is_some() {
            quic.lapsed.fetch_add(1, Ordering::Relaxed);
        }
        self.speak(quic);
    }

    /// Before the last word: with that the peer may open another stream, for which there must be a place.
    fn discount(&mut self, quic: &Quic) {
        if std::mem::take(&mut self.counted) {
            quic.release(self.ours);
        }
    }

    /// From here on the peer knows of it.
    fn speak(&mut self, quic: &Quic) {
        if !std::mem::replace(&mut self.spoken, true) {
            quic.unspoken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn read_failed(&mut self, quic: &Quic, error: ReadError) -> StreamError {
        let error = match error {
            ReadError::Reset(by) => StreamError::Reset(stream_code(by)),
            ReadError::ConnectionLost(error) => StreamError::ConnectionLost(quic.why(error)),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => StreamError::ResetLocally(Code::NONE),
        };
        self.read_end = Some(Err(error.clone()));
        error
    }
}

impl fmt::Debug for QuicChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QuicChannel").field(&self.recv.id()).finish()
    }
}

/// Who waits to write the negotiation's words: the writer, or the reader, who must have asked before it can read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// One waker for two, since `quinn` knows one for each half of a stream.
#[derive(Default)]
struct Waiting {
    wakers: Mutex<[Option<Waker>; 2]>,
}

impl Waiting {
    fn with(self: &Arc<Self>, role: Role, cx: &Context<'_>) -> Waker {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers[role as usize] = Some(cx.waker().clone());
        Waker::from(self.clone())
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let both = std::mem::take(&mut *wakers);
        drop(wakers);
        both.into_iter().flatten().for_each(Waker::wake);
    }
}

/// Pieces of received data, each of a packet at most, that are taken out under one lock.
const CHUNKS_MAX: usize = 16;
/// Data that leaves together with the negotiation's words.
const FIRST_MAX: usize = 4096;
/// Bytes that are copied in one go.
const WRITE_MAX: usize = 64 << 10;
