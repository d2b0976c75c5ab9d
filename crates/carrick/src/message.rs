//! What the node's parts tell the control task.

use std::{collections::BTreeSet, fmt, net::IpAddr, time::Instant};

use bytes::BytesMut;
use carrick_protocols::identify;
use carrick_session::{Mux, Opener, Sealer, Summary};
use carrick_swarm::{
    Answer, AttemptId, ConnectionId, DialError, DialOptions, LookupId, PendingId, Refused, Swarm,
    WaiterId,
};
use carrick_wire::{Multiaddr, PeerId, PublicKey};
use tokio::sync::oneshot;

use crate::{
    AttemptError, Connection, ConnectionInfo, ListenError,
    quotas::{ConnectionPermit, Permit},
    target::Target,
    transport::{
        Listener, Pipe,
        quic::{Knock, QuicListener, Secured},
    },
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
    Listen {
        address: Multiaddr,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    },
    Bound {
        result: Result<Listening, ListenError>,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    },
    /// A listener's addresses are others than before.
    Relisten {
        before: Vec<Multiaddr>,
        now: Vec<Multiaddr>,
    },
    /// Something has changed around the node.
    Around(Change),
    ListenerEnded {
        addresses: Vec<Multiaddr>,
    },
    Accepted(Newcomer),
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
    /// Asks for all connections to the peer.
    Connections {
        peer: PeerId,
        reply: oneshot::Sender<Vec<Connection>>,
    },
    /// Asks what connections there are.
    Roster {
        reply: oneshot::Sender<Vec<ConnectionInfo>>,
    },
    ProtocolsChanged,
    /// Asks or commands the swarm; what it wants done follows at once.
    Swarm(Ask),
    Close {
        done: Option<oneshot::Sender<()>>,
    },
}

/// What somebody wants of the swarm, on the control task. It gives what answers them, once the swarm's wishes are fulfilled.
pub(crate) struct Ask(pub(crate) Box<Asking>);

type Asking = dyn FnOnce(&mut Swarm, Instant) -> Answering + Send;
pub(crate) type Answering = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

/// What has changed around the node.
#[derive(Debug)]
pub(crate) enum Change {
    /// The machine's addresses; these are gone.
    Addresses(BTreeSet<IpAddr>),
    /// The process or the machine has slept, or the wall clock was set forward, which looks the same.
    Woke,
}

/// An authenticated peer, before the swarm knows of it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: PeerId,
    pub(crate) key: PublicKey,
    pub(crate) summary: Summary,
    pub(crate) carrier: Carrier,
    pub(crate) permit: ConnectionPermit,
}

/// What will carry its streams.
#[derive(Debug)]
pub(crate) enum Carrier {
    Pipe(Upgraded),
    Quic(Secured),
}

/// What listens.
#[derive(Debug)]
pub(crate) enum Listening {
    Pipes {
        listener: Box<dyn Listener>,
        _permit: Permit,
    },
    Quic {
        listener: QuicListener,
        _permit: Permit,
    },
}

/// Who came in, from where, and what that costs us.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) arrival: Arrival,
    pub(crate) remote: Multiaddr,
    pub(crate) permit: ConnectionPermit,
}

/// Who came in, before anything is known of it.
#[derive(Debug)]
pub(crate) enum Arrival {
    Pipe(Pipe),
    Quic(Box<Knock>),
}

impl Arrival {
    /// Whether somebody is proven to be where it comes from.
    pub(crate) fn is_validated(&self) -> bool {
        match self {
            Self::Pipe(_) => true,
            Self::Quic(knock) => knock.is_validated(),
        }
    }

    /// Does not let it in.
    pub(crate) fn refuse(self, refused: &Refused) {
        match self {
            // A pipe has no words before its handshake.
            Self::Pipe(_) => {}
            Self::Quic(knock) => knock.refuse(refused),
        }
    }
}

/// A pipe and what its upgrade made.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) pipe: Pipe,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) mux: Mux,
    /// Bytes that followed the upgrade.
    pub(crate) leftover: BytesMut,
}

/// The same without the muxer: what its reader and its writer need.
pub(crate) struct Halves {
    pub(crate) pipe: Pipe,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) leftover: BytesMut,
}

impl Upgraded {
    pub(crate) fn split(self) -> (Mux, Halves) {
        let halves = Halves {
            pipe: self.pipe,
            sealer: self.sealer,
            opener: self.opener,
            leftover: self.leftover,
        };
        (self.mux, halves)
    }
}
