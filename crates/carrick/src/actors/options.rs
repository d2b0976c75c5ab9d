//! The bounds of a server.

use std::time::Duration;

use carrick_protocols::messages::Limits;

use super::mailbox::{MailboxOptions, Policy};

/// The bounds of a [`Server`](super::Server).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Tells conversations apart that must not mix, such as the network's name; both sides need the same. Empty by default.
    pub domain: Vec<u8>,
    /// Connections at a time, of all listeners; a peer's stream is one. Further ones are closed at once. 256 by default.
    pub connections_max: usize,
    /// Requests under way in one connection; further ones are refused as busy. 64 by default.
    pub in_flight_max: usize,
    /// Bytes of one message; a larger one ends its connection. 1 MiB by default.
    pub payload_bytes_max: usize,
    /// Bytes of one peer, or one connection of a program, that wait for the service; then it is not read from. 1 MiB by default.
    pub waiting_bytes_max: usize,
    /// How long the first frame of a connection may take, any frame that has begun, and the other side to take some of what is
    /// sent. 10 seconds by default.
    pub frame_timeout: Duration,
    /// The mailbox between connections and service, lane by lane. A lane that waits, which is the default, holds connections
    /// back; one that rejects refuses requests as busy.
    pub mailbox: MailboxOptions,
    /// When to come back, for those refused because the mailbox is full or too many requests are under way. A second by default.
    pub retry_after: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            domain: Vec::new(),
            connections_max: 256,
            in_flight_max: 64,
            payload_bytes_max: 1 << 20,
            waiting_bytes_max: 1 << 20,
            frame_timeout: Duration::from_secs(10),
            mailbox: MailboxOptions::new(256, Policy::Wait),
            retry_after: Duration::from_secs(1),
        }
    }
}

impl ServerOptions {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            payload_max: self.payload_bytes_max,
            in_flight_max: self.in_flight_max,
            retry_after: self.retry_after,
            ..Limits::default()
        }
    }
}
