//! Scores and bans, as users ask for them; what they are is decided in `carrick-swarm`.

use std::time::Duration;

use carrick_swarm::{Ban, Behaviour, Event, PeerClass, Source, Subject, Swarm};
use carrick_wire::PeerId;

use crate::{IntoTarget, Node, OpenError};

impl Node {
    /// Remembers a peer and what it is to us, and its addresses, until [`remove_peer`](Self::remove_peer).
    ///
    /// # Errors
    /// No peer is named, or two are.
    pub async fn add_peer(
        &self,
        target: impl IntoTarget,
        class: PeerClass,
    ) -> Result<(), OpenError> {
        let target = target.into_target()?;
        let peer = target.peer.ok_or(crate::TargetError::Empty)?;
        let learnt = Event::Addresses {
            peer,
            addresses: target.addresses,
            ttl: ADDED_TTL,
            source: Source::User,
            from: None,
        };
        let add = move |swarm: &mut Swarm, now| {
            swarm.add_peer(now, peer, class);
            swarm.handle_event(now, learnt);
        };
        self.core.with_swarm(add).await;
        Ok(())
    }

    /// Takes [`add_peer`](Self::add_peer) back: the peer is one among many again. Connections to it stay.
    pub async fn remove_peer(&self, peer: &PeerId) {
        let peer = *peer;
        let remove = move |swarm: &mut Swarm, now| swarm.remove_peer(now, &peer);
        self.core.with_swarm(remove).await;
    }

    /// Counts what a peer did. Its score, from −100 to 100, moves by [`Behaviour::points`] and comes half as near to 0 every
    /// ten minutes. A peer that brings it down to −20 is disconnected; at −50 it is banned for a quarter of an hour, and each
    /// time twice as long. `source` is a short name for logs and metrics, such as `app`.
    ///
    /// A handler need not call this: it returns its error, and says with [`Because`](crate::Because) what it implies.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use carrick::{Behaviour, Node, OpenError, DialError, PeerId};
    ///
    /// let node = Node::spawn().await?;
    /// let peer: PeerId = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5".parse()?;
    /// node.record_behaviour(&peer, Behaviour::Useful, "app").await;
    /// node.record_behaviour(&peer, Behaviour::Malicious, "app").await;
    /// assert!(node.is_banned(peer).await);
    /// let refused = node.dial(peer).await;
    /// assert!(matches!(refused, Err(OpenError::Dial(DialError::Banned { .. }))));
    /// node.unban(peer).await;
    /// assert_eq!(node.score(&peer).await, 0.0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn record_behaviour(
        &self,
        peer: &PeerId,
        behaviour: Behaviour,
        source: &'static str,
    ) {
        self.core.record(*peer, behaviour, source).await;
    }

    /// The peer's score; 0 of whom nothing is known. See [`record_behaviour`](Self::record_behaviour).
    pub async fn score(&self, peer: &PeerId) -> f64 {
        let peer = *peer;
        let score = move |swarm: &mut Swarm, now| swarm.reputation().score(now, &peer);
        self.core.with_swarm(score).await.unwrap_or_default()
    }

    /// At most `count` peers, those with the best scores first, among all that are connected or were added.
    pub async fn best_peers(&self, count: usize) -> Vec<PeerId> {
        let best = move |swarm: &mut Swarm, _| swarm.best_peers(count);
        self.core.with_swarm(best).await.unwrap_or_default()
    }

    /// Bans a peer, an IP address or a network for `duration`, or until [`unban`](Self::unban), in the place of an earlier
    /// ban of the same. It is over with its connections at once: their streams, and those being opened, fail with
    /// [`ConnectionError::Expelled`](crate::ConnectionError::Expelled), and dials are refused. A peer is turned away after
    /// its handshake, an address before.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use carrick::{Network, Node};
    ///
    /// let node = Node::spawn().await?;
    /// let network: Network = "192.0.2.0/24".parse()?;
    /// node.ban(network, None, "an example").await;
    /// assert!(node.is_banned(std::net::IpAddr::from([192, 0, 2, 7])).await);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ban(
        &self,
        subject: impl Into<Subject>,
        duration: impl Into<Option<Duration>>,
        reason: &str,
    ) {
        let (subject, duration, reason) = (subject.into(), duration.into(), reason.to_owned());
        let ban = move |swarm: &mut Swarm, now| {
            swarm.ban(now, subject, duration, reason);
        };
        self.core.with_swarm(ban).await;
    }

    /// Lifts a ban and forgets what led to it; `false`: there was none.
    pub async fn unban(&self, subject: impl Into<Subject>) -> bool {
        let subject = subject.into();
        let unban = move |swarm: &mut Swarm, now| swarm.unban(now, &subject);
        self.core.with_swarm(unban).await.unwrap_or_default()
    }

    /// Whether the subject is banned: an address also by its network, or because more than five banned peers are there.
    pub async fn is_banned(&self, subject: impl Into<Subject>) -> bool {
        let subject = subject.into();
        let is_banned = move |swarm: &mut Swarm, _| swarm.reputation().is_banned(&subject);
        self.core.with_swarm(is_banned).await.unwrap_or_default()
    }

    /// The bans in force, the oldest first.
    pub async fn bans(&self) -> Vec<Ban> {
        let bans = |swarm: &mut Swarm, _| swarm.reputation().bans().cloned().collect();
        self.core.with_swarm(bans).await.unwrap_or_default()
    }
}

/// How long the addresses of a peer are remembered that the user has added: as good as for ever.
const ADDED_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
