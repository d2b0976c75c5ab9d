//! How often we knock at a door that only a peer has told us of: whoever makes up peers that all live in one
//! place would have us dial it as often as he names them. Invariant: doors in the order of their time, at
//! most `hearsay_dials_max` of them; the first ones are forgotten first.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use multiaddr::Multiaddr;

use crate::{
    addresses::{ip, is_udp, port},
    config::Config,
    limits::{Ledger, Limit},
};

/// When each door was last knocked at.
#[derive(Debug, Default)]
pub(crate) struct Hearsay {
    last: BTreeMap<Door, Instant>,
    queue: VecDeque<(Instant, Door)>,
}

/// An IP address, a port, and whether it is one of UDP.
type Door = (IpAddr, u16, bool);

impl Hearsay {
    /// Knocks there, or tells how long not to yet.
    pub(crate) fn knock(
        &mut self,
        now: Instant,
        address: &Multiaddr,
        config: &Config,
        limits: &mut Ledger,
    ) -> Result<(), Duration> {
        let (Some(ip), Some(port)) = (ip(address), port(address)) else {
            return Ok(());
        };
        let door = (ip, port, is_udp(address));
        while let Some((at, door)) = self.queue.front()
            && *at + config.hearsay_interval <= now
        {
            self.last.remove(door);
            self.queue.pop_front();
        }
        if let Some(last) = self.last.get(&door) {
            return Err((*last + config.hearsay_interval).saturating_duration_since(now));
        }
        if self.queue.len() >= config.hearsay_dials_max {
            limits.count(Limit::HearsayDials);
            let Some((_, oldest)) = self.queue.pop_front() else {
                return Ok(());
            };
            self.last.remove(&oldest);
        }
        self.last.insert(door, now);
        self.queue.push_back((now, door));
        limits.saw(Limit::HearsayDials, self.queue.len());
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
