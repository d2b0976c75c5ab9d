//! The words that the machines and whoever drives them share.

use bytes::Bytes;
use carrick_wire::{ProtocolId, PublicKey};

/// Which end of the pipe we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We dialed.
    Dialer,
    /// We accepted.
    Listener,
}

/// What a handshake found out about the peer.
#[derive(Debug)]
pub(crate) struct Proof {
    /// The identity key that it proved to have.
    pub(crate) key: PublicKey,
    /// The muxer agreed on within the handshake; `None`: multistream-select decides.
    pub(crate) muxer: Option<ProtocolId>,
}

/// One stream of a muxer, from [`Mux::open`](crate::Mux::open) or [`Event::Incoming`] until
/// [`Mux::release`](crate::Mux::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) usize);

impl Key {
    /// A small number, unique among the streams that live; meant as an index into a table.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What happened in the muxer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream.
    Incoming(Key),
    /// A read that returned [`Read::Blocked`] is worth trying again.
    Readable(Key),
    /// A write that returned `None` is worth trying again.
    Writable(Key),
    /// An open that was [`OpenError::Blocked`](crate::OpenError::Blocked) is worth trying again.
    Openable,
    /// [`Mux::is_congested`](crate::Mux::is_congested) has become false.
    Resumed,
    /// The peer will not accept new streams any more.
    GoAway,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Some bytes, at least one.
    Data(Bytes),
    /// The peer finished its side; there is no more.
    End,
    /// Nothing yet; [`Event::Readable`] follows.
    Blocked,
}
