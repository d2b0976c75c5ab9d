//! Names in addresses: what to ask for, and the addresses that the answers make. Sans-IO: an address goes
//! in, questions come out; answers go in, addresses come out.
//!
//! ```text
//! /dns…/NAME/rest       → IPs of NAME           → /ip4|6/…/rest
//! /dnsaddr/NAME/rest    → TXT of _dnsaddr.NAME  → each record's address that ends in rest, and so on
//! ```
//! Invariants: a question is asked once, an address is followed once, and depth, questions, records and
//! results have their limits; so whatever the answers are, the work is bounded.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use crate::{
    addresses::split_peer,
    config::Config,
    error::NameError,
    event::{Answer, Family, Query},
    limits::{Limit, LimitReached},
    peer_store::{Source, Told},
};

/// The names of one dial.
#[derive(Debug, Default)]
pub(crate) struct Names {
    asked: BTreeMap<Query, Question>,
    followed: BTreeSet<Multiaddr>,
    found_count: usize,
}

/// What came of following names.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) questions: Vec<Query>,
    pub(crate) found: Vec<(Multiaddr, Origin)>,
    pub(crate) failed: Vec<(Origin, NameError)>,
    /// What refused something, each time.
    pub(crate) limited: Vec<Limit>,
}

/// The address that was asked for, whatever it has led to meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) address: Multiaddr,
    /// By the caller, rather than known or learnt.
    pub(crate) given: bool,
    /// Who has told it.
    pub(crate) told: Told,
}

impl Origin {
    /// By the caller.
    pub(crate) const fn given(address: Multiaddr) -> Self {
        let told = Told::surely(Source::User);
        Self {
            address,
            given: true,
            told,
        }
    }

    /// From the peer store.
    pub(crate) const fn known(address: Multiaddr, told: Told) -> Self {
        Self {
            address,
            given: false,
            told,
        }
    }

    /// Whether nobody but a peer says that it leads where it should.
    pub(crate) fn is_hearsay(&self) -> bool {
        !self.given && self.told.source < Source::User
    }
}

#[derive(Debug)]
enum Question {
    Pending(Vec<Item>),
    Answered(Result<Answer, NameError>),
}

#[derive(Debug, Clone)]
struct Item {
    address: Multiaddr,
    origin: Origin,
    depth: usize,
}

/// Whether the address has to be looked up.
pub(crate) fn is_name(address: &Multiaddr) -> bool {
    host(address).is_some()
}

/// The address with some IP for its name, to see whether anything could dial it; not for `/dnsaddr`.
pub(crate) fn sample(address: &Multiaddr) -> Option<Multiaddr> {
    let ip = match host(address)? {
        (Kind::Ip(Family::V6), _) => Protocol::Ip6(std::net::Ipv6Addr::LOCALHOST),
        (Kind::Ip(_), _) => Protocol::Ip4(std::net::Ipv4Addr::LOCALHOST),
        (Kind::Txt, _) => return None,
    };
    Some(with_ip(address, ip))
}

impl Names {
    /// Follows an address that has a name. `peer`: whose addresses are wanted.
    pub(crate) fn follow(
        &mut self,
        origin: Origin,
        peer: Option<PeerId>,
        config: &Config,
    ) -> Outcome {
        let address = origin.address.clone();
        let item = Item {
            address,
            origin,
            depth: 0,
        };
        let mut outcome = Outcome::default();
        self.work(vec![item], peer, config, &mut outcome);
        outcome
    }

    /// Takes an answer.
    pub(crate) fn answered(
        &mut self,
        query: Query,
        result: Result<Answer, NameError>,
        peer: Option<PeerId>,
        config: &Config,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut next = Vec::new();
        if let Some(Question::Pending(items)) = self.asked.remove(&query) {
            for item in items {
                match apply(&item, &result, peer, config, &mut outcome.limited) {
                    Ok(items) => next.extend(items),
                    Err(error) => outcome.fail(item.origin, error),
                }
            }
        }
        self.asked.insert(query, Question::Answered(result));
        self.work(next, peer, config, &mut outcome);
        outcome
    }

    /// Questions asked so far.
    pub(crate) fn lookups_count(&self) -> usize {
        self.asked.len()
    }

    /// Addresses found so far.
    pub(crate) const fn found_count(&self) -> usize {
        self.found_count
    }

    /// The addresses that wait for an answer.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Origin> {
        let waiting = self.asked.values().filter_map(|question| match question {
            Question::Pending(items) => Some(items),
            Question::Answered(_) => None,
        });
        waiting.flatten().map(|item| &item.origin)
    }

    /// Follows items until each has failed, is found, or waits for an answer.
    fn work(
        &mut self,
        mut items: Vec<Item>,
        peer: Option<PeerId>,
        config: &Config,
        outcome: &mut Outcome,
    ) {
        // The first of a list comes first.
        items.reverse();
        while let Some(item) = items.pop() {
            let origin = item.origin.clone();
            match self.step(item, peer, config, outcome) {
                Ok(next) => items.extend(next.into_iter().rev()),
                Err(error) => outcome.fail(origin, error),
            }
        }
    }

    /// One item further.
    fn step(
        &mut self,
        item: Item,
        peer: Option<PeerId>,
        config: &Config,
        outcome: &mut Outcome,
    ) -> Result<Vec<Item>, NameError> {
        let Some((kind, name)) = host(&item.address) else {
            if self.found_count >= config.name_addresses_max {
                return Err(outcome.refuse(Limit::NameAddresses, config.name_addresses_max));
            }
            self.found_count += 1;
            outcome.found.push((item.address, item.origin));
            return Ok(Vec::new());
        };
        let query = match kind {
            _ if name.is_empty() || name.len() > NAME_LEN_MAX => return Err(NameError::NotAName),
            Kind::Txt if item.depth >= config.name_depth_max => {
                return Err(outcome.refuse(Limit::NameDepth, config.name_depth_max));
            }
            Kind::Txt => Query::Txt {
                name: format!("_dnsaddr.{name}"),
            },
            Kind::Ip(family) => Query::Ip { name, family },
        };
        if self.followed.contains(&item.address) {
            return Err(NameError::NothingNew);
        }
        if !self.asked.contains_key(&query) {
            if self.asked.len() >= config.name_lookups_max {
                return Err(outcome.refuse(Limit::NameLookups, config.name_lookups_max));
            }
            let nobody = Question::Pending(Vec::new());
            self.asked.insert(query.clone(), nobody);
            outcome.questions.push(query.clone());
        }
        self.followed.insert(item.address.clone());
        match self.asked.get_mut(&query) {
            Some(Question::Answered(answer)) => {
                apply(&item, answer, peer, config, &mut outcome.limited)
            }
            Some(Question::Pending(waiting)) => {
                waiting.push(item);
                Ok(Vec::new())
            }
            None => Ok(Vec::new()),
        }
    }
}

impl Outcome {
    fn refuse(&mut self, limit: Limit, max: usize) -> NameError {
        self.limited.push(limit);
        let max = max as u64;
        LimitReached { limit, max }.into()
    }

    /// An address may lead to many names that fail alike; that is said once.
    fn fail(&mut self, origin: Origin, error: NameError) {
        let same =
            |(of, other): &&(Origin, NameError)| of.address == origin.address && *other == error;
        if self.failed.iter().find(same).is_none() {
            self.failed.push((origin, error));
        }
    }
}

/// What an answer makes of an address; at least one.
fn apply(
    item: &Item,
    answer: &Result<Answer, NameError>,
    peer: Option<PeerId>,
    config: &Config,
    limited: &mut Vec<Limit>,
) -> Result<Vec<Item>, NameError> {
    let addresses = match (host(&item.address), answer) {
        (_, Err(error)) => return Err(error.clone()),
        (Some((Kind::Ip(family), _)), Ok(Answer::Ip(ips))) => {
            let ips = ips.iter().filter(|ip| match family {
                Family::Any => true,
                Family::V4 => ip.is_ipv4(),
                Family::V6 => ip.is_ipv6(),
            });
            // One more than may be found, for the limit to be told.
            let ips = ips.take(config.name_addresses_max.saturating_add(1));
            ips.map(|ip| with_ip(&item.address, (*ip).into())).collect()
        }
        (Some((Kind::Txt, _)), Ok(Answer::Txt(texts))) => {
            records(&item.address, texts, peer, config, limited)?
        }
        _ => Vec::new(),
    };
    if addresses.is_empty() {
        return Err(NameError::NoRecords);
    }
    let next = addresses.into_iter().map(|address| Item {
        address,
        origin: item.origin.clone(),
        depth: item.depth + 1,
    });
    Ok(next.collect())
}

/// The addresses of a `/dnsaddr` that end in what follows its name, and do not name somebody else.
fn records(
    asked: &Multiaddr,
    texts: &[String],
    peer: Option<PeerId>,
    config: &Config,
    limited: &mut Vec<Limit>,
) -> Result<Vec<Multiaddr>, NameError> {
    let suffix: Vec<_> = asked.iter().skip(1).collect();
    let read = |text: &String| {
        let text = text.strip_prefix("dnsaddr=")?;
        let short = text.len() <= config.name_record_bytes_max;
        let address: Multiaddr = short.then(|| text.trim().parse().ok())??;
        (!address.is_empty()).then_some(address)
    };
    let mut others = false;
    let wanted = |address: &Multiaddr| {
        let parts: Vec<_> = address.iter().collect();
        let (_, named) = split_peer(address.clone());
        let wanted =
            parts.ends_with(&suffix) && (peer.is_none() || named.is_none() || named == peer);
        others |= !wanted;
        wanted
    };
    let mut all = texts.iter().filter_map(read).filter(wanted);
    let wanted: Vec<_> = all.by_ref().take(config.name_records_max).collect();
    if all.next().is_some() {
        limited.push(Limit::NameRecords);
    }
    drop(all);
    let long = |text: &&String| text.len() > config.name_record_bytes_max;
    let long = texts.iter().filter(long).map(|_| Limit::NameRecordBytes);
    limited.extend(long);
    match wanted.is_empty() && others {
        true => Err(NameError::OtherPeers),
        false => Ok(wanted),
    }
}

/// What must be asked for an address.
enum Kind {
    Ip(Family),
    Txt,
}

/// The name that the address begins with; a name further back is somebody else's to look up.
fn host(address: &Multiaddr) -> Option<(Kind, String)> {
    let (kind, name) = match address.iter().next()? {
        Protocol::Dns(name) => (Kind::Ip(Family::Any), name),
        Protocol::Dns4(name) => (Kind::Ip(Family::V4), name),
        Protocol::Dns6(name) => (Kind::Ip(Family::V6), name),
        Protocol::Dnsaddr(name) => (Kind::Txt, name),
        _ => return None,
    };
    Some((kind, name.into_owned()))
}

/// The address with an IP for its name. TLS around WebSocket still needs the name, so it goes to `/sni`.
fn with_ip(address: &Multiaddr, ip: Protocol<'_>) -> Multiaddr {
    let name = host(address).map(|(_, name)| name.trim_end_matches('.').to_owned());
    let named = address.iter().any(|part| matches!(part, Protocol::Sni(_)));
    let name = name.filter(|_| !named);
    let mut parts = address.iter().skip(1).peekable();
    let mut result = Multiaddr::from(ip);
    while let Some(part) = parts.next() {
        match (part, &name) {
            (Protocol::Wss(path), Some(name)) => {
                result.push(Protocol::Tls);
                result.push(Protocol::Sni(name.into()));
                result.push(Protocol::Ws(path));
            }
            (Protocol::Tls, Some(name)) if matches!(parts.peek(), Some(Protocol::Ws(_))) => {
                result.push(Protocol::Tls);
                result.push(Protocol::Sni(name.into()));
            }
            (part, _) => result.push(part),
        }
    }
    result
}

/// Longest name, as text (RFC 1035 §2.3.4).
const NAME_LEN_MAX: usize = 253;

#[cfg(test)]
mod tests;
