//! Typed messages, `docs/messages.md`: requests that find their replies, whatever their order. Bytes and the time go in;
//! frames, replies and requests come out.
//!
//! ```text
//!  request ──▶ Asker ──frames──▶ stream ──▶ Answerer ──▶ request, one-way, cancelled
//!    reply ◀──   │   ◀──frames── stream ◀──    │     ◀── reply, refuse
//! ```
//! A stream has an [`Asker`] at the end that opened it and an [`Answerer`] at the other, so replies never wait behind requests.
//!
//! Invariants: an id is never in use twice; a reply comes out once, or as often as it was said, and never after its request
//! is over; what waits to be sent is bounded, lane by lane; frames come in the order of their nonces, or not at all.

use std::time::Duration;

use carrick_wire::{
    DecodeError,
    messages::{Frame, Kind},
};

pub use self::{
    answerer::{Answerer, Asked, Serving},
    asker::{Answer, Ask, Asker, Strays},
    pace::{Pace, Rate},
};

mod answerer;
mod asker;
mod inbox;
mod outbox;
mod pace;

/// What one stream may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the largest payload, both ways.
    pub payload_max: usize,
    /// Requests that are neither answered nor over, on either end.
    pub in_flight_max: usize,
    /// Bytes that wait to be sent in each of the four lanes; a message that is larger passes alone.
    pub lane_bytes_max: usize,
    /// What a peer is told that has too many requests under way.
    pub retry_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_max: 1 << 20,
            in_flight_max: 1024,
            lane_bytes_max: 256 * 1024,
            retry_after: Duration::from_millis(100),
        }
    }
}

/// The peer has broken the protocol: its stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// What came is no frame of this protocol.
    #[error(transparent)]
    Frame(#[from] DecodeError),
    /// A frame was repeated, or came out of order.
    #[error("the nonce of a message, {nonce}, is not above the last one, {last}")]
    Nonce {
        /// What came.
        nonce: u64,
        /// What had come before.
        last: u64,
    },
    /// A frame of a kind that goes the other way.
    #[error("a {0:?} message from the wrong end of the stream")]
    Direction(Kind),
    /// An answer with another code than its request.
    #[error("the answer to a request of code {asked} has the code {code}")]
    Code {
        /// The request's.
        asked: u16,
        /// The answer's.
        code: u16,
    },
    /// A request with the id of one that is not answered.
    #[error("the id of a request, {0}, is in use")]
    IdInUse(u32),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a message")]
    Cut,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Its lane is full; there is room again once some of it was sent.
    #[error("too much waits to be sent")]
    LaneFull,
    /// Too many requests are not answered.
    #[error("too many requests are under way")]
    TooMany,
    /// The payload is too large.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
}

#[cfg(test)]
mod tests;
