//! mplex: many streams over one pipe, without flow control (specs/mplex; deprecated, kept for older peers). Sans-IO.
//!
//! A stream whose user does not read holds up the whole connection for a while and is then reset: that bounds memory to
//! one full buffer per stream plus one message, and all of them are paid for (`unread.rs`). Ids are independent per opener, so a stream is named by both.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_wire::mplex::{DATA_MAX, Header, Kind};
use slab::Slab;

use crate::{
    Code, Config, Event, Key, Layout, OpenError, Records, StreamError, Violation,
    event::Read,
    outbox::Outbox,
    stream::{RecvHalf, SendHalf, Stream, slim},
    unread::Unread,
    yamux::limits::{self, Budget},
};

/// Most payload bytes in one message of ours.
const WRITE_MAX: usize = 64 << 10;
/// specs/mplex: an id has 60 bits; ours stay far below.
const ID_MAX: u64 = (1 << 60) - 1;
/// Most bytes of a message header: two varints.
const HEADER_MAX: usize = 18;
/// Most bytes of a new stream's name, which has no meaning.
const NAME_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Mplex {
    pub(crate) streams: Slab<Entry>,
    /// By whether we opened the stream, and id.
    ids: BTreeMap<(bool, u64), usize>,
    next_id: u64,
    decoder: Decoder,
    outbox: Outbox,
    inbound: usize,
    inbound_max: usize,
    outbound_max: usize,
    open_wanted: bool,
    resets: Option<Budget>,
    empty_messages: Option<Budget>,
    buffer_max: usize,
    patience: Duration,
    /// The stream that holds up the connection, and until when it may.
    full: Option<(Key, Instant)>,
    lingering: BTreeSet<(Instant, Key)>,
    linger: Duration,
    away: bool,
    pub(crate) unread: Unread,
}

#[derive(Debug)]
pub(crate) struct Entry {
    ours: bool,
    id: u64,
    /// A frame of ours was sent on it.
    spoken: bool,
    /// What it holds unread.
    held: u32,
    pub(crate) stream: Stream,
}

#[derive(Debug, Default)]
struct Decoder {
    header: Vec<u8>,
    /// The stream of the message that is coming in, if anybody wants it, and how much is still missing.
    body: Option<(Option<Key>, usize)>,
}

impl Mplex {
    pub(crate) fn new(config: &Config, layout: Layout) -> Self {
        Self {
            streams: Slab::new(),
            ids: BTreeMap::new(),
            next_id: 0,
            decoder: Decoder::default(),
            outbox: Outbox::new(layout, config),
            inbound: 0,
            inbound_max: config.inbound_streams_max,
            outbound_max: config.outbound_streams_max,
            open_wanted: false,
            resets: None,
            empty_messages: None,
            buffer_max: config.mplex_buffer_max,
            patience: config.mplex_patience,
            full: None,
            lingering: BTreeSet::new(),
            linger: config.linger,
            away: false,
            unread: Unread::default(),
        }
    }

    pub(crate) fn recv(&mut self, now: Instant, mut bytes: Bytes) -> Result<(), Violation> {
        while !bytes.is_empty() {
            if let Some((key, left)) = self.decoder.body {
                let piece = bytes.split_to(left.min(bytes.len()));
                self.decoder.body = Some((key, left - piece.len())).filter(|(_, left)| *left > 0);
                if let Some(key) = key {
                    self.deliver(now, key, piece);
                }
            } else if let Some(header) = self.decoder.header(&mut bytes)? {
                self.recv_header(now, header)?;
            }
        }
        Ok(())
    }

    pub(crate) fn open_beyond(&mut self, beyond: usize) -> Result<Key, OpenError> {
        if self.away {
            return Err(OpenError::Closing);
        }
        if self.next_id > ID_MAX {
            return Err(OpenError::Exhausted);
        }
        if self.streams.len() - self.inbound >= self.outbound_max.saturating_add(beyond) {
            self.open_wanted = true;
            return Err(OpenError::Blocked);
        }
        let id = self.next_id;
        self.next_id += 1;
        let key = Key(self.streams.insert(Entry {
            ours: true,
            id,
            spoken: false,
            held: 0,
            stream: Stream::new(),
        }));
        self.ids.insert((true, id), key.0);
        Ok(key)
    }

    pub(crate) fn write(
        &mut self,
        key: Key,
        head: &[u8],
        data: &[u8],
    ) -> Result<Option<usize>, StreamError> {
        let entry = &mut self.streams[key.0];
        entry.stream.check_writable()?;
        if head.is_empty() && data.is_empty() {
            return Ok(Some(0));
        }
        let wanted = head.len().saturating_add(data.len()).min(WRITE_MAX);
        let Some(admitted) = self.outbox.admit(key, &mut entry.stream, wanted) else {
            return Ok(None);
        };
        self.announce(key);
        let least = head.len() + usize::from(!data.is_empty());
        let data = &data[..admitted.max(least) - head.len()];
        let header = self.header(key, Kind::Message, head.len() + data.len());
        self.outbox.data(&[&header, head, data]);
        Ok(Some(data.len()))
    }

    pub(crate) fn read(&mut self, _now: Instant, key: Key) -> Result<Read, StreamError> {
        let read = self.streams[key.0].stream.read()?;
        self.hold(key);
        self.drained(key);
        Ok(read)
    }

    pub(crate) fn finish(&mut self, key: Key) -> Result<(), StreamError> {
        self.streams[key.0].stream.check_writable()?;
        self.announce(key);
        self.streams[key.0].stream.send = SendHalf::Finished;
        self.control(key, Kind::Close);
        Ok(())
    }

    pub(crate) fn reset(&mut self, key: Key, code: Code) {
        let entry = &self.streams[key.0];
        if !entry.stream.is_closed() {
            if !entry.ours || entry.spoken {
                self.control(key, Kind::Reset);
            }
            self.fail(key, StreamError::ResetLocally(code));
        }
        self.settle(key);
    }

    pub(crate) fn stop(&mut self, _now: Instant, key: Key, code: Code) {
        let stream = &mut self.streams[key.0].stream;
        stream.stop(StreamError::ResetLocally(code));
        if std::mem::take(&mut stream.wants_read) {
            self.outbox.event(Event::Readable(key));
        }
        self.hold(key);
        self.drained(key);
    }

    pub(crate) fn release(&mut self, now: Instant, key: Key) {
        let stream = &mut self.streams[key.0].stream;
        let unread = stream.queue.len() > 0 && stream.is_receiving();
        stream.released = true;
        if stream.send == SendHalf::Open || unread {
            self.reset(key, Code::NONE);
            return;
        }
        stream.queue.clear();
        if !stream.is_closed() {
            let until = now + self.linger;
            stream.lingers = Some(until);
            self.lingering.insert((until, key));
        }
        self.hold(key);
        self.settle(key);
    }

    /// mplex has no frame that says so.
    pub(crate) fn go_away(&mut self, _code: Code) {
        self.away = true;
        self.openable();
    }

    /// See [`go_away`](Self::go_away).
    pub(crate) fn reason(&self) -> Code {
        Code::NONE
    }

    pub(crate) fn lose(&mut self) {
        self.away = true;
        let keys: Vec<_> = self.streams.iter().map(|(index, _)| Key(index)).collect();
        for key in keys {
            self.fail(key, StreamError::ConnectionLost);
            self.settle(key);
        }
        self.openable();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let linger = self.lingering.first().map(|(until, _)| *until);
        let full = self.full.map(|(_, at)| at);
        linger.into_iter().chain(full).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Violation> {
        while let Some(&(_, key)) = self.lingering.first().filter(|(until, _)| *until <= now) {
            self.reset(key, Code::NONE);
        }
        while let Some((key, _)) = self.full.filter(|(_, until)| *until <= now) {
            self.reset(key, Code::RATE_LIMITED);
        }
        Ok(())
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.full.is_some() || self.outbox.is_congested()
    }

    pub(crate) fn poll_transmit(&mut self, spare: &mut Records) -> bool {
        let congested = self.is_congested();
        let some = self.outbox.take(spare);
        while let Some(key) = self.outbox.next_in_turn() {
            self.outbox.grant(key, &mut self.streams[key.0].stream);
        }
        if congested && !self.is_congested() {
            self.outbox.event(Event::Resumed);
        }
        some
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.outbox.poll_event()
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn set_outbound_max(&mut self, max: usize) {
        self.outbound_max = max;
        self.openable();
    }

    pub(crate) fn wants_transmit(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.outbox.is_hurried()
    }

    pub(crate) fn send_buffer(&mut self) -> &mut Records {
        self.outbox.records()
    }

    fn recv_header(&mut self, now: Instant, header: Header) -> Result<(), Violation> {
        let ours = !header.sent_by_opener;
        let key = self.ids.get(&(ours, header.id)).map(|index| Key(*index));
        match header.kind {
            Kind::Open if key.is_some() => return Err(Violation("a stream id that is in use")),
            Kind::Open if header.length > NAME_MAX => {
                return Err(Violation("the name of a stream is too long"));
            }
            Kind::Open => self.incoming(header.id),
            Kind::Message => {
                if header.length == 0 {
                    let budget = self
                        .empty_messages
                        .get_or_insert_with(|| Budget::new(limits::EMPTY_FRAMES, now));
                    budget
                        .take(now)
                        .ok_or(Violation("too many empty messages"))?;
                }
                if key.is_some_and(|key| self.streams[key.0].stream.recv == RecvHalf::Ended) {
                    return Err(Violation("data after the stream was closed"));
                }
            }
            Kind::Close | Kind::Reset if header.length > 0 => {
                return Err(Violation("a close or reset with a body"));
            }
            Kind::Close => {
                if let Some(key) = key {
                    let stream = &mut self.streams[key.0].stream;
                    stream.end();
                    if std::mem::take(&mut stream.wants_read) {
                        self.outbox.event(Event::Readable(key));
                    }
                    self.drained(key);
                    self.settle(key);
                }
            }
            Kind::Reset => {
                if let Some(key) = key {
                    let Entry { ours, spoken, .. } = self.streams[key.0];
                    if !ours && !spoken {
                        let budget = self
                            .resets
                            .get_or_insert_with(|| Budget::new(limits::RESETS, now));
                        budget.take(now).ok_or(Violation("too many resets"))?;
                    }
                    self.fail(key, StreamError::Reset(Code::NONE));
                    self.settle(key);
                }
            }
        }
        if header.length > 0 {
            let key = key.filter(|_| header.kind == Kind::Message);
            self.decoder.body = Some((key, header.length));
        }
        Ok(())
    }

    fn incoming(&mut self, id: u64) {
        if self.away || self.inbound >= self.inbound_max {
            let mut frame = Vec::with_capacity(HEADER_MAX);
            Header {
                kind: Kind::Reset,
                id,
                sent_by_opener: false,
                length: 0,
            }
            .encode(&mut frame);
            self.outbox.control(&frame);
            return;
        }
        self.inbound += 1;
        let key = Key(self.streams.insert(Entry {
            ours: false,
            id,
            spoken: false,
            held: 0,
            stream: Stream::new(),
        }));
        self.ids.insert((false, id), key.0);
        self.outbox.event(Event::Incoming(key));
    }

    fn deliver(&mut self, now: Instant, key: Key, piece: Bytes) {
        let stream = &mut self.streams[key.0].stream;
        if !stream.deliver(piece) {
            if stream.released && stream.is_receiving() {
                self.reset(key, Code::NONE);
            }
            return;
        }
        if std::mem::take(&mut stream.wants_read) {
            self.outbox.event(Event::Readable(key));
        }
        if stream.queue.len() > self.buffer_max && self.full.is_none() {
            self.full = Some((key, now + self.patience));
        }
        if !self.hold(key) {
            // Others would have to do without memory for what nobody reads here.
            self.reset(key, Code::LIMIT);
        }
    }

    /// Counts what a stream holds unread; `false`: there is no memory for it.
    fn hold(&mut self, key: Key) -> bool {
        let entry = &mut self.streams[key.0];
        let now = u32::try_from(entry.stream.queue.len()).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut entry.held, now);
        self.unread.hold(before, now)
    }

    /// A full stream was read from or has ended: once half its buffer is free or nothing more can come, the connection
    /// goes on, unless another stream is over its limit too.
    fn drained(&mut self, key: Key) {
        let Some((_, until)) = self.full.filter(|(full, _)| *full == key) else {
            return;
        };
        let holds = |stream: &Stream, max| stream.is_receiving() && stream.queue.len() > max;
        if holds(&self.streams[key.0].stream, self.buffer_max / 2) {
            return;
        }
        let next = self
            .streams
            .iter()
            .find(|(_, entry)| holds(&entry.stream, self.buffer_max));
        self.full = next.map(|(index, _)| (Key(index), until));
        if !self.is_congested() {
            self.outbox.event(Event::Resumed);
        }
    }

    fn fail(&mut self, key: Key, error: StreamError) {
        let stream = &mut self.streams[key.0].stream;
        stream.fail(error);
        if std::mem::take(&mut stream.wants_read) {
            self.outbox.event(Event::Readable(key));
        }
        if stream.stalled {
            self.outbox.event(Event::Writable(key));
        }
        self.hold(key);
        self.drained(key);
    }

    fn announce(&mut self, key: Key) {
        let entry = &mut self.streams[key.0];
        if !std::mem::replace(&mut entry.spoken, true) && entry.ours {
            let name = entry.id.to_string();
            let mut frame = self.header(key, Kind::Open, name.len());
            frame.extend_from_slice(name.as_bytes());
            self.outbox.control(&frame);
        }
    }

    fn control(&mut self, key: Key, kind: Kind) {
        let frame = self.header(key, kind, 0);
        self.outbox.control(&frame);
    }

    fn header(&self, key: Key, kind: Kind, length: usize) -> Vec<u8> {
        let entry = &self.streams[key.0];
        let mut frame = Vec::with_capacity(HEADER_MAX);
        Header {
            kind,
            id: entry.id,
            sent_by_opener: entry.ours,
            length,
        }
        .encode(&mut frame);
        frame
    }

    fn settle(&mut self, key: Key) {
        let entry = &self.streams[key.0];
        let unheard_of = entry.ours && !entry.spoken;
        if !(entry.stream.released && (entry.stream.is_closed() || unheard_of)) {
            return;
        }
        let entry = self.streams.remove(key.0);
        slim(&mut self.streams);
        self.ids.remove(&(entry.ours, entry.id));
        self.outbox.forget(key, &entry.stream);
        self.unread.hold(entry.held, 0);
        if let Some(until) = entry.stream.lingers {
            self.lingering.remove(&(until, key));
        }
        if let Some((body, _)) = self
            .decoder
            .body
            .as_mut()
            .filter(|(body, _)| *body == Some(key))
        {
            *body = None;
        }
        if entry.ours {
            self.openable();
        } else {
            self.inbound -= 1;
        }
    }

    fn openable(&mut self) {
        if std::mem::take(&mut self.open_wanted) {
            self.outbox.event(Event::Openable);
        }
    }
}

impl Decoder {
    /// Takes header bytes off `bytes` and returns the header when it is complete.
    fn header(&mut self, bytes: &mut Bytes) -> Result<Option<Header>, Violation> {
        let held = self.header.len();
        self.header
            .extend_from_slice(&bytes[..bytes.len().min(HEADER_MAX - held)]);
        let decoded =
            Header::decode(&self.header).map_err(|_| Violation("malformed message header"))?;
        let Some((header, used)) = decoded else {
            let _ = bytes.split_to(self.header.len() - held);
            return if self.header.len() < HEADER_MAX {
                Ok(None)
            } else {
                Err(Violation("endless message header"))
            };
        };
        let _ = bytes.split_to(used - held);
        self.header.clear();
        debug_assert!(header.length <= DATA_MAX);
        Ok(Some(header))
    }
}

#[cfg(test)]
mod tests;
