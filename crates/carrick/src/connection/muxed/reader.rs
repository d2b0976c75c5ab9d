//! The reader: large reads into a lent block, records opened in place outside the lock, one lock for all of them.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use carrick_session::{Key, Opener};
use tokio::task::yield_now;
use tokio_util::io::poll_read_buf;

use super::State;
use crate::{
    ConnectionError,
    buffers::{self, Blocks},
    connection::{CLOSE_TIMEOUT, Channel, Phase, Shared, idle_tick},
    patience::Patient,
    transport::PipeRead,
};

/// One connection's reader.
pub(crate) struct Reader<F> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pipe: Box<dyn PipeRead>,
    pub(crate) opener: Opener,
    /// Bytes that followed the upgrade.
    pub(crate) leftover: BytesMut,
    /// Close when no user has held a stream for this long.
    pub(crate) idle_timeout: Option<Duration>,
    /// Whether a peer that is expelled gets a moment to hear of it.
    pub(crate) lingers: bool,
    /// Gets every stream that the peer opens.
    pub(crate) incoming: F,
}

impl<F: FnMut(Channel) + Send> Reader<F> {
    /// Runs until the connection is over; then every stream knows why.
    // No async fn: it would hold everything twice.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        let mut input = Input {
            shared: self.shared,
            pipe: self.pipe,
            opener: self.opener,
            blocks: Blocks::new(self.leftover),
            plain: Vec::new(),
            is_fed: false,
            idle_timeout: self.idle_timeout,
            // Idleness is found out a quarter of its timeout late at most, without waking the reader when it begins.
            alarm: Alarm::new(idle_tick(self.idle_timeout)),
            pause: None,
            turn: Turn::default(),
        };
        let (mut incoming, lingers) = (self.incoming, self.lingers);
        let mut parting = None;
        poll_fn(move |cx| {
            if parting.is_none() {
                let error = ready!(input.poll_run(cx, &mut incoming));
                let is_expelled = matches!(error, ConnectionError::Expelled(_));
                input.shared.lose(error);
                if !is_expelled || !lingers {
                    return Poll::Ready(());
                }
                input.alarm.ring_at(Instant::now() + PARTING_TIME);
            }
            input.poll_part(cx, parting.get_or_insert(PARTING_BYTES))
        })
    }
}

/// How long the reader goes on for a peer that is expelled, and for how many bytes.
const PARTING_TIME: Duration = Duration::from_secs(1);
const PARTING_BYTES: usize = 1 << 20;

struct Input {
    shared: Arc<Shared>,
    pipe: Box<dyn PipeRead>,
    opener: Opener,
    blocks: Blocks,
    /// Opened records on their way to the muxer.
    plain: Vec<Bytes>,
    /// Bytes have come since records were last opened.
    is_fed: bool,
    idle_timeout: Option<Duration>,
    alarm: Alarm,
    /// While it lets those go first who have something to read.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    turn: Turn,
}

/// What was read since others had theirs.
#[derive(Default)]
struct Turn {
    bytes: usize,
    /// The last read was full of small frames, which cost more than their bytes.
    is_dense: bool,
}

impl Turn {
    /// So much was in a read. Short reads go on until one has larger frames, also if all was read meanwhile: what piles up
    /// while it is others' turn would be a long one again.
    fn took(&mut self, frames: u64, bytes: usize) {
        let small = usize::try_from(frames).is_ok_and(|frames| frames > bytes / SMALL_FRAME);
        self.is_dense = frames > DENSE_FRAMES || (self.is_dense && small);
    }
}

/// Bytes after which others come first: they wait for all connections that have much to say.
const TURN: usize = 512 << 10;
/// From so many frames in a read on the next one is short, and others come before it.
const DENSE_FRAMES: u64 = 1024;
const DENSE_READ: usize = 16 << 10;
/// Bytes of a frame, its header among them, that cost less than the frame.
const SMALL_FRAME: usize = 32;

/// Why the reader woke.
enum Next {
    Bytes,
    Tick,
    Over(ConnectionError),
}

impl Input {
    /// Ready when the connection is over.
    fn poll_run(
        &mut self,
        cx: &mut Context<'_>,
        mut incoming: impl FnMut(Channel),
    ) -> Poll<ConnectionError> {
        let mut keys = Vec::new();
        loop {
            let received = self.recv(&mut keys);
            keys.drain(..).map(Channel::Muxed).for_each(&mut incoming);
            if let Err(error) = received {
                return Poll::Ready(error);
            }
            let is_over = self.turn.is_dense || self.turn.bytes >= TURN;
            if self.pause.is_none() && (is_over || self.blocks.runs_ahead()) {
                // Who was woken is next in line on this thread, and what it was woken for still in its core's cache.
                self.turn.bytes = 0;
                self.pause = Some(Box::pin(yield_now()));
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.poll_next(cx)) {
                Next::Bytes => {}
                Next::Tick => {
                    if let Err(error) = self.tick() {
                        return Poll::Ready(error);
                    }
                }
                Next::Over(error) => return Poll::Ready(error),
            }
        }
    }

    /// Opens every complete record and passes the plaintext on.
    fn recv(&mut self, incoming: &mut Vec<Key>) -> Result<(), ConnectionError> {
        while let Some(bytes) = self.opener.open(self.blocks.current())? {
            let bytes = if self.blocks.must_copy() {
                buffers::copy(&bytes)
            } else {
                bytes
            };
            self.plain.push(bytes);
        }
        let ended = if self.opener.ended() {
            Err(ConnectionError::ClosedByPeer)
        } else {
            Ok(())
        };
        let now = Instant::now();
        let is_fed = std::mem::take(&mut self.is_fed);
        if self.plain.is_empty() {
            if is_fed {
                // A record may take longer on a slow way than the answer to a ping should.
                self.shared.muxed().with(|state| state.mux.heard(now));
            }
            return ended;
        }
        let plain = &mut self.plain;
        let bytes = plain.iter().map(Bytes::len).sum();
        let recv = |state: &mut State| {
            let mut plain = plain.drain(..);
            let received = plain.try_for_each(|bytes| state.mux.recv(now, bytes));
            (received, state.mux.take_refused(), state.mux.take_frames())
        };
        let (received, refused, frames) = self.shared.muxed().with_incoming(incoming, recv);
        for _ in 0..refused {
            self.shared.refuse_stream();
        }
        self.turn.took(frames, bytes);
        received?;
        ended
    }

    /// The order is: 1 the connection's end, 2 the timers, 3 the pipe, unless the muxer is congested.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let (phase, congested, deadline) = self.shared.muxed().with(|state| state.poll_reader(cx));
        match phase {
            Phase::Lost(error) => return Poll::Ready(Next::Over(error)),
            Phase::Closing => self.alarm.closing(),
            Phase::Open => {}
        }
        if let Poll::Ready(slept) = self.alarm.poll(cx, deadline) {
            if !slept.is_zero() {
                self.shared.excuse(slept);
            }
            return Poll::Ready(Next::Tick);
        }
        if congested {
            return Poll::Pending;
        }
        match self.poll_pipe(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Next::Over(ConnectionError::ClosedByPeer)),
            Poll::Ready(Ok(_)) => Poll::Ready(Next::Bytes),
            Poll::Ready(Err(error)) => Poll::Ready(Next::Over(error.into())),
            Poll::Pending => {
                self.turn.bytes = 0;
                self.blocks.rest();
                Poll::Pending
            }
        }
    }

    /// Ready when the peer has closed its side, too, or could have. A pipe that is closed with unread bytes in it may lose
    /// what we said last, so they are read, and not looked at.
    fn poll_part(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        loop {
            if *left == 0 || self.alarm.timer.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.blocks.current().clear();
            match ready!(self.poll_pipe(cx)) {
                Ok(read) if read > 0 => *left = left.saturating_sub(read),
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll_pipe(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        ready!(self.pipe.poll_readable(cx))?;
        self.blocks.make_room();
        let room = if self.turn.is_dense {
            DENSE_READ
        } else {
            usize::MAX
        };
        let read = ready!(poll_read_buf(
            Pin::new(&mut *self.pipe),
            cx,
            &mut self.blocks.current().limit(room)
        ))?;
        self.is_fed = true;
        self.turn.bytes += read;
        self.shared.tally.traffic().received(read);
        Poll::Ready(Ok(read))
    }

    fn tick(&mut self) -> Result<(), ConnectionError> {
        let idle_timeout = self.idle_timeout;
        // Streams may have read meanwhile what held a block.
        self.blocks.rest();
        let now = Instant::now();
        if self.alarm.close_by.is_some_and(|close_by| close_by <= now) {
            return Err(ConnectionError::Closed);
        }
        let idle_by = self
            .shared
            .idle_since()
            .zip(idle_timeout)
            .map(|(since, timeout)| since + timeout);
        if let Some(since) = idle_timeout.and_then(|timeout| now.checked_sub(timeout)) {
            self.shared.close_unused(since);
        }
        let deadline = self.shared.muxed().with(|state| {
            state
                .mux
                .handle_timeout(now)
                .map_err(|_| ConnectionError::TimedOut)?;
            Ok::<_, ConnectionError>(state.mux.poll_timeout())
        })?;
        self.alarm.set(
            deadline
                .into_iter()
                .chain(idle_by.filter(|idle_by| *idle_by > now))
                .min(),
            now,
        );
        Ok(())
    }
}

/// The reader's one timer. It is moved only to ring earlier; ringing too early costs one look at the deadlines.
struct Alarm {
    timer: Patient,
    tick: Duration,
    close_by: Option<Instant>,
}

impl Alarm {
    fn new(tick: Duration) -> Self {
        Self {
            tick,
            timer: Patient::new(Instant::now() + tick),
            close_by: None,
        }
    }

    fn set(&mut self, deadline: Option<Instant>, now: Instant) {
        let tick = now + self.tick;
        let deadlines = deadline.into_iter().chain(self.close_by);
        self.timer.reset(deadlines.fold(tick, Instant::min));
    }

    fn ring_at(&mut self, at: Instant) {
        self.timer.reset(at);
    }

    /// We have said that we close: from now on the peer has a deadline.
    fn closing(&mut self) {
        if self.close_by.is_none() {
            let now = Instant::now();
            self.close_by = Some(now + CLOSE_TIMEOUT);
            self.set(None, now);
        }
    }

    /// Ready when it rings, with how long the process has slept.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<Duration> {
        if let Some(deadline) = deadline.filter(|deadline| *deadline < self.timer.at()) {
            self.timer.reset(deadline);
        }
        self.timer.poll(cx)
    }
}

#[cfg(test)]
mod tests;
