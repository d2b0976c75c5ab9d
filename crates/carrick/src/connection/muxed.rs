//! A connection over a pipe: a reader task, a writer task, and the muxer that they share with the streams.
//!
//! The byte's path in reverse order of arrival: the reader opens records outside the lock and hands the plaintext to the
//! muxer under it; streams take it from there. The lock is held for bookkeeping only; ciphers, socket calls and copies
//! into user buffers happen outside. Whoever changes the muxer drains its events and wakes exactly those concerned.

use std::{
    net::IpAddr,
    sync::PoisonError,
    task::{Context, Poll, Waker},
    time::Instant,
};

use carrick_session::{Code, Event, Key, Mux, OpenError as MuxOpenError, Read, Records};

use super::{Phase, wait};
use crate::{
    ConnectionError, buffers,
    sync::{
        Mutex, MutexGuard, Notify,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

pub(crate) mod duo;
pub(crate) mod reader;
pub(crate) mod writer;

/// What reader, writer and streams share of one pipe's muxer.
pub(crate) struct Muxed {
    /// Told when an open that was blocked is worth trying again.
    openable: Notify,
    /// Set by the writer: it is worth a task of its own.
    busy: AtomicBool,
    local_ip: Option<IpAddr>,
    state: Mutex<State>,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) mux: Mux,
    /// Who waits on which stream, by [`Key::index`].
    waiting: Vec<Waiting>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// A writer that waits for the pipe; woken only when the connection is lost.
    blocked: Option<Waker>,
    phase: Phase,
    /// Reader and writer must look at the phase.
    wake_tasks: bool,
}

#[derive(Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
    /// The reader waits to write the negotiation's words. Another task may wait to write meanwhile.
    head: Option<Waker>,
}

impl Muxed {
    pub(crate) fn new(mux: Mux, local_ip: Option<IpAddr>) -> Self {
        let state = State {
            mux,
            waiting: Vec::new(),
            reader: None,
            writer: None,
            blocked: None,
            phase: Phase::Open,
            wake_tasks: false,
        };
        Self {
            openable: Notify::new(),
            busy: AtomicBool::new(false),
            local_ip,
            state: Mutex::new(state),
        }
    }

    /// The writer is worth a task of its own.
    pub(crate) fn set_busy(&self) {
        self.busy.store(true, Relaxed);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// The address of this machine that the pipe leaves from.
    pub(crate) const fn local_ip(&self) -> Option<IpAddr> {
        self.local_ip
    }

    /// Runs `f` under the lock, then wakes whom its events concern.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut incoming = Vec::new();
        let result = self.with_incoming(&mut incoming, f);
        debug_assert!(
            incoming.is_empty(),
            "only the reader's calls bring streams in"
        );
        result
    }

    /// As [`with`](Self::with), for the reader: collects the streams that the peer opened.
    pub(crate) fn with_incoming<R>(
        &self,
        incoming: &mut Vec<Key>,
        f: impl FnOnce(&mut State) -> R,
    ) -> R {
        let mut wakers = Wakers::default();
        let mut state = self.lock();
        let result = f(&mut state);
        state.dispatch(&mut wakers, incoming);
        drop(state);
        if std::mem::take(&mut wakers.openers) {
            self.openable.notify_waiters();
        }
        wakers.wake();
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of ours; the other streams of this connection are not worse off for going on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new stream of ours; waits while too many are open, of which `beyond` may exceed the limit. Cancel-safe.
    pub(crate) async fn open(&self, beyond: usize) -> Result<Key, ConnectionError> {
        loop {
            // Made before the attempt: what becomes possible right after it is not missed.
            let openable = self.openable.notified();
            let opened = self.with(|state| {
                let opened = state.mux.open_beyond(beyond);
                opened.inspect(|key| state.make_wait(*key))
            });
            match opened {
                Ok(key) => return Ok(key),
                Err(MuxOpenError::Blocked) => openable.await,
                Err(MuxOpenError::Closing | MuxOpenError::Exhausted) => {
                    return Err(self.lost().unwrap_or(ConnectionError::Closing));
                }
            }
        }
    }

    /// Takes no more streams.
    pub(crate) fn go_away(&self) {
        self.with(|state| state.mux.go_away(Code::NONE));
    }

    /// Says go-away, and why; the writer shuts the pipe down once everything is sent.
    pub(crate) fn close(&self, code: Code) {
        self.with(|state| state.close(code));
    }

    /// The pipe is gone: every stream and every waiting open hears of it. The first reason counts.
    pub(crate) fn lose(&self, error: ConnectionError) {
        self.with(|state| state.lose(error));
    }

    /// Both under one lock: nobody hears of a mere close in between.
    pub(crate) fn expel(&self, code: Code, error: ConnectionError) {
        self.with(|state| {
            state.close(code);
            state.lose(error);
        });
    }

    /// Why the connection is over, if it is.
    pub(crate) fn lost(&self) -> Option<ConnectionError> {
        match &self.lock().phase {
            Phase::Lost(error) => Some(error.clone()),
            Phase::Open | Phase::Closing => None,
        }
    }

    /// Whether streams can be opened.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// Streams that live, ours and the peer's.
    pub(crate) fn streams(&self) -> usize {
        self.lock().mux.streams()
    }
}

impl State {
    fn close(&mut self, code: Code) {
        if self.phase == Phase::Open {
            self.mux.go_away(code);
            self.phase = Phase::Closing;
            self.wake_tasks = true;
        }
    }

    fn lose(&mut self, error: ConnectionError) {
        let reason = self.mux.reason();
        let ended = matches!(
            error,
            ConnectionError::ClosedByPeer | ConnectionError::Io(_)
        );
        let told = ended && reason != Code::NONE;
        let error = if told {
            ConnectionError::ClosedWith(reason)
        } else {
            error
        };
        if let Some(error) = self.phase.lost_to(error) {
            self.phase = Phase::Lost(error);
            self.mux.lose();
            self.wake_tasks = true;
        }
    }

    fn make_wait(&mut self, key: Key) {
        if self.waiting.is_empty() {
            // Most connections have one stream at a time; a vector would begin with four places.
            self.waiting.reserve_exact(1);
        }
        if self.waiting.len() <= key.index() {
            self.waiting.resize_with(key.index() + 1, Waiting::default);
        }
    }

    /// A stream's handle is gone.
    pub(crate) fn release_stream(&mut self, key: Key) {
        self.mux.release(Instant::now(), key);
        self.waiting[key.index()] = Waiting::default();
        if self.mux.streams() == 0 && self.waiting.len() > WAITING_KEPT {
            self.waiting = Vec::new();
        }
    }

    /// Ready when the connection is lost, for a writer that waits for the pipe.
    fn poll_lost(&mut self, cx: &Context<'_>) -> Poll<ConnectionError> {
        match &self.phase {
            Phase::Lost(error) => Poll::Ready(error.clone()),
            Phase::Open | Phase::Closing => {
                wait(&mut self.blocked, cx);
                Poll::Pending
            }
        }
    }

    /// Takes received bytes, or leaves a waker.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        key: Key,
    ) -> Poll<Result<Read, carrick_session::StreamError>> {
        match self.mux.read(Instant::now(), key) {
            Ok(Read::Blocked) => {
                wait(&mut self.waiting[key.index()].read, cx);
                Poll::Pending
            }
            read => Poll::Ready(read),
        }
    }

    /// Ready when the peer, whose side has ended, wants nothing of ours any more.
    pub(crate) fn poll_watch(
        &mut self,
        cx: &mut Context<'_>,
        key: Key,
    ) -> Poll<carrick_session::StreamError> {
        match self.mux.watch(key) {
            Some(error) => Poll::Ready(error),
            None => {
                wait(&mut self.waiting[key.index()].read, cx);
                Poll::Pending
            }
        }
    }

    /// Queues the negotiation's words for who wants to read, or leaves a waker.
    pub(crate) fn poll_write_head(
        &mut self,
        cx: &mut Context<'_>,
        key: Key,
        head: &[u8],
    ) -> Poll<Result<(), carrick_session::StreamError>> {
        match self.mux.write(key, head, &[]).transpose() {
            Some(written) => Poll::Ready(written.map(|_| ())),
            None => {
                wait(&mut self.waiting[key.index()].head, cx);
                Poll::Pending
            }
        }
    }

    /// Queues bytes to send, or leaves a waker.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        key: Key,
        head: &[u8],
        data: &[u8],
    ) -> Poll<Result<usize, carrick_session::StreamError>> {
        buffers::prepare(self.mux.send_buffer(), data.len().min(WRITE_MAX));
        match self.mux.write(key, head, data).transpose() {
            Some(written) => Poll::Ready(written),
            None => {
                wait(&mut self.waiting[key.index()].write, cx);
                Poll::Pending
            }
        }
    }

    /// Exchanges `spare` for what is to be sent, or leaves the writer's waker.
    pub(crate) fn poll_transmit(
        &mut self,
        cx: &mut Context<'_>,
        spare: &mut Records,
        rested: bool,
    ) -> Poll<Transmit> {
        let open = self.phase == Phase::Open;
        if open && rested && self.mux.wants_transmit() && !self.mux.is_hurried() {
            return Poll::Ready(Transmit::Gather);
        }
        if self.mux.poll_transmit(spare) {
            return Poll::Ready(Transmit::Send);
        }
        buffers::release(self.mux.send_buffer());
        match self.phase {
            Phase::Open => {
                wait(&mut self.writer, cx);
                Poll::Pending
            }
            Phase::Closing | Phase::Lost(ConnectionError::Expelled(_)) => {
                Poll::Ready(Transmit::Shutdown)
            }
            Phase::Lost(_) => Poll::Ready(Transmit::Stop),
        }
    }

    /// What the reader must know before it reads on; leaves its waker for when that changes.
    pub(crate) fn poll_reader(&mut self, cx: &mut Context<'_>) -> (Phase, bool, Option<Instant>) {
        wait(&mut self.reader, cx);
        (
            self.phase.clone(),
            self.mux.is_congested(),
            self.mux.poll_timeout(),
        )
    }

    fn dispatch(&mut self, wakers: &mut Wakers, incoming: &mut Vec<Key>) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Incoming(key) => {
                    self.make_wait(key);
                    incoming.push(key);
                }
                Event::Readable(key) => wakers.add(
                    self.waiting
                        .get_mut(key.index())
                        .and_then(|w| w.read.take()),
                ),
                Event::Writable(key) => {
                    if let Some(waiting) = self.waiting.get_mut(key.index()) {
                        wakers.add(waiting.write.take());
                        wakers.add(waiting.head.take());
                    }
                }
                Event::Openable | Event::GoAway => wakers.openers = true,
                Event::Resumed => wakers.add(self.reader.take()),
            }
        }
        if std::mem::take(&mut self.wake_tasks) {
            wakers.add(self.reader.take());
            wakers.add(self.writer.take());
            wakers.add(self.blocked.take());
        } else if self.writer.is_some() && self.mux.wants_transmit() {
            wakers.add(self.writer.take());
        }
    }
}

/// What a stream queues at once, bytes.
const WRITE_MAX: usize = 64 << 10;
/// Places for waiting streams that a connection keeps when all streams are gone.
const WAITING_KEPT: usize = 1;

/// What the writer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transmit {
    /// Let others run first: what is to be sent can wait for more of its kind.
    Gather,
    /// Seal and send the buffer.
    Send,
    /// Everything is sent: shut the pipe down.
    Shutdown,
    /// The connection is lost.
    Stop,
}

/// Wakers to call after the lock is released; the common one or two cost no allocation.
#[derive(Default)]
struct Wakers {
    first: Option<Waker>,
    second: Option<Waker>,
    rest: Vec<Waker>,
    /// Whether those who wait to open a stream are to be told.
    openers: bool,
}

impl Wakers {
    fn add(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if self.first.is_none() {
            self.first = Some(waker);
        } else if self.second.is_none() {
            self.second = Some(waker);
        } else {
            self.rest.push(waker);
        }
    }

    fn wake(self) {
        self.first
            .into_iter()
            .chain(self.second)
            .chain(self.rest)
            .for_each(Waker::wake);
    }
}
