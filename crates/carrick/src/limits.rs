//! What a node's limits allow, what is used of them and what they have refused: the swarm's, and those on what connections
//! carry and cost.

use std::sync::PoisonError;

use carrick_swarm::{Limit, Limits};

use crate::{Node, connection::Shared};

impl Node {
    /// All limits with what is used of them, as plain data and, when shown, as a table. What a closed node used of the
    /// swarm's is not known any more. Costs a look at every connection and dial: for people and for metrics, not for every
    /// message.
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
        let core = &self.core;
        let of_swarm = core.with_swarm(|swarm, now| swarm.limits(now)).await;
        let mut all = of_swarm.unwrap_or_default();
        let peers = core.peers.read().unwrap_or_else(PoisonError::into_inner);
        let most = |count: &dyn Fn(&Shared) -> u64| {
            peers
                .values()
                .map(|shared| count(shared))
                .max()
                .unwrap_or(0)
        };
        let quotas = &core.quotas;
        all.extend(Limit::ALL.iter().filter_map(|limit| {
            let used = match limit {
                Limit::MemoryPerPeer => Some(most(&|shared| shared.share.memory())),
                Limit::StreamsInboundPerPeer => Some(most(&|shared| shared.share.streams())),
                Limit::NegotiationsPerConnection => {
                    Some(most(&|shared| shared.arrivals.negotiating() as u64))
                }
                Limit::RequestsInboundPerPeer
                | Limit::RequestBytesPerPeer
                | Limit::RequestsOutboundPerPeer
                | Limit::RequestsQueuedPerPeer => Some(core.requesting.most(*limit)),
                Limit::StreamsInboundPerProtocol => Some(core.router.streams_of_busiest()),
                Limit::FileDescriptors
                | Limit::Memory
                | Limit::StreamsInbound
                | Limit::Negotiations => Some(quotas.used(*limit)),
                _ => None,
            };
            quotas.usage(*limit, used)
        }));
        Limits::new(all)
    }
}
