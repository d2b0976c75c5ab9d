//! A connection: a reader task, a writer task, and the muxer that they share with the streams.
//!
//! The byte's path in reverse order of arrival: the reader opens records outside the lock and hands the plaintext to the
//! muxer under it; streams take it from there. The lock is held for bookkeeping only; ciphers, socket calls and copies
//! into user buffers happen outside. Whoever changes the muxer drains its events and wakes exactly those concerned.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use carrick_protocols::{
    identify::{self, PushLimiter},
    ping,
};
use carrick_session::{Event, Key, Mux, OpenError as MuxOpenError, Read, Records, Summary};
use carrick_swarm::{ConnectionId, Direction};
use carrick_wire::{Multiaddr, PeerId, ProtocolId, PublicKey};
use tokio::sync::{Notify, Semaphore, watch};

use crate::{ConnectionError, info::Info};

pub(crate) mod reader;
pub(crate) mod writer;

/// What reader, writer, streams and the node share of one connection.
pub(crate) struct Shared {
    pub(crate) id: ConnectionId,
    pub(crate) peer: PeerId,
    pub(crate) key: PublicKey,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    pub(crate) summary: Summary,
    /// Protocols that the peer is known to speak: streams for them are opened without waiting for its word.
    pub(crate) spoken: RwLock<BTreeSet<ProtocolId>>,
    /// What identify told, once it did.
    pub(crate) info: watch::Sender<Option<Arc<Info>>>,
    /// Set once the connection is gone and the control task knows.
    pub(crate) gone: watch::Sender<bool>,
    /// The ping stream of ours between two pings.
    pub(crate) ping: tokio::sync::Mutex<Option<Key>>,
    /// How long a stream's negotiation may take.
    pub(crate) negotiation_timeout: Duration,
    /// How many streams of the peer's for our own protocols are served at once.
    pub(crate) inbound_pings: Semaphore,
    pub(crate) inbound_identifies: Semaphore,
    /// The pace of the peer's pushes, and whether one that came too early is already being made up for.
    pub(crate) pushes: Mutex<PushLimiter>,
    pub(crate) refresh: Semaphore,
    /// Streams that we hold open at once towards a peer that bears as many as we do.
    pub(crate) outbound_max: usize,
    /// Told when an open that was blocked is worth trying again.
    openable: Notify,
    state: Mutex<State>,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) mux: Mux,
    /// Who waits on which stream, by [`Key::index`].
    waiting: Vec<Waiting>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Streams and handles that users hold, and since when there was none.
    streams: usize,
    handles: usize,
    idle_since: Option<Instant>,
    /// Who waits for the last of them to go.
    drain: Option<Waker>,
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

/// How far the connection is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Streams come and go.
    Open,
    /// The last bytes are being sent, then the pipe is shut down.
    Closing,
    /// The pipe is gone.
    Lost(ConnectionError),
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// What a connection is made from, besides its upgrade.
pub(crate) struct Origin {
    pub(crate) id: ConnectionId,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    pub(crate) outbound_max: usize,
    pub(crate) negotiation_timeout: Duration,
}

impl Shared {
    pub(crate) fn new(
        origin: Origin,
        peer: PeerId,
        key: PublicKey,
        mux: Mux,
        summary: Summary,
    ) -> Self {
        let state = State {
            mux,
            waiting: Vec::new(),
            reader: None,
            writer: None,
            streams: 0,
            handles: 0,
            idle_since: Some(Instant::now()),
            drain: None,
            blocked: None,
            phase: Phase::Open,
            wake_tasks: false,
        };
        Self {
            id: origin.id,
            peer,
            key,
            address: origin.address,
            direction: origin.direction,
            summary,
            spoken: RwLock::default(),
            info: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            ping: tokio::sync::Mutex::default(),
            negotiation_timeout: origin.negotiation_timeout,
            inbound_pings: Semaphore::new(ping::INBOUND_MAX),
            inbound_identifies: Semaphore::new(identify::INBOUND_MAX),
            pushes: Mutex::new(PushLimiter::new(Instant::now())),
            refresh: Semaphore::new(1),
            outbound_max: origin.outbound_max,
            openable: Notify::new(),
            state: Mutex::new(state),
        }
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

    /// Takes no more streams and waits until the users of the open ones are done, or the connection is lost.
    pub(crate) async fn drain(&self) {
        self.with(|state| state.mux.go_away());
        std::future::poll_fn(|cx| {
            self.with(|state| {
                if state.streams == 0 || matches!(state.phase, Phase::Lost(_)) {
                    return Poll::Ready(());
                }
                wait(&mut state.drain, cx);
                Poll::Pending
            })
        })
        .await;
    }

    /// Says go-away; the writer shuts the pipe down once everything is sent. Streams that are still open are lost.
    pub(crate) fn close(&self) {
        self.with(State::close);
    }

    /// As [`close`](Self::close), if no user has held the connection since `since`. Tells whether that is so.
    pub(crate) fn close_idle(&self, since: Instant) -> bool {
        self.with(|state| {
            let idle = state.idle_since.is_some_and(|idle| idle <= since);
            if idle {
                state.close();
            }
            idle
        })
    }

    /// The pipe is gone: every stream and every waiting open hears of it. The first reason counts.
    pub(crate) fn lose(&self, error: ConnectionError) {
        self.with(|state| {
            let error = match state.phase {
                Phase::Lost(_) => return,
                Phase::Closing => ConnectionError::Closed,
                Phase::Open => error,
            };
            state.phase = Phase::Lost(error);
            state.mux.lose();
            state.wake_tasks = true;
            state.drain.take().into_iter().for_each(Waker::wake);
        });
    }

    /// Waits until the control task knows that the connection is gone.
    pub(crate) async fn wait_gone(&self) {
        let mut gone = self.gone.subscribe();
        let _ = gone.wait_for(|gone| *gone).await;
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

    /// Since when no user has held this connection or a stream of it.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle_since
    }

    /// Streams that live, ours and the peer's.
    pub(crate) fn streams(&self) -> usize {
        self.lock().mux.streams()
    }

    pub(crate) fn speaks(&self, protocol: &ProtocolId) -> bool {
        self.spoken
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(protocol)
    }

    pub(crate) fn learn(&self, protocol: &ProtocolId) {
        if !self.speaks(protocol) {
            self.spoken
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(protocol.clone());
        }
    }

    pub(crate) fn unlearn(&self, protocol: &ProtocolId) {
        self.spoken
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(protocol);
    }
}

impl State {
    fn make_wait(&mut self, key: Key) {
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

    fn close(&mut self) {
        if self.phase == Phase::Open {
            self.mux.go_away();
            self.phase = Phase::Closing;
            self.wake_tasks = true;
        }
    }

    /// A user's stream keeps the connection from being idle, and its end is waited for when the node closes.
    pub(crate) fn hold(&mut self) {
        self.streams += 1;
        self.idle_since = None;
    }

    /// A user's stream is gone.
    pub(crate) fn unhold(&mut self) {
        self.streams -= 1;
        if self.streams == 0 {
            self.drain.take().into_iter().for_each(Waker::wake);
        }
        self.check_idle();
    }

    /// A user's handle keeps the connection from being idle.
    pub(crate) fn hold_handle(&mut self) {
        self.handles += 1;
        self.idle_since = None;
    }

    /// A user's handle is gone.
    pub(crate) fn unhold_handle(&mut self) {
        self.handles -= 1;
        self.check_idle();
    }

    fn check_idle(&mut self) {
        if self.streams + self.handles == 0 {
            self.idle_since = Some(Instant::now());
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
    ) -> Poll<Transmit> {
        if self.mux.poll_transmit(spare) {
            return Poll::Ready(Transmit::Send);
        }
        match self.phase {
            Phase::Open => {
                wait(&mut self.writer, cx);
                Poll::Pending
            }
            Phase::Closing => Poll::Ready(Transmit::Shutdown),
            Phase::Lost(_) => Poll::Ready(Transmit::Stop),
        }
    }

    /// What the reader must know before it reads on; leaves its waker for when that changes.
    fn poll_reader(&mut self, cx: &mut Context<'_>) -> (Phase, bool, Option<Instant>) {
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

/// Places for waiting streams that a connection keeps when all streams are gone.
const WAITING_KEPT: usize = 16;

/// What the writer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transmit {
    /// Seal and send the buffer.
    Send,
    /// Everything is sent: shut the pipe down.
    Shutdown,
    /// The connection is lost.
    Stop,
}

fn wait(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
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
