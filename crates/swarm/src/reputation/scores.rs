//! The table of scores. Each halves in the same time, so the order of two never changes by waiting: the ranking is kept by
//! a number that does not depend on when it is looked at, and decay costs nothing until a score is read.
//! Invariant: at most `max` scores; those of whom nothing was heard for longest are forgotten first.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;

/// Scores by peer.
#[derive(Debug)]
pub(super) struct Scores {
    half_life: Duration,
    max: usize,
    table: BTreeMap<PeerId, Score>,
    recent: BTreeMap<u64, PeerId>,
    /// Those of them whom [`Scores::rank`] names.
    ranking: BTreeSet<(Rank, PeerId)>,
    tick: u64,
    epoch: Option<Instant>,
}

#[derive(Debug)]
struct Score {
    value: f64,
    /// When it was that; `None`: it is held.
    at: Option<Instant>,
    rank: Option<Rank>,
    tick: u64,
}

/// The order of scores, whenever they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Below(i64),
    Zero,
    Above(i64),
}

impl Scores {
    pub(super) const fn new(half_life: Duration, max: usize) -> Self {
        Self {
            half_life,
            max,
            table: BTreeMap::new(),
            recent: BTreeMap::new(),
            ranking: BTreeSet::new(),
            tick: 0,
            epoch: None,
        }
    }

    /// The score now, in −100..=100; 0 of whom nothing is known.
    pub(super) fn value(&self, now: Instant, peer: &PeerId) -> f64 {
        self.table
            .get(peer)
            .map_or(0.0, |score| self.decayed(now, score))
    }

    pub(super) fn count(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_known(&self, peer: &PeerId) -> bool {
        self.table.contains_key(peer)
    }

    /// Moves a score, and gives it as it was and as it is.
    pub(super) fn add(
        &mut self,
        now: Instant,
        peer: PeerId,
        points: f64,
        is_ranked: bool,
    ) -> (f64, f64) {
        let before = self.value(now, &peer);
        let after = (before + points).clamp(-MAX, MAX);
        let is_held = self.table.get(&peer).is_some_and(|s| s.at.is_none());
        self.forget(&peer);
        if self.max == 0 {
            return (before, after);
        }
        while self.table.len() >= self.max {
            let Some((_, oldest)) = self.recent.pop_first() else {
                break;
            };
            self.forget(&oldest);
        }
        let tick = self.tick;
        self.tick += 1;
        self.recent.insert(tick, peer);
        let score = Score {
            value: after,
            at: (!is_held).then_some(now),
            rank: None,
            tick,
        };
        self.table.insert(peer, score);
        self.rank(now, peer, is_ranked);
        (before, after)
    }

    /// Whether the peer is one of those that are ranked.
    pub(super) fn rank(&mut self, now: Instant, peer: PeerId, is_ranked: bool) {
        let rank = self.rank_of(now, &peer);
        let Some(score) = self.table.get_mut(&peer) else {
            return;
        };
        if let Some(rank) = score.rank.take() {
            self.ranking.remove(&(rank, peer));
        }
        if is_ranked {
            score.rank = Some(rank);
            self.ranking.insert((rank, peer));
        }
    }

    /// The ranked peers, best first.
    pub(super) fn ranking(&self) -> impl Iterator<Item = (Rank, &PeerId)> {
        self.ranking.iter().rev().map(|(rank, peer)| (*rank, peer))
    }

    /// From here on the score stays as it is.
    pub(super) fn hold(&mut self, now: Instant, peer: PeerId) {
        if self.is_known(&peer) {
            self.add(now, peer, 0.0, false);
        }
        if let Some(score) = self.table.get_mut(&peer) {
            score.at = None;
        }
    }

    /// From here on it decays again.
    pub(super) fn release(&mut self, now: Instant, peer: PeerId, is_ranked: bool) {
        if let Some(score) = self.table.get_mut(&peer) {
            score.at.get_or_insert(now);
            self.rank(now, peer, is_ranked);
        }
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        if let Some(score) = self.table.remove(peer) {
            self.recent.remove(&score.tick);
            if let Some(rank) = score.rank {
                self.ranking.remove(&(rank, *peer));
            }
        }
    }

    fn decayed(&self, now: Instant, score: &Score) -> f64 {
        let Some(at) = score.at else {
            return score.value;
        };
        score.value * (-self.half_lives(now.saturating_duration_since(at))).exp2()
    }

    fn rank_of(&mut self, now: Instant, peer: &PeerId) -> Rank {
        let epoch = *self.epoch.get_or_insert(now);
        let value = self.value(now, peer);
        if value == 0.0 {
            return Rank::Zero;
        }
        let halved = self.half_lives(now.saturating_duration_since(epoch));
        let log = value.abs().log2() + halved;
        #[expect(clippy::cast_possible_truncation, reason = "a float's cast saturates")]
        let log = (log * LOG_UNIT) as i64;
        if value > 0.0 {
            Rank::Above(log)
        } else {
            Rank::Below(-log)
        }
    }

    fn half_lives(&self, time: Duration) -> f64 {
        let half_life = self.half_life.max(Duration::from_millis(1));
        time.as_secs_f64() / half_life.as_secs_f64()
    }
}

/// The best score, and the worst with its sign changed.
pub(super) const MAX: f64 = 100.0;
/// Ranks count halvings in millionths.
const LOG_UNIT: f64 = 1e6;
