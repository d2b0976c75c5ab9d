//! How peers stand with us: admission in its three stages, scores and bans, and what follows from them for connections and
//! dials.

use std::time::{Duration, Instant, SystemTime};

use carrick_protocols::identify;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::Swarm;
use crate::{
    addresses::{ip, is_relayed},
    admission::{Admission, Stage},
    error::{AttemptError, DialError, Refused},
    event::{CloseReason, ConnectionId, Direction, Notice, Origin, PendingId},
    limits::Limit,
    reputation::{Ban, Behaviour, PeerClass, Reputation, Step},
    subject::{Network, Subject},
    timers::Timer,
    verdict::Verdict,
};

impl Swarm {
    /// Asks the app at each stage of admission, after us. It must not panic.
    pub fn set_admission(&mut self, judge: impl Fn(Stage<'_>) -> Verdict + Send + 'static) {
        self.admission = Admission(Some(Box::new(judge)));
    }

    /// Tells what time it is on the wall at `now`; bans end by it. Without this it is 1970.
    pub fn set_wall_clock(&mut self, now: Instant, wall: SystemTime) {
        self.reputation.set_wall(now, wall);
        self.schedule_bans(now);
    }

    /// Whether an inbound connection from `remote` is let in; ask before its first byte is read. `validated`: somebody is
    /// proven to be there; who is not may have to prove it first. What is let in ends with [`Event::Established`](crate::Event::Established) or
    /// [`Event::PendingFailed`](crate::Event::PendingFailed).
    ///
    /// # Errors
    /// Which limit is reached, or who decided against it.
    pub fn admit(
        &mut self,
        now: Instant,
        remote: &Multiaddr,
        validated: bool,
    ) -> Result<PendingId, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        // What a relay carries does not come from the relay's address.
        let from = ip(remote).filter(|_| !is_relayed(remote));
        if from.is_some_and(|ip| self.reputation.is_ip_banned(ip)) {
            self.out.counters.refused_banned += 1;
            return Err(Refused::Banned);
        }
        let limits = &mut self.out.counters.limits;
        let room = self.connections.room(now, limits, remote, validated);
        self.out.tell_limits(now);
        let subnets = room?;
        match self.admission.judge(Stage::Address { remote, validated }) {
            Verdict::Accept => {
                let limits = &mut self.out.counters.limits;
                Ok(self.connections.admit(now, limits, subnets))
            }
            verdict => {
                self.out.counters.rejected += 1;
                Err(Refused::Verdict(verdict))
            }
        }
    }

    /// Counts what a peer did, as `source` says: a short name such as `identify`. The peer may be disconnected or banned
    /// for it.
    pub fn record_behaviour(
        &mut self,
        now: Instant,
        peer: PeerId,
        behaviour: Behaviour,
        source: &'static str,
    ) {
        let is_connected = self.connections.best(&peer).is_some();
        let (scores, is_known) = (self.reputation.used().0, self.reputation.has_score(&peer));
        let limits = &mut self.out.counters.limits;
        if !is_known
            && limits
                .check(Limit::Scores, scores, self.config.scores_max)
                .is_ok()
        {
            limits.saw(Limit::Scores, scores + 1);
        }
        let reputation = &mut self.reputation;
        match reputation.record(now, peer, behaviour, source, is_connected) {
            Step::Nothing => {}
            Step::Disconnect { crossed } => {
                if crossed {
                    self.out.notice(Notice::Disfavoured {
                        peer,
                        behaviour,
                        source,
                    });
                }
                self.expel(now, &peer, CloseReason::Misbehaved);
            }
            Step::Ban => {
                let (duration, repeats) = self.reputation.next_ban(peer);
                let reason = format!("{} ({source})", behaviour.name());
                self.begin_ban(now, peer.into(), Some(duration), reason, repeats);
            }
        }
    }

    /// Bans a peer, an address or a network, for `duration` or until it is unbanned, in the place of an earlier ban of the
    /// same subject. Its connections are closed; those to a network are looked for among all connections.
    pub fn ban(
        &mut self,
        now: Instant,
        subject: Subject,
        duration: Option<Duration>,
        reason: String,
    ) {
        self.begin_ban(now, subject.canonical(), duration, reason, 0);
    }

    /// Lifts a ban; what led to it is forgotten. `false`: there was none.
    pub fn unban(&mut self, now: Instant, subject: &Subject) -> bool {
        let subject = subject.canonical();
        let lifted = self.reputation.unban(&subject);
        if lifted {
            self.out.notice(Notice::Unbanned { subject });
            self.schedule_bans(now);
        }
        lifted
    }

    /// Takes in bans that were kept over a restart. Nobody is told of them.
    pub fn restore_bans(&mut self, now: Instant, bans: impl IntoIterator<Item = Ban>) {
        self.reputation.restore(now, bans);
        self.schedule_bans(now);
    }

    /// Scores and bans.
    pub fn reputation(&self) -> &Reputation {
        &self.reputation
    }

    /// Remembers a peer that the app names, and what it is to us.
    pub fn add_peer(&mut self, now: Instant, peer: PeerId, class: PeerClass) {
        self.reputation.add_peer(peer, class);
        self.reputation.rank(now, peer, true);
    }

    /// Forgets that the app has named the peer.
    pub fn remove_peer(&mut self, now: Instant, peer: &PeerId) {
        self.reputation.remove_peer(peer);
        let is_connected = self.connections.best(peer).is_some();
        self.reputation.rank(now, *peer, is_connected);
    }

    /// At most `count` peers with the best scores among those that are connected or were added; banned ones are not among
    /// them. Costs as much as there are connected peers with a score, and `count`.
    pub fn best_peers(&self, count: usize) -> Vec<PeerId> {
        let reputation = &self.reputation;
        let unknown = |peer: &&PeerId| !reputation.has_score(peer);
        let [good, bad] = reputation.ranking();
        let connected = self.connections.preferred().map(|(peer, _)| peer);
        let absent = reputation.added();
        let absent = absent.filter(|peer| self.connections.best(peer).is_none());
        let absent = absent.filter(|peer| !reputation.is_banned(&Subject::Peer(**peer)));
        let unknown = connected.filter(unknown).chain(absent.filter(unknown));
        let all = good.chain(unknown);
        all.chain(bad).take(count).copied().collect()
    }

    /// Why the peer must not be dialed.
    pub(super) fn ban_error(&self, peer: Option<PeerId>) -> Option<DialError> {
        let peer = peer?;
        let until = self.reputation.ban_of(&Subject::Peer(peer))?.until;
        Some(DialError::Banned { peer, until })
    }

    /// The second stage: why whoever has proven to be `peer` is not let in.
    pub(super) fn inadmissible(
        &mut self,
        peer: PeerId,
        remote: &Multiaddr,
        origin: Origin,
    ) -> Option<(CloseReason, AttemptError)> {
        if self.reputation.is_banned(&Subject::Peer(peer)) {
            self.out.counters.closed_banned += 1;
            if let Some(ip) = ip(remote).filter(|_| !is_relayed(remote)) {
                self.reputation.seen(peer, ip);
            }
            return Some((CloseReason::Banned, AttemptError::Banned(peer)));
        }
        let direction = match origin {
            Origin::Attempt(_) => Direction::Outbound,
            Origin::Pending(_) => Direction::Inbound,
        };
        let verdict = self.admission.judge(Stage::Peer {
            peer,
            remote,
            direction,
        });
        let reason = close_reason(&verdict)?;
        self.out.counters.rejected += 1;
        Some((reason, AttemptError::Rejected(verdict)))
    }

    /// The third stage: closes the connection of a peer that is not let in for what it says of itself.
    pub(super) fn reject_identified(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        info: &identify::Info,
    ) -> bool {
        let verdict = self.admission.judge_info(peer, remote, info);
        let Some(reason) = close_reason(&verdict) else {
            return false;
        };
        self.out.counters.rejected += 1;
        self.connections
            .close(now, connection, reason, &mut self.out);
        true
    }

    /// Some bans may be over.
    pub(super) fn end_bans(&mut self, now: Instant) {
        while let Some(subject) = self.reputation.pop_ended(now) {
            self.out.notice(Notice::Unbanned { subject });
        }
        self.schedule_bans(now);
    }

    fn begin_ban(
        &mut self,
        now: Instant,
        subject: Subject,
        duration: Option<Duration>,
        reason: String,
        repeats: u32,
    ) {
        let wall = self.reputation.wall(now);
        let until = duration.and_then(|duration| wall.checked_add(duration));
        let networks = match &subject {
            Subject::Peer(peer) => self.networks(peer),
            Subject::Ip(_) | Subject::Subnet(_) => Vec::new(),
        };
        let gone = self.reputation.ban(
            now,
            Ban {
                subject,
                until,
                reason: reason.clone(),
                repeats,
                networks,
            },
        );
        self.out.notice(Notice::Banned {
            subject,
            until,
            reason,
        });
        let limits = &mut self.out.counters.limits;
        limits.saw(Limit::Bans, self.reputation.used().1);
        gone.iter().for_each(|_| limits.count(Limit::Bans));
        for subject in gone {
            self.out.notice(Notice::Unbanned { subject });
        }
        self.out.tell_limits(now);
        match subject {
            Subject::Peer(peer) => {
                let error = DialError::Banned { peer, until };
                self.dialer.refuse(&peer, &error, &mut self.out);
                self.expel(now, &peer, CloseReason::Banned);
            }
            Subject::Ip(_) | Subject::Subnet(_) => self.expel_network(now, &subject),
        }
        self.schedule_bans(now);
    }

    fn expel(&mut self, now: Instant, peer: &PeerId, reason: CloseReason) {
        for id in self.connections.living(peer) {
            self.expel_one(now, id, reason);
        }
    }

    fn expel_network(&mut self, now: Instant, subject: &Subject) {
        let Some(network) = subject.network() else {
            return;
        };
        let is_there = |address: &Multiaddr| {
            let from = ip(address).filter(|_| !is_relayed(address));
            from.is_some_and(|ip| network.contains(ip))
        };
        for id in self.connections.at(is_there) {
            self.expel_one(now, id, CloseReason::Banned);
        }
    }

    fn expel_one(&mut self, now: Instant, id: ConnectionId, reason: CloseReason) {
        match reason {
            CloseReason::Banned => self.out.counters.closed_banned += 1,
            _ => self.out.counters.closed_misbehaved += 1,
        }
        self.connections.close(now, id, reason, &mut self.out);
    }

    /// Where the peer is.
    fn networks(&self, peer: &PeerId) -> Vec<Network> {
        let mut networks = Vec::new();
        for (_, connection) in self.connections.of_peer(peer) {
            let address = &connection.address;
            let from = ip(address).filter(|ip| !is_relayed(address) && !ip.is_loopback());
            networks.extend(from.map(Network::host));
        }
        networks.sort();
        networks.dedup();
        networks
    }

    fn schedule_bans(&mut self, now: Instant) {
        match self.reputation.next_end(now) {
            Some(at) => self.out.timers.set(Timer::Bans, at),
            None => self.out.timers.clear(Timer::Bans),
        }
    }
}

fn close_reason(verdict: &Verdict) -> Option<CloseReason> {
    match verdict {
        Verdict::Accept => None,
        Verdict::Reject(_) => Some(CloseReason::Rejected),
        // It may come again when there is room.
        Verdict::Retry => Some(CloseReason::LimitExceeded),
        // The one that tells nothing.
        Verdict::Ignore => Some(CloseReason::Requested),
    }
}
