//! Black holes: networks that swallow UDP, or IPv6, without a word. Where of the last attempts to public
//! addresses too few succeeded, that kind is left out, but for a probe now and then.
//!
//! ```text
//! probing ──window full──▶ allowed ⇄ blocked      a success while blocked: probing again
//! ```
//! As in go-libp2p, an attempt that lost the race against another address counts as a failure: the share
//! that must succeed is small enough for that. One that the caller gave up tells nothing.

use std::collections::VecDeque;

use multiaddr::Multiaddr;

use crate::{
    addresses::{Scope, ip, is_relayed, is_udp, scope},
    config::Config,
    error::Skip,
    figures::BlackHoleFigures,
};

/// What is known of UDP and of IPv6.
#[derive(Debug, Default)]
pub(crate) struct BlackHoles {
    udp: Detector,
    ipv6: Detector,
}

#[derive(Debug, Default)]
struct Detector {
    outcomes: VecDeque<bool>,
    successes: usize,
    requests: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Probing,
    Allowed,
    Blocked,
}

/// What one batch of addresses may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    udp: State,
    ipv6: State,
}

impl BlackHoles {
    /// Asks for all addresses of a batch at once, so that a probe takes all of them in.
    pub(crate) fn ask<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a Multiaddr> + Clone,
        config: &Config,
    ) -> Verdict {
        let mut public = addresses.filter(|address| is_public(address));
        let has_udp = public.clone().any(is_udp);
        let has_ipv6 = public.any(is_ipv6);
        let ask = |detector: &mut Detector, has| match has {
            true => detector.ask(config),
            false => State::Allowed,
        };
        Verdict {
            udp: ask(&mut self.udp, has_udp),
            ipv6: ask(&mut self.ipv6, has_ipv6),
        }
    }

    /// An attempt has ended.
    pub(crate) fn record(&mut self, address: &Multiaddr, success: bool, config: &Config) {
        if !is_public(address) {
            return;
        }
        if is_udp(address) {
            self.udp.record(success, config);
        }
        if is_ipv6(address) {
            self.ipv6.record(success, config);
        }
    }

    /// How UDP and IPv6 fare.
    pub(crate) fn figures(&self, config: &Config) -> [BlackHoleFigures; 2] {
        [&self.udp, &self.ipv6].map(|detector| detector.figures(config))
    }
}

impl Verdict {
    /// Why the address is left out. What is being probed is not held back by the other kind.
    pub(crate) fn skip(self, address: &Multiaddr) -> Option<Skip> {
        let (udp, ipv6) = (is_udp(address), is_ipv6(address));
        let probe = udp && self.udp == State::Probing || ipv6 && self.ipv6 == State::Probing;
        if probe || !is_public(address) {
            None
        } else if udp && self.udp == State::Blocked {
            Some(Skip::UdpBlackHole)
        } else if ipv6 && self.ipv6 == State::Blocked {
            Some(Skip::Ipv6BlackHole)
        } else {
            None
        }
    }
}

impl Detector {
    fn state(&self, config: &Config) -> State {
        if self.outcomes.len() < config.black_hole_window || config.black_hole_window == 0 {
            State::Probing
        } else if self.successes >= config.black_hole_successes_min {
            State::Allowed
        } else {
            State::Blocked
        }
    }

    fn figures(&self, config: &Config) -> BlackHoleFigures {
        let state = self.state(config);
        let window = config.black_hole_window;
        let since = self.requests.checked_rem(window).unwrap_or(0);
        let blocked = state == State::Blocked;
        BlackHoleFigures {
            is_probing: state == State::Probing,
            is_blocked: blocked,
            successes: self.successes,
            attempts: self.outcomes.len(),
            next_probe: if blocked { window - since } else { 0 },
        }
    }

    fn ask(&mut self, config: &Config) -> State {
        self.requests = self.requests.wrapping_add(1);
        match self.state(config) {
            State::Blocked if self.requests.is_multiple_of(config.black_hole_window) => {
                State::Probing
            }
            state => state,
        }
    }

    fn record(&mut self, success: bool, config: &Config) {
        if success && self.state(config) == State::Blocked {
            *self = Self::default();
            return;
        }
        self.outcomes.push_back(success);
        self.successes += usize::from(success);
        while self.outcomes.len() > config.black_hole_window {
            self.successes -= usize::from(self.outcomes.pop_front() == Some(true));
        }
    }
}

fn is_public(address: &Multiaddr) -> bool {
    ip(address).is_some() && scope(address) == Scope::Public && !is_relayed(address)
}

fn is_ipv6(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_ipv6())
}

#[cfg(test)]
mod tests;
