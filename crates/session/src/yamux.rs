//! Yamux: many streams over one pipe, each with its own flow control (specs/yamux). Sans-IO.
//!
//! Frames are parsed where they lie: a body goes to its stream in the pieces in which it arrives. Invariants: bytes that
//! a peer may still send plus bytes unread never exceed a stream's window; all windows together never grow beyond the
//! connection's budget; at most 256 of our streams are unacknowledged.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_wire::yamux::{Flags, Header, INITIAL_WINDOW, Kind};
use slab::Slab;

use self::{
    frames::{Body, Decoder, LastFrame, PROTOCOL_ERROR, accusation},
    ids::Ids,
    limits::Budget,
    table::{Counts, Entry},
    window::{Pinger, Windows},
};
use crate::{
    Code, Config, Event, Key, Layout, OpenError, Records, Role, StreamError, Violation,
    event::Read,
    outbox::Outbox,
    stream::{SendHalf, slim},
};

mod frames;
mod ids;
pub(crate) mod limits;
mod table;
pub(crate) mod window;

/// specs/yamux#ack-backlog: streams that we may have open without an answer.
const ACK_BACKLOG: usize = 256;
/// A window is refilled when this part of it was read.
const REFILL_PART: u32 = 4;

#[derive(Debug)]
pub(crate) struct Yamux {
    role: Role,
    pub(crate) streams: Slab<Entry>,
    ids: Ids,
    /// Wider than an id, so that it can pass the last one.
    next_id: u64,
    decoder: Decoder,
    outbox: Outbox,
    last_frame: Option<LastFrame>,
    pub(crate) windows: Windows,
    /// Streams of the peer's that were one too many, since somebody asked.
    pub(crate) refused: u64,
    pub(crate) pinger: Pinger,
    counts: Counts,
    resets: Budget,
    /// Streams of the peer's that we have reset without a word, not yet taken out of that budget.
    wasted: u32,
    pings: Budget,
    empty_frames: Budget,
    /// Frames received since somebody asked.
    pub(crate) frames: u64,
    lingering: BTreeSet<(Instant, Key)>,
    linger: Duration,
    /// Streams whose first frame waits for the ack backlog, in the order in which they came; all of them live.
    parked: VecDeque<Key>,
    going: Going,
    /// Why the peer went away, once it has said so.
    reason: Code,
}

/// Whether new streams are still possible.
#[derive(Debug, Default, PartialEq, Eq)]
enum Going {
    #[default]
    On,
    /// The peer said go-away: it takes no more. What it had opened before may still come.
    PeerAway,
    /// We said go-away; open streams finish.
    Away,
}

impl Yamux {
    pub(crate) fn new(role: Role, config: &Config, layout: Layout, now: Instant) -> Self {
        Self {
            role,
            streams: Slab::new(),
            ids: Ids::default(),
            next_id: if role == Role::Dialer { 1 } else { 2 },
            decoder: Decoder::default(),
            outbox: Outbox::new(layout, config),
            last_frame: None,
            windows: Windows::new(config),
            refused: 0,
            pinger: Pinger::new(config, now),
            counts: Counts {
                inbound_max: config.inbound_streams_max,
                outbound_max: config.outbound_streams_max,
                ..Counts::default()
            },
            resets: Budget::new(limits::RESETS, now),
            wasted: 0,
            pings: Budget::new(limits::PINGS, now),
            empty_frames: Budget::new(limits::EMPTY_FRAMES, now),
            frames: 0,
            lingering: BTreeSet::new(),
            linger: config.linger,
            parked: VecDeque::new(),
            going: Going::On,
            reason: Code::NONE,
        }
    }

    pub(crate) fn recv(&mut self, now: Instant, mut bytes: Bytes) -> Result<(), Violation> {
        self.pinger.heard(now);
        while !bytes.is_empty() {
            if let Some(body) = self.decoder.body {
                let piece = bytes.split_to(body.left.min(bytes.len()));
                self.recv_body(now, body, piece);
            } else if let Some(header) = self.decoder.header(&mut bytes) {
                self.frames += 1;
                let result =
                    Header::decode(&header).map_err(|_| Violation("malformed frame header"));
                if let Err(violation) = result.and_then(|header| self.recv_header(now, header)) {
                    self.send(Kind::GoAway, Flags::EMPTY, 0, PROTOCOL_ERROR);
                    return Err(violation);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn open_beyond(&mut self, beyond: usize) -> Result<Key, OpenError> {
        if self.going != Going::On {
            return Err(OpenError::Closing);
        }
        if self.next_id + 2 * self.counts.unsent > u64::from(u32::MAX) {
            return Err(OpenError::Exhausted);
        }
        let max = self.counts.outbound_max.saturating_add(beyond);
        if self.counts.unacked >= ACK_BACKLOG || self.counts.outbound >= max {
            self.counts.open_wanted = true;
            return Err(OpenError::Blocked);
        }
        self.counts.unsent += 1;
        self.counts.outbound += 1;
        Ok(Key(self.streams.insert(Entry::new(0, true))))
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
        if entry.ours && entry.id == 0 && self.counts.unacked >= ACK_BACKLOG {
            if !std::mem::replace(&mut entry.parked, true) {
                self.parked.push_back(key);
            }
            return Ok(None);
        }
        let credit = (entry.credit as usize).saturating_sub(head.len());
        entry.stream.wants_write = credit == 0;
        if credit == 0 {
            return Ok(None);
        }
        let wanted = head.len() + data.len().min(credit);
        let Some(admitted) = self.outbox.admit(key, &mut entry.stream, wanted) else {
            return Ok(None);
        };
        // Whatever it was admitted for: all of the head, and progress with the data.
        let least = head.len() + usize::from(!data.is_empty());
        let data = &data[..admitted.max(least) - head.len()];
        let len = u32::try_from(head.len() + data.len()).expect("not more than the credit");
        entry.credit -= len;
        self.send_data(key, head, data);
        Ok(Some(data.len()))
    }

    pub(crate) fn read(&mut self, now: Instant, key: Key) -> Result<Read, StreamError> {
        let read = self.streams[key.0].stream.read()?;
        if matches!(read, Read::Data(_)) {
            self.hold(key);
            self.refill(now, key);
        }
        Ok(read)
    }

    pub(crate) fn finish(&mut self, key: Key) -> Result<(), StreamError> {
        self.streams[key.0].stream.check_writable()?;
        let flags = self.first_flags(key) | Flags::FIN;
        self.streams[key.0].stream.send = SendHalf::Finished;
        self.send(Kind::Data, flags, self.streams[key.0].id, 0);
        Ok(())
    }

    pub(crate) fn reset(&mut self, key: Key, code: Code) {
        let entry = &self.streams[key.0];
        if !entry.stream.is_closed() {
            self.wasted += u32::from(!entry.ours && !entry.acked);
            if entry.id != 0 {
                let (id, code) = (entry.id, code.stream_code());
                self.send(Kind::WindowUpdate, Flags::RST, id, code);
            }
            self.fail(key, StreamError::ResetLocally(code));
        }
        self.settle(key);
    }

    pub(crate) fn stop(&mut self, now: Instant, key: Key, code: Code) {
        let stream = &mut self.streams[key.0].stream;
        stream.stop(StreamError::ResetLocally(code));
        if std::mem::take(&mut stream.wants_read) {
            self.outbox.event(Event::Readable(key));
        }
        self.hold(key);
        self.refill(now, key);
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

    pub(crate) fn go_away(&mut self, code: Code) {
        self.going = Going::Away;
        self.send(Kind::GoAway, Flags::EMPTY, 0, code.0);
        self.openable();
    }

    pub(crate) fn reason(&self) -> Code {
        self.reason
    }

    pub(crate) fn lose(&mut self) {
        self.going = Going::Away;
        let keys: Vec<_> = self.streams.iter().map(|(index, _)| Key(index)).collect();
        for key in keys {
            self.fail(key, StreamError::ConnectionLost);
            self.settle(key);
        }
        self.openable();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let linger = self.lingering.first().map(|(until, _)| *until);
        linger.into_iter().chain([self.pinger.deadline()]).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Violation> {
        while let Some(&(_, key)) = self.lingering.first().filter(|(until, _)| *until <= now) {
            self.reset(key, Code::NONE);
        }
        if let Some(ping) = self.pinger.handle_timeout(now)? {
            self.send(Kind::Ping, Flags::SYN, 0, ping);
        }
        Ok(())
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.outbox.is_congested()
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
        self.counts.outbound_max = max;
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

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.pinger.rtt()
    }

    fn send(&mut self, kind: Kind, flags: Flags, stream: u32, length: u32) {
        self.outbox.control(
            &Header {
                kind,
                flags,
                stream,
                length,
            }
            .encode(),
        );
    }

    /// Queues data: at the end of the last frame if that is the stream's, too, then in new ones.
    fn send_data(&mut self, key: Key, mut head: &[u8], mut data: &[u8]) {
        if let Some(last) = &mut self.last_frame
            && head.is_empty()
            && last.header.stream == self.streams[key.0].id
        {
            data = &data[last.grow(&mut self.outbox, data)..];
        }
        while !head.is_empty() || !data.is_empty() {
            let header = Header {
                kind: Kind::Data,
                flags: self.first_flags(key),
                stream: self.streams[key.0].id,
                length: 0,
            };
            let (frame, queued) = LastFrame::queue(&mut self.outbox, header, head, data);
            self.last_frame = Some(frame);
            (head, data) = (&[], &data[queued..]);
        }
    }

    /// What the first frame of a stream must say; gives our streams their id.
    fn first_flags(&mut self, key: Key) -> Flags {
        let entry = &mut self.streams[key.0];
        if entry.ours && entry.id == 0 {
            entry.id =
                u32::try_from(self.next_id).expect("open() leaves an id for each unsent stream");
            self.next_id += 2;
            self.counts.unsent -= 1;
            self.counts.unacked += 1;
            self.ids.insert(entry.id, key.0);
            Flags::SYN
        } else if !entry.ours && !entry.acked {
            entry.acked = true;
            Flags::ACK
        } else {
            Flags::EMPTY
        }
    }

    fn recv_header(&mut self, now: Instant, header: Header) -> Result<(), Violation> {
        for _ in 0..std::mem::take(&mut self.wasted) {
            self.resets
                .take(now)
                .ok_or(Violation("too many streams that come to nothing"))?;
        }
        match header.kind {
            Kind::Data | Kind::WindowUpdate => self.recv_stream_header(now, header),
            Kind::Ping if header.flags.contains(Flags::SYN) => {
                self.pings.take(now).ok_or(Violation("too many pings"))?;
                self.send(Kind::Ping, Flags::ACK, 0, header.length);
                Ok(())
            }
            Kind::Ping => {
                self.pinger.answered(now, header.length);
                Ok(())
            }
            Kind::GoAway => {
                accusation(header.length).map_or(Ok(()), Err)?;
                if self.reason == Code::NONE {
                    self.reason = Code(header.length);
                }
                if self.going == Going::On {
                    self.going = Going::PeerAway;
                }
                self.outbox.event(Event::GoAway);
                self.openable();
                Ok(())
            }
        }
    }

    fn recv_stream_header(&mut self, now: Instant, header: Header) -> Result<(), Violation> {
        let Header {
            kind,
            flags,
            stream: id,
            length,
        } = header;
        if flags.contains(Flags::SYN) {
            self.incoming(id)?;
        }
        let mut key = self.ids.get(id).map(Key);
        // Some peers answer with data and never say ACK: any frame of theirs acknowledges the stream.
        if let Some(key) = key {
            self.acknowledged(key);
        }
        if flags.contains(Flags::RST)
            && let Some(key) = key.take()
        {
            let code = match kind {
                Kind::WindowUpdate => Code::of_stream(length),
                _ => Code::NONE,
            };
            self.reset_by_peer(now, key, code)?;
        }
        let fin = flags.contains(Flags::FIN);
        if kind == Kind::Data && length > 0 {
            return self.begin_body(key, length, fin);
        }
        if length == 0 && flags == Flags::EMPTY {
            self.empty_frames
                .take(now)
                .ok_or(Violation("too many empty frames"))?;
        }
        let Some(key) = key else { return Ok(()) };
        if kind == Kind::WindowUpdate {
            self.credit(key, length)?;
        }
        if fin {
            self.end(key);
        }
        Ok(())
    }

    /// Streams that are reset before we said a word have cost us more than the peer: those are counted.
    fn reset_by_peer(&mut self, now: Instant, key: Key, code: Code) -> Result<(), Violation> {
        let entry = &self.streams[key.0];
        if !entry.ours && !entry.acked {
            self.resets.take(now).ok_or(Violation("too many resets"))?;
        }
        self.fail(key, StreamError::Reset(code));
        self.settle(key);
        Ok(())
    }

    /// A stream of the peer's. Its id must be of the peer's parity and not in use.
    fn incoming(&mut self, id: u32) -> Result<(), Violation> {
        let theirs = if self.role == Role::Dialer { 0 } else { 1 };
        if id % 2 != theirs {
            return Err(Violation("a stream id of the wrong parity"));
        }
        if self.ids.get(id).is_some() {
            return Err(Violation("a stream id that is in use"));
        }
        let refusal = if self.going == Going::Away {
            Some(Code::SHUTDOWN)
        } else {
            (self.counts.inbound >= self.counts.inbound_max).then_some(Code::LIMIT)
        };
        if let Some(code) = refusal {
            self.refused += u64::from(code == Code::LIMIT);
            self.send(Kind::WindowUpdate, Flags::RST, id, code.stream_code());
            return Ok(());
        }
        self.counts.inbound += 1;
        let key = Key(self.streams.insert(Entry::new(id, false)));
        self.ids.insert(id, key.0);
        self.outbox.event(Event::Incoming(key));
        Ok(())
    }

    fn begin_body(&mut self, key: Option<Key>, length: u32, fin: bool) -> Result<(), Violation> {
        if let Some(key) = key {
            let entry = &mut self.streams[key.0];
            entry.window = entry
                .window
                .checked_sub(length)
                .ok_or(Violation("data beyond the receive window"))?;
            if !entry.stream.is_receiving() {
                // Data after FIN, or for a stream that nobody reads any more: it is told once, then drained.
                self.reset(key, Code::NONE);
            }
        } else if length > INITIAL_WINDOW.max(self.windows.stream_max()) {
            return Err(Violation("data beyond any receive window"));
        }
        let key = key.filter(|key| self.streams.contains(key.0));
        self.decoder.body = Some(Body {
            key,
            left: length as usize,
            fin,
        });
        Ok(())
    }

    fn recv_body(&mut self, now: Instant, mut body: Body, piece: Bytes) {
        let len = piece.len();
        body.left -= len;
        self.decoder.body = (body.left > 0).then_some(body);
        let Some(key) = body.key else { return };
        let entry = &mut self.streams[key.0];
        if entry.stream.deliver(piece) {
            if std::mem::take(&mut entry.stream.wants_read) {
                self.outbox.event(Event::Readable(key));
            }
            if !self.hold(key) {
                // Others would have to do without memory for what nobody reads here.
                self.reset(key, Code::LIMIT);
                return;
            }
        } else if entry.stream.released {
            self.reset(key, Code::NONE);
            return;
        } else {
            self.refill(now, key);
        }
        if body.left == 0 && body.fin {
            self.end(key);
        }
    }

    fn acknowledged(&mut self, key: Key) {
        let entry = &mut self.streams[key.0];
        if entry.ours && !std::mem::replace(&mut entry.acked, true) {
            self.counts.unacked -= 1;
            self.unpark();
            self.openable();
        }
    }

    fn credit(&mut self, key: Key, delta: u32) -> Result<(), Violation> {
        let entry = &mut self.streams[key.0];
        entry.credit = entry
            .credit
            .checked_add(delta)
            .ok_or(Violation("the send window overflows"))?;
        if delta > 0 && std::mem::take(&mut entry.stream.wants_write) {
            self.outbox.event(Event::Writable(key));
        }
        Ok(())
    }

    /// The peer finished its side.
    fn end(&mut self, key: Key) {
        let stream = &mut self.streams[key.0].stream;
        stream.end();
        if std::mem::take(&mut stream.wants_read) {
            self.outbox.event(Event::Readable(key));
        }
        self.settle(key);
    }

    fn fail(&mut self, key: Key, error: StreamError) {
        let stream = &mut self.streams[key.0].stream;
        stream.fail(error);
        if std::mem::take(&mut stream.wants_read) {
            self.outbox.event(Event::Readable(key));
        }
        let waits = std::mem::take(&mut stream.wants_write) || stream.stalled;
        if waits || self.streams[key.0].parked {
            self.outbox.event(Event::Writable(key));
        }
        self.hold(key);
    }

    /// Counts what a stream holds unread; `false`: there is no memory for it.
    fn hold(&mut self, key: Key) -> bool {
        let entry = &mut self.streams[key.0];
        let now = entry.stream.queue.len().min(INITIAL_WINDOW as usize) as u32;
        self.windows
            .unread
            .hold(std::mem::replace(&mut entry.held, now), now)
    }

    /// Gives the peer new credit for what was read, and a larger window if the last refill did not last a round trip.
    fn refill(&mut self, now: Instant, key: Key) {
        let entry = &mut self.streams[key.0];
        if !entry.stream.is_receiving() || entry.id == 0 {
            return;
        }
        let unread = u32::try_from(entry.stream.queue.len()).unwrap_or(u32::MAX);
        let due = entry
            .window_max
            .saturating_sub(entry.window)
            .saturating_sub(unread);
        if due < entry.window_max / REFILL_PART {
            return;
        }
        let grown = self
            .windows
            .grow(entry.window_max, entry.refilled, now, self.pinger.rtt());
        let due = due + (grown - entry.window_max);
        entry.window_max = grown;
        entry.window += due;
        entry.refilled = Some(now);
        let flags = self.first_flags(key);
        self.send(Kind::WindowUpdate, flags, self.streams[key.0].id, due);
        if let Some(ping) = self.pinger.measure(now) {
            self.send(Kind::Ping, Flags::SYN, 0, ping);
        }
    }

    /// Removes a stream that both sides and its user are done with.
    fn settle(&mut self, key: Key) {
        let entry = &self.streams[key.0];
        if !entry.stream.released || !(entry.stream.is_closed() || entry.id == 0) {
            return;
        }
        let entry = self.streams.remove(key.0);
        slim(&mut self.streams);
        self.ids.remove(entry.id);
        self.outbox.forget(key, &entry.stream);
        if let Some(until) = entry.stream.lingers {
            self.lingering.remove(&(until, key));
        }
        if let Some(body) = self
            .decoder
            .body
            .as_mut()
            .filter(|body| body.key == Some(key))
        {
            body.key = None;
        }
        self.windows.give_back(entry.window_max, entry.refilled);
        self.windows.unread.hold(entry.held, 0);
        if entry.ours {
            self.counts.outbound -= 1;
            if entry.parked {
                self.parked.retain(|parked| *parked != key);
            }
            self.counts.unacked -= usize::from(entry.id != 0 && !entry.acked);
            self.counts.unsent -= u64::from(entry.id == 0);
            self.unpark();
            self.openable();
        } else {
            self.counts.inbound -= 1;
        }
    }

    /// Lets as many streams try their first frame again as the ack backlog has room for; those that do not use it must
    /// not keep the others waiting.
    fn unpark(&mut self) {
        for _ in self.counts.unacked..ACK_BACKLOG {
            let Some(key) = self.parked.pop_front() else {
                return;
            };
            self.streams[key.0].parked = false;
            self.outbox.event(Event::Writable(key));
        }
    }

    fn openable(&mut self) {
        if std::mem::take(&mut self.counts.open_wanted) {
            self.outbox.event(Event::Openable);
        }
    }
}

#[cfg(test)]
mod tests;
