//! One connection of a process: the pipe below, the muxer, and the streams on it. It does what the node's reader and writer
//! do, one step at a time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use carrick_protocols::identify::PushLimiter;
use carrick_session::{Code, Event, Key, Mux, Opener, Records, Sealer, SecureError, Upgraded};
use carrick_swarm::{CloseReason, ConnectionId, Direction};
use carrick_wire::{Multiaddr, PeerId, ProtocolId};

use super::{
    place::{Kind, Place},
    strand::{Stage, Strand},
};
use crate::{
    config::Plant,
    conversation::Conversation,
    ground::{Ground, SECOND},
    laws::Law,
    pipe::{Got, PipeId, Side},
};

/// After we said that we close, how long the peer has to close its side, too.
const CLOSE: u64 = 5 * SECOND;
/// How long the peer may leave one batch unread.
const WRITE: u64 = 30 * SECOND;
/// How long streams may finish on a connection that is trimmed.
const DRAIN: u64 = 5 * SECOND;
/// Streams of built-in protocols beyond the limit.
pub(crate) const OWN_MAX: usize = 16;
/// Outbound streams before the peer is known to be of our make.
const FOREIGN_STREAMS_MAX: usize = 480;

/// How far it is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// The last bytes are being sent.
    Closing {
        by: u64,
    },
    Lost(&'static str),
}

/// Somebody wants a stream and cannot have one yet.
pub(crate) struct Wish {
    pub(crate) protocol: ProtocolId,
    pub(crate) conversation: Box<dyn Conversation>,
    pub(crate) kind: Kind,
    pub(crate) by: u64,
}

pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) peer: PeerId,
    pub(crate) peer_host: usize,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    pub(crate) pipe: PipeId,
    pub(crate) side: Side,
    pub(crate) mux: Mux,
    /// Its muxer finds out when the peer is gone. Mplex has no word for it.
    pub(crate) has_keep_alive: bool,
    opener: Opener,
    sealer: Sealer,
    spare: Records,
    /// Sealed, and not taken by the pipe yet.
    sealed: BytesMut,
    input: BytesMut,
    pub(crate) phase: Phase,
    is_shut: bool,
    pub(crate) carried: bool,
    pub(crate) kept: bool,
    pub(super) users: usize,
    pub(crate) idle_since: Option<Instant>,
    drain_by: Option<u64>,
    write_by: Option<u64>,
    pub(crate) strands: BTreeMap<usize, Strand>,
    pub(super) ready: BTreeSet<usize>,
    pub(super) wishes: VecDeque<Wish>,
    pub(super) wishes_blocked: bool,
    pub(crate) spoken: BTreeSet<ProtocolId>,
    counts: BTreeMap<Kind, usize>,
    pushes: PushLimiter,
    pub(crate) closed_for: Option<CloseReason>,
    pub(crate) armed: Option<u64>,
    pub(crate) pinged: bool,
    pub(crate) expelled: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) id: ConnectionId,
    pub(crate) peer_host: usize,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    pub(crate) pipe: PipeId,
    pub(crate) side: Side,
}

impl Connection {
    pub(crate) fn new(origin: Origin, upgraded: Upgraded, ground: &Ground, place: &Place) -> Self {
        let mut mux = upgraded.mux;
        mux.set_window_pool(place.windows.clone());
        mux.set_outbound_max(outbound_max(ground).min(FOREIGN_STREAMS_MAX));
        Self {
            id: origin.id,
            has_keep_alive: upgraded.summary.muxer.as_str().starts_with("/yamux"),
            peer: upgraded.peer,
            peer_host: origin.peer_host,
            address: origin.address,
            direction: origin.direction,
            pipe: origin.pipe,
            side: origin.side,
            mux,
            spare: Records::new(upgraded.sealer.layout()),
            opener: upgraded.opener,
            sealer: upgraded.sealer,
            sealed: BytesMut::new(),
            input: upgraded.leftover,
            phase: Phase::Open,
            is_shut: false,
            carried: false,
            kept: false,
            users: 0,
            idle_since: Some(ground.now()),
            drain_by: None,
            write_by: None,
            strands: BTreeMap::new(),
            ready: BTreeSet::new(),
            wishes: VecDeque::new(),
            wishes_blocked: false,
            spoken: BTreeSet::new(),
            counts: BTreeMap::new(),
            pushes: PushLimiter::new(ground.now()),
            closed_for: None,
            armed: None,
            pinged: false,
            expelled: false,
        }
    }

    pub(crate) const fn lost(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Lost(why) => Some(why),
            Phase::Open | Phase::Closing { .. } => None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(crate) fn count_of(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, kind: Kind, more: bool) {
        let count = self.counts.entry(kind).or_default();
        *count = if more {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
    }

    pub(crate) fn allows_push(&self, now: Instant) -> bool {
        self.pushes.clone().next() <= now
    }

    pub(crate) fn counts_push(&mut self, now: Instant) {
        self.pushes.allow(now);
    }

    /// The peer is of our make: it bears as many streams as we do.
    pub(crate) fn trust(&mut self, ground: &Ground) {
        self.mux.set_outbound_max(outbound_max(ground));
    }

    pub(crate) fn unhold(&mut self, strand: &mut Strand, now: Instant) {
        if std::mem::take(&mut strand.held) {
            self.users -= 1;
            if self.users == 0 {
                self.idle_since = Some(now);
            }
        }
    }

    pub(super) fn keep(&mut self, strand: Strand) {
        if strand.held {
            self.users += 1;
            self.idle_since = None;
        }
        self.ready.insert(strand.index());
        self.strands.insert(strand.index(), strand);
    }

    /// Takes no more streams; ends once all is sent.
    pub(crate) fn close(&mut self, code: Code, reason: CloseReason, now: u64) {
        if self.phase == Phase::Open {
            self.closed_for.get_or_insert(reason);
            self.mux.go_away(code);
            self.phase = Phase::Closing { by: now + CLOSE };
        }
    }

    /// As [`close`](Self::close) when its streams are done, or have had their time.
    pub(crate) fn drain(&mut self, now: u64) {
        if self.phase == Phase::Open && self.drain_by.is_none() {
            self.mux.go_away(Code::NONE);
            self.drain_by = Some(now + DRAIN);
        }
    }

    pub(crate) fn lose(&mut self, why: &'static str) {
        if self.lost().is_none() {
            let closing = matches!(self.phase, Phase::Closing { .. });
            self.phase = Phase::Lost(if closing { "closed" } else { why });
            self.mux.lose();
            self.ready.extend(self.strands.keys());
        }
    }

    /// Does all that can be done now.
    pub(crate) fn turn(&mut self, ground: &mut Ground, place: &mut Place) {
        loop {
            let read = self.read_pipe(ground, place);
            self.dispatch(ground, place);
            let ran = self.run_strands(ground, place);
            self.dispatch(ground, place);
            let opened = self.open_wishes(ground, place);
            let wrote = self.write_pipe(ground, place);
            self.dispatch(ground, place);
            if !read && !ran && !opened && !wrote && self.ready.is_empty() {
                break;
            }
        }
        self.check(ground, place);
    }

    fn read_pipe(&mut self, ground: &mut Ground, place: &mut Place) -> bool {
        let mut moved = false;
        loop {
            if self.lost().is_some() || self.mux.is_congested() {
                return moved;
            }
            if !self.input.is_empty() {
                if let Err(why) = self.recv(ground, place) {
                    self.lose(why);
                    return true;
                }
                self.dispatch(ground, place);
                if self.mux.is_congested() {
                    return true;
                }
            }
            match ground.read(self.pipe, self.side) {
                Got::Bytes(bytes) => {
                    moved = true;
                    self.input.extend_from_slice(&bytes);
                    self.mux.heard(ground.now());
                }
                Got::Nothing => return moved,
                Got::End => {
                    let whole = self.input.is_empty() || ground.is_tainted(self.pipe);
                    ground.hold(Law::HonestNoise, whole, || {
                        format!("{} bytes of a record at the end", self.input.len())
                    });
                    self.lose("the peer closed it");
                    return true;
                }
                Got::Broken => {
                    self.lose("the pipe was reset");
                    return true;
                }
            }
        }
    }

    /// Opens the records that are whole and hands them to the muxer.
    fn recv(&mut self, ground: &mut Ground, place: &Place) -> Result<(), &'static str> {
        let now = ground.now();
        loop {
            let opened = self.opener.open(&mut self.input);
            let tainted = ground.is_tainted(self.pipe);
            ground.hold(Law::HonestNoise, opened.is_ok() || tainted, || {
                format!("h{} c{}: {opened:?}", place.host, self.id)
            });
            let plain = match opened {
                Ok(Some(plain)) => plain,
                Ok(None) => return Ok(()),
                Err(SecureError::Record) => return Err("a record did not open"),
                Err(_) => return Err("the peer broke its security"),
            };
            let received = self.mux.recv(now, plain);
            ground.hold(Law::HonestMux, received.is_ok(), || {
                format!("h{} c{}: {received:?}", place.host, self.id)
            });
            if received.is_err() {
                return Err("the peer broke the muxer");
            }
        }
    }

    /// Tells streams what the muxer says of them.
    fn dispatch(&mut self, ground: &mut Ground, place: &Place) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Incoming(key) => self.incoming(key, ground, place),
                Event::Readable(key) => {
                    if lost_wakeup(ground) {
                        continue;
                    }
                    if let Some(strand) = self.strands.get_mut(&key.index()) {
                        strand.reads_blocked = false;
                        self.ready.insert(key.index());
                    }
                }
                Event::Writable(key) => {
                    if let Some(strand) = self.strands.get_mut(&key.index()) {
                        strand.writes_blocked = false;
                        self.ready.insert(key.index());
                    }
                }
                Event::Openable | Event::GoAway => self.wishes_blocked = false,
                Event::Resumed => {
                    let congested = self.mux.is_congested();
                    ground.hold(Law::NoLostCongestion, !congested, || {
                        format!("h{} c{}", place.host, self.id)
                    });
                }
            }
        }
    }

    fn incoming(&mut self, key: Key, ground: &mut Ground, place: &Place) {
        let free = !self.strands.contains_key(&key.index());
        let numbers = [self.id.0, key.index() as u64];
        ground.step(place.host, "c{} s{}: the peer opens a stream", &numbers);
        ground.hold(Law::MuxEvent, free, || format!("{key:?} lives already"));
        self.keep(Strand::inbound(key, ground.nanos()));
    }

    fn run_strands(&mut self, ground: &mut Ground, place: &mut Place) -> bool {
        let mut moved = false;
        while let Some(index) = self.ready.pop_first() {
            let Some(mut strand) = self.strands.remove(&index) else {
                continue;
            };
            moved = true;
            let before = strand.kind;
            match self.drive(&mut strand, ground, place) {
                Ok(false) => {
                    self.strands.insert(index, strand);
                }
                Ok(true) => {
                    let numbers = [self.id.0, index as u64];
                    ground.step(place.host, "c{} s{}: over", &numbers);
                    self.release(strand, ground);
                }
                Err(failure) => {
                    self.check_failure(&strand, &failure, ground, place);
                    let text = format!("c{} s{index}: {failure} (was {before:?})", self.id);
                    ground.say(Some(place.host), text);
                    self.tell(&mut strand, ground, place, |conversation, talk| {
                        conversation.handle_error(talk, &failure);
                    });
                    self.release(strand, ground);
                }
            }
            self.dispatch(ground, place);
        }
        moved
    }

    fn release(&mut self, mut strand: Strand, ground: &mut Ground) {
        if !matches!(strand.stage, Stage::Hearing(_)) {
            self.count(strand.kind, false);
        }
        self.unhold(&mut strand, ground.now());
        if ground.config.plant != Some(Plant::LeakStreams) {
            self.mux.release(ground.now(), strand.key);
        }
    }

    fn write_pipe(&mut self, ground: &mut Ground, place: &Place) -> bool {
        let mut moved = false;
        loop {
            if self.is_shut || (self.lost().is_some() && !self.expelled) {
                return moved;
            }
            if self.sealed.is_empty() {
                self.write_by = None;
                if !self.mux.poll_transmit(&mut self.spare) {
                    return self.rest(ground, place) || moved;
                }
                moved = true;
                let len = self.spare.len();
                let max = ground.config.session.send_buffer_max * 5 / 4 + (256 << 10);
                ground.hold(Law::RecordsBounded, len <= max, || {
                    format!("{len} bytes in one batch")
                });
                if self.sealer.seal(&mut self.spare).is_err() {
                    self.lose("no nonce is left");
                    return true;
                }
                self.sealed.extend_from_slice(self.spare.as_slice());
                self.spare.clear();
            }
            match ground.write(self.pipe, self.side, &self.sealed) {
                Some(0) => {
                    let by = ground.nanos() + WRITE;
                    self.write_by.get_or_insert(by);
                    return moved;
                }
                Some(taken) => {
                    drop(self.sealed.split_to(taken));
                    self.write_by = None;
                }
                None => {
                    self.lose("the pipe was reset");
                    self.expelled = false;
                    return true;
                }
            }
        }
    }

    /// Nothing is to be sent: who closes has sent everything.
    fn rest(&mut self, ground: &mut Ground, place: &Place) -> bool {
        let done = match (self.phase, self.drain_by) {
            (Phase::Closing { .. }, _) => true,
            (Phase::Lost(_), _) => self.expelled,
            (Phase::Open, Some(_)) if self.users == 0 => {
                self.close(Code::TRIMMED, CloseReason::Trimmed, ground.nanos());
                return true;
            }
            (Phase::Open, _) => false,
        };
        if done {
            ground.step(
                place.host,
                "c{}: all is sent, the pipe is shut",
                &[self.id.0],
            );
            ground.finish(self.pipe, self.side);
            self.is_shut = true;
            if !self.carried {
                self.lose("closed");
            }
        }
        done
    }

    /// What is due is done; then [`turn`](Self::turn).
    pub(crate) fn handle_timeout(&mut self, ground: &mut Ground, place: &Place) {
        let now = ground.nanos();
        if self.lost().is_some() {
            return;
        }
        let in_time = self.mux.handle_timeout(ground.now());
        if let Err(violation) = in_time {
            let tainted = ground.is_tainted(self.pipe);
            ground.hold(Law::MuxTimeout, tainted, || {
                format!("h{} c{}: {violation}", place.host, self.id)
            });
            return self.lose("the peer is silent");
        }
        let next = self.mux.poll_timeout();
        let moved = next.is_none_or(|next| next > ground.now());
        ground.hold(Law::TimeoutsMove, moved, || "the muxer's".to_owned());
        if self.write_by.is_some_and(|by| by <= now) {
            return self.lose("the peer reads nothing");
        }
        if matches!(self.phase, Phase::Closing { by } if by <= now) {
            return self.lose("closed");
        }
        if self.drain_by.is_some_and(|by| by <= now) {
            self.close(Code::TRIMMED, CloseReason::Trimmed, now);
        }
        let idle = ground.config.idle_timeout;
        let idle_by = self.idle_since.zip(idle).map(|(since, idle)| since + idle);
        if !self.kept && idle_by.is_some_and(|by| by <= ground.now()) {
            ground.hold(Law::IdleStays, self.users == 0, || {
                format!("{}", self.users)
            });
            // The peer may open a stream at this very moment, and loses it.
            ground.taint(self.pipe);
            self.close(Code::TRIMMED, CloseReason::Idle, now);
        }
        for (index, strand) in &self.strands {
            if strand.next_at().is_some_and(|at| at <= now) {
                self.ready.insert(*index);
            }
        }
        if self.wishes.front().is_some_and(|wish| wish.by <= now) {
            self.wishes_blocked = false;
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(crate) fn next_at(&self, ground: &Ground) -> Option<u64> {
        let idle = ground.config.idle_timeout.filter(|_| !self.kept);
        let idle_by = self.idle_since.zip(idle).filter(|_| self.is_open());
        let closing = match self.phase {
            Phase::Closing { by } => Some(by),
            Phase::Open | Phase::Lost(_) => None,
        };
        let all = [
            self.mux.poll_timeout().map(|at| ground.nanos_of(at)),
            idle_by.map(|(since, idle)| ground.nanos_of(since + idle)),
            closing,
            self.drain_by.filter(|_| self.is_open()),
            self.write_by,
            self.wishes.front().map(|wish| wish.by),
        ];
        let strands = self.strands.values().filter_map(Strand::next_at);
        all.into_iter().flatten().chain(strands).min()
    }

    /// Whether a user holds it.
    pub(crate) const fn is_used(&self) -> bool {
        self.users > 0
    }

    /// The process slept: that is no idleness.
    pub(crate) fn excuse(&mut self, slept: Duration, now: Instant) {
        if let Some(since) = &mut self.idle_since {
            *since = (*since + slept).min(now);
        }
        for by in [&mut self.write_by, &mut self.drain_by]
            .into_iter()
            .flatten()
        {
            *by += slept.as_nanos() as u64;
        }
    }
}

fn lost_wakeup(ground: &mut Ground) -> bool {
    let Some(Plant::LoseWakeups(left)) = &mut ground.config.plant else {
        return false;
    };
    let lost = *left > 0;
    *left = left.saturating_sub(1);
    lost
}

pub(crate) fn outbound_max(ground: &Ground) -> usize {
    ground.config.session.outbound_streams_max
}
