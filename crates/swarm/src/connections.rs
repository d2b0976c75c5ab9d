//! The table of connections: limits, which connection of a peer is preferred, which is a duplicate.
//!
//! Both ends of a peer's connections put them in the same order: direct before relayed, then dialed
//! by the smaller peer id, then the older one. The first is preferred. Of the others, each end closes
//! only those that it dialed, and only when they are idle; so the two never close each other's.
//!
//! ```text
//! admit → pending → add → open → close → closing → closed
//!            └ fail_pending        └─────────────────↗
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use carrick_protocols::identify::PushLimiter;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    addresses::{Subnet, Subnets, is_relayed, subnets},
    config::Config,
    error::Refused,
    event::{Action, CloseReason, ConnectionId, Direction, Notice, PendingId},
    limits::{Ledger, Limit},
    rates::{self, Rates},
    tags::Standing,
    timers::{Outbox, Timer},
    trimming::Trimming,
};

/// One established connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The other end.
    pub peer: PeerId,
    /// The other end's address.
    pub address: Multiaddr,
    /// Who dialed.
    pub direction: Direction,
    /// Since when.
    pub established: Instant,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    config: Config,
    local: PeerId,
    // Boxed: ids grow, so the nodes of the tree are half empty.
    table: BTreeMap<ConnectionId, Box<Entry>>,
    peers: BTreeMap<PeerId, Peer>,
    dialed: BTreeSet<(Multiaddr, ConnectionId)>,
    pending: BTreeMap<PendingId, Subnets>,
    pending_next: u64,
    subnets: BTreeMap<Subnet, usize>,
    rates: Rates,
    inbound: usize,
    outbound: usize,
    trimming: Trimming,
}

#[derive(Debug)]
struct Entry {
    connection: Connection,
    // Held from admission to the end.
    subnets: Subnets,
    dialed: Option<Multiaddr>,
    closing: Option<CloseReason>,
    idle: bool,
    kept: bool,
}

#[derive(Debug)]
struct Peer {
    connections: BTreeSet<ConnectionId>,
    preferred: Option<ConnectionId>,
    pushes: PushLimiter,
}

/// How many connections a network may have.
const fn of_subnet(subnet: Subnet, config: &Config) -> (Limit, usize) {
    match subnet {
        Subnet::V4(_) | Subnet::V6(_) => (Limit::ConnectionsPerIp, config.connections_per_ip_max),
        Subnet::Site(_) => (Limit::ConnectionsPerSite, config.connections_per_site_max),
    }
}

/// What a connection was before it is added.
#[derive(Debug)]
pub(crate) enum Source {
    Dialed(Multiaddr),
    Admitted(PendingId),
}

impl Connections {
    pub(crate) fn new(config: Config, local: PeerId) -> Self {
        Self {
            trimming: Trimming::new(&config),
            config,
            local,
            table: BTreeMap::new(),
            peers: BTreeMap::new(),
            dialed: BTreeSet::new(),
            pending: BTreeMap::new(),
            pending_next: 0,
            subnets: BTreeMap::new(),
            rates: Rates::default(),
            inbound: 0,
            outbound: 0,
        }
    }

    /// The networks of a newcomer for whom there is room. Whoever has not proven to be there gets room in the first half of
    /// what they may have: the other half is out of the reach of forged addresses.
    pub(crate) fn room(
        &self,
        now: Instant,
        limits: &mut Ledger,
        remote: &Multiaddr,
        validated: bool,
    ) -> Result<Subnets, Refused> {
        let config = &self.config;
        let pending = self.pending.len();
        limits.check(
            Limit::ConnectionsPending,
            pending,
            config.pending_inbound_max,
        )?;
        limits.check(
            Limit::ConnectionsInbound,
            pending + self.inbound,
            config.connections_inbound_max,
        )?;
        let subnets = subnets(remote, config.loopback_exempt);
        for subnet in subnets.into_iter().flatten() {
            let count = self.subnets.get(&subnet).copied().unwrap_or(0);
            let paces = self.rates.used(now, subnet, config);
            for ((limit, max), used) in [
                (of_subnet(subnet, config), count),
                (rates::burst(subnet, config), paces),
            ] {
                if !validated && used >= max / 2 {
                    return Err(Refused::Unproven);
                }
                limits.check(limit, used, max)?;
            }
        }
        Ok(subnets)
    }

    /// Takes in a newcomer for whom there was [`room`](Self::room).
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        limits: &mut Ledger,
        subnets: Subnets,
    ) -> PendingId {
        self.rates.take(now, subnets, &self.config, limits);
        for subnet in subnets.into_iter().flatten() {
            let count = self.subnets.entry(subnet).or_default();
            *count += 1;
            limits.saw(of_subnet(subnet, &self.config).0, *count);
        }
        let id = PendingId(self.pending_next);
        self.pending_next += 1;
        self.pending.insert(id, subnets);
        let pending = self.pending.len();
        limits.saw(Limit::ConnectionsPending, pending);
        limits.saw(Limit::ConnectionsInbound, pending + self.inbound);
        id
    }

    pub(crate) fn is_pending(&self, pending: PendingId) -> bool {
        self.pending.contains_key(&pending)
    }

    pub(crate) fn fail_pending(&mut self, pending: PendingId) {
        if let Some(subnets) = self.pending.remove(&pending) {
            self.release(subnets);
        }
    }

    /// Takes a connection in. At the peer's limit, a connection that both ends put last gives way.
    /// `false`: this one had to; it is told to close and is not in the table.
    pub(crate) fn add(
        &mut self,
        id: ConnectionId,
        connection: Connection,
        source: Source,
        out: &mut Outbox,
    ) -> bool {
        debug_assert!(
            !self.table.contains_key(&id),
            "connection ids are not reused"
        );
        let (peer, now) = (connection.peer, connection.established);
        let full = self.retained(&peer).count() >= self.config.connections_per_peer_max;
        if full || self.table.contains_key(&id) {
            out.counters.limits.count(Limit::ConnectionsPerPeer);
            let class = self.class(&connection);
            let last = self
                .live(&peer)
                .max_by_key(|(other, entry)| (self.class(&entry.connection), *other));
            let last = last.filter(|(_, entry)| self.class(&entry.connection) > class);
            let Some(last) = last.map(|(other, _)| other) else {
                if let Source::Admitted(pending) = source {
                    self.fail_pending(pending);
                }
                let reason = CloseReason::LimitExceeded;
                out.push(Action::Close {
                    connection: id,
                    reason,
                });
                return false;
            };
            self.close(now, last, CloseReason::LimitExceeded, out);
        }
        let (subnets, dialed) = match source {
            Source::Admitted(pending) => {
                self.inbound += 1;
                (self.pending.remove(&pending).unwrap_or_default(), None)
            }
            Source::Dialed(address) => {
                self.outbound += 1;
                self.dialed.insert((address.clone(), id));
                (Subnets::default(), Some(address))
            }
        };
        self.trimming.add(id, connection.direction, now);
        self.table.insert(
            id,
            Box::new(Entry {
                connection,
                subnets,
                dialed,
                closing: None,
                idle: false,
                kept: false,
            }),
        );
        let of_peer = self.peers.entry(peer).or_insert_with(|| Peer {
            connections: BTreeSet::new(),
            preferred: None,
            pushes: PushLimiter::new(now),
        });
        of_peer.connections.insert(id);
        let held = self.retained(&peer).count();
        out.counters.limits.saw(Limit::ConnectionsPerPeer, held);
        self.refresh(now, &peer, out);
        true
    }

    /// Closes a connection; it stays in the table, unused, until it is gone.
    pub(crate) fn close(
        &mut self,
        now: Instant,
        id: ConnectionId,
        reason: CloseReason,
        out: &mut Outbox,
    ) {
        let close = Action::Close {
            connection: id,
            reason,
        };
        self.end(now, id, reason, close, out);
    }

    /// As [`close`](Self::close), unless it is in use.
    fn close_idle(
        &mut self,
        now: Instant,
        id: ConnectionId,
        reason: CloseReason,
        out: &mut Outbox,
    ) {
        let close = Action::CloseIdle {
            connection: id,
            reason,
        };
        self.end(now, id, reason, close, out);
    }

    fn end(
        &mut self,
        now: Instant,
        id: ConnectionId,
        reason: CloseReason,
        close: Action,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        // One that may finish what is under way, or stay, may not any more when its peer is expelled.
        let may_go_on = entry.closing.is_none_or(may_stay);
        if !may_go_on || entry.closing.is_some() && !expels(reason) {
            return;
        }
        entry.closing = Some(reason);
        let peer = entry.connection.peer;
        self.trimming.remove(id);
        out.push(close);
        self.refresh(now, &peer, out);
    }

    /// The connection was to be closed if idle, and is not.
    pub(crate) fn spared(
        &mut self,
        now: Instant,
        id: ConnectionId,
        held: bool,
        standing: Standing,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        let Some(reason) = entry.closing.filter(|reason| may_stay(*reason)) else {
            return;
        };
        (entry.closing, entry.idle) = (None, false);
        let Connection {
            peer,
            direction,
            established,
            ..
        } = entry.connection;
        self.trimming.add(id, direction, established);
        self.judge(id, standing, out);
        if reason == CloseReason::Trimmed {
            self.trimming.spare(now, id, held);
        }
        self.refresh(now, &peer, out);
        self.trim_on(now, out);
    }

    /// What the peer's tags say has changed, or the connection is new.
    pub(crate) fn judge(&mut self, id: ConnectionId, standing: Standing, out: &mut Outbox) {
        self.trimming.judge(id, standing);
        let keep = standing.protected;
        if let Some(entry) = self.table.get_mut(&id)
            && entry.kept != keep
        {
            entry.kept = keep;
            out.push(Action::Keep {
                connection: id,
                keep,
            });
        }
    }

    /// Closes what is worth least where there are too many; `at_once`: down to the low watermarks in any case.
    pub(crate) fn trim(&mut self, now: Instant, at_once: bool, out: &mut Outbox) {
        self.trimming.begin(now, at_once);
        self.trim_on(now, out);
    }

    fn trim_on(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(pick) = self.trimming.pick() {
            if pick.in_use {
                self.close(now, pick.id, CloseReason::Trimmed, out);
            } else {
                self.close_idle(now, pick.id, CloseReason::Trimmed, out);
            }
        }
        match self.trimming.poll_timeout() {
            Some(at) => out.timers.set(Timer::Trim, at),
            None => out.timers.clear(Timer::Trim),
        }
    }

    /// The connection has not been preferred and idle long enough.
    pub(crate) fn close_duplicate(&mut self, now: Instant, id: ConnectionId, out: &mut Outbox) {
        self.close_idle(now, id, CloseReason::Duplicate, out);
    }

    pub(crate) fn close_peer(&mut self, now: Instant, peer: &PeerId, out: &mut Outbox) {
        let ids: Vec<_> = self.live(peer).map(|(id, _)| id).collect();
        for id in ids {
            self.close(now, id, CloseReason::Requested, out);
        }
    }

    pub(crate) fn close_all(&mut self, now: Instant, out: &mut Outbox) {
        let ids: Vec<_> = self.table.keys().copied().collect();
        for id in ids {
            self.close(now, id, CloseReason::Shutdown, out);
        }
    }

    /// The connection is gone. Gives its peer when that was the last one.
    pub(crate) fn closed(
        &mut self,
        now: Instant,
        id: ConnectionId,
        out: &mut Outbox,
    ) -> Option<PeerId> {
        let entry = self.table.remove(&id)?;
        self.trimming.remove(id);
        out.timers.clear(Timer::Duplicate(id));
        out.timers.clear(Timer::Refresh(id));
        match entry.connection.direction {
            Direction::Inbound => self.inbound -= 1,
            Direction::Outbound => self.outbound -= 1,
        }
        self.release(entry.subnets);
        if let Some(address) = entry.dialed {
            self.dialed.remove(&(address, id));
        }
        match entry.closing {
            Some(CloseReason::Duplicate) => out.counters.closed_duplicate += 1,
            Some(CloseReason::Trimmed) => out.counters.closed_trimmed += 1,
            _ => {}
        }
        let peer = entry.connection.peer;
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.connections.remove(&id);
        }
        self.refresh(now, &peer, out);
        out.notice(Notice::ConnectionClosed {
            peer,
            connection: id,
            direction: entry.connection.direction,
            reason: entry.closing,
        });
        if self.peers.get(&peer)?.connections.is_empty() {
            self.peers.remove(&peer);
            out.notice(Notice::Disconnected { peer });
            return Some(peer);
        }
        None
    }

    /// The connection has no user stream any more, or one again.
    pub(crate) fn idle(&mut self, now: Instant, id: ConnectionId, idle: bool, out: &mut Outbox) {
        if let Some(entry) = self.table.get_mut(&id) {
            entry.idle = idle;
            let peer = entry.connection.peer;
            self.refresh(now, &peer, out);
        }
    }

    /// The connection, unless it is gone or closing.
    pub(crate) fn open(&self, id: ConnectionId) -> Option<&Connection> {
        let entry = self.table.get(&id)?;
        entry.closing.is_none().then_some(&entry.connection)
    }

    /// Whether there is any connection to the peer, be it a closing one.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// Who is on the other end, as long as the connection is not gone.
    pub(crate) fn peer(&self, id: ConnectionId) -> Option<PeerId> {
        Some(self.table.get(&id)?.connection.peer)
    }

    pub(crate) fn best(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.peers.get(peer)?.preferred
    }

    /// The best connection to whoever answered when we dialed this address.
    pub(crate) fn dialed(&self, address: &Multiaddr) -> Option<ConnectionId> {
        let key = |id| (address.clone(), ConnectionId(id));
        self.dialed
            .range(key(0)..=key(u64::MAX))
            .find_map(|(_, id)| self.best(&self.open(*id)?.peer))
    }

    pub(crate) fn of_peer(
        &self,
        peer: &PeerId,
    ) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.live(peer).map(|(id, entry)| (id, &entry.connection))
    }

    /// The peer's connections that live, or may yet: all of them go when it is expelled.
    pub(crate) fn living(&self, peer: &PeerId) -> Vec<ConnectionId> {
        self.retained(peer).map(|(id, _)| id).collect()
    }

    /// The connections whose other ends are at such addresses; looks at all.
    pub(crate) fn at(&self, is_there: impl Fn(&Multiaddr) -> bool) -> Vec<ConnectionId> {
        let all = self.table.iter();
        let there = all.filter(|(_, entry)| is_there(&entry.connection.address));
        there.map(|(id, _)| *id).collect()
    }

    /// Peers with their preferred connections.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = (&PeerId, ConnectionId)> {
        self.peers
            .iter()
            .filter_map(|(peer, of_peer)| Some((peer, of_peer.preferred?)))
    }

    pub(crate) const fn outbound_count(&self) -> usize {
        self.outbound
    }

    /// What is used of a limit on connections, by the peer or network that uses most of it.
    pub(crate) fn used(&self, now: Instant, limit: Limit) -> Option<usize> {
        let of_subnets = |site| {
            let all = self.subnets.iter();
            let all = all.filter(move |(subnet, _)| matches!(subnet, Subnet::Site(_)) == site);
            all.map(|(_, count)| *count).max().unwrap_or(0)
        };
        Some(match limit {
            Limit::ConnectionsInbound => self.pending.len() + self.inbound,
            Limit::ConnectionsOutbound => self.outbound,
            Limit::ConnectionsPending => self.pending.len(),
            Limit::ConnectionsPerPeer => {
                // Not those that have to go: they have made room for others already.
                let of_peers = self.peers.keys().map(|peer| self.retained(peer).count());
                of_peers.max().unwrap_or(0)
            }
            Limit::ConnectionsPerIp => of_subnets(false),
            Limit::ConnectionsPerSite => of_subnets(true),
            Limit::ConnectionRatePerIp | Limit::ConnectionRatePerSite => {
                self.rates.most(now, limit, &self.config)
            }
            Limit::ConnectionRateSubnets => self.rates.count(),
            _ => return None,
        })
    }

    /// Counts a push of this peer; the time of the next one when it is one too many.
    pub(crate) fn allow_push(&mut self, now: Instant, peer: &PeerId) -> Result<(), Instant> {
        let Some(of_peer) = self.peers.get_mut(peer) else {
            return Ok(());
        };
        if of_peer.pushes.allow(now) {
            Ok(())
        } else {
            Err(of_peer.pushes.next())
        }
    }

    /// Those that the peer, or we, dialed, with those that are closing.
    pub(crate) fn held(&self, peer: &PeerId, direction: Direction) -> usize {
        let of_peer = self.peers.get(peer).into_iter();
        of_peer
            .flat_map(|of_peer| &of_peer.connections)
            .filter_map(|id| self.table.get(id))
            .filter(|entry| entry.connection.direction == direction)
            .count()
    }

    /// Connections that are open, or may be again.
    fn retained(&self, peer: &PeerId) -> impl Iterator<Item = (ConnectionId, &Entry)> {
        let ids = self
            .peers
            .get(peer)
            .into_iter()
            .flat_map(|p| &p.connections);
        ids.filter_map(|id| Some((*id, &**self.table.get(id)?)))
            .filter(|(_, entry)| entry.closing.is_none_or(may_stay))
    }

    fn live(&self, peer: &PeerId) -> impl Iterator<Item = (ConnectionId, &Entry)> {
        self.retained(peer)
            .filter(|(_, entry)| entry.closing.is_none())
    }

    /// What both ends see alike; smaller is better.
    fn class(&self, connection: &Connection) -> impl Ord + Copy + use<> {
        let (local, peer) = (self.local.to_bytes(), connection.peer.to_bytes());
        let dialed_by_larger = match connection.direction {
            Direction::Outbound => local > peer,
            Direction::Inbound => peer > local,
        };
        (is_relayed(&connection.address), dialed_by_larger)
    }

    /// Chooses anew which connection is preferred and which ones are duplicates to close.
    fn refresh(&mut self, now: Instant, peer: &PeerId, out: &mut Outbox) {
        let best = self
            .live(peer)
            .min_by_key(|(id, e)| (self.class(&e.connection), *id));
        let best = best.map(|(id, _)| id);
        let Some(of_peer) = self.peers.get_mut(peer) else {
            return;
        };
        if of_peer.preferred != best {
            of_peer.preferred = best;
            out.push(Action::Prefer {
                peer: *peer,
                connection: best,
            });
        }
        for id in &of_peer.connections {
            let duplicate = self.table.get(id).is_some_and(|entry| {
                let ours = entry.connection.direction == Direction::Outbound;
                ours && entry.idle && entry.closing.is_none() && best != Some(*id)
            });
            let timer = Timer::Duplicate(*id);
            if !duplicate {
                out.timers.clear(timer);
            } else if !out.timers.is_set(timer) {
                out.timers
                    .set(timer, now + self.config.duplicate_idle_timeout);
            }
        }
    }

    fn release(&mut self, subnets: Subnets) {
        for subnet in subnets.into_iter().flatten() {
            if let Some(count) = self.subnets.get_mut(&subnet) {
                *count -= 1;
                if *count == 0 {
                    self.subnets.remove(&subnet);
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
            && self.peers.is_empty()
            && self.dialed.is_empty()
            && self.pending.is_empty()
            && self.subnets.is_empty()
            && (self.inbound, self.outbound) == (0, 0)
            && self.trimming.is_empty()
    }
}

/// Whether a connection that is to be closed for this may be taken back.
const fn expels(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Banned | CloseReason::Rejected | CloseReason::Misbehaved
    )
}

const fn may_stay(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Duplicate | CloseReason::Trimmed)
}
