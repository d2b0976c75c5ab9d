//! Whom the app wants to keep: tags, protection, trimming on demand, and peers to stay connected to.

use std::time::Instant;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::Swarm;
use crate::{
    event::{ConnectionId, DialOptions, WaiterId},
    kept::KeepError,
    limits::Limit,
    tags::{Tag, TagError},
};

/// Protects the peers that the app wants to stay connected to.
const KEPT: &str = "keep-connected";

impl Swarm {
    /// Adds to what a peer's connections are worth when there are too many; a tag of the same name is replaced, a value of 0
    /// takes it off. It stays with the peer, connected or not.
    ///
    /// # Errors
    /// See [`TagError`].
    pub fn tag(
        &mut self,
        now: Instant,
        peer: PeerId,
        name: &str,
        tag: Tag,
    ) -> Result<(), TagError> {
        let limits = &mut self.out.counters.limits;
        let tagged = self.tags.tag(now, peer, name, tag, limits);
        self.out.tell_limits(now);
        tagged?;
        self.judge(&peer);
        Ok(())
    }

    /// Takes a tag off; `false`: the peer had none of that name.
    pub fn untag(&mut self, peer: &PeerId, name: &str) -> bool {
        let had = self.tags.untag(peer, name);
        self.judge(peer);
        had
    }

    /// What the peer's tags add up to.
    pub fn tags_value(&self, peer: &PeerId) -> i64 {
        self.tags.standing(peer).value
    }

    /// Keeps the peer's connections from being trimmed and from being closed for being idle. Each name protects by itself.
    ///
    /// # Errors
    /// See [`TagError`].
    pub fn protect(&mut self, now: Instant, peer: PeerId, name: &str) -> Result<(), TagError> {
        let limits = &mut self.out.counters.limits;
        let protected = self.tags.protect(peer, name, limits);
        self.out.tell_limits(now);
        protected?;
        self.judge(&peer);
        Ok(())
    }

    /// Ends what [`Self::protect`] began with this name; tells whether another name still protects the peer.
    pub fn unprotect(&mut self, peer: &PeerId, name: &str) -> bool {
        let still = self.tags.unprotect(peer, name);
        self.judge(peer);
        still
    }

    /// Whether the peer is protected: by this name, or by any.
    pub fn is_protected(&self, peer: &PeerId, name: Option<&str>) -> bool {
        self.tags.is_protected(peer, name)
    }

    /// Trims down to the low watermarks now, however many connections there are.
    pub fn trim(&mut self, now: Instant) {
        self.connections.trim(now, true, &mut self.out);
    }

    /// Stays connected to a peer: protects it, dials it at once and again whenever the last connection to it is gone, after
    /// 1, 2, 4 … 48 s and up to a quarter more, which `seed` decides on. Addresses add to those of an earlier call.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub fn keep_connected(
        &mut self,
        now: Instant,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        seed: u64,
    ) -> Result<(), KeepError> {
        let max = self.config.kept_peers_max;
        if peer == self.local {
            return Err(KeepError::LocalPeer);
        }
        if !self.kept.contains(&peer) {
            let limits = &mut self.out.counters.limits;
            let free = limits.check(Limit::KeptPeers, self.kept.count(), max);
            self.out.tell_limits(now);
            free?;
        }
        self.protect(now, peer, KEPT)?;
        let connected = self.connections.best(&peer).is_some();
        self.kept.keep(now, peer, addresses, seed, connected);
        self.dial_kept(now);
        Ok(())
    }

    /// Ends what [`Self::keep_connected`] began; connections stay until they are idle. `false`: it had not begun.
    pub fn stop_keeping(&mut self, peer: &PeerId) -> bool {
        let kept = self.kept.forget(peer);
        if kept {
            self.unprotect(peer, KEPT);
        }
        kept
    }

    /// Dials the peers to stay connected to whose time has come.
    pub(super) fn dial_kept(&mut self, now: Instant) {
        while let Some((peer, addresses)) = self.kept.due(now) {
            self.out.counters.reconnects += 1;
            // Ids of ours come down from above: the shell has no such waiter, and ignores what comes of it.
            let waiter = WaiterId(u64::MAX - self.out.counters.reconnects);
            self.connect(now, waiter, Some(peer), addresses, DialOptions::default());
        }
    }

    /// Halves the values whose time has come.
    pub(super) fn decay_tags(&mut self, now: Instant) {
        while let Some(peer) = self.tags.halve_due(now) {
            self.judge(&peer);
        }
    }

    /// Tells the peer's connections what they are worth.
    fn judge(&mut self, peer: &PeerId) {
        let standing = self.tags.standing(peer);
        let of_peer: Vec<_> = self.connections.of_peer(peer).map(|(id, _)| id).collect();
        for id in of_peer {
            self.connections.judge(id, standing, &mut self.out);
        }
    }

    /// A connection was taken in.
    pub(super) fn weigh(&mut self, now: Instant, connection: ConnectionId, peer: &PeerId) {
        let standing = self.tags.standing(peer);
        self.connections.judge(connection, standing, &mut self.out);
        self.kept.connected(now, peer);
        self.connections.trim(now, false, &mut self.out);
    }

    /// A connection that was to be closed if idle is in use.
    pub(super) fn spared(&mut self, now: Instant, connection: ConnectionId, held: bool) {
        let peer = self.connections.peer(connection);
        let standing = peer.map(|peer| self.tags.standing(&peer));
        let (standing, out) = (standing.unwrap_or_default(), &mut self.out);
        self.connections
            .spared(now, connection, held, standing, out);
    }
}
