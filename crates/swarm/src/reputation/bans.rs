//! The list of bans, by wall-clock time, so that it can outlive the program. A ban that is over is remembered for a while:
//! the next one of its peer lasts twice as long.
//! Invariants: at most `max` entries; what peers have earned goes first, else the oldest; `lengths` and `crowds` count what is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use libp2p_identity::PeerId;

use crate::subject::{Network, Subject};

/// One ban; a plain value, fit to be kept and given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub subject: Subject,
    /// Until when; `None`: until it is lifted.
    pub until: Option<SystemTime>,
    /// Why, in at most 256 bytes.
    pub reason: String,
    /// How many bans the score of this peer has brought it in a row, this one included; the next lasts twice as long.
    pub repeats: u32,
    /// Where a banned peer was seen, at most 4: IPv4 addresses and IPv6 /64 networks.
    pub networks: Vec<Network>,
}

impl Ban {
    /// As it is kept: a line with its end in milliseconds since 1970 or `-`, its number and its networks, then the reason.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let since = |until: SystemTime| until.duration_since(SystemTime::UNIX_EPOCH);
        let until = self.until.map(|until| since(until).unwrap_or_default());
        let until = until.map_or_else(|| "-".to_owned(), |until| until.as_millis().to_string());
        let networks: Vec<_> = self.networks.iter().map(ToString::to_string).collect();
        let (repeats, networks) = (self.repeats, networks.join(","));
        format!("{until} {repeats} {networks}\n{}", self.reason).into_bytes()
    }

    /// What [`Self::encode`] made; `None`: something else.
    pub(crate) fn decode(subject: Subject, record: &[u8]) -> Option<Self> {
        let (line, reason) = std::str::from_utf8(record).ok()?.split_once('\n')?;
        let mut words = line.split(' ');
        let until = match words.next()? {
            "-" => None,
            millis => {
                let since = Duration::from_millis(millis.parse().ok()?);
                Some(SystemTime::UNIX_EPOCH.checked_add(since)?)
            }
        };
        let repeats = words.next()?.parse().ok()?;
        let networks = words
            .next()?
            .split(',')
            .filter(|network| !network.is_empty());
        let networks = networks.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self {
            subject,
            until,
            reason: reason.to_owned(),
            repeats,
            networks,
        })
    }
}

/// All bans.
#[derive(Debug)]
pub(super) struct Bans {
    max: usize,
    crowd_max: usize,
    /// How long a ban is remembered after its end.
    memory: Duration,
    list: BTreeMap<Subject, Entry>,
    order: BTreeMap<u64, Subject>,
    /// Which of them peers have brought upon themselves: whoever has many names would else have the user's bans forgotten.
    earned: BTreeSet<u64>,
    /// When something ends: a ban, or the memory of one.
    ends: BTreeSet<(SystemTime, Subject)>,
    /// Networks in force, by the kind of their addresses and their bits.
    lengths: BTreeMap<(bool, u8), usize>,
    /// Banned peers that were seen in a network.
    crowds: BTreeMap<Network, usize>,
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    ban: Ban,
    in_force: bool,
    ends: Option<SystemTime>,
    tick: u64,
}

impl Bans {
    pub(super) const fn new(max: usize, crowd_max: usize, memory: Duration) -> Self {
        Self {
            max,
            crowd_max,
            memory,
            list: BTreeMap::new(),
            order: BTreeMap::new(),
            earned: BTreeSet::new(),
            ends: BTreeSet::new(),
            lengths: BTreeMap::new(),
            crowds: BTreeMap::new(),
            tick: 0,
        }
    }

    pub(super) fn count_all(&self) -> usize {
        self.list.len()
    }

    /// Puts a ban in the place of an earlier one of the same subject. Gives the subjects that had to make room.
    pub(super) fn insert(&mut self, wall: SystemTime, mut ban: Ban) -> Vec<Subject> {
        ban.subject = ban.subject.canonical();
        ban.reason
            .truncate(ban.reason.floor_char_boundary(REASON_MAX));
        ban.networks.truncate(NETWORKS_MAX);
        self.remove(&ban.subject);
        let in_force = ban.until.is_none_or(|until| until > wall);
        let entry = Entry {
            ends: None,
            tick: self.tick,
            in_force,
            ban,
        };
        let subject = entry.ban.subject;
        self.order.insert(self.tick, subject);
        // A score's ban has a number and an end.
        if entry.ban.repeats > 0 && entry.ban.until.is_some() {
            self.earned.insert(self.tick);
        }
        self.tick += 1;
        if in_force {
            self.count(&entry.ban, true);
        }
        self.list.insert(subject, entry);
        self.set_end(&subject);
        let mut gone = Vec::new();
        while self.list.len() > self.max {
            let oldest = self.earned.first();
            let oldest = oldest.or_else(|| self.order.keys().next());
            let Some(&oldest) = oldest.and_then(|tick| self.order.get(tick)) else {
                break;
            };
            if self.remove(&oldest) {
                gone.push(oldest);
            }
        }
        gone
    }

    /// Forgets a ban; `true`: it was in force.
    pub(super) fn remove(&mut self, subject: &Subject) -> bool {
        let Some(entry) = self.list.remove(subject) else {
            return false;
        };
        self.order.remove(&entry.tick);
        self.earned.remove(&entry.tick);
        if let Some(ends) = entry.ends {
            self.ends.remove(&(ends, *subject));
        }
        if entry.in_force {
            self.count(&entry.ban, false);
        }
        entry.in_force
    }

    /// Takes what has ended: a ban, then the memory of one. Tells which of the two. Call it until it gives `None`.
    pub(super) fn pop_ended(&mut self, wall: SystemTime) -> Option<(Subject, bool)> {
        let &(at, subject) = self.ends.first().filter(|(at, _)| *at <= wall)?;
        let Some(entry) = self.list.get_mut(&subject) else {
            self.ends.remove(&(at, subject));
            return Some((subject, false));
        };
        let was_in_force = std::mem::take(&mut entry.in_force);
        let ban = entry.ban.clone();
        if was_in_force {
            self.count(&ban, false);
        }
        if was_in_force && ban.repeats > 0 {
            self.set_end(&subject);
        } else {
            self.remove(&subject);
        }
        Some((subject, was_in_force))
    }

    /// When something ends next.
    pub(super) fn next_end(&self) -> Option<SystemTime> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// The ban in force.
    pub(super) fn of(&self, subject: &Subject) -> Option<&Ban> {
        let entry = self.list.get(subject)?;
        entry.in_force.then_some(&entry.ban)
    }

    /// The ban, also when it is only remembered.
    pub(super) fn entry(&self, subject: &Subject) -> Option<&Ban> {
        self.list.get(subject).map(|entry| &entry.ban)
    }

    /// Why the address is banned, itself or by a network that it is in.
    pub(super) fn of_ip(&self, ip: IpAddr) -> Option<&Ban> {
        let ip = ip.to_canonical();
        let lengths = self.lengths.keys();
        let mut lengths = lengths.filter(|(v6, _)| *v6 == ip.is_ipv6());
        lengths
            .find_map(|(_, bits)| self.of(&Subject::Subnet(Network::new(ip, *bits)?).canonical()))
    }

    /// Whether so many banned peers come from there that nobody else is let in.
    pub(super) fn is_crowded(&self, ip: IpAddr) -> bool {
        let count = self.crowds.get(&Network::host(ip));
        count.is_some_and(|count| *count > self.crowd_max)
    }

    /// A banned peer was seen at this address; `true`: that is news.
    pub(super) fn seen(&mut self, peer: PeerId, ip: IpAddr) -> bool {
        let network = Network::host(ip);
        let entry = self.list.get_mut(&Subject::Peer(peer));
        let Some(entry) = entry.filter(|entry| entry.in_force) else {
            return false;
        };
        let networks = &mut entry.ban.networks;
        let is_new = networks.len() < NETWORKS_MAX && !networks.contains(&network);
        if is_new {
            networks.push(network);
            *self.crowds.entry(network).or_default() += 1;
        }
        is_new
    }

    /// How often the peer was banned in a row.
    pub(super) fn repeats(&self, peer: PeerId) -> u32 {
        let entry = self.list.get(&Subject::Peer(peer));
        entry.map_or(0, |entry| entry.ban.repeats)
    }

    /// What is in force, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.order.values().filter_map(|subject| self.of(subject))
    }

    /// Also what is only remembered.
    pub(super) fn all(&self) -> impl Iterator<Item = &Ban> {
        let entries = self.order.values();
        entries.filter_map(|subject| self.list.get(subject).map(|entry| &entry.ban))
    }

    fn set_end(&mut self, subject: &Subject) {
        let Some(entry) = self.list.get_mut(subject) else {
            return;
        };
        if let Some(before) = entry.ends {
            self.ends.remove(&(before, *subject));
        }
        let memory = if entry.in_force {
            Duration::ZERO
        } else {
            self.memory
        };
        entry.ends = entry.ban.until.and_then(|until| until.checked_add(memory));
        self.ends.extend(entry.ends.map(|ends| (ends, *subject)));
    }

    fn count(&mut self, ban: &Ban, more: bool) {
        if let Some(network) = ban.subject.network() {
            let (first, bits) = network.parts();
            count(&mut self.lengths, (first.is_ipv6(), bits), more);
        }
        for network in &ban.networks {
            count(&mut self.crowds, *network, more);
        }
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K, more: bool) {
    if more {
        *counts.entry(key).or_default() += 1;
    } else if let Some(n) = counts.get_mut(&key) {
        *n -= 1;
        if *n == 0 {
            counts.remove(&key);
        }
    }
}

/// Bytes of a reason that are kept.
const REASON_MAX: usize = 256;
/// Networks of a banned peer that are remembered.
const NETWORKS_MAX: usize = 4;
