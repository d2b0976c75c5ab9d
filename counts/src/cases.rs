//! The table of all cases. A name says where the path lies and what one operation is.

use crate::{identify, negotiate, node, session, swarm, yamux};

/// One path, to be run `times` times in the company of `idle` others of its kind.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) times: usize,
    pub(crate) run: fn(usize, usize),
}

/// What is asked of a case.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// To cost what it has cost before; there is nobody idle.
    Path,
    /// To cost the same whatever is idle.
    Flat,
    /// To grow as the depth of a balanced tree does, and no faster.
    Tree,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Flat => "flat",
            Self::Tree => "tree",
        }
    }
}

const fn path(name: &'static str, times: usize, run: fn(usize, usize)) -> Case {
    Case {
        name,
        kind: Kind::Path,
        times,
        run,
    }
}

const fn flat(name: &'static str, times: usize, run: fn(usize, usize)) -> Case {
    Case {
        name,
        kind: Kind::Flat,
        times,
        run,
    }
}

const fn tree(name: &'static str, times: usize, run: fn(usize, usize)) -> Case {
    Case {
        name,
        kind: Kind::Tree,
        times,
        run,
    }
}

pub(crate) const CASES: &[Case] = &[
    path("yamux/frame-in/64B", 1000, |_, n| yamux::frames_in(64, n)),
    path("yamux/frame-in/64KiB", 200, |_, n| {
        yamux::frames_in(64 << 10, n)
    }),
    path("yamux/frame-out/64B", 1000, |_, n| yamux::frames_out(64, n)),
    path("yamux/frame-out/64KiB", 200, |_, n| {
        yamux::frames_out(64 << 10, n)
    }),
    path("yamux/open", 500, |_, n| yamux::opens(n)),
    path("yamux/accept", 500, |_, n| yamux::accepts(n)),
    path("negotiate/dialer", 500, |_, n| negotiate::dials(n)),
    path("negotiate/listener", 500, |_, n| negotiate::listens(n)),
    path("noise/seal/64B", 2000, |_, n| session::NOISE.seals(64, n)),
    path("noise/seal/64KiB", 20, |_, n| {
        session::NOISE.seals(64 << 10, n)
    }),
    path("noise/open/64B", 2000, |_, n| session::NOISE.opens(64, n)),
    path("noise/open/64KiB", 20, |_, n| {
        session::NOISE.opens(64 << 10, n)
    }),
    path("noise/upgrade", 5, |_, n| session::NOISE.upgrades(n)),
    path("tls/seal/64B", 20_000, |_, n| session::TLS.seals(64, n)),
    path("tls/seal/64KiB", 200, |_, n| {
        session::TLS.seals(64 << 10, n)
    }),
    path("tls/open/64B", 20_000, |_, n| session::TLS.opens(64, n)),
    path("tls/open/64KiB", 200, |_, n| {
        session::TLS.opens(64 << 10, n)
    }),
    path("tls/upgrade", 10, |_, n| session::TLS.upgrades(n)),
    path("identify/encode", 200, |_, n| identify::encodes(n)),
    path("identify/decode", 20, |_, n| identify::decodes(n)),
    path("swarm/inbound", 200, swarm::inbound),
    path("swarm/outbound", 200, swarm::outbound),
    path("node/message", 2000, node::messages),
    path("node/request", 1000, node::requests),
    path("node/1MiB", 5, node::mebibytes),
    path("node/connect", 10, |_, n| node::connects(n)),
    flat("yamux: a message of 64 B", 200, yamux::messages_among),
    flat("yamux: 64 KiB", 50, yamux::bulk_among),
    flat("yamux: an open", 200, yamux::opens_among),
    flat("a connection, by Noise", 5, connections_among),
    tree("swarm: an inbound connection", 100, swarm::inbound),
    tree("swarm: an outbound connection", 100, swarm::outbound),
    tree("swarm: identified again", 100, swarm::identified),
    tree("swarm: busy and idle", 100, swarm::idle),
    tree("swarm: a behaviour", 100, swarm::behaves),
    tree("swarm: a tag set and taken", 100, swarm::tags),
    tree("swarm: too many? no", 100, swarm::trims),
];

/// What a connection costs at both of its ends, and one of their swarms.
fn connections_among(idle: usize, times: usize) {
    session::NOISE.upgrades(times);
    swarm::inbound(idle, times);
}

#[cfg(test)]
mod tests;
