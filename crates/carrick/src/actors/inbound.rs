//! What a server gives to its service: a message, who sent it, and the way back if it wants a reply.

use bytes::Bytes;
use carrick_wire::{PeerId, messages::Priority};
use multiaddr::Multiaddr;

use super::{budget::Share, call::Replier};
use crate::RequestError;

/// What a request comes to: the payload of its reply, or why there is none.
pub type Outcome = Result<Bytes, RequestError>;

/// Who is on the other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A peer, by its identity, which the node has verified.
    Peer(PeerId),
    /// A program on a socket, by its address; over a unix socket, by that of the socket.
    Socket(Multiaddr),
}

/// A message that came to a server. Dropping one that wants a reply refuses it.
#[derive(Debug)]
pub struct Inbound {
    origin: Origin,
    code: u16,
    priority: Priority,
    payload: Bytes,
    replier: Option<Replier<Outcome>>,
    /// Its part of what its sender may have waiting.
    _share: Share,
}

impl Inbound {
    pub(super) fn new(
        origin: Origin,
        code: u16,
        priority: Priority,
        payload: Bytes,
        share: Share,
        replier: Option<Replier<Outcome>>,
    ) -> Self {
        Self {
            origin,
            code,
            priority,
            payload,
            replier,
            _share: share,
        }
    }

    /// Who sent it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Which message of the application's it is.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// How urgent its sender calls it.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The message, in the application's encoding.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Whether its sender waits for a reply.
    pub fn wants_reply(&self) -> bool {
        self.replier.is_some()
    }

    /// Whether its sender wanted a reply and does not wait for it any more.
    pub fn is_cancelled(&self) -> bool {
        self.replier.as_ref().is_some_and(Replier::is_cancelled)
    }

    /// Returns when its sender does not wait for a reply any more; never if it did not want one. Cancel-safe.
    pub async fn cancelled(&mut self) {
        match &mut self.replier {
            Some(replier) => replier.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Answers; does nothing if nobody waits for it.
    pub fn reply(self, outcome: Outcome) {
        if let Some(replier) = self.replier {
            replier.reply(outcome);
        }
    }
}
