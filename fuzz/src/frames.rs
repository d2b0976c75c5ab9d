//! Yamux frames of a peer that knows the format and keeps no promise, against a reference that sees the wire only: which
//! frame ends the connection, what may be sent, what is read.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_session::{Code, Config, Event, Key, Mux, Read, Records, Role, StreamError};
use carrick_wire::yamux::{DATA_MAX, Flags, HEADER_LEN, Header, INITIAL_WINDOW, Kind};

use crate::{
    pair::{PLAIN, YAMUX},
    source::Source,
    target::{EPOCH, Target},
};

/// Every target of this file.
pub const TARGETS: [Target; 1] = [("yamux_model", run)];

/// A frame's header as it may come, valid or not. Small ids, so that streams are met again; lengths at every edge.
pub(crate) fn header(source: &mut Source<'_>) -> [u8; HEADER_LEN] {
    let kinds = [0, 0, 0, 1, 1, 2, 3, 0, 1, 4, 255];
    let (kind, flags) = (source.one(&kinds), source.u8());
    let id = u32::from(source.u8() % 12);
    let lengths = [
        0,
        1,
        100,
        5000,
        INITIAL_WINDOW / 4,
        INITIAL_WINDOW - 1,
        INITIAL_WINDOW,
        INITIAL_WINDOW + 1,
        DATA_MAX,
        DATA_MAX + 1,
        u32::MAX - INITIAL_WINDOW,
        u32::MAX - INITIAL_WINDOW + 1,
        u32::MAX,
        2,
        3,
    ];
    let length = source.one(&lengths);
    let version = u8::from(flags == 0xff);
    // Now and then a flag that the spec does not have.
    let high = u8::from(flags & 0xf0 == 0xf0);
    let mut bytes = [version, kind, high, flags & 0x0f, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[4..8].copy_from_slice(&id.to_be_bytes());
    bytes[8..].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// One stream, as the wire shows it.
#[derive(Debug, Default)]
struct Seen {
    key: Option<Key>,
    /// What the peer may still send.
    granted: u32,
    /// What the muxer may still send.
    credit: u64,
    /// What the peer sent and the muxer took.
    arrived: usize,
    read: usize,
    /// The peer has ended its side.
    fin: bool,
    /// The muxer has.
    finished: bool,
    /// Either has reset it.
    dead: bool,
    /// Its user gave it up.
    deaf: bool,
    released: bool,
    answered: bool,
}

/// A listening muxer and its reference.
struct World {
    mux: Mux,
    now: Instant,
    streams: BTreeMap<u32, Seen>,
    /// Streams that the muxer has opened and not named yet.
    unnamed: Vec<Key>,
    inbound_max: usize,
    window_max: u32,
    last_id: u32,
    empty: usize,
}

/// Any frames and any calls.
fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let inbound_max = source.one(&[6, 1, 2]);
    let window_max = source.one(&[1 << 20, INITIAL_WINDOW]);
    let config = Config {
        inbound_streams_max: inbound_max,
        outbound_streams_max: 4,
        stream_window_max: window_max,
        window_budget: source.one(&[1 << 20, 0]),
        ..Config::default()
    };
    let now = *EPOCH;
    let mut world = World {
        mux: Mux::new(&YAMUX, Role::Listener, &config, PLAIN, now, None).expect("yamux"),
        now,
        streams: BTreeMap::new(),
        unnamed: Vec::new(),
        inbound_max,
        window_max,
        last_id: 0,
        empty: 0,
    };
    let mut bytes = 8 << 20;
    while !source.is_empty() && bytes > 0 {
        match source.u8() % 5 {
            0..=2 => {
                let header = header(&mut source);
                let chunk = source.one(&[1 << 20, 1000, 70_000]);
                if !world.frame(header, chunk, &mut bytes) {
                    return;
                }
            }
            3 => world.call(&mut source),
            _ => {
                world.now += Duration::from_secs(u64::from(source.u8() % 8));
                if world.mux.handle_timeout(world.now).is_err() {
                    return;
                }
            }
        }
        world.look();
    }
    world.end();
}

impl World {
    /// Gives the muxer a frame; false: that was the end, as the reference says, too.
    fn frame(&mut self, bytes: [u8; HEADER_LEN], chunk: usize, left: &mut usize) -> bool {
        if self.empty > EMPTY_MAX {
            return false;
        }
        let verdict = self.judge(&bytes);
        let taken = self.mux.recv(self.now, Bytes::copy_from_slice(&bytes));
        assert_eq!(taken.is_ok(), verdict.is_some(), "{bytes:?}: {taken:?}");
        let Some(body) = verdict else {
            self.look();
            return false;
        };
        let body = vec![7; body as usize];
        *left = left.saturating_sub(body.len() + 64);
        for piece in body.chunks(chunk) {
            let taken = self.mux.recv(self.now, Bytes::copy_from_slice(piece));
            assert!(taken.is_ok(), "a body breaks no rule that its header kept");
        }
        if let Ok(header) = Header::decode(&bytes)
            && header.kind == Kind::Data
            && header.length > 0
            && header.flags.contains(Flags::FIN)
            && !header.flags.contains(Flags::RST)
            && let Some(seen) = self.streams.get_mut(&header.stream)
        {
            seen.fin |= !seen.dead;
        }
        true
    }

    /// What a receiver must do: `None`, end the connection, or take a body of so many bytes.
    fn judge(&mut self, bytes: &[u8; HEADER_LEN]) -> Option<u32> {
        let header = Header::decode(bytes).ok()?;
        let Header {
            kind,
            flags,
            stream: id,
            length,
        } = header;
        match kind {
            Kind::Ping => return Some(0),
            Kind::GoAway => return (!matches!(length, 1 | 2)).then_some(0),
            Kind::Data | Kind::WindowUpdate => {}
        }
        self.forget();
        if flags.contains(Flags::SYN) {
            if id.is_multiple_of(2) || self.streams.contains_key(&id) {
                return None;
            }
            let inbound = self.streams.keys().filter(|id| **id % 2 == 1).count();
            if inbound < self.inbound_max {
                self.streams.insert(id, Seen::new(None));
            }
        }
        if length == 0 && flags == Flags::EMPTY {
            self.empty += 1;
        }
        let mut known = self.streams.get_mut(&id);
        if flags.contains(Flags::RST)
            && let Some(seen) = known.take()
        {
            seen.dead = true;
        }
        let body = if kind == Kind::Data { length } else { 0 };
        let Some(seen) = known else {
            // Nobody grants more than this.
            return (body <= self.window_max).then_some(body);
        };
        if kind == Kind::WindowUpdate {
            // Nobody has granted more than fits the sender's count.
            seen.credit += u64::from(length);
            (seen.credit <= u64::from(u32::MAX)).then_some(())?;
        }
        seen.granted = seen.granted.checked_sub(body)?;
        if !seen.fin && !seen.dead && !seen.deaf {
            seen.arrived += body as usize;
        }
        if body == 0 && flags.contains(Flags::FIN) {
            seen.fin |= !seen.dead;
        }
        Some(body)
    }

    /// What the user of a stream does.
    fn call(&mut self, source: &mut Source<'_>) {
        let (op, which, len) = (source.u8() % 8, source.u8(), source.u16());
        let mut keys: Vec<_> = self.unnamed.iter().map(|key| (None, *key)).collect();
        let live = self.streams.iter().filter(|(_, seen)| !seen.released);
        keys.extend(live.filter_map(|(id, seen)| Some((Some(*id), seen.key?))));
        let Some(&(id, key)) = keys.get(usize::from(which) % keys.len().max(1)) else {
            return self.unnamed.extend(self.mux.open());
        };
        match op {
            0 => self.unnamed.extend(self.mux.open()),
            1 | 2 => {
                let written = self.mux.write(key, b"head", &vec![3; usize::from(len) * 8]);
                if written.is_ok_and(|written| written.is_some()) && id.is_none() {
                    self.name(key);
                }
            }
            3 => self.read(id, key),
            4 => {
                if self.mux.finish(key).is_ok() && id.is_none() {
                    self.name(key);
                }
            }
            5 | 6 => {
                let code = Code(u32::from(len));
                match op {
                    5 => self.mux.reset(key, code),
                    _ => self.mux.stop(self.now, key, code),
                }
                if let Some(seen) = id.and_then(|id| self.streams.get_mut(&id)) {
                    seen.deaf = true;
                } else {
                    self.drop_unnamed(key);
                }
            }
            _ => {
                if let Some(seen) = id.and_then(|id| self.streams.get_mut(&id)) {
                    self.mux.release(self.now, key);
                    (seen.released, seen.deaf) = (true, true);
                } else {
                    self.drop_unnamed(key);
                }
            }
        }
    }

    /// A stream that never was on the wire, and never will be.
    fn drop_unnamed(&mut self, key: Key) {
        self.mux.release(self.now, key);
        self.unnamed.retain(|other| *other != key);
    }

    /// The stream's first frame is queued: it has the next id.
    fn name(&mut self, key: Key) {
        self.unnamed.retain(|other| *other != key);
        self.last_id += 2;
        self.streams.insert(self.last_id, Seen::new(Some(key)));
    }

    fn read(&mut self, id: Option<u32>, key: Key) {
        let read = self.mux.read(self.now, key);
        let Some(seen) = id.and_then(|id| self.streams.get_mut(&id)) else {
            assert_eq!(read, Ok(Read::Blocked), "nobody knows of it yet");
            return;
        };
        match read {
            Ok(Read::Data(data)) => {
                assert!(!data.is_empty());
                seen.read += data.len();
                assert!(seen.read <= seen.arrived, "no more than was sent");
            }
            Ok(Read::End) => {
                assert!(seen.fin, "only a FIN ends");
                assert!(seen.deaf || seen.read == seen.arrived, "after all bytes");
            }
            Ok(Read::Blocked) => {
                assert!(!seen.fin && !seen.dead);
                assert!(
                    seen.deaf || seen.read == seen.arrived,
                    "nothing is kept back"
                );
            }
            Err(StreamError::ResetLocally(_)) => assert!(seen.deaf || seen.dead),
            Err(error) => assert!(seen.dead, "{error}"),
        }
    }

    /// Drains events and checks all that the muxer sends.
    fn look(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            if let Event::Incoming(key) = event {
                let mut fresh = self.streams.iter_mut();
                let fresh = fresh.find(|(id, seen)| **id % 2 == 1 && seen.key.is_none());
                fresh.expect("a SYN came").1.key = Some(key);
            }
        }
        let mut records = Records::new(PLAIN);
        self.mux.poll_transmit(&mut records);
        let mut rest = records.as_slice();
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() {
            let header = Header::decode(header).expect("we keep to the format");
            rest = after;
            if header.kind == Kind::Data {
                rest = rest.get(header.length as usize..).expect("whole frames");
            }
            self.sent(header);
        }
        assert!(rest.is_empty(), "whole frames");
        self.forget();
    }

    /// Checks one frame of the muxer's.
    fn sent(&mut self, header: Header) {
        let Header {
            kind,
            flags,
            stream: id,
            length,
        } = header;
        if !matches!(kind, Kind::Data | Kind::WindowUpdate) {
            return;
        }
        let Some(seen) = self.streams.get_mut(&id) else {
            assert!(
                flags.contains(Flags::RST),
                "only refusals name unknown streams"
            );
            return;
        };
        assert_eq!(
            flags.contains(Flags::SYN),
            id.is_multiple_of(2) && !seen.answered,
            "the first frame opens"
        );
        if id % 2 == 1 && !flags.contains(Flags::RST) {
            assert_eq!(
                flags.contains(Flags::ACK),
                !seen.answered,
                "the first frame answers"
            );
        }
        seen.answered = true;
        match kind {
            Kind::Data => {
                assert!(!seen.finished || length == 0, "nothing after the end");
                seen.credit = seen
                    .credit
                    .checked_sub(u64::from(length))
                    .expect("within the window");
                seen.finished |= flags.contains(Flags::FIN);
            }
            _ if flags.contains(Flags::RST) => seen.dead = true,
            _ => {
                seen.granted = seen.granted.checked_add(length).expect("a window fits");
                assert!(seen.granted <= self.window_max, "a window has a bound");
            }
        }
    }

    /// A stream that both sides and its user are done with has no id any more.
    fn forget(&mut self) {
        self.streams.retain(|_, seen| {
            let over = seen.dead || seen.fin && seen.finished;
            !(seen.released && over)
        });
    }

    fn end(mut self) {
        self.look();
        self.mux.lose();
        let keys = self.streams.values().filter(|seen| !seen.released);
        let keys = keys.filter_map(|seen| seen.key).chain(self.unnamed);
        for key in keys {
            self.mux.release(self.now, key);
        }
        assert_eq!(self.mux.streams(), 0, "nothing remains");
    }
}

impl Seen {
    fn new(key: Option<Key>) -> Self {
        Self {
            key,
            granted: INITIAL_WINDOW,
            credit: u64::from(INITIAL_WINDOW),
            ..Self::default()
        }
    }
}

/// Frames without a purpose that a receiver bears.
const EMPTY_MAX: usize = 900;
