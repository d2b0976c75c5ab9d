//! A connection: what is known of it, who uses it, and the link that carries its streams.
//!
//! There are two kinds of link: a muxer over a pipe (`muxed`), and QUIC, which brings streams of its own. Above the
//! [`Channel`] of a stream nobody knows the difference.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use carrick_protocols::{
    identify::{self, PushLimiter},
    ping,
};
use carrick_session::{Code, Summary};
use carrick_swarm::{CloseReason, ConnectionId, Direction, Limit};
use carrick_wire::{Multiaddr, PeerId, ProtocolId, PublicKey};
use tokio::sync::{Semaphore, mpsc, watch};

use self::{arrivals::Arrivals, muxed::Muxed, quic::Quic};
use crate::{
    ConnectionEnd, ConnectionError,
    info::{Changes, Info},
    metrics::Tally,
    quotas::Share,
    steps::{self, Step},
    sync::{
        Mutex, MutexGuard, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

pub(crate) use self::channel::Channel;
#[cfg(feature = "quic")]
pub(crate) use self::datagrams::Datagrams;
#[cfg(not(feature = "quic"))]
pub(crate) use self::quic::Datagrams;

pub(crate) mod arrivals;
mod channel;
#[cfg(feature = "quic")]
mod datagrams;
pub(crate) mod muxed;
#[cfg(feature = "quic")]
pub(crate) mod quic;
#[cfg(not(feature = "quic"))]
#[path = "connection/no_quic.rs"]
pub(crate) mod quic;

/// After we said that we close, how long the peer has to close its side, too.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Idleness is looked for this often at least, and not more often for the sake of a short timeout.
const IDLE_TICK: Duration = Duration::from_secs(30);
const IDLE_TICK_MIN: Duration = Duration::from_millis(10);

/// What the link's tasks, streams and the node share of one connection.
pub(crate) struct Shared {
    pub(crate) id: ConnectionId,
    pub(crate) peer: PeerId,
    pub(crate) key: PublicKey,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    pub(crate) summary: Summary,
    pub(crate) tally: Tally,
    /// Protocols that the peer is known to speak, sorted: streams for them are opened without waiting for its word.
    pub(crate) spoken: RwLock<Vec<ProtocolId>>,
    pub(crate) known: watch::Sender<Known>,
    /// The ping stream of ours between two pings.
    pub(crate) ping: tokio::sync::Mutex<Option<Channel>>,
    /// The last ping's round trip, in microseconds; 0: none yet.
    pinged_us: AtomicU32,
    /// How long a stream's negotiation may take.
    pub(crate) negotiation_timeout: Duration,
    /// How many streams of the peer's for our own protocols are served at once.
    pub(crate) inbound_pings: Semaphore,
    pub(crate) inbound_identifies: Semaphore,
    /// The peer's streams that have no protocol yet.
    pub(crate) arrivals: Arrivals,
    /// What the peer uses of the node's limits.
    pub(crate) share: Arc<Share>,
    /// The pace of the peer's pushes, and whether one that came too early is already being made up for.
    pub(crate) pushes: Mutex<PushLimiter>,
    pub(crate) refresh: Semaphore,
    /// Streams that we hold open at once towards a peer that bears as many as we do.
    pub(crate) outbound_max: usize,
    pub(crate) link: Link,
    /// Takes us when somebody wants to know the peer at once.
    pub(crate) hurry: mpsc::Sender<ConnectionId>,
    /// Whether there ever was a user's stream, whose last words the connection's end would have to wait for.
    carried: AtomicBool,
    /// Why we close it; the first reason counts.
    closed_for: OnceLock<CloseReason>,
    users: Mutex<Users>,
}

/// What others wait to know of a connection.
#[derive(Default)]
pub(crate) struct Known {
    /// What identify told, once it did.
    pub(crate) info: Option<Arc<Info>>,
    /// What in it is news, since somebody was told last.
    pub(crate) changes: Changes,
    /// The connection is gone, and the control task knows.
    pub(crate) gone: bool,
}

/// What carries the streams.
pub(crate) enum Link {
    /// A muxer over a pipe.
    Muxed(Muxed),
    /// QUIC has streams of its own.
    Quic(Quic),
}

/// Who keeps the connection from being idle. Its lock is taken before the link's.
struct Users {
    streams: usize,
    handles: usize,
    /// It is not closed for being idle.
    kept: bool,
    /// Since when there was neither.
    idle_since: Option<Instant>,
    /// Who waits for the last stream to go.
    drain: Option<Waker>,
}

/// How far the connection is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Streams come and go.
    Open,
    /// The last bytes are being sent.
    Closing,
    /// It is over.
    Lost(ConnectionError),
}

impl Phase {
    /// Why it is over when `error` ends it; `None`: it was over before, and the first reason counts.
    fn lost_to(&self, error: ConnectionError) -> Option<ConnectionError> {
        match self {
            Self::Lost(_) => None,
            _ if matches!(error, ConnectionError::Expelled(_)) => Some(error),
            Self::Closing => Some(ConnectionError::Closed),
            Self::Open => Some(error),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// What a connection is made from, besides its link.
pub(crate) struct Origin {
    pub(crate) id: ConnectionId,
    pub(crate) peer: PeerId,
    pub(crate) key: PublicKey,
    pub(crate) summary: Summary,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    pub(crate) outbound_max: usize,
    pub(crate) hurry: mpsc::Sender<ConnectionId>,
    pub(crate) negotiation_timeout: Duration,
    pub(crate) share: Arc<Share>,
    pub(crate) tally: Tally,
}

impl Shared {
    pub(crate) fn new(origin: Origin, link: Link) -> Self {
        let users = Users {
            streams: 0,
            handles: 0,
            kept: false,
            idle_since: Some(Instant::now()),
            drain: None,
        };
        Self {
            id: origin.id,
            peer: origin.peer,
            key: origin.key,
            address: origin.address,
            direction: origin.direction,
            summary: origin.summary,
            tally: origin.tally,
            spoken: RwLock::default(),
            known: watch::Sender::default(),
            ping: tokio::sync::Mutex::default(),
            pinged_us: AtomicU32::new(0),
            negotiation_timeout: origin.negotiation_timeout,
            inbound_pings: Semaphore::new(ping::INBOUND_MAX),
            inbound_identifies: Semaphore::new(identify::INBOUND_MAX),
            arrivals: Arrivals::new(origin.share.quotas().negotiations_per_connection),
            share: origin.share,
            pushes: Mutex::new(PushLimiter::new(Instant::now())),
            refresh: Semaphore::new(1),
            outbound_max: origin.outbound_max,
            link,
            hurry: origin.hurry,
            carried: AtomicBool::new(false),
            closed_for: OnceLock::new(),
            users: Mutex::new(users),
        }
    }

    /// A stream of the peer's was one too many for the connection.
    fn refuse_stream(&self) {
        self.share
            .quotas()
            .refuse(Limit::StreamsInboundPerConnection);
    }

    /// A new stream of ours; waits while too many are open, of which `beyond` may exceed the limit. Cancel-safe.
    pub(crate) async fn open(&self, beyond: usize) -> Result<Channel, ConnectionError> {
        match &self.link {
            Link::Muxed(muxed) => muxed.open(beyond).await.map(Channel::Muxed),
            Link::Quic(quic) => {
                let channel = quic.open(beyond).await?;
                Ok(Channel::Quic(Box::new(channel)))
            }
        }
    }

    /// Whether a new stream must say its first words as soon as it is opened.
    pub(crate) fn must_speak(&self) -> bool {
        match &self.link {
            Link::Muxed(_) => false,
            Link::Quic(quic) => quic.must_speak(),
        }
    }

    /// Takes no more streams and waits until the users of the open ones are done, or the connection is lost.
    pub(crate) async fn drain(&self) {
        match &self.link {
            Link::Muxed(muxed) => muxed.go_away(),
            Link::Quic(quic) => quic.go_away(),
        }
        std::future::poll_fn(|cx| {
            let mut users = self.users();
            if users.streams == 0 || self.lost().is_some() {
                return Poll::Ready(());
            }
            wait(&mut users.drain, cx);
            Poll::Pending
        })
        .await;
    }

    /// Takes no more streams; once everything is sent, the connection ends. Streams that are still open are lost. The peer
    /// is told why where there is a word for it.
    pub(crate) fn close(&self, reason: CloseReason) {
        steps::passed(Step::ConnectionClosing);
        let code = self.code_for(reason);
        match &self.link {
            Link::Muxed(muxed) => muxed.close(code),
            Link::Quic(quic) => quic.close(code),
        }
    }

    /// The connection is over at once, and all that use it hear why. What is queued, and the reason as far as there is a word
    /// for it, are sent if the way is free.
    pub(crate) fn expel(&self, reason: CloseReason) {
        let code = self.code_for(reason);
        let error = ConnectionError::Expelled(reason);
        match &self.link {
            Link::Muxed(muxed) => muxed.expel(code, error),
            Link::Quic(quic) => quic.expel(code, error),
        }
        self.end_drain();
    }

    /// As [`close`](Self::close), if no user has held the connection since `since`. Tells whether that is so.
    pub(crate) fn close_idle(&self, since: Instant, reason: CloseReason) -> bool {
        let users = self.users();
        let idle = users.idle_since.is_some_and(|idle| idle <= since);
        if idle {
            // Under the lock: nobody becomes a user between the look and the close.
            self.close(reason);
        }
        idle
    }

    /// Closes the connection if no user has held it since `since`, unless it is kept.
    pub(crate) fn close_unused(&self, since: Instant) {
        let kept = self.users().kept;
        if !kept {
            self.close_idle(since, CloseReason::Idle);
        }
    }

    /// Whether being idle does not end it. When that ends, the idle time begins.
    pub(crate) fn set_kept(&self, kept: bool) {
        let mut users = self.users();
        users.kept = kept;
        users.check_idle();
    }

    /// Whether a user's handle holds it.
    pub(crate) fn is_held(&self) -> bool {
        self.users().handles > 0
    }

    /// The connection is over: every stream and every waiting open hears of it. The first reason counts.
    pub(crate) fn lose(&self, error: ConnectionError) {
        match &self.link {
            Link::Muxed(muxed) => muxed.lose(error),
            Link::Quic(quic) => quic.lose(error),
        }
        self.end_drain();
    }

    /// What the peer is told of why we close; the first reason counts.
    fn code_for(&self, reason: CloseReason) -> Code {
        close_code(*self.closed_for.get_or_init(|| reason))
    }

    fn end_drain(&self) {
        let drain = self.users().drain.take();
        drain.into_iter().for_each(Waker::wake);
    }

    /// Waits until the control task knows that the connection is gone.
    pub(crate) async fn wait_gone(&self) {
        let mut known = self.known.subscribe();
        let _ = known.wait_for(|known| known.gone).await;
    }

    /// The connection is gone, and the control task knows.
    pub(crate) fn set_gone(&self) {
        self.known.send_modify(|known| known.gone = true);
    }

    /// What identify has told so far.
    pub(crate) fn info(&self) -> Option<Arc<Info>> {
        self.known.borrow().info.clone()
    }

    /// What is news in it since the last call.
    pub(crate) fn take_changes(&self) -> Changes {
        let mut changes = Changes::default();
        self.known.send_if_modified(|known| {
            changes = std::mem::take(&mut known.changes);
            false
        });
        changes
    }

    /// A ping took so long.
    pub(crate) fn pinged(&self, rtt: Duration) {
        let us = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        self.pinged_us.store(us, Ordering::Relaxed);
    }

    /// How far the peer is, for the peer store: a ping's word, or the connection's own.
    pub(crate) fn distance(&self) -> Option<Duration> {
        match self.pinged_us.load(Ordering::Relaxed) {
            0 => self.rtt(),
            us => Some(Duration::from_micros(us.into())),
        }
    }

    /// Why the connection is over, if it is.
    pub(crate) fn lost(&self) -> Option<ConnectionError> {
        match &self.link {
            Link::Muxed(muxed) => muxed.lost(),
            Link::Quic(quic) => quic.lost(),
        }
    }

    /// Who ended the connection, now that it is over.
    pub(crate) fn end(&self) -> ConnectionEnd {
        match self.lost() {
            Some(ConnectionError::ClosedByPeer) => ConnectionEnd::Theirs(Code::NONE),
            Some(ConnectionError::ClosedWith(code)) => ConnectionEnd::Theirs(code),
            None | Some(ConnectionError::Closed | ConnectionError::Closing) => {
                let reason = self.closed_for.get().copied();
                ConnectionEnd::Ours(reason.unwrap_or(CloseReason::Requested))
            }
            Some(ConnectionError::Expelled(reason)) => ConnectionEnd::Ours(reason),
            Some(error) => ConnectionEnd::Lost(error),
        }
    }

    /// Whether streams can be opened.
    pub(crate) fn is_open(&self) -> bool {
        match &self.link {
            Link::Muxed(muxed) => muxed.is_open(),
            Link::Quic(quic) => quic.is_open(),
        }
    }

    /// The address of this machine that it leaves from, where that is known.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        match &self.link {
            Link::Muxed(muxed) => muxed.local_ip(),
            Link::Quic(quic) => quic.connection().local_ip(),
        }
    }

    /// The process has slept: that is no idleness.
    pub(crate) fn excuse(&self, slept: Duration) {
        if let Some(since) = &mut self.users().idle_since {
            *since = since
                .checked_add(slept)
                .unwrap_or(*since)
                .min(Instant::now());
        }
    }

    /// Streams that live, ours and the peer's.
    pub(crate) fn streams(&self) -> usize {
        match &self.link {
            Link::Muxed(muxed) => muxed.streams(),
            Link::Quic(quic) => quic.streams(),
        }
    }

    /// The round-trip time, where the link has measured it.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        match &self.link {
            Link::Muxed(muxed) => muxed.with(|state| state.mux.rtt()),
            Link::Quic(quic) => Some(quic.connection().rtt()),
        }
    }

    /// The connection's datagrams, if its link can have them; the peer may still take none.
    pub(crate) fn datagrams(&self) -> Option<&Arc<Datagrams>> {
        match &self.link {
            Link::Muxed(_) => None,
            Link::Quic(quic) => Some(quic.datagrams()),
        }
    }

    /// Whether the peer takes datagrams.
    pub(crate) fn has_datagrams(&self) -> bool {
        self.datagrams().is_some_and(|all| all.are_enabled())
    }

    /// From the first call on, datagrams are read until the connection is over.
    pub(crate) fn read_datagrams(self: &Arc<Self>) {
        let Some(all) = self.datagrams().filter(|all| all.start()).cloned() else {
            return;
        };
        let shared = self.clone();
        tokio::spawn(async move {
            if let Some(violation) = all.read_all().await {
                shared.lose(violation.into());
            }
        });
    }

    /// Sets how many streams we hold open at once, where the peer has no way to say how many it bears.
    pub(crate) fn set_outbound_max(&self, max: usize) {
        match &self.link {
            Link::Muxed(muxed) => muxed.with(|state| state.mux.set_outbound_max(max)),
            Link::Quic(_) => {}
        }
    }

    /// The muxer, for who can only be there if there is one.
    pub(crate) fn muxed(&self) -> &Muxed {
        match &self.link {
            Link::Muxed(muxed) => muxed,
            Link::Quic(_) => unreachable!("keys, readers and writers come with a muxer"),
        }
    }

    /// As [`muxed`](Self::muxed), for QUIC.
    fn quic(&self) -> &Quic {
        match &self.link {
            Link::Quic(quic) => quic,
            Link::Muxed(_) => unreachable!("streams of QUIC come with QUIC"),
        }
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        // The counts are whole whatever a panicking holder did.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when no user has held this connection or a stream of it.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.users().idle_since
    }

    /// From here on a user has a stream of it.
    pub(crate) fn carry(&self) {
        if !self.carried.swap(true, Ordering::Relaxed)
            && let Link::Quic(quic) = &self.link
        {
            quic.widen(&self.share);
        }
    }

    /// Whether a user ever had a stream of it.
    pub(crate) fn has_carried(&self) -> bool {
        self.carried.load(Ordering::Relaxed)
    }

    /// A user's stream keeps the connection from being idle, and its end is waited for when the node closes.
    pub(crate) fn hold_stream(&self) {
        let mut users = self.users();
        users.streams += 1;
        users.idle_since = None;
    }

    /// A user's stream is gone.
    pub(crate) fn unhold_stream(&self) {
        let mut users = self.users();
        users.streams -= 1;
        users.check_idle();
        if users.streams > 0 {
            return;
        }
        let drain = users.drain.take();
        drop(users);
        drain.into_iter().for_each(Waker::wake);
    }

    /// A user's handle keeps the connection from being idle.
    pub(crate) fn hold_handle(&self) {
        let mut users = self.users();
        users.handles += 1;
        users.idle_since = None;
    }

    /// A user's handle is gone.
    pub(crate) fn unhold_handle(&self) {
        let mut users = self.users();
        users.handles -= 1;
        users.check_idle();
    }

    pub(crate) fn speaks(&self, protocol: &ProtocolId) -> bool {
        self.spoken
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .binary_search(protocol)
            .is_ok()
    }

    pub(crate) fn learn(&self, protocol: &ProtocolId) {
        if self.speaks(protocol) {
            return;
        }
        let mut spoken = self.spoken.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(place) = spoken.binary_search(protocol) {
            spoken.insert(place, protocol.clone());
        }
    }

    pub(crate) fn unlearn(&self, protocol: &ProtocolId) {
        let mut spoken = self.spoken.write().unwrap_or_else(PoisonError::into_inner);
        spoken.retain(|spoken| spoken != protocol);
    }
}

impl Users {
    fn check_idle(&mut self) {
        if self.streams + self.handles == 0 {
            self.idle_since = Some(Instant::now());
        }
    }
}

/// How often a connection looks whether it is idle: it finds out a quarter of the timeout late at most.
fn idle_tick(idle_timeout: Option<Duration>) -> Duration {
    idle_timeout.map_or(IDLE_TICK, |idle| (idle / 4).clamp(IDLE_TICK_MIN, IDLE_TICK))
}

/// Leaves the waker of `cx` in `slot`.
fn wait(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}

/// What the peer is told of why we close.
fn close_code(reason: CloseReason) -> Code {
    match reason {
        CloseReason::Duplicate => Code::SUPPLANTED,
        CloseReason::LimitExceeded => Code::LIMIT,
        CloseReason::Unwanted | CloseReason::Idle | CloseReason::Trimmed => Code::TRIMMED,
        CloseReason::Banned | CloseReason::Rejected => Code::GATED,
        CloseReason::Misbehaved => Code::VIOLATION,
        CloseReason::Shutdown => Code::SHUTDOWN,
        CloseReason::LocalPeer | CloseReason::WrongPeer | CloseReason::Requested => Code::NONE,
    }
}
