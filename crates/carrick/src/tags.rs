//! Whom the app wants to keep: tags and protection for its connections, and peers to stay connected to.

use carrick_swarm::{KeepError, Tag, TagError};
use carrick_wire::PeerId;

use crate::{IntoTarget, Node, TargetError};

/// Why a node does not stay connected to a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepConnectedError {
    /// What was given names no peer, or two.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The peer is ourselves, or there are too many.
    #[error(transparent)]
    Refused(#[from] KeepError),
}

/// When there are many connections, some are trimmed: see [`inbound_watermarks`](carrick_swarm::Config::inbound_watermarks).
/// These calls say who is worth how much. All answer once the control task has done it; a closed node does nothing.
impl Node {
    /// Adds to what the peer is worth when connections are trimmed: those of the least value go first. A tag of the same name
    /// is replaced; a value of 0 takes it off. A tag stays with its peer whether it is connected or not.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use carrick::{Keypair, Node, Tag};
    ///
    /// let node = Node::spawn().await?;
    /// let friend = Keypair::generate_ed25519().public().to_peer_id();
    /// node.tag(friend, "shared-work", Tag::fixed(10)).await?;
    /// node.tag(friend, "answered", Tag::decaying(64, Duration::from_secs(600))).await?;
    /// node.protect(friend, "friends").await?;
    /// assert!(node.is_protected(friend, None).await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The peer, or the node, has too many tags: see [`TagError`].
    pub async fn tag(
        &self,
        peer: PeerId,
        name: impl Into<String>,
        tag: Tag,
    ) -> Result<(), TagError> {
        let name = name.into();
        let done = self
            .core()
            .with_swarm(move |swarm, now| swarm.tag(now, peer, &name, tag));
        done.await.unwrap_or(Ok(()))
    }

    /// Takes a tag off; `false`: there was none of that name.
    pub async fn untag(&self, peer: PeerId, name: impl Into<String>) -> bool {
        let name = name.into();
        let done = self
            .core()
            .with_swarm(move |swarm, _| swarm.untag(&peer, &name));
        done.await.unwrap_or(false)
    }

    /// Keeps the peer's connections: they are neither trimmed nor closed for being idle, until each name that protects the
    /// peer was given to [`unprotect`](Self::unprotect). Two connections to it still become one, and a ban still ends them.
    ///
    /// # Errors
    /// The peer, or the node, has too many tags: see [`TagError`].
    pub async fn protect(&self, peer: PeerId, name: impl Into<String>) -> Result<(), TagError> {
        let name = name.into();
        let done = self
            .core()
            .with_swarm(move |swarm, now| swarm.protect(now, peer, &name));
        done.await.unwrap_or(Ok(()))
    }

    /// Ends what [`protect`](Self::protect) began with this name. Tells whether another name still protects the peer; if
    /// not, the idle time of its connections begins now.
    pub async fn unprotect(&self, peer: PeerId, name: impl Into<String>) -> bool {
        let name = name.into();
        let done = self
            .core()
            .with_swarm(move |swarm, _| swarm.unprotect(&peer, &name));
        done.await.unwrap_or(false)
    }

    /// Whether the peer is protected: by this name, or by any.
    pub async fn is_protected(&self, peer: PeerId, name: Option<&str>) -> bool {
        let name = name.map(ToOwned::to_owned);
        let asked = self
            .core()
            .with_swarm(move |swarm, _| swarm.is_protected(&peer, name.as_deref()));
        asked.await.unwrap_or(false)
    }

    /// Trims connections down to the low watermarks now, however many there are.
    pub async fn trim(&self) {
        let _ = self.core().with_swarm(|swarm, now| swarm.trim(now)).await;
    }

    /// Stays connected to a peer until [`stop_keeping`](Self::stop_keeping): protects it, dials it now, and again whenever
    /// the last connection to it is gone: after 1 s, 2 s, 4 s … 48 s and up to a quarter more. The wait is short again after a
    /// connection that has lasted 15 s. It does not wait for the first connection: [`dial`](Self::dial) does, and shares its
    /// dial. Addresses add to those of an earlier call, and to what is known of the peer.
    ///
    /// # Errors
    /// See [`KeepConnectedError`].
    pub async fn keep_connected(&self, target: impl IntoTarget) -> Result<(), KeepConnectedError> {
        let target = target.into_target()?;
        let peer = target.peer.ok_or(TargetError::Empty)?;
        let seed = rand::random();
        let kept = self
            .core()
            .with_swarm(move |swarm, now| swarm.keep_connected(now, peer, target.addresses, seed));
        Ok(kept.await.unwrap_or(Ok(()))?)
    }

    /// Ends what [`keep_connected`](Self::keep_connected) began; a connection stays until it is idle. `false`: it had not
    /// begun.
    pub async fn stop_keeping(&self, peer: PeerId) -> bool {
        let done = self
            .core()
            .with_swarm(move |swarm, _| swarm.stop_keeping(&peer));
        done.await.unwrap_or(false)
    }
}
