//! The muxer of a session: one set of verbs over yamux and mplex.
//!
//! Reader, writer and streams share a `Mux` behind the shell's lock: the reader calls `recv`, the writer
//! `poll_transmit`, streams everything else. After any call, drain `poll_event`; a timer runs `handle_timeout` at
//! `poll_timeout`. Calls that would have to wait return at once and an event says when to try again.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use carrick_wire::ProtocolId;

use crate::{
    Code, Config, Event, Key, Layout, NegotiateError, OpenError, Read, Records, Role, StreamError,
    Violation, WindowPool, mplex::Mplex, negotiate::Dialer, yamux::Yamux,
};

/// Yamux or mplex, perhaps with the peer's answer to an optimistic proposal of it still under way.
#[derive(Debug)]
pub struct Mux {
    unconfirmed: Option<Box<Dialer>>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Yamux(Box<Yamux>),
    Mplex(Box<Mplex>),
}

/// Calls the same verb on whichever muxer it is.
macro_rules! each {
    ($self:ident, $mux:ident => $call:expr) => {
        match &$self.kind {
            Kind::Yamux($mux) => $call,
            Kind::Mplex($mux) => $call,
        }
    };
    (mut $self:ident, $mux:ident => $call:expr) => {
        match &mut $self.kind {
            Kind::Yamux($mux) => $call,
            Kind::Mplex($mux) => $call,
        }
    };
}

impl Mux {
    /// The muxer named `protocol`, or `None` if there is no such muxer. `unconfirmed`: the negotiation that proposed
    /// it, when the peer's answer is still to come and will precede its first frame.
    pub fn new(
        protocol: &ProtocolId,
        role: Role,
        config: &Config,
        layout: Layout,
        now: Instant,
        unconfirmed: Option<Box<Dialer>>,
    ) -> Option<Self> {
        let kind = if *protocol == YAMUX {
            Kind::Yamux(Box::new(Yamux::new(role, config, layout, now)))
        } else if *protocol == MPLEX {
            Kind::Mplex(Box::new(Mplex::new(config, layout)))
        } else {
            return None;
        };
        Some(Self { unconfirmed, kind })
    }

    /// Takes plaintext of any chunking from the pipe.
    ///
    /// # Errors
    /// The peer broke the protocol: send what [`poll_transmit`](Self::poll_transmit) still gives, then close.
    pub fn recv(&mut self, now: Instant, mut bytes: Bytes) -> Result<(), Violation> {
        if let Some(dialer) = &mut self.unconfirmed {
            let used = dialer.recv(&bytes).map_err(|error| match error {
                NegotiateError::Unsupported(_) => {
                    Violation("the peer refused the muxer that it was offered alone")
                }
                NegotiateError::Malformed(_) | NegotiateError::Violation(_) => {
                    Violation("bad answer to the muxer")
                }
            })?;
            bytes = bytes.split_off(used);
            if dialer.outcome().is_none() {
                return Ok(());
            }
            self.unconfirmed = None;
        }
        each!(mut self, mux => mux.recv(now, bytes))
    }

    /// Bytes have come that are no whole record yet: they are a sign of life, too. [`recv`](Self::recv) says it by itself.
    pub fn heard(&mut self, now: Instant) {
        match &mut self.kind {
            Kind::Yamux(yamux) => yamux.pinger.heard(now),
            Kind::Mplex(_) => {}
        }
    }

    /// Opens a stream; nothing is sent before its first write.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&mut self) -> Result<Key, OpenError> {
        self.open_beyond(0)
    }

    /// As [`open`](Self::open), for streams that matter more than others: `beyond` more than the limit may be open.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_beyond(&mut self, beyond: usize) -> Result<Key, OpenError> {
        each!(mut self, mux => mux.open_beyond(beyond))
    }

    /// Queues `head` and as much of `data` as window and buffer allow, at most 64 KiB, and returns how much of `data`
    /// that was. `None`: nothing was taken, not even `head`; [`Event::Writable`] follows. `head` is meant for a stream's
    /// first write, where it always fits.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn write(
        &mut self,
        key: Key,
        head: &[u8],
        data: &[u8],
    ) -> Result<Option<usize>, StreamError> {
        each!(mut self, mux => mux.write(key, head, data))
    }

    /// Lets windows grow, and unread bytes pile up, only as far as the pool lends; mplex has no windows.
    pub fn set_window_pool(&mut self, pool: Arc<dyn WindowPool>) {
        match &mut self.kind {
            Kind::Yamux(yamux) => yamux.windows.set_pool(pool),
            Kind::Mplex(mplex) => mplex.unread.set_pool(pool),
        }
    }

    /// How many streams of the peer's were one too many since this was asked last.
    pub fn take_refused(&mut self) -> u64 {
        match &mut self.kind {
            Kind::Yamux(yamux) => std::mem::take(&mut yamux.refused),
            Kind::Mplex(_) => 0,
        }
    }

    /// How many frames have come since this was asked last; mplex does not count them.
    pub fn take_frames(&mut self) -> u64 {
        match &mut self.kind {
            Kind::Yamux(yamux) => std::mem::take(&mut yamux.frames),
            Kind::Mplex(_) => 0,
        }
    }

    /// Takes the next bytes that were received.
    ///
    /// # Errors
    /// See [`StreamError`]; what arrived before the error is returned first.
    pub fn read(&mut self, now: Instant, key: Key) -> Result<Read, StreamError> {
        each!(mut self, mux => mux.read(now, key))
    }

    /// Why the peer, whose side has ended, wants nothing of ours any more: it has reset the stream, or is gone. `None`: it
    /// still waits, and [`Event::Readable`] says when to look again.
    pub fn watch(&mut self, key: Key) -> Option<StreamError> {
        each!(mut self, mux => mux.streams[key.0].stream.watch())
    }

    /// Closes our write side; the peer reads everything and then a clean end. Reading goes on.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn finish(&mut self, key: Key) -> Result<(), StreamError> {
        each!(mut self, mux => mux.finish(key))
    }

    /// Ends both directions at once; what was not delivered may be lost.
    pub fn reset(&mut self, key: Key, code: Code) {
        each!(mut self, mux => mux.reset(key, code));
    }

    /// Discards what was and will be received. Neither muxer has a frame for it: the peer is not told before it is
    /// done or the stream is released.
    pub fn stop(&mut self, now: Instant, key: Key, code: Code) {
        each!(mut self, mux => mux.stop(now, key, code));
    }

    /// The stream's user is gone: resets what is unfinished, forgets the rest when the peer is done. `key` is invalid
    /// afterwards.
    pub fn release(&mut self, now: Instant, key: Key) {
        each!(mut self, mux => mux.release(now, key));
    }

    /// Stops opening and accepting streams, and tells the peer so where the muxer can. Without a code open streams may
    /// finish; some peers take a code for the connection's end, so it is sent when no stream matters any more.
    pub fn go_away(&mut self, code: Code) {
        each!(mut self, mux => mux.go_away(code));
    }

    /// The first reason that the peer gave for going away; [`Code::NONE`]: it gave none.
    pub fn reason(&self) -> Code {
        each!(self, mux => mux.reason())
    }

    /// The connection is gone: every stream ends in [`StreamError::ConnectionLost`], unless it had ended before.
    pub fn lose(&mut self) {
        each!(mut self, mux => mux.lose());
    }

    /// Exchanges the filled outgoing buffer for `spare`, which must be empty; false when there was nothing to send.
    pub fn poll_transmit(&mut self, spare: &mut Records) -> bool {
        each!(mut self, mux => mux.poll_transmit(spare))
    }

    /// The buffer in which frames wait for [`poll_transmit`](Self::poll_transmit): its memory may be exchanged, not its
    /// content.
    pub fn send_buffer(&mut self) -> &mut Records {
        each!(mut self, mux => mux.send_buffer())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        each!(mut self, mux => mux.poll_event())
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        each!(self, mux => mux.poll_timeout())
    }

    /// Does what is due: keep-alive, lingering streams, slow readers.
    ///
    /// # Errors
    /// The peer did not answer a keep-alive ping in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Violation> {
        each!(mut self, mux => mux.handle_timeout(now))
    }

    /// Whether no more bytes may be passed to [`recv`](Self::recv) for now; [`Event::Resumed`] follows.
    pub fn is_congested(&self) -> bool {
        each!(self, mux => mux.is_congested())
    }

    /// How many streams live: opened, accepted or waiting for the peer's end.
    pub fn streams(&self) -> usize {
        each!(self, mux => mux.streams())
    }

    /// Sets how many streams we hold open at once: some peers bear fewer than others.
    pub fn set_outbound_max(&mut self, max: usize) {
        each!(mut self, mux => mux.set_outbound_max(max));
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) would give something.
    pub fn wants_transmit(&self) -> bool {
        each!(self, mux => mux.wants_transmit())
    }

    /// Whether what [`poll_transmit`](Self::poll_transmit) would give holds data, and not only window updates and the like,
    /// of which more may follow soon.
    pub fn is_hurried(&self) -> bool {
        each!(self, mux => mux.is_hurried())
    }

    /// The last measured round-trip time of the connection, where the muxer can measure it.
    pub fn rtt(&self) -> Option<std::time::Duration> {
        match &self.kind {
            Kind::Yamux(yamux) => yamux.rtt(),
            Kind::Mplex(_) => None,
        }
    }
}

/// The protocol id of yamux.
pub(crate) const YAMUX: ProtocolId = ProtocolId::from_static("/yamux/1.0.0");
/// The protocol id of mplex.
pub(crate) const MPLEX: ProtocolId = ProtocolId::from_static("/mplex/6.7.0");

#[cfg(test)]
mod tests;
