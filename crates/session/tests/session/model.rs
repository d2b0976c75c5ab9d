//! A reference for two muxers: each stream is two byte queues, and whoever waits must be woken.

use std::{collections::VecDeque, time::Duration};

use carrick_session::{Code, Event, Key, OpenError, Read, StreamError};

use crate::pair::{DIALER, LISTENER, Pair};

/// Two ends, used at random and compared with what they must do.
pub(crate) struct Model {
    pair: Pair,
    streams: Vec<Stream>,
    /// Streams that each end has announced and the other has not seen yet.
    announced: [VecDeque<usize>; 2],
}

/// One stream as both its users see it.
struct Stream {
    opener: usize,
    announced: bool,
    users: [User; 2],
}

/// What one end did with a stream. `sent` and `finished` are what its peer must read.
#[derive(Default)]
struct User {
    key: Option<Key>,
    sent: Vec<u8>,
    finished: bool,
    read: usize,
    ended: bool,
    /// It reset, stopped or released the stream.
    gave_up: bool,
    /// It stopped or reset the stream and so reads errors.
    deaf: bool,
    waits_to_read: bool,
    waits_to_write: bool,
}

impl Model {
    pub(crate) fn new(mut pair: Pair, chunk: usize) -> Self {
        pair.chunk = chunk;
        Self {
            pair,
            streams: Vec::new(),
            announced: [VecDeque::new(), VecDeque::new()],
        }
    }

    pub(crate) fn apply(&mut self, end: usize, op: u8, which: usize, len: usize) {
        let keyed: Vec<_> = (0..self.streams.len())
            .filter(|i| self.streams[*i].users[end].key.is_some())
            .collect();
        let stream = (!keyed.is_empty()).then(|| keyed[which % keyed.len()]);
        match (op, stream) {
            (0 | 1, _) | (_, None) => self.open(end),
            (2..=5, Some(stream)) => self.write(end, stream, len),
            (6..=8, Some(stream)) => self.read(end, stream),
            (9, Some(stream)) => self.finish(end, stream),
            (10, Some(stream)) => self.give_up(end, stream, len),
            (11, Some(stream)) => self.release(end, stream),
            (12, Some(_)) => self.pair.ends[end].stuck ^= true,
            (_, Some(_)) => self.pump(),
        }
        self.events();
    }

    /// Lets time pass, and what is under way arrive.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.pair.pass(time, |_| {});
        self.events();
    }

    /// Everything arrives, everything is read, everybody lets go: nothing remains.
    pub(crate) fn close(mut self) {
        self.pair.ends.iter_mut().for_each(|end| end.stuck = false);
        self.pair.latency = Duration::ZERO;
        self.pass(LATENCY_MAX);
        // As long as something comes, and then some: windows open one after the other.
        let (mut read, mut idle) = (0, 0);
        while idle < 10 {
            self.pump();
            for stream in 0..self.streams.len() {
                self.read(DIALER, stream);
                self.read(LISTENER, stream);
            }
            let users = self.streams.iter().flat_map(|stream| &stream.users);
            let now = users.map(|user| user.read).sum();
            idle = if now == read { idle + 1 } else { 0 };
            read = now;
        }
        for stream in &self.streams {
            for (reader, writer) in
                [(0, 1), (1, 0)].map(|(r, w)| (&stream.users[r], &stream.users[w]))
            {
                if reader.key.is_some() && !reader.gave_up && !writer.gave_up {
                    assert_eq!(reader.read, writer.sent.len(), "everything arrived");
                    assert_eq!(reader.ended, writer.finished, "and the end, too");
                }
            }
        }
        for stream in 0..self.streams.len() {
            self.release(DIALER, stream);
            self.release(LISTENER, stream);
        }
        self.pump();
        for stream in 0..self.streams.len() {
            self.release(DIALER, stream);
            self.release(LISTENER, stream);
        }
        self.pump();
        assert_eq!(self.pair.streams(), [0, 0]);
        assert_eq!(self.pair.violation, None);
    }

    fn open(&mut self, end: usize) {
        match self.pair.ends[end].mux.open() {
            Ok(key) => {
                let mut stream = Stream {
                    opener: end,
                    announced: false,
                    users: [User::default(), User::default()],
                };
                stream.users[end].key = Some(key);
                self.streams.push(stream);
            }
            Err(error) => assert_eq!(error, OpenError::Blocked),
        }
    }

    fn write(&mut self, end: usize, stream: usize, len: usize) {
        let Some(key) = self.streams[stream].users[end].key else {
            return;
        };
        let at = self.streams[stream].users[end].sent.len();
        let data: Vec<_> = (at..at + len).map(|i| (i % 251) as u8).collect();
        let written = self.pair.ends[end].mux.write(key, b"", &data);
        let [user, peer] = self.both(end, stream);
        match written {
            Ok(Some(n)) => {
                assert!(n > 0 || len == 0, "Some is progress");
                assert!(!user.finished);
                user.sent.extend_from_slice(&data[..n]);
                user.waits_to_write = false;
                if n > 0 {
                    self.announce(stream, end);
                }
            }
            Ok(None) => user.waits_to_write = true,
            Err(StreamError::Finished) => assert!(user.finished),
            Err(StreamError::ResetLocally(_)) => assert!(user.gave_up),
            Err(StreamError::Reset(_)) => assert!(peer.gave_up),
            Err(StreamError::ConnectionLost) => panic!("nobody lost it"),
        }
    }

    fn read(&mut self, end: usize, stream: usize) {
        let Some(key) = self.streams[stream].users[end].key else {
            return;
        };
        let (bytes, outcome) = self.pair.read_quietly(end, key);
        let [user, peer] = self.both(end, stream);
        let expected = &peer.sent[user.read..];
        assert!(
            expected.starts_with(&bytes),
            "bytes in order, none lost, none made up"
        );
        user.read += bytes.len();
        user.waits_to_read = false;
        match outcome {
            Ok(Read::Data(_)) => unreachable!("read_all goes on after data"),
            Ok(Read::Blocked) => user.waits_to_read = true,
            Ok(Read::End) => {
                assert!(peer.finished, "only a finish ends");
                assert!(
                    user.deaf || user.read == peer.sent.len(),
                    "the end comes after all bytes"
                );
                user.ended = true;
            }
            Err(StreamError::Reset(_)) => assert!(peer.gave_up),
            Err(StreamError::ResetLocally(_)) => assert!(user.deaf),
            Err(error) => panic!("{error}"),
        }
    }

    fn finish(&mut self, end: usize, stream: usize) {
        let Some(key) = self.streams[stream].users[end].key else {
            return;
        };
        if self.pair.ends[end].mux.finish(key).is_ok() {
            let [user, _] = self.both(end, stream);
            assert!(!user.finished);
            user.finished = true;
            user.waits_to_write = false;
            self.announce(stream, end);
        }
    }

    fn give_up(&mut self, end: usize, stream: usize, how: usize) {
        let Some(key) = self.streams[stream].users[end].key else {
            return;
        };
        let now = self.pair.now;
        let [user, _] = self.both(end, stream);
        user.deaf = true;
        user.gave_up = true;
        match how % 2 {
            0 => self.pair.ends[end].mux.reset(key, Code::LIMIT),
            _ => self.pair.ends[end].mux.stop(now, key, Code::LIMIT),
        }
    }

    fn release(&mut self, end: usize, stream: usize) {
        let now = self.pair.now;
        let [user, _] = self.both(end, stream);
        let Some(key) = user.key.take() else { return };
        user.gave_up = true;
        user.waits_to_read = false;
        user.waits_to_write = false;
        self.pair.ends[end].mux.release(now, key);
    }

    /// The end and its peer on one stream.
    fn both(&mut self, end: usize, stream: usize) -> [&mut User; 2] {
        let [dialer, listener] = &mut self.streams[stream].users;
        if end == DIALER {
            [dialer, listener]
        } else {
            [listener, dialer]
        }
    }

    fn announce(&mut self, stream: usize, end: usize) {
        let Stream {
            opener, announced, ..
        } = &mut self.streams[stream];
        if *opener == end && !std::mem::replace(announced, true) {
            self.announced[end].push_back(stream);
        }
    }

    fn pump(&mut self) {
        self.pair.pump();
        self.events();
        // Whoever waits and was not woken has nothing to come for.
        for (stream, end) in (0..self.streams.len()).flat_map(|stream| [(stream, 0), (stream, 1)]) {
            let User {
                key: Some(key),
                waits_to_read,
                waits_to_write,
                ..
            } = self.streams[stream].users[end]
            else {
                continue;
            };
            let now = self.pair.now;
            let mux = &mut self.pair.ends[end].mux;
            if waits_to_read {
                assert_eq!(mux.read(now, key), Ok(Read::Blocked), "a lost wakeup");
            }
            if waits_to_write {
                let long = [0; 5000];
                assert_eq!(mux.write(key, b"", &long), Ok(None), "a lost wakeup");
            }
        }
    }

    fn events(&mut self) {
        for end in [DIALER, LISTENER] {
            self.pair.ends[end].drain_events();
            for event in std::mem::take(&mut self.pair.ends[end].events) {
                let of = |key| {
                    self.streams
                        .iter()
                        .position(|stream| stream.users[end].key == Some(key))
                };
                match event {
                    Event::Incoming(key) => {
                        let stream = self.announced[1 - end].pop_front().expect("announced");
                        self.streams[stream].users[end].key = Some(key);
                    }
                    // Streams that were released meanwhile may still be named.
                    Event::Readable(key) => {
                        if let Some(stream) = of(key) {
                            self.streams[stream].users[end].waits_to_read = false;
                        }
                    }
                    Event::Writable(key) => {
                        if let Some(stream) = of(key) {
                            self.streams[stream].users[end].waits_to_write = false;
                        }
                    }
                    Event::Openable | Event::Resumed | Event::GoAway => {}
                }
            }
        }
        self.pair
            .ends
            .iter_mut()
            .for_each(|end| end.incoming.clear());
    }
}

/// A pair's latency may be this long.
const LATENCY_MAX: Duration = Duration::from_millis(500);
