//! Why a dial, one of its attempts, or an inbound connection comes to nothing.
//! The texts name every address that was tried, a line each when there are several.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{limits::LimitReached, verdict::Verdict};

/// Why there is no connection for a waiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialError {
    /// The peer is ourselves, or all addresses are our own.
    LocalPeer,
    /// None was given and none is known.
    NoAddresses {
        /// Who was to be dialed; `None`: nobody in particular.
        peer: Option<PeerId>,
    },
    /// No address led to the peer.
    Failed {
        /// Who was dialed; `None`: whoever answers.
        peer: Option<PeerId>,
        /// Every address, in the order in which they failed.
        attempts: Vec<(Multiaddr, AttemptError)>,
    },
    /// There are as many dials, outbound connections or connections to the peer as there may be. Try again when one has
    /// ended.
    LimitReached(LimitReached),
    /// The peer is banned.
    Banned {
        /// Who.
        peer: PeerId,
        /// Until when; `None`: until the ban is lifted.
        until: Option<SystemTime>,
    },
    /// The node has shut down.
    Closed,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalPeer => f.write_str("cannot dial ourselves"),
            Self::NoAddresses { peer: Some(peer) } => write!(f, "no addresses for peer {peer}"),
            Self::NoAddresses { peer: None } => f.write_str("no addresses to dial"),
            Self::Failed { peer, attempts } => {
                match peer {
                    Some(peer) => write!(f, "could not reach peer {peer}:")?,
                    None => f.write_str("could not connect:")?,
                }
                write_attempts(f, attempts)
            }
            Self::LimitReached(reached) => reached.fmt(f),
            Self::Banned { peer, .. } => write!(f, "peer {peer} is banned"),
            Self::Closed => f.write_str("the node has shut down"),
        }
    }
}

/// One attempt follows on the same line, several have a line each; those beyond the limit are counted.
fn write_attempts(f: &mut fmt::Formatter<'_>, all: &[(Multiaddr, AttemptError)]) -> fmt::Result {
    let beyond =
        |error: &AttemptError| matches!(error, AttemptError::Skipped(Skip::LimitReached(_)));
    let told = || all.iter().filter(|(_, error)| !beyond(error));
    let separator = if all.len() == 1 { " " } else { "\n  " };
    for (address, error) in told() {
        write!(f, "{separator}{address}: {error}")?;
    }
    match all.iter().rev().find(|(_, error)| beyond(error)) {
        None => Ok(()),
        Some((_, error)) => write!(f, "{separator}{} more: {error}", all.len() - told().count()),
    }
}

impl std::error::Error for DialError {}

/// Why one address did not lead to the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// The operating system's or the transport's own words.
    #[error("{0}")]
    Transport(String),
    /// No transport of ours understands the address.
    #[error("no transport for this address")]
    NoTransport,
    /// This build lacks the transport; the text names the feature that brings it.
    #[error("this build of carrick has no {0}")]
    NotBuilt(&'static str),
    /// Somebody else is there, or the address names somebody else.
    #[error("wrong peer: expected {expected}, found {found}")]
    WrongPeer {
        /// Who was dialed.
        expected: PeerId,
        /// Who is there.
        found: PeerId,
    },
    /// The pipe was open, but security or muxing was not agreed on.
    #[error("upgrade failed: {0}")]
    Upgrade(String),
    /// We are in a private network, and connections to this address cannot be hidden under its key.
    #[error("cannot be part of a private network; use TCP or WebSocket")]
    PrivateNetwork,
    /// We have as many sockets, or as little memory left, as we may have.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// No connection in time; or its turn had not come when the whole dial's time was up.
    #[error("timed out")]
    Timeout,
    /// The dial was stopped.
    #[error("aborted")]
    Aborted,
    /// Whoever answered is banned.
    #[error("peer {0} is banned")]
    Banned(PeerId),
    /// Admission decided against whoever answered.
    #[error("not admitted: {0}")]
    Rejected(Verdict),
    /// It is one of our own addresses; not dialed.
    #[error("this is our own address")]
    OwnAddress,
    /// It was not dialed, although it could have been.
    #[error("not tried: {0}")]
    Skipped(#[from] Skip),
    /// Its name leads nowhere; addresses that the name has given all the same are listed besides.
    #[error("name lookup failed: {0}")]
    Name(#[from] NameError),
}

/// Why an address is not dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// WebSocket beside plain TCP on the same IP and port.
    #[error("the same port is tried with plain TCP")]
    PlainTcp,
    /// A wildcard such as `0.0.0.0`, which a listener has and nobody dials.
    #[error("this IP address stands for no host")]
    Unspecified,
    /// A link-local IPv6 address without `/ip6zone`.
    #[error("a link-local address needs its zone, as in /ip6zone/eth0/ip6/fe80::1")]
    NoZone,
    /// A peer in the world has told it, and it leads into a private network or to this machine:
    /// [`crate::Config::allow_private`].
    #[error("a peer in the world has told this private address")]
    PrivateFromPublic,
    /// The same host and port was dialed shortly before, and nobody but peers says that this one lives there:
    /// [`crate::Config::hearsay_interval`].
    #[error("the same place was dialed shortly before, the next try is in {:.1} s", remaining.as_secs_f32())]
    Hearsay {
        /// How long from now.
        remaining: Duration,
    },
    /// Public UDP has not worked lately: [`crate::Config::black_hole_window`].
    #[error("UDP seems not to get out of this network")]
    UdpBlackHole,
    /// Public IPv6 has not worked lately: [`crate::Config::black_hole_window`].
    #[error("IPv6 seems not to get out of this network")]
    Ipv6BlackHole,
    /// It failed shortly before: [`crate::Config::backoff_base`]. Addresses given by the caller are tried all the same.
    #[error("it failed shortly before, the next try is in {:.1} s", remaining.as_secs_f32())]
    Backoff {
        /// How long from now.
        remaining: Duration,
    },
    /// It is banned, or its network is.
    #[error("the address is banned")]
    Banned,
    /// The dial has as many others as it may.
    #[error(transparent)]
    LimitReached(LimitReached),
}

/// Why a name did not lead to an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The resolver's own words.
    #[error("{0}")]
    Resolver(String),
    /// No answer within [`crate::Config::name_timeout`].
    #[error("no answer in time")]
    Timeout,
    /// It is empty, or too long for a name.
    #[error("this is not a name")]
    NotAName,
    /// It has no record of the kind that is asked for, or none that can be read.
    #[error("it has no address")]
    NoRecords,
    /// It has records, but they are other peers'.
    #[error("it has no address of this peer")]
    OtherPeers,
    /// It leads to itself, or to what another address of the same dial has led to.
    #[error("it leads in a circle, or to what was looked up already")]
    NothingNew,
    /// Too many names that lead to each other, lookups, or addresses; what came before is tried.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
}

/// Why an inbound connection is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The remote's address is banned.
    #[error("the address is banned")]
    Banned,
    /// The app's admission decided against it.
    #[error("{0}")]
    Verdict(Verdict),
    /// It is to prove that it is where it says: half of what its network may have is taken.
    #[error("the address is not proven")]
    Unproven,
    /// There are as many as there may be, of all or of its network.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// We have shut down.
    #[error("shutting down")]
    Closed,
}
