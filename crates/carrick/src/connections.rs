//! Which connections there are, and the end of those to one peer.

use carrick_swarm::CloseReason;
use carrick_wire::PeerId;
use tokio::sync::oneshot;

use crate::{Connection, ConnectionInfo, Node, message::Message};

impl Node {
    /// All connections that take streams, the oldest first; none once the node is closed. Costs the control task a look at
    /// each: for people and tools, not for every message.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use carrick::Node;
    ///
    /// let server = Node::builder().listen("/memory/0")?.spawn().await?;
    /// let client = Node::spawn().await?;
    /// let connection = client.dial(server.address()).await?;
    /// assert_eq!(client.connections().await[0].id, connection.id());
    /// drop(connection);
    /// assert_eq!(client.disconnect(&server.id()).await, 1);
    /// assert!(client.connections().await.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connections(&self) -> Vec<ConnectionInfo> {
        let (reply, all) = oneshot::channel();
        self.core.send(Message::Roster { reply }).await;
        all.await.unwrap_or_default()
    }

    /// Closes every connection to the peer and waits until they are gone, at most a few seconds; returns how many there were.
    /// Their streams are lost. The peer may come back, and is dialed again if [`keep_connected`](Self::keep_connected) says
    /// so: see [`ban`](Self::ban). Cancel-safe: what has begun goes on.
    pub async fn disconnect(&self, peer: &PeerId) -> usize {
        let (reply, all) = oneshot::channel();
        let ask = Message::Connections { peer: *peer, reply };
        self.core.send(ask).await;
        let all = all.await.unwrap_or_default();
        let close = |connection: &Connection| connection.shared().close(CloseReason::Requested);
        all.iter().for_each(close);
        for connection in &all {
            connection.shared().wait_gone().await;
        }
        all.len()
    }
}
