//! Two muxers joined by byte queues on a fake clock, with latency, chunking and peers that stop reading.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_session::{
    Config, Event, Key, Layout, Mux, Read, Records, Role, StreamError, Violation,
};
use carrick_wire::ProtocolId;

pub(crate) const YAMUX: ProtocolId = ProtocolId::from_static("/yamux/1.0.0");
pub(crate) const MPLEX: ProtocolId = ProtocolId::from_static("/mplex/6.7.0");
pub(crate) const DIALER: usize = 0;
pub(crate) const LISTENER: usize = 1;

pub(crate) const PLAIN: Layout = Layout {
    head: 0,
    body_max: 65519,
    tail: 0,
};

#[expect(
    clippy::disallowed_methods,
    reason = "a fake clock has to start somewhere"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// One muxer and what it said.
pub(crate) struct End {
    pub(crate) mux: Mux,
    pub(crate) events: Vec<Event>,
    pub(crate) incoming: VecDeque<Key>,
    /// Everything that it sent.
    pub(crate) wire: Vec<u8>,
    pub(crate) keeps_wire: bool,
    /// The pipe out of this end is full: nothing is taken from it.
    pub(crate) stuck: bool,
    inbox: VecDeque<(Instant, Bytes)>,
    spare: Records,
}

impl End {
    fn new(muxer: &ProtocolId, role: Role, config: &Config, now: Instant) -> Self {
        Self {
            mux: Mux::new(muxer, role, config, PLAIN, now, None).unwrap(),
            events: Vec::new(),
            incoming: VecDeque::new(),
            wire: Vec::new(),
            keeps_wire: false,
            stuck: false,
            inbox: VecDeque::new(),
            spare: Records::new(PLAIN),
        }
    }

    pub(crate) fn drain_events(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            if let Event::Incoming(key) = event {
                self.incoming.push_back(key);
            }
            self.events.push(event);
        }
    }

    /// Whether `event` happened since this was asked last; forgets it and all before it.
    pub(crate) fn saw(&mut self, event: Event) -> bool {
        self.drain_events();
        let at = self.events.iter().position(|seen| *seen == event);
        if let Some(at) = at {
            self.events.drain(..=at);
        }
        at.is_some()
    }

    /// Writes all of `data`, which must fit.
    pub(crate) fn write_all(&mut self, key: Key, mut data: &[u8]) {
        while !data.is_empty() {
            let n = self
                .mux
                .write(key, b"", data)
                .unwrap()
                .expect("there is room");
            data = &data[n..];
        }
    }

    /// Writes as much as fits and says how much that was.
    pub(crate) fn write_some(&mut self, key: Key, data: &[u8]) -> Result<usize, StreamError> {
        let mut written = 0;
        while written < data.len() {
            match self.mux.write(key, b"", &data[written..])? {
                Some(n) => written += n,
                None => break,
            }
        }
        Ok(written)
    }

    /// Loses all whole frames that wait to be sent.
    pub(crate) fn discard(&mut self) {
        self.mux.poll_transmit(&mut self.spare);
        self.spare.clear();
    }

    /// Reads all that is there: the bytes, and what comes after them.
    pub(crate) fn read_all(
        &mut self,
        now: Instant,
        key: Key,
    ) -> (Vec<u8>, Result<Read, StreamError>) {
        let mut bytes = Vec::new();
        loop {
            match self.mux.read(now, key) {
                Ok(Read::Data(data)) => {
                    assert!(!data.is_empty(), "Data holds at least one byte");
                    bytes.extend_from_slice(&data);
                }
                other => return (bytes, other),
            }
        }
    }
}

/// Two ends and the pipe between them.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) ends: [End; 2],
    pub(crate) latency: Duration,
    /// Most bytes that a `recv` gets at once.
    pub(crate) chunk: usize,
    pub(crate) violation: Option<(usize, Violation)>,
}

impl Pair {
    pub(crate) fn new(muxer: &ProtocolId, config: &Config) -> Self {
        let now = epoch();
        Self {
            now,
            ends: [Role::Dialer, Role::Listener].map(|role| End::new(muxer, role, config, now)),
            latency: Duration::ZERO,
            chunk: 65519,
            violation: None,
        }
    }

    pub(crate) fn dialer(&mut self) -> &mut End {
        &mut self.ends[DIALER]
    }

    pub(crate) fn listener(&mut self) -> &mut End {
        &mut self.ends[LISTENER]
    }

    /// Sends and delivers all that can move without time passing.
    pub(crate) fn pump(&mut self) {
        while self.turn() {}
    }

    /// One exchange of what is ready; false when there was nothing.
    pub(crate) fn turn(&mut self) -> bool {
        let mut moved = false;
        for from in [DIALER, LISTENER] {
            let end = &mut self.ends[from];
            end.drain_events();
            if end.stuck || !end.mux.poll_transmit(&mut end.spare) {
                continue;
            }
            moved = true;
            end.drain_events();
            end.spare.seal(|_, _| Ok::<_, ()>(())).unwrap();
            let bytes = Bytes::copy_from_slice(end.spare.as_slice());
            end.spare.clear();
            if end.keeps_wire {
                end.wire.extend_from_slice(&bytes);
            }
            self.ends[1 - from]
                .inbox
                .push_back((self.now + self.latency, bytes));
        }
        for (to, end) in self.ends.iter_mut().enumerate() {
            while !end.mux.is_congested() {
                let Some((_, bytes)) = end.inbox.front_mut().filter(|(at, _)| *at <= self.now)
                else {
                    break;
                };
                let piece = bytes.split_to(self.chunk.min(bytes.len()));
                if bytes.is_empty() {
                    end.inbox.pop_front();
                }
                moved = true;
                if let Err(violation) = end.mux.recv(self.now, piece) {
                    self.violation.get_or_insert((to, violation));
                    end.mux.lose();
                }
                end.drain_events();
            }
        }
        moved
    }

    /// Lets time pass, stopping at each arrival and timer on the way; `each` runs at every stop.
    pub(crate) fn pass(&mut self, time: Duration, mut each: impl FnMut(&mut Self)) {
        let end = self.now + time;
        loop {
            self.pump();
            each(self);
            self.pump();
            let next = self.ends.iter().flat_map(|end| {
                let arrival = end.inbox.front().map(|(at, _)| *at);
                arrival
                    .filter(|at| *at > self.now)
                    .into_iter()
                    .chain(end.mux.poll_timeout())
            });
            let Some(next) = next.min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            for to in [DIALER, LISTENER] {
                if let Err(violation) = self.ends[to].mux.handle_timeout(self.now) {
                    self.violation.get_or_insert((to, violation));
                    return;
                }
            }
        }
        self.now = end;
    }

    /// A stream that the dialer opened and on which `head` arrived; at the dialer and at the listener.
    pub(crate) fn stream(&mut self, head: &[u8]) -> (Key, Key) {
        let ours = self.dialer().mux.open().unwrap();
        self.dialer().write_all(ours, head);
        self.pump();
        let theirs = self
            .listener()
            .incoming
            .pop_back()
            .expect("the stream came in");
        let now = self.now;
        assert_eq!(
            self.listener().read_all(now, theirs),
            (head.to_vec(), Ok(Read::Blocked))
        );
        (ours, theirs)
    }

    /// Reads all that is there at one end; what follows from it stays there.
    pub(crate) fn read_quietly(
        &mut self,
        end: usize,
        key: Key,
    ) -> (Vec<u8>, Result<Read, StreamError>) {
        self.ends[end].read_all(self.now, key)
    }

    /// Reads all that is there at one end.
    pub(crate) fn read(&mut self, end: usize, key: Key) -> (Vec<u8>, Result<Read, StreamError>) {
        let now = self.now;
        let read = self.ends[end].read_all(now, key);
        self.pump();
        read
    }

    pub(crate) fn finish(&mut self, end: usize, key: Key) {
        self.ends[end].mux.finish(key).unwrap();
        self.pump();
    }

    pub(crate) fn release(&mut self, end: usize, key: Key) {
        let now = self.now;
        self.ends[end].mux.release(now, key);
        self.pump();
    }

    pub(crate) fn streams(&self) -> [usize; 2] {
        [
            self.ends[DIALER].mux.streams(),
            self.ends[LISTENER].mux.streams(),
        ]
    }
}
