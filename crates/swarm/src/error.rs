//! Why a dial, one of its attempts, or an inbound connection comes to nothing.
//! Each text is one line and names every address that was tried.

use std::fmt;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

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
    /// [`crate::Config::dials_max`] dials are running. Try again when one has ended.
    TooManyDials,
    /// [`crate::Config::connections_outbound_max`] connections are open or being dialed, or the peer's
    /// own share is used up.
    TooManyConnections,
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
                    Some(peer) => write!(f, "could not reach peer {peer}: ")?,
                    None => f.write_str("could not connect: ")?,
                }
                for (index, (address, error)) in attempts.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{address}: {error}")?;
                }
                Ok(())
            }
            Self::TooManyDials => f.write_str("too many dials are running"),
            Self::TooManyConnections => f.write_str("too many connections"),
            Self::Closed => f.write_str("the node has shut down"),
        }
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
    /// No connection in time; or its turn had not come when the whole dial's time was up.
    #[error("timed out")]
    Timeout,
    /// The dial was stopped.
    #[error("aborted")]
    Aborted,
    /// It is one of our own addresses; not dialed.
    #[error("this is our own address")]
    OwnAddress,
    /// The dial has [`crate::Config::dial_addresses_max`] others; not dialed.
    #[error("not tried, too many addresses")]
    TooManyAddresses,
}

/// Why an inbound connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many inbound connections are in their upgrade as may be.
    #[error("{max} inbound connections are being upgraded")]
    PendingMax {
        /// [`crate::Config::pending_inbound_max`]
        max: usize,
    },
    /// As many inbound connections are open as may be.
    #[error("{max} inbound connections are open")]
    InboundMax {
        /// [`crate::Config::connections_inbound_max`]
        max: usize,
    },
    /// The remote's address or network has as many connections as it may.
    #[error("{max} connections from this address or network are open")]
    SubnetMax {
        /// [`crate::Config::connections_per_ip_max`] or [`crate::Config::connections_per_site_max`]
        max: usize,
    },
    /// We have shut down.
    #[error("shutting down")]
    Closed,
}
