//! What the node tells its user unasked: one ordered stream for each who listens. It is bounded: who is too slow misses the
//! oldest, and is told how many.

use std::{sync::Arc, time::SystemTime};

use carrick_session::Code;
use carrick_swarm::{CloseReason, ConnectionId, DialError, Direction, Limit, Subject};
use carrick_wire::{Multiaddr, PeerId};
use tokio::sync::broadcast;

use crate::{Changes, ConnectionError, quotas::Quotas};

/// Something happened to the node. All who listen see the same events in the same order, the one in which the node decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// There is a connection to a peer, and was none before. It follows as [`ConnectionOpened`](Self::ConnectionOpened).
    Connected {
        /// Who.
        peer: PeerId,
        /// The peer's address.
        address: Multiaddr,
        /// Who dialed.
        direction: Direction,
    },
    /// A connection is up, be it the peer's first or not.
    ConnectionOpened {
        /// To whom.
        peer: PeerId,
        /// Which one.
        connection: ConnectionId,
        /// Who dialed.
        direction: Direction,
        /// The peer's address.
        address: Multiaddr,
    },
    /// A connection is gone, be it the peer's last or not.
    ConnectionClosed {
        /// To whom.
        peer: PeerId,
        /// Which one.
        connection: ConnectionId,
        /// Who had dialed.
        direction: Direction,
        /// Who ended it, and why.
        reason: ConnectionEnd,
    },
    /// The last connection to a peer is gone; its end was told as [`ConnectionClosed`](Self::ConnectionClosed).
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer has told who it is, or what has changed; [`Node::peer`](crate::Node::peer) has the details.
    Identified {
        /// Who.
        peer: PeerId,
        /// What is news.
        changes: Changes,
    },
    /// The node listens on one more address.
    Listening {
        /// Where; without our peer id.
        address: Multiaddr,
    },
    /// The node does not listen there any more.
    ListenerClosed {
        /// Where.
        address: Multiaddr,
    },
    /// Peers in enough networks say that they reach us at an address that we do not listen on.
    ExternalAddress {
        /// Where; without our peer id.
        address: Multiaddr,
    },
    /// Too few of them are connected any more.
    ExternalAddressExpired {
        /// Where; without our peer id.
        address: Multiaddr,
    },
    /// What the node tells others of where it can be reached has changed: see
    /// [`Node::told_addresses`](crate::Node::told_addresses). Peers hear of it a moment later.
    AddressesChanged {
        /// All that is told now, the most useful first; without our peer id.
        addresses: Vec<Multiaddr>,
    },
    /// A dial that nothing came of.
    DialFailed {
        /// Who was dialed, if that was known.
        peer: Option<PeerId>,
        /// Every address tried and why it failed.
        error: DialError,
    },
    /// A limit has refused something; told once a second at most for each. [`Node::limits`](crate::Node::limits) has the
    /// details.
    LimitReached {
        /// Which one.
        limit: Limit,
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
    /// This receiver was too slow and has missed events, right here. What holds now can be asked: see
    /// [`Node::peers`](crate::Node::peers), [`Node::addresses`](crate::Node::addresses).
    Missed {
        /// How many, exactly.
        count: u64,
    },
}

/// Who ended a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionEnd {
    /// We closed it.
    #[error("we closed it: {0}")]
    Ours(CloseReason),
    /// The peer closed it; [`Code::NONE`] where it, or its muxer, did not say why.
    #[error("the peer closed it: {0}")]
    Theirs(Code),
    /// Nobody meant to.
    #[error("it was lost: {0}")]
    Lost(ConnectionError),
}

/// The events of a node from the moment of [`Node::events`](crate::Node::events) on. A receiver that does not read costs the
/// node nothing: after 1024 more events it misses the oldest, and [`NodeEvent::Missed`] says how many, in their place.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Node, NodeEvent};
///
/// let server = Node::builder().listen("/memory/0")?.spawn().await?;
/// let mut events = server.events();
/// let client = Node::spawn().await?;
/// let _connection = client.dial(server.address()).await?;
/// while let Some(event) = events.next().await {
///     if let NodeEvent::Connected { peer, .. } = event {
///         assert_eq!(peer, client.id());
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Events(
    pub(crate) broadcast::Receiver<NodeEvent>,
    pub(crate) Arc<Quotas>,
);

impl Events {
    /// The next event; `None` once the node is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                self.1.count(Limit::Events, count);
                Some(NodeEvent::Missed { count })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
