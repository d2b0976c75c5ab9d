//! What a server's owner writes.

use std::future::Future;

use super::{
    connections::Connections,
    frames::ServerError,
    inbound::{Inbound, Origin},
};

/// What an actor does with what comes to it: from peers or programs through a [`Server`](super::Server), and from other actors
/// of its own program.
///
/// One task calls all of it, one call after the other, so the state needs no lock; and whoever takes long in here holds up
/// everything else that the server does, down to the sockets. Work that lasts belongs to another actor, or a task.
pub trait Service: Send {
    /// What other actors of this program send it.
    type Internal: Send;

    /// A message from outside. If it wants a reply and gets [`RequestError::NotSupported`](crate::RequestError::NotSupported) or
    /// [`RequestError::Malformed`](crate::RequestError::Malformed), that is recorded of the peer whose it is.
    fn handle(
        &mut self,
        inbound: Inbound,
        connections: &mut Connections,
    ) -> impl Future<Output = ()> + Send;

    /// A message from another actor.
    fn handle_internal(
        &mut self,
        message: Self::Internal,
        connections: &mut Connections,
    ) -> impl Future<Output = ()> + Send;

    /// Whether a connection is let in; everybody, unless this says otherwise.
    fn allow_connection(&mut self, origin: &Origin) -> bool {
        let _ = origin;
        true
    }

    /// A connection was refused or has ended badly. What that says of a peer has been recorded already; by default there is
    /// nothing else to do but a line in the log.
    fn handle_errored(&mut self, error: &ServerError, origin: &Origin) {
        tracing::debug!(?origin, %error, "a connection of the server ended");
    }
}
