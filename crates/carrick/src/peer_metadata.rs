//! What the node knows of peers, and what its user keeps of them.

use std::{sync::Arc, time::Duration};

use carrick_swarm::{Event, LimitReached, PeerMetadata, Source};
use carrick_wire::PeerId;

use crate::{
    IntoTarget, Node, OpenError, Store, StoreError,
    store::{self, unix_now},
};

impl Node {
    /// Remembers where a peer may be found, for an hour, so that it can be dialed by its id alone.
    ///
    /// # Errors
    /// No peer is named, or two are.
    pub async fn add_addresses(&self, target: impl IntoTarget) -> Result<(), OpenError> {
        let target = target.into_target()?;
        let peer = target.peer.ok_or(crate::TargetError::Empty)?;
        let learnt = Event::Addresses {
            peer,
            addresses: target.addresses,
            ttl: ADDRESS_TTL,
            source: Source::User,
            from: None,
        };
        let tell = self
            .core
            .with_swarm(|swarm, now| swarm.handle_event(now, learnt));
        // A closed node has nothing to remember.
        let _ = tell.await;
        Ok(())
    }

    /// All that is known of a peer, connected or not; `None`: nothing, or the node is closed.
    pub async fn peer_metadata(&self, peer: &PeerId) -> Option<PeerMetadata> {
        let peer = *peer;
        let ask = self
            .core
            .with_swarm(move |swarm, now| swarm.peer_metadata(now, &peer));
        ask.await.flatten()
    }

    /// Keeps a value with a peer, under a name of your choice; `None` takes it away. It stays, over restarts if the node
    /// has a store, until it is taken away or the peer is forgotten for want of room:
    /// [`peers_max`](carrick_swarm::Config::peers_max), those not used for longest first. A peer has at most
    /// [`metadata_values_max`](carrick_swarm::Config::metadata_values_max) values, of
    /// [`metadata_bytes_max`](carrick_swarm::Config::metadata_bytes_max) bytes together with their names.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = carrick::Node::spawn().await?;
    /// let peer = carrick::PeerId::random();
    /// node.set_peer_metadata(&peer, "color", Some(b"red".to_vec())).await?;
    /// let known = node.peer_metadata(&peer).await.ok_or("known")?;
    /// assert_eq!(known.values["color"], b"red");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The limit that is reached; what was kept stays. A closed node keeps nothing, and reports no error.
    pub async fn set_peer_metadata(
        &self,
        peer: &PeerId,
        name: &str,
        value: Option<Vec<u8>>,
    ) -> Result<(), LimitReached> {
        let (peer, name) = (*peer, name.to_owned());
        let set = self
            .core
            .with_swarm(move |swarm, now| swarm.set_peer_metadata(now, peer, name, value));
        set.await.unwrap_or(Ok(()))
    }

    /// Takes in what the store holds, before anybody asks.
    pub(crate) async fn restore(&self, store: Option<Arc<dyn Store>>) -> Result<(), StoreError> {
        let Some(store) = store else {
            return Ok(());
        };
        let records = store::load(store).await?;
        let restore = self.core.with_swarm(move |swarm, now| {
            swarm.save(now);
            for (key, value) in records {
                swarm.restore(now, unix_now(), &key, &value);
            }
        });
        // It cannot have been closed yet.
        let _ = restore.await;
        Ok(())
    }
}

/// How long an address that a user gave is remembered.
const ADDRESS_TTL: Duration = Duration::from_secs(3600);
