//! What goes into the swarm and what comes out: events (the world and the app to us), actions (us to
//! the world), notices (us to the app). Plain values; nothing here decides anything.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use carrick_protocols::identify;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    error::{AttemptError, DialError},
    limits::Limit,
    peer_store::Source,
    reputation::Behaviour,
    subject::Subject,
};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One established connection. Given by the shell, never reused, growing.
    ConnectionId
);
id!(
    /// One address being dialed. Given by the swarm, never reused.
    AttemptId
);
id!(
    /// One question to the name system. Given by the swarm, never reused.
    LookupId
);
id!(
    /// One caller who waits for a connection. Given by the shell, never reused, growing: waiters are
    /// answered in this order.
    WaiterId
);
id!(
    /// One inbound connection before its upgrade is done. Given by the swarm, never reused.
    PendingId
);

/// Who dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// We did.
    Outbound,
    /// The other peer did.
    Inbound,
}

/// What a connection was before it was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It answers [`Action::Dial`].
    Attempt(AttemptId),
    /// It was let in by [`crate::Swarm::admit`].
    Pending(PendingId),
}

/// What a caller wants of a dial, besides the peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialOptions {
    /// Make another connection although one exists. It counts against the limits as any other. While a handle or a
    /// stream of it lives it stays; after that it is superfluous beside an older one, and closed when it has been idle
    /// for [`crate::Config::duplicate_idle_timeout`].
    pub force_new: bool,
    /// Dial the given addresses and none that is known of the peer. Without `force_new` a connection that exists is
    /// used all the same.
    pub only_given: bool,
}

/// A question to the name system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// Its IP addresses.
    Ip {
        /// A host name.
        name: String,
        /// Of which kind.
        family: Family,
    },
    /// Its TXT records.
    Txt {
        /// A domain name.
        name: String,
    },
}

/// Which IP addresses are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Both.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Ip`].
    Ip(Vec<IpAddr>),
    /// To [`Query::Txt`], a text for each record.
    Txt(Vec<String>),
}

/// What happened in the world, or what the app wants.
#[derive(Debug, Clone)]
pub enum Event {
    /// A caller wants a connection; answered by one [`Action::Resolve`], unless it is cancelled.
    Connect {
        /// Who asks.
        waiter: WaiterId,
        /// To whom; `None`: to whoever answers at the addresses.
        peer: Option<PeerId>,
        /// Where to try besides what the peer store knows.
        addresses: Vec<Multiaddr>,
        /// How.
        options: DialOptions,
    },
    /// The waiter went away; a dial that nobody waits for any more is aborted.
    Cancel {
        /// Who asked.
        waiter: WaiterId,
    },
    /// The pipe of an attempt is open, its upgrade has begun: other addresses wait a little longer. Optional.
    AttemptProgress {
        /// Which one.
        attempt: AttemptId,
    },
    /// An attempt ended without a connection. Not expected after [`Action::Abort`], but harmless.
    AttemptFailed {
        /// Which one.
        attempt: AttemptId,
        /// Why.
        error: AttemptError,
    },
    /// The answer to [`Action::LookUp`].
    LookedUp {
        /// Which one.
        lookup: LookupId,
        /// What was found, or why nothing was, in the resolver's words.
        result: Result<Answer, String>,
    },
    /// An inbound connection ended before its upgrade was done.
    PendingFailed {
        /// Which one.
        pending: PendingId,
    },
    /// A connection is secured and muxed.
    Established {
        /// Its new id.
        connection: ConnectionId,
        /// Whom the handshake authenticated.
        peer: PeerId,
        /// The other end's address.
        address: Multiaddr,
        /// Where it comes from.
        origin: Origin,
    },
    /// A connection is gone, whoever closed it.
    Closed {
        /// Which one.
        connection: ConnectionId,
    },
    /// The connection has got its first user stream, or lost its last. A new connection counts as busy
    /// until this says otherwise; only connections that share their peer with another need it.
    Idle {
        /// Which one.
        connection: ConnectionId,
        /// Whether no user stream is open.
        idle: bool,
    },
    /// The answer to [`Action::CloseIdle`] when the connection is in use: it stays.
    Spared {
        /// Which one.
        connection: ConnectionId,
        /// Whether the app holds it with a handle, and not only streams do.
        held: bool,
    },
    /// The answer to [`Action::Identify`].
    Identified {
        /// Where it was received.
        connection: ConnectionId,
        /// What the peer says of itself.
        info: identify::Info,
    },
    /// The peer sent an identify push; what is missing in it has not changed.
    Pushed {
        /// Where it was received.
        connection: ConnectionId,
        /// What changed.
        info: identify::Info,
    },
    /// Addresses of a peer that the app or a protocol has learnt.
    Addresses {
        /// Whose.
        peer: PeerId,
        /// Where it may be reached.
        addresses: Vec<Multiaddr>,
        /// How long to believe it.
        ttl: Duration,
        /// Who says so.
        source: Source,
        /// Where we have met the one who says so, for what is neither the user's word nor our own experience: nobody leads
        /// us to what is nearer than he is, see [`crate::Config::allow_private`]. `None`: somewhere in the world.
        from: Option<Multiaddr>,
    },
    /// We listen on this address, as others may dial it: no port 0; better expanded than unspecified.
    Listening {
        /// The address, without our peer id.
        address: Multiaddr,
    },
    /// We no longer listen on this address.
    ListenerClosed {
        /// As in [`Event::Listening`].
        address: Multiaddr,
    },
    /// The set of protocols we accept has changed.
    ProtocolsChanged,
    /// The machine has other addresses than before, or another network: what failed there may work here.
    NetworkChanged,
    /// The process has slept for this long, and with it everybody who was waited for: deadlines are moved by as much.
    Slept {
        /// How long.
        time: Duration,
    },
    /// The app wants no connection to this peer: closes all and stops a running dial.
    Disconnect {
        /// To whom.
        peer: PeerId,
    },
    /// The app wants to end: closes everything; nothing is admitted or dialed afterwards.
    Shutdown,
}

/// What the shell shall do.
#[expect(
    clippy::large_enum_variant,
    reason = "actions are moved a few times, never kept"
)]
#[derive(Debug, Clone)]
pub enum Action {
    /// Dial one address and upgrade the connection; answer with [`Event::Established`] or
    /// [`Event::AttemptFailed`]. The swarm keeps the deadline.
    Dial {
        /// Its id.
        attempt: AttemptId,
        /// Where, without the peer id at the end.
        address: Multiaddr,
        /// Whom the handshake must find; `None`: anyone.
        expected: Option<PeerId>,
    },
    /// Stop an attempt; no answer is needed.
    Abort {
        /// Which one.
        attempt: AttemptId,
    },
    /// Ask the name system; answer with [`Event::LookedUp`]. The swarm keeps the deadline.
    LookUp {
        /// Its id.
        lookup: LookupId,
        /// What to ask.
        query: Query,
    },
    /// The answer is not wanted any more; none is needed.
    AbortLookUp {
        /// Which one.
        lookup: LookupId,
    },
    /// Answer a waiter; each is answered once.
    Resolve {
        /// Whom.
        waiter: WaiterId,
        /// The connection to use, or why there is none.
        result: Result<ConnectionId, DialError>,
    },
    /// Close a connection; answer with [`Event::Closed`] once it is gone.
    Close {
        /// Which one.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Close a connection if no user stream and no handle of it is open; else answer with [`Event::Spared`].
    CloseIdle {
        /// Which one.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// From now on, do not close the connection for being idle, or do so again. Not before this.
    Keep {
        /// Which one.
        connection: ConnectionId,
        /// Whether it is kept.
        keep: bool,
    },
    /// Ask the peer who it is, answer with [`Event::Identified`] when it says so.
    Identify {
        /// On which connection.
        connection: ConnectionId,
    },
    /// Tell the peer what we are now.
    PushIdentify {
        /// On which connection.
        connection: ConnectionId,
    },
    /// From now on new streams to this peer use this connection.
    Prefer {
        /// Which peer.
        peer: PeerId,
        /// `None`: the peer is not connected.
        connection: Option<ConnectionId>,
    },
    /// What is to outlive the program has changed: hand [`crate::Swarm::take_changes`] to the store, or leave it be while
    /// the store is busy: this comes again.
    Save,
    /// Tell the app.
    Notice(Notice),
}

/// Why we close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Another connection to the peer is preferred, and this one was idle.
    #[error("another connection to the peer is preferred")]
    Duplicate,
    /// There are as many connections as the configuration allows.
    #[error("connection limit reached")]
    LimitExceeded,
    /// It is the result of an attempt that was aborted meanwhile.
    #[error("nobody waits for it any more")]
    Unwanted,
    /// It leads back to ourselves.
    #[error("it leads to ourselves")]
    LocalPeer,
    /// Another peer answered than the one that was dialed.
    #[error("another peer answered")]
    WrongPeer,
    /// The app closed it, or disconnected the peer.
    #[error("the app closed it")]
    Requested,
    /// No user has held it or a stream of it for a while.
    #[error("it was idle")]
    Idle,
    /// There were more connections than we like to keep, and this one was worth least.
    #[error("trimmed: there are many connections, and it is worth little")]
    Trimmed,
    /// The peer, or where it comes from, is banned.
    #[error("banned")]
    Banned,
    /// Admission decided against it.
    #[error("not admitted")]
    Rejected,
    /// What the peer did has brought its score down to [`crate::Config::score_disconnect`].
    #[error("it misbehaves")]
    Misbehaved,
    /// We shut down.
    #[error("shutting down")]
    Shutdown,
}

/// What the app may want to know.
#[expect(
    clippy::large_enum_variant,
    reason = "actions are moved a few times, never kept"
)]
#[derive(Debug, Clone)]
pub enum Notice {
    /// A connection is established; there may be others to this peer.
    Connected {
        /// To whom.
        peer: PeerId,
        /// Its id.
        connection: ConnectionId,
        /// Who dialed.
        direction: Direction,
        /// The other end's address.
        address: Multiaddr,
        /// Whether there was no other, not even one that is closing.
        is_first: bool,
    },
    /// A connection is gone; there may be others to this peer.
    ConnectionClosed {
        /// To whom.
        peer: PeerId,
        /// Its id.
        connection: ConnectionId,
        /// Who dialed.
        direction: Direction,
        /// Why, when it was us who closed it.
        reason: Option<CloseReason>,
    },
    /// The last connection to this peer is gone.
    Disconnected {
        /// To whom.
        peer: PeerId,
    },
    /// The peer has said what it is, or what has changed.
    Identified {
        /// Which peer.
        peer: PeerId,
        /// Where it was received.
        connection: ConnectionId,
        /// What it says; after a push, what is missing has not changed.
        info: identify::Info,
    },
    /// We listen on an address.
    Listening {
        /// The address.
        address: Multiaddr,
    },
    /// We no longer listen on an address.
    ListenerClosed {
        /// The address.
        address: Multiaddr,
    },
    /// Enough peers far from each other have reached us at an address that we did not know as ours.
    ExternalAddress {
        /// The address.
        address: Multiaddr,
    },
    /// A limit has refused something; told once a second at most.
    LimitReached {
        /// Which one.
        limit: Limit,
    },
    /// Too few of them are left.
    ExternalAddressExpired {
        /// The address.
        address: Multiaddr,
    },
    /// What we tell others of our addresses has changed: [`crate::Swarm::told_addresses`].
    AddressesChanged,
    /// The peer's score has fallen to [`crate::Config::score_disconnect`]; told once until it is better.
    Disfavoured {
        /// Who.
        peer: PeerId,
        /// What it did last.
        behaviour: Behaviour,
        /// Who says so.
        source: &'static str,
    },
    /// A ban has begun, or another one of the same subject has taken its place.
    Banned {
        /// Who is banned.
        subject: Subject,
        /// Until when; `None`: until it is lifted.
        until: Option<SystemTime>,
        /// Why.
        reason: String,
    },
    /// A ban is over, was lifted, or had to make room for others.
    Unbanned {
        /// Whose.
        subject: Subject,
    },
    /// A dial that somebody waited for has failed.
    DialFailed {
        /// To whom, when known.
        peer: Option<PeerId>,
        /// As the waiters got it.
        error: DialError,
    },
}
