//! The pace of newcomers: how many of one network are let in in a short time. A network that keeps to it, once more, is
//! forgotten. Invariant: at most `rate_subnets_max` networks; the one that has to wait least is forgotten first.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::{
    addresses::{Subnet, Subnets},
    config::Config,
    limits::{Ledger, Limit},
};

/// Networks and when each of them has its whole burst again.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    whole: BTreeMap<Subnet, Instant>,
    order: BTreeSet<(Instant, Subnet)>,
}

impl Rates {
    /// Counts a newcomer in all its networks.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        subnets: Subnets,
        config: &Config,
        limits: &mut Ledger,
    ) {
        self.forget(now);
        for subnet in subnets.into_iter().flatten() {
            let (limit, _, interval) = rule(subnet, config);
            let before = self.whole.get(&subnet).copied();
            self.order.remove(&(before.unwrap_or(now), subnet));
            let whole = before.unwrap_or(now).max(now) + interval;
            self.whole.insert(subnet, whole);
            self.order.insert((whole, subnet));
            limits.saw(limit, self.used(now, subnet, config));
        }
        while self.whole.len() > config.connection_rate_subnets_max {
            let Some((_, subnet)) = self.order.pop_first() else {
                break;
            };
            self.whole.remove(&subnet);
            limits.count(Limit::ConnectionRateSubnets);
        }
        limits.saw(Limit::ConnectionRateSubnets, self.whole.len());
    }

    /// Networks that are remembered.
    pub(crate) fn count(&self) -> usize {
        self.whole.len()
    }

    /// How much of its burst the network with the least left has used, among those that `limit` is about.
    pub(crate) fn most(&self, now: Instant, limit: Limit, config: &Config) -> usize {
        let subnets = self.whole.keys().copied();
        let of_limit = subnets.filter(|subnet| rule(*subnet, config).0 == limit);
        of_limit
            .map(|subnet| self.used(now, subnet, config))
            .max()
            .unwrap_or(0)
    }

    /// How much of the burst is used; time gives it back one by one.
    pub(crate) fn used(&self, now: Instant, subnet: Subnet, config: &Config) -> usize {
        let (_, _, interval) = rule(subnet, config);
        let whole = self.whole.get(&subnet).copied().unwrap_or(now);
        let wait = whole.saturating_duration_since(now).as_nanos();
        usize::try_from(wait.div_ceil(interval.as_nanos().max(1))).unwrap_or(usize::MAX)
    }

    /// Forgets the networks that have their whole burst.
    fn forget(&mut self, now: Instant) {
        while let Some((_, subnet)) = self.order.first().copied().filter(|(at, _)| *at <= now) {
            self.order.pop_first();
            self.whole.remove(&subnet);
        }
    }
}

/// How many may come at once.
pub(crate) const fn burst(subnet: Subnet, config: &Config) -> (Limit, usize) {
    let (limit, max, _) = rule(subnet, config);
    (limit, max)
}

/// Whose limit it is, the burst, and the time that gives one back.
const fn rule(subnet: Subnet, config: &Config) -> (Limit, usize, std::time::Duration) {
    match subnet {
        Subnet::V4(_) | Subnet::V6(_) => (
            Limit::ConnectionRatePerIp,
            config.connection_burst_per_ip,
            config.connection_interval_per_ip,
        ),
        Subnet::Site(_) => (
            Limit::ConnectionRatePerSite,
            config.connection_burst_per_site,
            config.connection_interval_per_site,
        ),
    }
}
