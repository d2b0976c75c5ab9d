//! What all hosts stand on: time, chance, the agenda, the network between them, the trace and the laws.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use carrick_wire::{Multiaddr, PeerId, Protocol};

use crate::{
    agenda::{Agenda, AlarmOf, Due},
    book::Book,
    chance::Chance,
    config::{Config, Plant},
    laws::{Law, Laws},
    pipe::{Got, Lane, Pipe, PipeId, Side, User},
    trace::Trace,
};

mod faults;

/// What a read gives at most.
const READ_MAX: usize = 64 << 10;
const BUFFER: usize = 256 << 10;
/// Resending what was lost takes at least so long, nanoseconds.
const RESEND: u64 = 200_000_000;
const MICRO: u64 = 1000;
/// Events of one moment.
const AT_ONCE_MAX: u32 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
/// After a suspension, timers wait so long while what has come is read.
pub(crate) const GRACE: u64 = SECOND;

/// What is between two hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Nanoseconds.
    pub(crate) latency: u64,
    pub(crate) jitter: u64,
    /// Bytes each second; 0: no limit.
    pub(crate) bandwidth: u64,
    /// Times as slow as it was made.
    pub(crate) slowness: u64,
}

#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) seed: u64,
    pub(crate) config: Config,
    start: Instant,
    now: u64,
    /// Events since time has moved.
    at_once: u32,
    agenda: Agenda,
    pub(crate) chance: Chance,
    pub(crate) trace: Trace,
    pub(crate) laws: Laws,
    pub(crate) pipes: BTreeMap<PipeId, Pipe>,
    next_pipe: u64,
    links: BTreeMap<(usize, usize), Link>,
    /// How many cuts there are between two hosts.
    cuts: BTreeMap<(usize, usize), u32>,
    /// Hosts without power or network.
    pub(crate) dark: BTreeSet<usize>,
    /// The last time that something was done to it.
    pub(crate) disturbed: u64,
    /// Who lives on which host.
    pub(crate) peers: Vec<PeerId>,
    /// When a host began, or went on after it had stood still.
    pub(crate) disturbed_hosts: BTreeMap<usize, u64>,
    /// Everybody has been told to go: what fails now is nobody's fault.
    pub(crate) is_over: bool,
    pub(crate) book: Book,
    pub(crate) planted: u64,
}

impl Ground {
    pub(crate) fn new(seed: u64, config: Config) -> Self {
        Self {
            seed,
            config,
            start: beginning(),
            now: 0,
            at_once: 0,
            agenda: Agenda::default(),
            chance: Chance::of(seed, 0),
            trace: Trace::default(),
            laws: Laws::default(),
            pipes: BTreeMap::new(),
            next_pipe: 0,
            links: BTreeMap::new(),
            cuts: BTreeMap::new(),
            dark: BTreeSet::new(),
            disturbed: 0,
            peers: Vec::new(),
            disturbed_hosts: BTreeMap::new(),
            is_over: false,
            book: Book::default(),
            planted: 0,
        }
    }

    /// Nanoseconds since the beginning.
    pub(crate) const fn nanos(&self) -> u64 {
        self.now
    }

    pub(crate) fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.now)
    }

    pub(crate) fn nanos_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    #[track_caller]
    pub(crate) fn hold(&mut self, law: Law, holds: bool, how: impl FnOnce() -> String) -> bool {
        self.laws.hold(law, holds, how)
    }

    pub(crate) fn step(&mut self, host: usize, text: &'static str, numbers: &[u64]) {
        self.trace.step(self.now, Some(host), text, numbers);
    }

    pub(crate) fn say(&mut self, host: Option<usize>, text: String) {
        self.trace.say(self.now, host, text);
    }

    pub(crate) fn schedule(&mut self, at: u64, due: Due) {
        let salt = (self.chance.draw() >> 32) as u32;
        self.agenda.push(at.max(self.now), salt, due);
    }

    pub(crate) fn schedule_alarm(&mut self, at: u64, host: usize, life: u32, of: AlarmOf) {
        self.schedule(at, Due::Alarm { host, life, of });
    }

    /// Goes to the next thing that is due by `until`, or there.
    pub(crate) fn next(&mut self, until: u64) -> Option<Due> {
        let Some((at, due)) = self.agenda.pop(until) else {
            self.now = self.now.max(until);
            return None;
        };
        let now = self.now;
        self.hold(Law::TimeGoesForward, at >= now, || {
            format!("from {now} to {at}")
        });
        self.at_once = if at > now { 0 } else { self.at_once + 1 };
        let at_once = self.at_once;
        self.hold(Law::TimeMovesOn, at_once < AT_ONCE_MAX, || {
            format!("{at_once} events at {now}, now {due:?}")
        });
        self.now = at.max(now);
        Some(due)
    }

    pub(crate) fn link(&mut self, a: usize, b: usize) -> &mut Link {
        let pair = (a.min(b), a.max(b));
        let (seed, faults) = (self.seed, self.config.faults);
        self.links.entry(pair).or_insert_with(|| {
            let part = (pair.0 as u64) << 32 | pair.1 as u64;
            let chance = &mut Chance::of(seed ^ 0x11, part);
            let bandwidth = match faults.bandwidth_min {
                0 => 0,
                min => chance.magnitude(min, 125_000_000),
            };
            Link {
                latency: chance.between(50, 50 + faults.latency_max_us) * MICRO,
                jitter: chance.below(faults.jitter_max_us + 1) * MICRO,
                bandwidth,
                slowness: 1,
            }
        })
    }

    /// A new pipe. What is first said on it is a knock.
    pub(crate) fn make_pipe(
        &mut self,
        dialer: (usize, u32),
        attempt: u64,
        listener: usize,
    ) -> PipeId {
        let id = PipeId(self.next_pipe);
        self.next_pipe += 1;
        let capacity = match self.config.faults.buffer {
            0 => BUFFER,
            bytes => bytes as usize,
        };
        let users = [User::Attempt(attempt), User::Nobody];
        let mut pipe = Pipe::new([dialer, (listener, 0)], users, capacity);
        pipe.reached_at = self.now;
        self.pipes.insert(id, pipe);
        let at = self.now + self.delay(dialer.0, listener);
        self.schedule(at, Due::Knock(id));
        id
    }

    /// How long a piece takes between two hosts.
    pub(crate) fn delay(&mut self, a: usize, b: usize) -> u64 {
        let link = *self.link(a, b);
        let lost = self.config.faults.loss;
        let jitter = self.chance.below(link.jitter + 1);
        let mut delay = (link.latency + jitter) * link.slowness;
        while lost > 0 && self.chance.odds(lost) {
            delay += RESEND;
        }
        delay
    }

    /// Puts bytes onto a pipe, as many as it has room for; `None`: it is broken.
    pub(crate) fn write(&mut self, id: PipeId, from: Side, bytes: &[u8]) -> Option<usize> {
        let pipe = self.pipes.get_mut(&id)?;
        if pipe.end(from).is_broken {
            return None;
        }
        let hosts = (pipe.end(from).host, pipe.end(from.other()).host);
        let lane = pipe.lane_to(from.other());
        let room = lane.capacity.saturating_sub(lane.held);
        let taken = room.min(bytes.len());
        lane.wants_room |= taken < bytes.len();
        lane.taken += taken as u64;
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let piece_max = self.config.faults.piece_max;
            let size = match piece_max {
                0 => rest.len(),
                // Small batches are cut anywhere, large ones are not cut into crumbs.
                _ => self
                    .chance
                    .between(1, piece_max.max(rest.len() as u64 / 8))
                    .min(rest.len() as u64) as usize,
            };
            let piece = Bytes::copy_from_slice(&rest[..size]);
            rest = &rest[size..];
            self.send(id, from, hosts, piece);
        }
        let lane = self.pipes.get_mut(&id)?.lane_to(from.other());
        let (held, capacity) = (lane.held, lane.capacity);
        self.hold(Law::PipeIsBounded, held <= capacity, || {
            format!("{held} of {capacity} bytes")
        });
        Some(taken)
    }

    fn send(&mut self, id: PipeId, from: Side, hosts: (usize, usize), piece: Bytes) {
        let delay = self.delay(hosts.0, hosts.1);
        let (now, link) = (self.now, *self.link(hosts.0, hosts.1));
        let reorders = self.config.plant == Some(Plant::ReorderPipe);
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        let lane = pipe.lane_to(from.other());
        let begins = lane.free_at.max(now);
        let takes = (piece.len() as u64 * SECOND).checked_div(link.bandwidth);
        if let Some(takes) = takes {
            lane.free_at = begins + takes * link.slowness;
        }
        let at = lane.last_at.max(begins.max(lane.free_at) + delay);
        lane.last_at = at;
        lane.held += piece.len();
        if lane.is_hole {
            return;
        }
        lane.queue.push_back((at, piece));
        let len = lane.queue.len();
        if reorders && len > 1 {
            let last = lane.queue[len - 1].1.clone();
            lane.queue[len - 1].1 = std::mem::replace(&mut lane.queue[len - 2].1, last);
        }
        self.arm(id, from.other());
    }

    /// This side sends no more.
    pub(crate) fn finish(&mut self, id: PipeId, from: Side) {
        let Some(pipe) = self.pipes.get(&id) else {
            return;
        };
        let hosts = (pipe.end(from).host, pipe.end(from.other()).host);
        let at = self.now + self.delay(hosts.0, hosts.1);
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        let lane = pipe.lane_to(from.other());
        if lane.end_at.is_none() && !lane.is_hole {
            lane.end_at = Some(at.max(lane.last_at));
            self.arm(id, from.other());
        }
    }

    /// This side is gone: it sends no more, and what comes for it is refused.
    pub(crate) fn close(&mut self, id: PipeId, side: Side) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        let was_open = std::mem::replace(&mut pipe.end_mut(side).is_open, false);
        pipe.end_mut(side).user = User::Nobody;
        let unread = pipe.lane_to(side).held > 0;
        self.hold(Law::PipeEndsOnce, was_open, || format!("{id:?} {side:?}"));
        if unread {
            self.break_end(id, side.other());
        } else {
            self.finish(id, side);
        }
        self.forget_if_over(id);
    }

    /// The process of this side was killed; `silently`: nobody is told.
    pub(crate) fn abandon(&mut self, id: PipeId, side: Side, silently: bool) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        pipe.tainted = true;
        pipe.end_mut(side).is_open = false;
        pipe.end_mut(side).user = User::Nobody;
        if silently {
            pipe.lane_to(side.other()).drop_all();
        } else if pipe.lane_to(side).held > 0 {
            self.break_end(id, side.other());
        } else {
            self.finish(id, side);
        }
        self.forget_if_over(id);
    }

    /// A reset is sent to this side.
    pub(crate) fn break_end(&mut self, id: PipeId, side: Side) {
        let Some(pipe) = self.pipes.get(&id) else {
            return;
        };
        if !pipe.end(side).is_open || pipe.end(side).is_broken {
            return;
        }
        let hosts = (pipe.end(side).host, pipe.end(side.other()).host);
        let at = self.now + self.delay(hosts.0, hosts.1);
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        pipe.end_mut(side).is_broken = true;
        let lane = pipe.lane_to(side);
        lane.drop_all();
        lane.armed = Some(at);
        self.schedule(at, Due::Arrive(id, side));
        // Whoever waits for room hears of it, too.
        self.schedule(at, Due::Room(id, side));
    }

    /// What has come to this side.
    pub(crate) fn read(&mut self, id: PipeId, side: Side) -> Got {
        let now = self.now;
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return Got::Broken;
        };
        if pipe.end(side).is_broken {
            return Got::Broken;
        }
        let hosts = (pipe.ends[0].host, pipe.ends[1].host);
        if hosts.0 != hosts.1 && self.is_cut(hosts.0, hosts.1) {
            // Whoever looks for another reason finds nothing either, until the way is mended.
            return Got::Nothing;
        }
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return Got::Broken;
        };
        let Some(first) = pipe.lane_to(side).take(now, READ_MAX) else {
            let lane = pipe.lane_to(side);
            let ended = lane.queue.is_empty() && lane.end_at.is_some_and(|at| at <= now);
            if !ended {
                self.arm(id, side);
                return Got::Nothing;
            }
            let (taken, given, hole) = (lane.taken, lane.given, lane.is_hole);
            let whole = taken == given || hole || pipe.tainted;
            self.hold(Law::PipeKeepsBytes, whole, || {
                format!("{given} of {taken} bytes came")
            });
            return Got::End;
        };
        let lane = pipe.lane_to(side);
        let bytes = gather(lane, now, first);
        let ordered = !lane.is_disordered;
        if lane.wants_room && lane.held <= lane.capacity / 2 {
            lane.wants_room = false;
            let hosts = (pipe.ends[0].host, pipe.ends[1].host);
            let at = now + self.link(hosts.0, hosts.1).latency;
            self.schedule(at, Due::Room(id, side.other()));
        }
        self.hold(Law::PipeKeepsOrder, ordered, || format!("{id:?}"));
        Got::Bytes(bytes)
    }

    /// An arrival is in the agenda if there is something that will come.
    fn arm(&mut self, id: PipeId, side: Side) {
        let now = self.now;
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        let lane = pipe.lane_to(side);
        if lane.armed.is_none()
            && let Some(at) = lane.next_at()
        {
            let at = at.max(now);
            lane.armed = Some(at);
            self.schedule(at, Due::Arrive(id, side));
        }
    }

    /// Whether an arrival concerns somebody: false while the way is cut, and when nobody is there.
    pub(crate) fn arrives(&mut self, id: PipeId, side: Side) -> bool {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return false;
        };
        pipe.lane_to(side).armed = None;
        let hosts = (pipe.ends[0].host, pipe.ends[1].host);
        if self.is_cut(hosts.0, hosts.1) && hosts.0 != hosts.1 {
            return false;
        }
        let now = self.now;
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return false;
        };
        if pipe.end(side).is_open {
            return true;
        }
        let lane = pipe.lane_to(side);
        let mut had_bytes = false;
        while lane.take(now, READ_MAX).is_some() {
            had_bytes = true;
        }
        if had_bytes {
            self.break_end(id, side.other());
        } else if !lane.queue.is_empty() {
            self.arm(id, side);
        }
        false
    }

    /// The pipe is there as long as somebody has an end of it.
    pub(crate) fn forget_if_over(&mut self, id: PipeId) {
        let over = |pipe: &Pipe| pipe.ends.iter().all(|end| !end.is_open);
        if self.pipes.get(&id).is_some_and(over) {
            self.pipes.remove(&id);
        }
    }
}

fn gather(lane: &mut Lane, now: u64, first: Bytes) -> Bytes {
    let more = lane.queue.front().is_some_and(|(at, _)| *at <= now);
    if !more {
        return first;
    }
    let mut all = BytesMut::from(&first[..]);
    while all.len() < READ_MAX
        && let Some(next) = lane.take(now, READ_MAX - all.len())
    {
        all.extend_from_slice(&next);
    }
    all.freeze()
}

/// Where a host listens. Each is in a network of its own, in the world.
pub(crate) fn address_of(host: usize) -> Multiaddr {
    Multiaddr::empty()
        .with(Protocol::Ip4(ip_of(host).into()))
        .with(Protocol::Tcp(4001))
}

/// Whose address this is.
pub(crate) fn host_at(address: &Multiaddr) -> Option<usize> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => {
            let [net, high, low, _] = ip.octets();
            (net == NET).then(|| usize::from(high) << 8 | usize::from(low))
        }
        _ => None,
    }
}

/// Where a dial of this host comes from.
pub(crate) fn leaves_from(host: usize, pipe: PipeId) -> Multiaddr {
    let port = 20_000 + (pipe.0 % 40_000) as u16;
    Multiaddr::empty()
        .with(Protocol::Ip4(ip_of(host).into()))
        .with(Protocol::Tcp(port))
}

const NET: u8 = 11;

fn ip_of(host: usize) -> [u8; 4] {
    [NET, (host >> 8) as u8, host as u8, 1]
}

/// The one look at a real clock: a moment cannot be made up. Only differences to it are ever seen.
#[expect(
    clippy::disallowed_methods,
    reason = "a made-up clock has to start somewhere"
)]
fn beginning() -> Instant {
    Instant::now() + Duration::from_secs(1 << 20)
}
