//! What we think of peers: a score for each that did something worth noting, and bans. Scores decay by themselves and lead to
//! bans; bans have a time of their own. No timer per peer, no look at all peers.
//! Invariant: while a peer is banned its score stays as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use libp2p_identity::PeerId;

pub use self::bans::Ban;
use self::{
    bans::Bans,
    scores::{Rank, Scores},
};
use crate::{config::Config, subject::Subject};

mod bans;
mod scores;

/// What a peer has done, and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Behaviour {
    /// It gave us what we wanted: +1.
    Useful,
    /// It took its time: −1.
    Slow,
    /// It did not answer: −2.
    Timeout,
    /// What it sent makes no sense: −5.
    Invalid,
    /// It sends what nobody wants: −10.
    Spam,
    /// It broke a protocol: −20, enough to be disconnected.
    Protocol,
    /// It means harm: −100, enough to be banned.
    Malicious,
}

impl Behaviour {
    /// All of them, the best first.
    pub const ALL: [Self; 7] = [
        Self::Useful,
        Self::Slow,
        Self::Timeout,
        Self::Invalid,
        Self::Spam,
        Self::Protocol,
        Self::Malicious,
    ];

    /// What it adds to the peer's score.
    pub const fn points(self) -> i32 {
        match self {
            Self::Useful => 1,
            Self::Slow => -1,
            Self::Timeout => -2,
            Self::Invalid => -5,
            Self::Spam => -10,
            Self::Protocol => -20,
            Self::Malicious => -100,
        }
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Useful => "useful",
            Self::Slow => "slow",
            Self::Timeout => "timeout",
            Self::Invalid => "invalid",
            Self::Spam => "spam",
            Self::Protocol => "protocol",
            Self::Malicious => "malicious",
        }
    }
}

/// What a peer is to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerClass {
    /// One among many.
    #[default]
    Normal,
    /// One we rely on: nothing that it does moves its score by more than 2. It can be banned all the same.
    Trusted,
}

/// What must be done about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// `crossed`: for the first time since it was better.
    Disconnect {
        crossed: bool,
    },
    Ban,
}

/// Scores, bans, and whom the app has named.
#[derive(Debug)]
pub struct Reputation {
    config: Config,
    scores: Scores,
    bans: Bans,
    added: BTreeMap<PeerId, PeerClass>,
    recorded: BTreeMap<(&'static str, Behaviour), u64>,
    /// Whose bans have changed since they were saved; `None`: nobody saves them.
    unsaved: Option<BTreeSet<Subject>>,
    /// Two names of one moment.
    clock: Option<(Instant, SystemTime)>,
}

impl Reputation {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            scores: Scores::new(config.score_half_life, config.scores_max),
            bans: Bans::new(
                config.bans_max,
                config.banned_peers_per_ip_max,
                config.ban_max,
            ),
            added: BTreeMap::new(),
            recorded: BTreeMap::new(),
            unsaved: None,
            clock: None,
            config,
        }
    }

    /// The peer's score, in −100..=100: 0 at first, and half as far from it after each half-life.
    pub fn score(&self, now: Instant, peer: &PeerId) -> f64 {
        self.scores.value(now, peer)
    }

    /// What a peer is to us.
    pub fn class(&self, peer: &PeerId) -> PeerClass {
        self.added.get(peer).copied().unwrap_or_default()
    }

    /// The ban in force on exactly this subject.
    pub fn ban_of(&self, subject: &Subject) -> Option<&Ban> {
        self.bans.of(&subject.canonical())
    }

    /// Whether the subject is banned: a peer itself, an address also by a network that it is in, or because more than
    /// [`Config::banned_peers_per_ip_max`] banned peers were seen there.
    pub fn is_banned(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Peer(_) => self.ban_of(subject).is_some(),
            Subject::Ip(ip) => self.is_ip_banned(*ip),
            Subject::Subnet(network) => {
                self.ban_of(subject).is_some()
                    || self.bans.of_ip(network.parts().0).is_some_and(|ban| {
                        let wider = ban.subject.network();
                        wider.is_some_and(|wider| wider.parts().1 <= network.parts().1)
                    })
            }
        }
    }

    /// The bans in force, the oldest first.
    pub fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.bans.iter()
    }

    /// What to keep over a restart: the bans in force, and those remembered because the next one of their peer lasts longer.
    pub fn export(&self) -> impl Iterator<Item = &Ban> {
        self.bans.all()
    }

    /// How often each source has reported each behaviour. At most 64 pairs are told apart.
    pub fn recorded(&self) -> impl Iterator<Item = (&'static str, Behaviour, u64)> {
        let all = self.recorded.iter();
        all.map(|((source, behaviour), count)| (*source, *behaviour, *count))
    }

    /// What time it is on the wall at `now`.
    pub(crate) fn wall(&mut self, now: Instant) -> SystemTime {
        let (at, wall) = *self.clock.get_or_insert((now, SystemTime::UNIX_EPOCH));
        let passed = now.saturating_duration_since(at);
        wall.checked_add(passed).unwrap_or(wall)
    }

    pub(crate) fn set_wall(&mut self, now: Instant, wall: SystemTime) {
        self.clock = Some((now, wall));
    }

    pub(crate) fn is_ip_banned(&self, ip: IpAddr) -> bool {
        self.bans.of_ip(ip).is_some() || self.bans.is_crowded(ip)
    }

    /// Scores and bans that are remembered.
    pub(crate) fn used(&self) -> (usize, usize) {
        (self.scores.count(), self.bans.count_all())
    }

    /// Counts what a peer did. `is_ranked`: it is one of those to choose among.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        peer: PeerId,
        behaviour: Behaviour,
        source: &'static str,
        is_ranked: bool,
    ) -> Step {
        self.tally(source, behaviour);
        let points = f64::from(behaviour.points());
        let points = match self.class(&peer) {
            PeerClass::Normal => points,
            PeerClass::Trusted => points.clamp(-TRUSTED_POINTS_MAX, TRUSTED_POINTS_MAX),
        };
        let is_banned = self.bans.of(&Subject::Peer(peer)).is_some();
        let is_ranked = (is_ranked || self.added.contains_key(&peer)) && !is_banned;
        let (before, after) = self.scores.add(now, peer, points, is_ranked);
        // In whole points: a moment's decay shall not decide.
        let reaches = |score: f64, threshold: i32| score.round() <= f64::from(threshold);
        if is_banned || points > 0.0 {
            Step::Nothing
        } else if reaches(after, self.config.score_ban) {
            Step::Ban
        } else if reaches(after, self.config.score_disconnect) {
            let crossed = !reaches(before, self.config.score_disconnect);
            Step::Disconnect { crossed }
        } else {
            Step::Nothing
        }
    }

    /// How long the next ban that its score brings the peer lasts, and its number.
    pub(crate) fn next_ban(&self, peer: PeerId) -> (Duration, u32) {
        let before = self.bans.repeats(peer);
        let factor = 2_u32.checked_pow(before).unwrap_or(u32::MAX);
        let duration = self.config.ban_base.saturating_mul(factor);
        (duration.min(self.config.ban_max), before.saturating_add(1))
    }

    /// Begins or replaces a ban. Gives those whose bans had to make room.
    pub(crate) fn ban(&mut self, now: Instant, mut ban: Ban) -> Vec<Subject> {
        let wall = self.wall(now);
        if let Subject::Peer(peer) = ban.subject {
            self.scores.hold(now, peer);
            ban.repeats = ban.repeats.max(self.bans.repeats(peer));
        }
        self.note(ban.subject);
        let gone = self.bans.insert(wall, ban);
        for subject in &gone {
            self.note(*subject);
            self.resume(now, subject);
        }
        gone
    }

    /// Takes in what [`Self::export`] gave before.
    pub(crate) fn restore(&mut self, now: Instant, bans: impl IntoIterator<Item = Ban>) {
        let wall = self.wall(now);
        for ban in bans {
            for subject in self.bans.insert(wall, ban) {
                self.note(subject);
            }
        }
    }

    /// Lifts a ban and forgets what led to it; `true`: there was one.
    pub(crate) fn unban(&mut self, subject: &Subject) -> bool {
        let subject = subject.canonical();
        if let Subject::Peer(peer) = &subject {
            self.scores.forget(peer);
        }
        self.note(subject);
        self.bans.remove(&subject)
    }

    /// Ends a ban whose time is over; call it until it gives `None`.
    pub(crate) fn pop_ended(&mut self, now: Instant) -> Option<Subject> {
        let wall = self.wall(now);
        loop {
            let (subject, was_in_force) = self.bans.pop_ended(wall)?;
            self.note(subject);
            if was_in_force {
                self.resume(now, &subject);
                return Some(subject);
            }
        }
    }

    /// When to look for bans that are over.
    pub(crate) fn next_end(&mut self, now: Instant) -> Option<Instant> {
        let wall = self.wall(now);
        let left = self.bans.next_end()?.duration_since(wall);
        // The wall clock may be moved; and whoever counts in its seconds looks not before they are full.
        Some(now + left.unwrap_or_default().min(LOOK_AFTER))
    }

    /// A banned peer was met there.
    pub(crate) fn seen(&mut self, peer: PeerId, ip: IpAddr) {
        if !ip.is_loopback() && self.bans.seen(peer, ip) {
            self.note(peer.into());
        }
    }

    pub(crate) fn add_peer(&mut self, peer: PeerId, class: PeerClass) {
        self.added.insert(peer, class);
    }

    pub(crate) fn remove_peer(&mut self, peer: &PeerId) {
        self.added.remove(peer);
    }

    /// Peers that the app has named.
    pub fn added(&self) -> impl Iterator<Item = &PeerId> {
        self.added.keys()
    }

    /// Whether the peer is one of those to choose among.
    pub(crate) fn rank(&mut self, now: Instant, peer: PeerId, is_connected: bool) {
        let is_banned = self.bans.of(&Subject::Peer(peer)).is_some();
        let is_ranked = (is_connected || self.added.contains_key(&peer)) && !is_banned;
        self.scores.rank(now, peer, is_ranked);
    }

    /// Whether something is known of the peer.
    pub(crate) fn has_score(&self, peer: &PeerId) -> bool {
        self.scores.is_known(peer)
    }

    /// Those of the ranked who are better than nothing, and those who are worse, each best first.
    pub(crate) fn ranking(&self) -> [impl Iterator<Item = &PeerId>; 2] {
        let part = |good: bool| {
            let all = self.scores.ranking();
            all.filter(move |(rank, _)| (*rank >= Rank::Zero) == good)
                .map(|(_, peer)| peer)
        };
        [part(true), part(false)]
    }

    /// From now on changes are noted.
    pub(crate) fn save(&mut self) {
        self.unsaved.get_or_insert_default();
    }

    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved.as_ref().is_some_and(|all| !all.is_empty())
    }

    /// What has changed: bans, and `None` where there is none any more.
    pub(crate) fn take_unsaved(&mut self) -> Vec<(Subject, Option<Vec<u8>>)> {
        let changed = self.unsaved.as_mut().map(mem::take).unwrap_or_default();
        let record = |subject| (subject, self.bans.entry(&subject).map(Ban::encode));
        changed.into_iter().map(record).collect()
    }

    fn note(&mut self, subject: Subject) {
        let max = 4 * self.config.bans_max;
        // With a store that takes nothing for long, the end of a ban may be forgotten: then it ends by its time.
        if let Some(unsaved) = self.unsaved.as_mut().filter(|all| all.len() < max) {
            unsaved.insert(subject);
        }
    }

    fn resume(&mut self, now: Instant, subject: &Subject) {
        if let Subject::Peer(peer) = subject {
            let is_ranked = self.added.contains_key(peer);
            self.scores.release(now, *peer, is_ranked);
        }
    }

    fn tally(&mut self, source: &'static str, behaviour: Behaviour) {
        let full = self.recorded.len() >= RECORDED_MAX;
        let key = match (source, behaviour) {
            new if full && !self.recorded.contains_key(&new) => ("other", behaviour),
            key => key,
        };
        *self.recorded.entry(key).or_default() += 1;
    }
}

/// What one event moves a trusted peer's score by, at most.
const TRUSTED_POINTS_MAX: f64 = 2.0;
/// Pairs of source and behaviour that are told apart; "other" has room besides.
const RECORDED_MAX: usize = 64;
/// A ban's end is looked for this often at least, since the wall clock may be moved.
const LOOK_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
