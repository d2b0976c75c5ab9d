//! The muxer alone: frames that were made by hand go in, what comes out is forgotten; and two muxers joined, with idle
//! streams beside the one that is counted.

use bytes::Bytes;
use carrick_session::{Config, Event, Key, Layout, Mux, Read, Records, Role};
use carrick_wire::{
    ProtocolId,
    yamux::{Flags, Header, Kind},
};
use std::{hint::black_box, time::Instant};

/// That of Noise.
const LAYOUT: Layout = Layout {
    head: 2,
    body_max: 65519,
    tail: 16,
};
/// What a dialer says first on a stream: multistream's header, a protocol, some data.
const FIRST: &[u8] = b"\x13/multistream/1.0.0\n\x0c/echo/1.0.0\n0123456789abcdef";
/// More than any case has.
const STREAMS_MAX: usize = 20_000;

struct End {
    mux: Mux,
    now: Instant,
    spare: Records,
}

impl End {
    fn new(role: Role) -> Self {
        let config = Config {
            inbound_streams_max: STREAMS_MAX,
            outbound_streams_max: STREAMS_MAX,
            ..Config::default()
        };
        let now = Instant::now();
        let yamux = ProtocolId::from_static("/yamux/1.0.0");
        let mux = Mux::new(&yamux, role, &config, LAYOUT, now, None);
        Self {
            mux: mux.expect("there is such a muxer"),
            now,
            spare: Records::new(LAYOUT),
        }
    }

    fn recv(&mut self, frame: Bytes) {
        self.mux.recv(self.now, frame).expect("honest frames");
    }

    /// The stream that the peer has just opened.
    fn incoming(&mut self) -> Key {
        loop {
            match self.mux.poll_event().expect("a stream came in") {
                Event::Incoming(key) => return key,
                _ => continue,
            }
        }
    }

    /// Reads until there is no more, and says whether that was the end.
    fn read(&mut self, key: Key) -> bool {
        loop {
            match self.mux.read(self.now, key).expect("nobody resets") {
                Read::Data(bytes) => drop(black_box(bytes)),
                Read::End => return true,
                Read::Blocked => return false,
            }
        }
    }

    fn write(&mut self, key: Key, mut data: &[u8]) {
        while !data.is_empty() {
            let written = self.mux.write(key, b"", data).expect("nobody resets");
            data = &data[written.expect("there is room")..];
        }
    }

    /// Finishes, reads the peer's end and lets go.
    fn close(&mut self, key: Key) {
        assert!(self.read(key), "the peer has finished");
        self.mux.release(self.now, key);
    }

    /// Does as the shell does after every call, and loses what was to be sent.
    fn drain(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            black_box(event);
        }
        if self.mux.wants_transmit() && self.mux.poll_transmit(&mut self.spare) {
            black_box(self.spare.as_slice());
            self.spare.clear();
        }
    }
}

fn frame(kind: Kind, flags: Flags, stream: u32, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len()).expect("short bodies");
    let mut frame = header(kind, flags, stream, length).to_vec();
    frame.extend_from_slice(body);
    frame.into()
}

fn header(kind: Kind, flags: Flags, stream: u32, length: u32) -> [u8; 12] {
    Header {
        kind,
        flags,
        stream,
        length,
    }
    .encode()
}

/// A listener with one stream, which the peer opened and lets it write without end.
fn accepted() -> (End, Key) {
    let mut end = End::new(Role::Listener);
    end.recv(frame(Kind::Data, Flags::SYN, 1, FIRST));
    let key = end.incoming();
    end.read(key);
    let all = u32::MAX - (256 << 10);
    end.recv(
        header(Kind::WindowUpdate, Flags::EMPTY, 1, all)
            .to_vec()
            .into(),
    );
    end.write(key, b"yes");
    end.drain();
    (end, key)
}

/// Frames of `len` bytes that arrive whole and are read at once.
pub(crate) fn frames_in(len: usize, times: usize) {
    let (mut end, key) = accepted();
    let data = frame(Kind::Data, Flags::EMPTY, 1, &vec![7; len]);
    for _ in 0..times {
        end.recv(data.clone());
        end.read(key);
        end.drain();
    }
}

/// Writes of `len` bytes, each of which is sent at once.
pub(crate) fn frames_out(len: usize, times: usize) {
    let (mut end, key) = accepted();
    let data = vec![7; len];
    for _ in 0..times {
        end.write(key, &data);
        end.drain();
    }
}

/// Streams that we open: a first frame, an answer, both ends.
pub(crate) fn opens(times: usize) {
    let mut end = End::new(Role::Dialer);
    for id in (1..).step_by(2).take(times) {
        let key = end.mux.open().expect("there is room");
        end.write(key, FIRST);
        end.mux.finish(key).expect("it is open");
        end.drain();
        end.read(key);
        end.recv(frame(Kind::Data, Flags::ACK | Flags::FIN, id, FIRST));
        end.close(key);
        end.drain();
    }
}

/// Streams that the peer opens: the same from the other side.
pub(crate) fn accepts(times: usize) {
    let mut end = End::new(Role::Listener);
    for id in (1..).step_by(2).take(times) {
        end.recv(frame(Kind::Data, Flags::SYN | Flags::FIN, id, FIRST));
        let key = end.incoming();
        end.write(key, FIRST);
        end.mux.finish(key).expect("it is open");
        end.close(key);
        end.drain();
    }
}

/// Two muxers, and as many idle streams between them as were asked for, each side having opened half of them.
struct Pair {
    ends: [End; 2],
}

impl Pair {
    fn among(idle: usize) -> Self {
        let ends = [Role::Dialer, Role::Listener].map(End::new);
        let mut pair = Self { ends };
        for nth in 0..idle {
            pair.stream(nth % 2);
        }
        pair
    }

    /// What one end has to send, to the other.
    fn pass(&mut self, from: usize) {
        let end = &mut self.ends[from];
        let mut bytes = Bytes::new();
        if end.mux.poll_transmit(&mut end.spare) {
            // One record of this size is its plaintext between head and tail; none here is longer.
            let all = end.spare.as_slice();
            bytes = plain(all);
            end.spare.clear();
        }
        if !bytes.is_empty() {
            self.ends[1 - from].recv(bytes);
        }
    }

    /// A stream on which both have said something, at its opener and at the other.
    fn stream(&mut self, from: usize) -> (Key, Key) {
        let ours = self.ends[from].mux.open().expect("there is room");
        self.ends[from].write(ours, FIRST);
        self.pass(from);
        let theirs = self.ends[1 - from].incoming();
        self.ends[1 - from].read(theirs);
        self.ends[1 - from].write(theirs, FIRST);
        self.pass(1 - from);
        self.ends[from].read(ours);
        self.ends.iter_mut().for_each(End::drain);
        (ours, theirs)
    }
}

/// What stands in whole records; the last one may not be sealed yet, and then has no tail.
fn plain(mut records: &[u8]) -> Bytes {
    let mut plain = Vec::with_capacity(records.len());
    while !records.is_empty() {
        let len = records.len().min(LAYOUT.head + LAYOUT.body_max);
        plain.extend_from_slice(&records[LAYOUT.head..len]);
        let next = records.len().min(len + LAYOUT.tail);
        records = &records[next..];
    }
    plain.into()
}

/// Messages on one stream.
pub(crate) fn messages_among(idle: usize, times: usize) {
    write_among(idle, 64, times);
}

/// Large writes on one stream.
pub(crate) fn bulk_among(idle: usize, times: usize) {
    write_among(idle, 64 << 10, times);
}

fn write_among(idle: usize, len: usize, times: usize) {
    let mut pair = Pair::among(idle);
    let (ours, theirs) = pair.stream(0);
    let data = vec![7; len];
    for _ in 0..times {
        pair.ends[0].write(ours, &data);
        pair.pass(0);
        pair.ends[1].read(theirs);
        pair.pass(1);
    }
}

/// Streams that live and go.
pub(crate) fn opens_among(idle: usize, times: usize) {
    let mut pair = Pair::among(idle);
    for _ in 0..times {
        let (ours, theirs) = pair.stream(0);
        pair.ends[0].mux.finish(ours).expect("it is open");
        pair.pass(0);
        pair.ends[1].mux.finish(theirs).expect("it is open");
        pair.ends[1].close(theirs);
        pair.pass(1);
        pair.ends[0].close(ours);
        pair.ends.iter_mut().for_each(End::drain);
    }
}
