//! What the node's parts tell the control task.

use carrick_protocols::identify;
use carrick_session::Upgraded;
use carrick_swarm::{
    Answer, AttemptId, ConnectionId, DialError, DialOptions, LookupId, PendingId, WaiterId,
};
use carrick_wire::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use crate::{
    AttemptError, Connection, ListenError,
    target::Target,
    transport::{Listener, Pipe},
};

/// What the node's parts tell the control task.
#[derive(Debug)]
pub(crate) enum Message {
    Connect {
        waiter: WaiterId,
        target: Target,
        options: DialOptions,
        reply: oneshot::Sender<Result<Connection, DialError>>,
    },
    Cancel {
        waiter: WaiterId,
    },
    Addresses {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    Listen {
        address: Multiaddr,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    },
    Bound {
        result: Result<Box<dyn Listener>, ListenError>,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    },
    ListenerEnded {
        addresses: Vec<Multiaddr>,
    },
    Accepted {
        pipe: Pipe,
        remote: Multiaddr,
    },
    AttemptProgress {
        attempt: AttemptId,
    },
    LookedUp {
        lookup: LookupId,
        result: Result<Answer, String>,
    },
    Dialed {
        attempt: AttemptId,
        address: Multiaddr,
        result: Result<Box<Session>, AttemptError>,
    },
    Upgraded {
        pending: PendingId,
        remote: Multiaddr,
        result: Result<Box<Session>, AttemptError>,
    },
    Ended {
        connection: ConnectionId,
    },
    Identified {
        connection: ConnectionId,
        info: Box<identify::Info>,
    },
    Pushed {
        connection: ConnectionId,
        info: Box<identify::Info>,
    },
    ProtocolsChanged,
    Close {
        done: Option<oneshot::Sender<()>>,
    },
}

/// A pipe and what its upgrade made.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) pipe: Pipe,
    pub(crate) upgraded: Upgraded,
}
