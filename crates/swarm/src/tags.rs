//! Tags: what the app and its protocols think of peers, and whom they protect. A peer's values add up to what its
//! connections are worth when some must go. Invariant: everything here was given from this side; a peer cannot raise its own
//! value. Bounded in names, tags and peers; a value that decays is halved at fixed moments until it is 0 and gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;

use crate::{
    config::Config,
    limits::{Ledger, Limit, LimitReached},
};

/// What a tag adds to a peer's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// How much; below 0, the peer is worth less than one without tags.
    pub value: i32,
    /// After every such time the value is halved, towards 0, until the tag is gone; at least a second. `None`: it stays until
    /// it is taken off.
    pub half_life: Option<Duration>,
}

impl Tag {
    /// A value that stays.
    pub const fn fixed(value: i32) -> Self {
        Self {
            value,
            half_life: None,
        }
    }

    /// A value that is halved after every `half_life`.
    pub const fn decaying(value: i32, half_life: Duration) -> Self {
        Self {
            value,
            half_life: Some(half_life),
        }
    }
}

/// Why a peer is not tagged or protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// The peer has as many tags as a peer may have, or as many peers have tags as may have.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("the name of a tag is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
}

/// The longest name of a tag, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Shorter half-lives would be work without end.
const HALF_LIFE_MIN: Duration = Duration::from_secs(1);

/// What follows for a peer's connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) value: i64,
    pub(crate) protected: bool,
}

/// All tags.
#[derive(Debug)]
pub(crate) struct Tags {
    tags_max: usize,
    peers_max: usize,
    peers: BTreeMap<PeerId, Tagged>,
    halvings: BTreeSet<(Instant, PeerId, Arc<str>)>,
}

#[derive(Debug, Default)]
struct Tagged {
    value: i64,
    values: BTreeMap<Arc<str>, Value>,
    protections: BTreeSet<Arc<str>>,
}

#[derive(Debug, Clone, Copy)]
struct Value {
    value: i32,
    /// When it is halved next, and how long it has then.
    halved: Option<(Instant, Duration)>,
}

impl Tags {
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            tags_max: config.tags_per_peer_max,
            peers_max: config.tagged_peers_max,
            peers: BTreeMap::new(),
            halvings: BTreeSet::new(),
        }
    }

    pub(crate) fn standing(&self, peer: &PeerId) -> Standing {
        let standing = |tagged: &Tagged| Standing {
            value: tagged.value,
            protected: !tagged.protections.is_empty(),
        };
        self.peers.get(peer).map(standing).unwrap_or_default()
    }

    /// Sets a tag; one of the same name is replaced.
    pub(crate) fn tag(
        &mut self,
        now: Instant,
        peer: PeerId,
        name: &str,
        tag: Tag,
        limits: &mut Ledger,
    ) -> Result<(), TagError> {
        self.make_room(&peer, name, limits)?;
        self.untag(&peer, name);
        if tag.value == 0 {
            return Ok(());
        }
        let name: Arc<str> = name.into();
        let half_life = tag.half_life.map(|half_life| half_life.max(HALF_LIFE_MIN));
        let halved = half_life.and_then(|half_life| Some((now.checked_add(half_life)?, half_life)));
        if let Some((at, _)) = halved {
            self.halvings.insert((at, peer, name.clone()));
        }
        let tagged = self.peers.entry(peer).or_default();
        tagged.value += i64::from(tag.value);
        let value = tag.value;
        tagged.values.insert(name, Value { value, halved });
        Ok(())
    }

    /// Takes a tag off; `false`: there was none.
    pub(crate) fn untag(&mut self, peer: &PeerId, name: &str) -> bool {
        let Some(tagged) = self.peers.get_mut(peer) else {
            return false;
        };
        let Some((name, old)) = tagged.values.remove_entry(name) else {
            return false;
        };
        tagged.value -= i64::from(old.value);
        if let Some((at, _)) = old.halved {
            self.halvings.remove(&(at, *peer, name));
        }
        self.forget_if_bare(peer);
        true
    }

    pub(crate) fn protect(
        &mut self,
        peer: PeerId,
        name: &str,
        limits: &mut Ledger,
    ) -> Result<(), TagError> {
        self.make_room(&peer, name, limits)?;
        let tagged = self.peers.entry(peer).or_default();
        tagged.protections.insert(name.into());
        Ok(())
    }

    /// Tells whether the peer is still protected, by another name.
    pub(crate) fn unprotect(&mut self, peer: &PeerId, name: &str) -> bool {
        if let Some(tagged) = self.peers.get_mut(peer) {
            tagged.protections.remove(name);
            self.forget_if_bare(peer);
        }
        self.standing(peer).protected
    }

    /// Whether the peer is protected, by this name if one is given.
    pub(crate) fn is_protected(&self, peer: &PeerId, name: Option<&str>) -> bool {
        let Some(tagged) = self.peers.get(peer) else {
            return false;
        };
        match name {
            Some(name) => tagged.protections.contains(name),
            None => !tagged.protections.is_empty(),
        }
    }

    pub(crate) fn peers_count(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.halvings.first().map(|(at, ..)| *at)
    }

    /// Halves the next value that is due, and tells whose it is. A clock that has jumped halves as often as it should have.
    pub(crate) fn halve_due(&mut self, now: Instant) -> Option<PeerId> {
        self.halvings.first().filter(|(at, ..)| *at <= now)?;
        let (at, peer, name) = self.halvings.pop_first()?;
        let tagged = self.peers.get_mut(&peer)?;
        let value = tagged.values.get_mut(&name)?;
        tagged.value -= i64::from(value.value);
        value.value /= 2;
        tagged.value += i64::from(value.value);
        let next = value.halved.and_then(|(_, half_life)| {
            let next = at.checked_add(half_life)?;
            Some((next, half_life))
        });
        value.halved = next;
        match next {
            _ if value.value == 0 => {
                tagged.values.remove(&name);
                self.forget_if_bare(&peer);
            }
            Some((next, _)) => drop(self.halvings.insert((next, peer, name))),
            None => {}
        }
        Some(peer)
    }

    fn make_room(&self, peer: &PeerId, name: &str, limits: &mut Ledger) -> Result<(), TagError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(TagError::NameTooLong);
        }
        let tagged = self.peers.get(peer);
        let names = tagged.map_or(0, |tagged| tagged.values.len() + tagged.protections.len());
        let has =
            |tagged: &Tagged| tagged.values.contains_key(name) || tagged.protections.contains(name);
        if !tagged.is_some_and(has) {
            limits.check(Limit::TagsPerPeer, names, self.tags_max)?;
        }
        if tagged.is_none() {
            limits.check(Limit::TaggedPeers, self.peers.len(), self.peers_max)?;
        }
        Ok(())
    }

    fn forget_if_bare(&mut self, peer: &PeerId) {
        let bare = |tagged: &Tagged| tagged.values.is_empty() && tagged.protections.is_empty();
        if self.peers.get(peer).is_some_and(bare) {
            self.peers.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests;
