//! A connection over QUIC: `quinn` has the streams; here is what it lacks: limits of our own on streams, an end that waits
//! until what was finished has arrived, and refusing streams while the others finish.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use carrick_protocols::packets::VIOLATION_CODE;
use carrick_session::Code;
use futures::{
    FutureExt, StreamExt,
    future::{join, join_all},
    stream::FuturesUnordered,
};
use quinn::{ApplicationClose, ConnectionClose, SendStream, TransportErrorCode, VarInt};
use tokio::{
    sync::Notify,
    time::{sleep_until, timeout},
};

use super::{CLOSE_TIMEOUT, Channel, Datagrams, Phase, Shared, idle_tick};
use crate::{
    ConnectionError,
    patience::Patient,
    quotas::{Lent, Share},
    transport::quic::{Secured, Tickets, WINDOW_AT_FIRST, connection_window, streams_at_first},
};

pub(crate) use self::channel::{QuicChannel, Role};

mod channel;

/// What streams, the accepting task and the node share of one QUIC connection.
pub(crate) struct Quic {
    connection: quinn::Connection,
    born: Instant,
    tickets: Option<Arc<Tickets>>,
    datagrams: Arc<Datagrams>,
    outbound_max: usize,
    inbound_max: usize,
    /// What the peer may send unread, and what of that is lent by the node.
    window_max: u32,
    lent: OnceLock<Lent>,
    /// Streams of ours that the peer cannot know of yet, since nothing was said on them.
    unspoken: AtomicUsize,
    /// Streams that are gone and that `quinn` still remembers.
    lapsed: AtomicUsize,
    /// Told when an open that waits is worth trying again, and when there are news for the task.
    changed: Notify,
    /// How long the peer may take to answer on a stream whose user is gone.
    linger: Duration,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// What the peer is told when we close.
    code: Code,
    /// It is closed a moment after its end.
    outlives: bool,
    /// Streams that the peer opens are refused, and we open none.
    going_away: bool,
    outbound: usize,
    inbound: usize,
    /// How many streams at once we allow the peer so far.
    allowed: usize,
    /// Streams that were finished, of which the peer has not acknowledged everything when last looked.
    finished: VecDeque<SendStream>,
    /// Streams whose users are gone before the peer has agreed to the protocol, on their way to the task.
    unanswered: Vec<QuicChannel>,
}

impl Quic {
    pub(crate) fn new(
        secured: Secured,
        outbound_max: usize,
        config: &carrick_session::Config,
    ) -> Self {
        let state = State {
            phase: Phase::Open,
            code: Code::NONE,
            outlives: false,
            going_away: false,
            outbound: 0,
            inbound: 0,
            allowed: streams_at_first(config),
            finished: VecDeque::new(),
            unanswered: Vec::new(),
        };
        let streams_max = config.inbound_streams_max;
        let connection = secured.connection;
        Self {
            born: Instant::now(),
            tickets: secured.tickets,
            datagrams: Arc::new(Datagrams::new(connection.clone(), streams_max)),
            connection,
            outbound_max,
            inbound_max: streams_max,
            window_max: connection_window(config),
            lent: OnceLock::new(),
            linger: config.linger,
            unspoken: AtomicUsize::new(0),
            lapsed: AtomicUsize::new(0),
            changed: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// A new stream of ours; waits while we or the peer allow no more, and of our own limit `beyond` may exceed it.
    /// Cancel-safe.
    pub(crate) async fn open(&self, beyond: usize) -> Result<QuicChannel, ConnectionError> {
        let place = self.reserve(beyond).await?;
        let (send, recv) = tokio::select! {
            biased;
            opened = self.connection.open_bi() => opened.map_err(|error| self.why(error))?,
            error = self.ending() => return Err(error),
        };
        place.keep();
        self.unspoken.fetch_add(1, Ordering::Relaxed);
        Ok(QuicChannel::new(send, recv, true))
    }

    async fn reserve(&self, beyond: usize) -> Result<Place<'_>, ConnectionError> {
        loop {
            // Made before the attempt: what becomes possible right after it is not missed.
            let changed = self.changed.notified();
            if let Some(place) = self.try_reserve(beyond)? {
                return Ok(place);
            }
            changed.await;
        }
    }

    fn try_reserve(&self, beyond: usize) -> Result<Option<Place<'_>>, ConnectionError> {
        let mut state = self.state();
        state.check_open()?;
        let free = state.outbound < self.outbound_max.saturating_add(beyond);
        if free {
            state.outbound += 1;
        }
        Ok(free.then(|| Place(self)))
    }

    /// Waits until no more streams can be opened, and tells why.
    async fn ending(&self) -> ConnectionError {
        loop {
            let changed = self.changed.notified();
            let open = self.state().check_open();
            match open {
                Ok(()) => changed.await,
                Err(error) => return error,
            }
        }
    }

    /// Whether the next stream must speak as soon as it is opened: a peer that knows of none allows no more.
    pub(crate) fn must_speak(&self) -> bool {
        self.unspoken.load(Ordering::Relaxed) >= UNSPOKEN_MAX
    }

    /// What the task must know: streams to wait for, or `None` once the connection begins to end. Cancel-safe.
    async fn news(&self) -> Option<Vec<QuicChannel>> {
        loop {
            let changed = self.changed.notified();
            if let Some(news) = self.try_news() {
                return news;
            }
            changed.await;
        }
    }

    fn try_news(&self) -> Option<Option<Vec<QuicChannel>>> {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Some(None);
        }
        let unanswered = std::mem::take(&mut state.unanswered);
        (!unanswered.is_empty()).then_some(Some(unanswered))
    }

    /// Waits for the peer's word on the protocol, so that it is not told to stop before it could say it.
    async fn hear_out(&self, mut channel: QuicChannel) {
        let read = std::future::poll_fn(|cx| channel.poll_read(self, cx));
        let _ = timeout(self.linger, read).await;
        channel.release(self);
    }

    /// Takes a stream that the peer opened; `None` if it is refused.
    fn admit(&self, mut send: SendStream, mut recv: quinn::RecvStream) -> Option<QuicChannel> {
        let mut state = self.state();
        if state.inbound >= state.allowed / 2 && state.allowed < self.inbound_max {
            // At once: every table that is outgrown costs a copy, and `quinn` keeps small changes to itself.
            state.allowed = self.inbound_max;
            let allowed = u32::try_from(state.allowed).unwrap_or(u32::MAX);
            self.connection
                .set_max_concurrent_bi_streams(allowed.into());
        }
        let refusal = if state.going_away || state.phase != Phase::Open {
            Code::SHUTDOWN
        } else if state.inbound >= self.inbound_max {
            Code::LIMIT
        } else {
            state.inbound += 1;
            return Some(QuicChannel::new(send, recv, false));
        };
        drop(state);
        // Errors mean that the peer has given the stream up before.
        let _ = send.reset(stream_varint(refusal));
        let _ = recv.stop(stream_varint(refusal));
        None
    }

    /// Whether one more stream may be waited for to be stopped.
    fn may_watch(&self) -> bool {
        self.lapsed.load(Ordering::Relaxed) < LAPSED_MAX
    }

    /// The connection's datagrams.
    pub(crate) fn datagrams(&self) -> &Arc<Datagrams> {
        &self.datagrams
    }

    /// The connection itself, for what is no stream: its measurements.
    pub(crate) fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    /// From the first user's stream on the peer may send more unread, as far as there is memory for it.
    pub(crate) fn widen(&self, share: &Arc<Share>) {
        let lent = share.lend(self.window_max.saturating_sub(WINDOW_AT_FIRST));
        if lent.bytes() > 0 {
            let window = WINDOW_AT_FIRST.saturating_add(lent.bytes());
            self.connection.set_receive_window(window.into());
            let _ = self.lent.set(lent);
        }
    }

    /// Takes no more streams.
    pub(crate) fn go_away(&self) {
        self.state().going_away = true;
        self.changed.notify_waiters();
    }

    /// Takes no more streams; the connection ends once the peer has acknowledged what was finished.
    pub(crate) fn close(&self, code: Code) {
        self.state().close(code);
        self.changed.notify_waiters();
    }

    /// The connection is over. The first reason counts.
    pub(crate) fn lose(&self, error: ConnectionError) {
        self.end(self.state(), error);
    }

    /// Both under one lock: nobody hears of a mere close in between.
    pub(crate) fn expel(&self, code: Code, error: ConnectionError) {
        let mut state = self.state();
        state.close(code);
        self.end(state, error);
    }

    fn end(&self, mut state: MutexGuard<'_, State>, error: ConnectionError) {
        let Some(error) = state.phase.lost_to(error) else {
            return;
        };
        let code = match error {
            ConnectionError::Packets(_) => Code(VIOLATION_CODE),
            _ => state.code,
        };
        state.phase = Phase::Lost(error);
        let outlives = state.outlives;
        let left = (
            std::mem::take(&mut state.finished),
            std::mem::take(&mut state.unanswered),
        );
        drop(state);
        drop(left);
        if !outlives {
            self.connection.close(varint(code), b"");
        }
        self.changed.notify_waiters();
    }

    /// Why the connection is over, if it is.
    pub(crate) fn lost(&self) -> Option<ConnectionError> {
        match &self.state().phase {
            Phase::Lost(error) => Some(error.clone()),
            Phase::Open | Phase::Closing => None,
        }
    }

    /// Whether streams can be opened.
    pub(crate) fn is_open(&self) -> bool {
        self.state().phase == Phase::Open && self.connection.close_reason().is_none()
    }

    /// Streams that live, ours and the peer's.
    pub(crate) fn streams(&self) -> usize {
        let state = self.state();
        state.outbound + state.inbound
    }

    /// A stream's handle is gone.
    fn release(&self, ours: bool) {
        let mut state = self.state();
        if ours {
            state.outbound -= 1;
        } else {
            state.inbound -= 1;
        }
        drop(state);
        if ours {
            self.changed.notify_waiters();
        }
    }

    /// Leaves a stream to the task until the peer has agreed to its protocol.
    fn leave(&self, channel: QuicChannel) {
        self.state().unanswered.push(channel);
        self.changed.notify_waiters();
    }

    /// Keeps an eye on a stream until the peer has all of it.
    fn watch(&self, finished: SendStream) {
        let mut state = self.state();
        // As many are looked at as come in, and one more: the queue holds twice the unacknowledged ones at most.
        let looked_at = [state.finished.pop_front(), state.finished.pop_front()];
        let (gone, waiting): (Vec<_>, Vec<_>) = looked_at
            .into_iter()
            .flatten()
            .partition(|stream| stream.priority().is_err());
        state.finished.extend(waiting);
        state.finished.push_back(finished);
        drop(state);
        drop(gone);
    }

    /// Lets go of the streams that are acknowledged since they were looked at.
    fn forget_acknowledged(&self) {
        let mut state = self.state();
        let watched = std::mem::take(&mut state.finished);
        let (gone, waiting): (Vec<_>, Vec<_>) = watched
            .into_iter()
            .partition(|stream| stream.priority().is_err());
        state.finished.extend(waiting);
        drop(state);
        drop(gone);
    }

    /// Waits until the peer has everything that was written and finished, or has given it up.
    async fn flush(&self) {
        let finished = std::mem::take(&mut self.state().finished);
        // With a window of one byte, writing is possible again exactly when everything is acknowledged. The stream that
        // finds out sends nothing: the peer never hears of it.
        self.connection.set_send_window(1);
        let probe = self.connection.open_bi().now_or_never();
        let mut probe = probe.and_then(Result::ok).map(|(send, _)| send);
        let written = async {
            if let Some(probe) = &mut probe {
                let _ = probe.write(&[]).await;
            }
        };
        let acknowledged = join_all(finished.iter().map(SendStream::stopped));
        let _ = timeout(CLOSE_TIMEOUT, join(written, acknowledged)).await;
        // Before the streams are dropped, which would finish the probe.
        self.lose(ConnectionError::Closed);
    }

    fn why(&self, error: quinn::ConnectionError) -> ConnectionError {
        self.lost().unwrap_or_else(|| connection_error(error))
    }

    /// The ticket that saves the next dial to this peer its signatures comes a round trip after the handshake. A connection
    /// that ends before, while nothing uses it, outlives its end for that: nobody here sees it any more.
    fn outlive(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let tickets = self.tickets.clone()?;
        let by = self.born + (2 * self.connection.rtt() + TICKET_MARGIN).min(TICKET_WAIT_MAX);
        let mut state = self.state();
        let is_used = state.outbound + state.inbound > 0;
        if is_used || tickets.are_some() || Instant::now() >= by {
            return None;
        }
        state.outlives = true;
        let (connection, code) = (self.connection.clone(), varint(state.code));
        Some(async move {
            tokio::select! {
                biased;
                () = tickets.some() => {}
                _ = connection.closed() => {}
                () = sleep_until(by.into()) => {}
            }
            connection.close(code, b"");
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of ours; the streams of this connection are not worse off for going on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, code: Code) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            self.code = code;
        }
    }

    fn check_open(&self) -> Result<(), ConnectionError> {
        match &self.phase {
            Phase::Open if !self.going_away => Ok(()),
            Phase::Open | Phase::Closing => Err(ConnectionError::Closing),
            Phase::Lost(error) => Err(error.clone()),
        }
    }
}

/// Room for a stream of ours, given back unless it is kept.
struct Place<'a>(&'a Quic);

impl Place<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.release(true);
    }
}

/// Accepts the peer's streams and looks after the connection until it is over.
pub(crate) async fn run(
    shared: Arc<Shared>,
    idle_timeout: Option<Duration>,
    mut incoming: impl FnMut(Channel) + Send,
) {
    let quic = shared.quic();
    let tick = idle_tick(idle_timeout);
    let mut alarm = Patient::new(Instant::now() + tick);
    let mut unanswered = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            news = quic.news() => match news {
                Some(channels) => unanswered.extend(channels.into_iter().map(|channel| quic.hear_out(channel).boxed())),
                None => break,
            },
            Some(()) = unanswered.next() => {}
            slept = poll_fn(|cx| alarm.poll(cx)) => {
                shared.excuse(slept);
                quic.forget_acknowledged();
                let now = Instant::now();
                if let Some(since) = idle_timeout.and_then(|timeout| now.checked_sub(timeout)) {
                    shared.close_unused(since);
                }
                let idle_by = shared.idle_since().zip(idle_timeout);
                let idle_by = idle_by.map(|(since, timeout)| since + timeout);
                let next = idle_by.filter(|by| *by > now).unwrap_or(now + tick).min(now + tick);
                alarm.reset(next);
            }
            accepted = quic.connection.accept_bi() => match accepted {
                Ok((send, recv)) => {
                    quic.datagrams.count_accepted();
                    let channel = quic.admit(send, recv);
                    if channel.is_none() && quic.is_open() {
                        shared.refuse_stream();
                    }
                    channel.map(|channel| Channel::Quic(Box::new(channel))).into_iter().for_each(&mut incoming);
                }
                Err(error) => return shared.lose(connection_error(error)),
            },
        }
    }
    if shared.has_carried() {
        quic.flush().await;
    }
    let outliving = quic.outlive();
    shared.lose(ConnectionError::Closed);
    outliving.map(tokio::spawn);
}

/// Streams on which nothing was said; less than half of what any stack allows at first.
const UNSPOKEN_MAX: usize = 16;

/// How old a connection becomes at most, besides two round trips, for its ticket.
const TICKET_MARGIN: Duration = Duration::from_millis(5);
const TICKET_WAIT_MAX: Duration = Duration::from_millis(200);

/// Whose fault it is that a connection is over.
fn connection_error(error: quinn::ConnectionError) -> ConnectionError {
    use quinn::ConnectionError as Quic;
    match error {
        Quic::ApplicationClosed(ApplicationClose { error_code, .. }) => match code(error_code) {
            Code::NONE => ConnectionError::ClosedByPeer,
            code => ConnectionError::ClosedWith(code),
        },
        Quic::ConnectionClosed(ConnectionClose { error_code, .. })
            if error_code == TransportErrorCode::NO_ERROR =>
        {
            ConnectionError::ClosedByPeer
        }
        Quic::LocallyClosed => ConnectionError::Closed,
        Quic::TimedOut => ConnectionError::TimedOut,
        Quic::Reset => ConnectionError::Io(std::io::ErrorKind::ConnectionReset),
        error @ (Quic::VersionMismatch
        | Quic::TransportError(_)
        | Quic::ConnectionClosed(_)
        | Quic::CidsExhausted) => ConnectionError::Quic(error.to_string()),
    }
}

/// What a code of QUIC's is in libp2p, whose codes are shorter.
fn code(code: VarInt) -> Code {
    u32::try_from(code.into_inner()).map_or(Code::OUT_OF_RANGE, Code)
}

fn varint(code: Code) -> VarInt {
    VarInt::from_u32(code.0)
}

/// As [`code`], of a stream that the peer has reset or stopped.
fn stream_code(by: VarInt) -> Code {
    u32::try_from(by.into_inner()).map_or(Code::OUT_OF_RANGE, Code::of_stream)
}

/// As [`varint`], for a stream.
fn stream_varint(by: Code) -> VarInt {
    VarInt::from_u32(by.stream_code())
}

/// Streams that were reset after somebody had waited for their stop: `quinn` remembers each until the connection's end.
const LAPSED_MAX: usize = 1024;

#[cfg(test)]
mod tests;
