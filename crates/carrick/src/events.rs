//! What the node tells its user unasked.

use carrick_swarm::{DialError, Direction};
use carrick_wire::{Multiaddr, PeerId};
use tokio::sync::broadcast;

/// Something happened to the node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A connection to a peer is up.
    Connected {
        /// Who.
        peer: PeerId,
        /// The peer's address.
        address: Multiaddr,
        /// Who dialed.
        direction: Direction,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer has told who it is; [`Node::peer`](crate::Node::peer) has the details.
    Identified {
        /// Who.
        peer: PeerId,
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
    /// A dial that nothing came of.
    DialFailed {
        /// Who was dialed, if that was known.
        peer: Option<PeerId>,
        /// Every address tried and why it failed.
        error: DialError,
    },
    /// This receiver was too slow and has missed events.
    Missed {
        /// How many.
        count: u64,
    },
}

/// Events waiting for the slowest receiver.
pub(crate) const EVENTS_MAX: usize = 1024;

/// The events of a node from the moment of [`Node::events`](crate::Node::events) on.
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
pub struct Events(pub(crate) broadcast::Receiver<NodeEvent>);

impl Events {
    /// The next event; `None` once the node is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(NodeEvent::Missed { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
