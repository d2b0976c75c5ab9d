//! In which order and how soon the addresses of a peer are dialed: go-libp2p's shape, which is Happy
//! Eyeballs (RFC 8305) for several transports. Pure.
//!
//! ```text
//! private ┐ each: QUIC v6 · QUIC v4 · other QUIC · TCP v6 · TCP v4 · other TCP, WebSocket · the rest
//! public  ┘         0        +1d        +2d          +1d      +2d     +3d: since the last QUIC
//! relayed   the same, later when there is a public address
//! ```
//! Private and public ones run side by side. d is short for private ones. Lower ports come first:
//! they are likelier a listener's. Addresses without a network are tried before all others.

use std::{net::IpAddr, time::Duration};

use multiaddr::Multiaddr;

use crate::{
    addresses::{Carrier, Scope, carrier, ip, is_relayed, port, scope},
    config::Config,
};

/// The addresses in order, each with its delay since the first.
pub(crate) fn rank(addresses: Vec<Multiaddr>, config: &Config) -> Vec<(Multiaddr, Duration)> {
    let (relayed, direct): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_relayed);
    let of = |kind: Carrier| move |address: &Multiaddr| carrier(address) == kind;
    let (here, direct): (Vec<_>, Vec<_>) = direct.into_iter().partition(of(Carrier::Local));
    let private = |address: &Multiaddr| scope(address) < Scope::Public;
    let (private, rest): (Vec<_>, Vec<_>) = direct.into_iter().partition(private);
    let (public, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|a| ip(a).is_some());

    let head_start = match here.is_empty() {
        true => Duration::ZERO,
        false => config.dial_delay_local,
    };
    let relay_delay = match public.is_empty() {
        true => Duration::ZERO,
        false => config.dial_delay_relay,
    };
    let near = (config.dial_delay_local, config.dial_delay_other_local);
    let far = (config.dial_delay, config.dial_delay_other);
    let mut ranked: Vec<_> = here.into_iter().map(|a| (a, Duration::ZERO)).collect();
    group(&mut ranked, private, near, head_start);
    group(&mut ranked, public, far, head_start);
    group(&mut ranked, relayed, far, head_start + relay_delay);
    let last = ranked.iter().map(|(_, delay)| *delay).max();
    let last = last.unwrap_or_default() + config.dial_delay_other;
    ranked.extend(rest.into_iter().map(|address| (address, last)));
    ranked.sort_by_key(|(_, delay)| *delay);
    ranked
}

/// One group, `offset` later than the dial.
fn group(
    ranked: &mut Vec<(Multiaddr, Duration)>,
    mut addresses: Vec<Multiaddr>,
    (delay, delay_other): (Duration, Duration),
    offset: Duration,
) {
    addresses.sort_by_key(|a| (carrier(a), is_v4(a), port(a)));
    let class = |address: &Multiaddr| match carrier(address) {
        Carrier::Local | Carrier::Quic | Carrier::WebTransport => 0,
        Carrier::Tcp | Carrier::WebSocket => 1,
        Carrier::Other => 2,
    };
    let mut start = offset;
    let mut last = offset;
    for kind in 0..2 {
        let of_kind = addresses.iter().filter(|a| class(a) == kind);
        let mut of_kind: Vec<_> = of_kind.cloned().collect();
        if of_kind.is_empty() {
            continue;
        }
        // The first address of the other family comes second, and the others a step later.
        let v4 = of_kind.iter().position(is_v4);
        let both = v4.filter(|at| *at > 0);
        if let Some(at) = both {
            of_kind[1..=at].rotate_right(1);
        }
        for (index, address) in of_kind.into_iter().enumerate() {
            let steps = match (index, both) {
                (0, _) => 0,
                (1, _) | (_, None) => 1,
                (_, Some(_)) => 2,
            };
            last = start + delay * steps;
            ranked.push((address, last));
        }
        start = last + delay;
    }
    let others = addresses.into_iter().filter(|a| class(a) == 2);
    ranked.extend(others.map(|address| (address, last + delay_other)));
}

fn is_v4(address: &Multiaddr) -> bool {
    matches!(ip(address), Some(IpAddr::V4(_)))
}

#[cfg(test)]
mod tests;
