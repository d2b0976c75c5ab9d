//! Peers that the app wants to stay connected to, whatever happens: who is dialed again, and when. Invariant: such a peer is
//! forgotten only when the app says so; it is connected, or there is a moment at which it is dialed next.
//!
//! The wait doubles from [`FIRST`] to [`LONGEST`] and begins anew only after a connection that has lasted for [`STABLE`], so
//! that a peer that lets us in and throws us out is not dialed all the time. Up to a quarter comes on top by chance, so that
//! those who lost a peer at the same moment do not come back at the same moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{limits::LimitReached, tags::TagError};

/// The first wait, and what it is doubled to. With what chance adds, a minute is the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(48);
/// How long a connection must last to be worth a fresh start.
const STABLE: Duration = Duration::from_secs(15);

/// Why there is no promise to stay connected to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// It is ourselves.
    #[error("cannot keep a connection to ourselves")]
    LocalPeer,
    /// There are as many such peers as there may be.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// The peer has no room for the tag that protects it.
    #[error(transparent)]
    Tag(#[from] TagError),
}

/// All peers to stay connected to.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    peers: BTreeMap<PeerId, Peer>,
    dials: BTreeSet<(Instant, PeerId)>,
}

#[derive(Debug)]
struct Peer {
    addresses: Vec<Multiaddr>,
    chance: u64,
    /// Dials since the last connection that lasted.
    dials: u32,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Connected { since: Instant },
    DialedNext { at: Instant },
}

impl Kept {
    /// Keeps a peer; addresses that are new add to the known ones.
    pub(crate) fn keep(
        &mut self,
        now: Instant,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        seed: u64,
        is_connected: bool,
    ) {
        let dials = &mut self.dials;
        let kept = self.peers.entry(peer).or_insert_with(|| {
            let state = if is_connected {
                State::Connected { since: now }
            } else {
                dials.insert((now, peer));
                State::DialedNext { at: now }
            };
            Peer {
                addresses: Vec::new(),
                chance: seed,
                dials: 0,
                state,
            }
        });
        for address in addresses {
            if !kept.addresses.contains(&address) {
                kept.addresses.push(address);
            }
        }
    }

    /// `false`: it was not kept.
    pub(crate) fn forget(&mut self, peer: &PeerId) -> bool {
        let gone = self.peers.remove(peer);
        if let Some(State::DialedNext { at }) = gone.as_ref().map(|gone| gone.state) {
            self.dials.remove(&(at, *peer));
        }
        gone.is_some()
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    pub(crate) fn count(&self) -> usize {
        self.peers.len()
    }

    /// There is a connection to the peer.
    pub(crate) fn connected(&mut self, now: Instant, peer: &PeerId) {
        if let Some(kept) = self.peers.get_mut(peer)
            && let State::DialedNext { at } = kept.state
        {
            self.dials.remove(&(at, *peer));
            kept.state = State::Connected { since: now };
        }
    }

    /// The last connection to the peer is gone.
    pub(crate) fn disconnected(&mut self, now: Instant, peer: &PeerId) {
        if let Some(kept) = self.peers.get_mut(peer)
            && let State::Connected { since } = kept.state
        {
            if now.saturating_duration_since(since) >= STABLE {
                kept.dials = 0;
            }
            let at = now + kept.wait();
            kept.state = State::DialedNext { at };
            self.dials.insert((at, *peer));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.dials.first().map(|(at, _)| *at)
    }

    /// Whom to dial now, and where.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        self.dials.first().filter(|(at, _)| *at <= now)?;
        let (_, peer) = self.dials.pop_first()?;
        let kept = self.peers.get_mut(&peer)?;
        kept.dials = kept.dials.saturating_add(1);
        let at = now + kept.wait();
        kept.state = State::DialedNext { at };
        self.dials.insert((at, peer));
        Some((peer, kept.addresses.clone()))
    }

    /// Dials nobody any more.
    pub(crate) fn clear(&mut self) {
        self.peers.clear();
        self.dials.clear();
    }
}

impl Peer {
    fn wait(&mut self) -> Duration {
        let doubled = 1_u32.checked_shl(self.dials.saturating_sub(1));
        let wait = doubled.and_then(|doubled| FIRST.checked_mul(doubled));
        let wait = wait.map_or(LONGEST, |wait| wait.min(LONGEST));
        // SplitMix64: good enough to be apart from others.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let part = u32::from((mixed >> 32) as u16);
        wait + wait / 4 * part / u32::from(u16::MAX)
    }
}

#[cfg(test)]
mod tests;
