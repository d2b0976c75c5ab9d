//! What a node's limits allow, what is used of them and what they have refused.

use carrick_swarm::Limits;

use crate::Node;

impl Node {
    /// All limits with what is used of them, as plain data and, when shown, as a table. What a closed node used is not
    /// known any more. Costs the control task a look at every connection and dial: for people and for metrics, not for
    /// every message.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use carrick::{Limit, Node};
    ///
    /// let node = Node::spawn().await?;
    /// let limits = node.limits().await;
    /// println!("{limits}");
    /// let inbound = limits.get(Limit::ConnectionsInbound).expect("every limit is there");
    /// assert_eq!((inbound.used, inbound.refused), (Some(0), 0));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn limits(&self) -> Limits {
        let of_swarm = self.core.with_swarm(|swarm, now| swarm.limits(now));
        Limits::new(of_swarm.await.unwrap_or_default())
    }
}
