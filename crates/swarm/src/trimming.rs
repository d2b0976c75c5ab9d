//! Trimming: which connections go first when there are many. What others dialed and what we dialed are two pools, each with
//! its watermarks: above the high one, the connections of least worth go until the low one is reached.
//!
//! Worth is, in this order: the value of the peer's tags, having lasted long, being in use, age. So whoever reconnects has
//! the youngest connection of its value, and goes first. New connections have a time of grace, and cannot push older ones
//! out meanwhile: only what is beyond its grace is counted against the low watermark. Protected connections stay.
//!
//! Whether a connection is in use is asked when its turn comes. One that is in use goes only when no other of its value is
//! left, and only if the other side dialed it and no handle holds it. Every step costs a walk down a tree; a round of them is
//! paid by the connections opened since the last one, and there is one in [`ROUND`] at most.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    config::{Config, Watermarks},
    event::{ConnectionId, Direction},
    tags::Standing,
};

/// How often connections are trimmed at most.
pub(crate) const ROUND: Duration = Duration::from_secs(1);
/// When nothing could go, how long until it is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// What is to go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    pub(crate) id: ConnectionId,
    /// Though it is in use.
    pub(crate) in_use: bool,
}

#[derive(Debug)]
pub(crate) struct Trimming {
    grace: Duration,
    tenure: Duration,
    members: BTreeMap<ConnectionId, Member>,
    inbound: Pool,
    outbound: Pool,
}

#[derive(Debug)]
struct Pool {
    marks: Watermarks,
    /// Connections whose age is to be looked at again, and when.
    aging: BTreeSet<(Instant, ConnectionId)>,
    ranks: BTreeSet<Rank>,
    count: usize,
    /// Connections in their time of grace.
    new: usize,
    /// Connections that were in use when they were asked in this round, and may not go for that.
    spared: Vec<ConnectionId>,
    /// Still to go in this round.
    owed: usize,
    round: u64,
    began: Option<Instant>,
}

/// The order in which connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    value: i64,
    age: Age,
    in_use: bool,
    id: Reverse<ConnectionId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    New,
    Settled,
    Tenured,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    direction: Direction,
    established: Instant,
    age: Age,
    standing: Standing,
    /// The round in which it was found in use, and whether a handle held it.
    used: Option<(u64, bool)>,
}

impl Pool {
    fn new(marks: Watermarks) -> Self {
        let low = marks.low.min(marks.high);
        Self {
            marks: Watermarks { low, ..marks },
            aging: BTreeSet::new(),
            ranks: BTreeSet::new(),
            count: 0,
            new: 0,
            spared: Vec::new(),
            owed: 0,
            round: 0,
            began: None,
        }
    }

    /// Where the member stands in the order; `None`: it does not go.
    fn rank(&self, id: ConnectionId, member: &Member) -> Option<Rank> {
        let kept = member.used.is_some_and(|(round, held)| {
            round == self.round && (held || member.direction == Direction::Outbound)
        });
        let goes = !kept && !member.standing.protected && member.age != Age::New;
        goes.then_some(Rank {
            value: member.standing.value,
            age: member.age,
            in_use: member.used.is_some(),
            id: Reverse(id),
        })
    }

    fn is_full(&self) -> bool {
        self.count > self.marks.high
    }

    /// When the next round may begin, if one is needed.
    fn deadline(&self) -> Option<Instant> {
        let began = self.began.filter(|_| self.is_full())?;
        let last = began + RETRY;
        let aged = self.aging.first().map_or(last, |(at, _)| *at);
        Some(aged.clamp(began + ROUND, last))
    }
}

impl Trimming {
    pub(crate) fn new(config: &Config) -> Self {
        let marks =
            |marks: Option<Watermarks>, max| marks.unwrap_or_else(|| Watermarks::below(max));
        let inbound = marks(config.inbound_watermarks, config.connections_inbound_max);
        let outbound = marks(config.outbound_watermarks, config.connections_outbound_max);
        Self {
            grace: config.trim_grace,
            tenure: config.trim_tenure,
            members: BTreeMap::new(),
            inbound: Pool::new(inbound),
            outbound: Pool::new(outbound),
        }
    }

    const fn pool(&mut self, direction: Direction) -> &mut Pool {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    pub(crate) fn add(&mut self, id: ConnectionId, direction: Direction, established: Instant) {
        let member = Member {
            direction,
            established,
            age: Age::New,
            standing: Standing::default(),
            used: None,
        };
        self.members.insert(id, member);
        let at = established + self.grace;
        let pool = self.pool(direction);
        pool.count += 1;
        pool.new += 1;
        pool.aging.insert((at, id));
    }

    /// It is closing, or gone.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        let Some(member) = self.members.remove(&id) else {
            return;
        };
        let aging = [
            member.established + self.grace,
            member.established + self.tenure,
        ];
        let pool = self.pool(member.direction);
        pool.count -= 1;
        pool.new -= usize::from(member.age == Age::New);
        for at in aging {
            pool.aging.remove(&(at, id));
        }
        if let Some(rank) = pool.rank(id, &member) {
            pool.ranks.remove(&rank);
        }
    }

    /// What the connection's peer is worth has changed.
    pub(crate) fn judge(&mut self, id: ConnectionId, standing: Standing) {
        self.change(id, |member| member.standing = standing);
    }

    /// It was to go, but is in use: it stays, and another one goes. `held`: a handle holds it.
    pub(crate) fn spare(&mut self, now: Instant, id: ConnectionId, held: bool) {
        let Some(member) = self.members.get(&id) else {
            return;
        };
        let direction = member.direction;
        self.grow(now, direction);
        let pool = self.pool(direction);
        pool.owed += 1;
        pool.spared.push(id);
        let round = pool.round;
        self.change(id, |member| member.used = Some((round, held)));
    }

    fn change(&mut self, id: ConnectionId, change: impl FnOnce(&mut Member)) {
        let Some(mut member) = self.members.get(&id).copied() else {
            return;
        };
        let pool = self.pool(member.direction);
        if let Some(rank) = pool.rank(id, &member) {
            pool.ranks.remove(&rank);
        }
        change(&mut member);
        if let Some(rank) = pool.rank(id, &member) {
            pool.ranks.insert(rank);
        }
        self.members.insert(id, member);
    }

    /// Begins a round where one is due; `at_once`: wherever there are more connections than the low watermark says.
    pub(crate) fn begin(&mut self, now: Instant, at_once: bool) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let pool = self.pool(direction);
            let rested = pool.began.is_none_or(|began| began + ROUND <= now);
            if at_once || (pool.is_full() && rested) {
                self.begin_round(now, direction);
            }
        }
    }

    fn begin_round(&mut self, now: Instant, direction: Direction) {
        self.grow(now, direction);
        let pool = self.pool(direction);
        pool.began = Some(now);
        let settled = pool.count - pool.new;
        pool.owed = settled.saturating_sub(pool.marks.low);
        let spared = std::mem::take(&mut pool.spared);
        pool.round += 1;
        for id in spared {
            // Another round: they are in the order again.
            if let Some(member) = self.members.get(&id).copied() {
                let pool = self.pool(direction);
                pool.ranks.extend(pool.rank(id, &member));
            }
        }
    }

    /// Looks at the age of those who have come to the next one.
    fn grow(&mut self, now: Instant, direction: Direction) {
        let tenure = self.tenure;
        loop {
            let pool = self.pool(direction);
            let Some(&(at, id)) = pool.aging.first().filter(|(at, _)| *at <= now) else {
                return;
            };
            pool.aging.remove(&(at, id));
            let Some(member) = self.members.get(&id).copied() else {
                continue;
            };
            let tenured = member.established + tenure;
            let age = if tenured <= now {
                Age::Tenured
            } else {
                Age::Settled
            };
            let pool = self.pool(direction);
            pool.new -= usize::from(member.age == Age::New);
            if age == Age::Settled {
                pool.aging.insert((tenured, id));
            }
            self.change(id, |member| member.age = age);
        }
    }

    /// The next one to go in this round. It must be [removed](Self::remove), or [spared](Self::spare), before the next call.
    pub(crate) fn pick(&mut self) -> Option<Pick> {
        let members = &self.members;
        let pools = [&mut self.inbound, &mut self.outbound];
        for pool in pools.into_iter().filter(|pool| pool.owed > 0) {
            let Some(rank) = pool.ranks.first() else {
                pool.owed = 0;
                continue;
            };
            let id = rank.id.0;
            let used = members.get(&id).and_then(|member| member.used);
            let in_use = used.is_some_and(|(round, _)| round == pool.round);
            pool.owed -= 1;
            return Some(Pick { id, in_use });
        }
        None
    }

    /// When to look again, since there are too many still.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let pools = [&self.inbound, &self.outbound];
        pools.into_iter().filter_map(Pool::deadline).min()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let pools = [&self.inbound, &self.outbound];
        let bare = |pool: &Pool| {
            pool.aging.is_empty() && pool.ranks.is_empty() && (pool.count, pool.new) == (0, 0)
        };
        self.members.is_empty() && pools.into_iter().all(bare)
    }
}
