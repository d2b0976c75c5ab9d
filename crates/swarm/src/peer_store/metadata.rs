//! What the store tells of a peer: values of their own, which no later event changes.

use std::{collections::BTreeMap, time::Duration};

use carrick_wire::ProtocolId;
use libp2p_identity::PublicKey;
use multiaddr::Multiaddr;

/// Why an address is believed. A later one is never replaced by an earlier one, however long that is to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Others say so: a routing table, a rendezvous point, a neighbour's announcement.
    Discovery,
    /// The peer says so in identify.
    Identify,
    /// The peer's signed record says so.
    SignedRecord,
    /// The user says so.
    User,
    /// We have reached the peer there.
    Dialed,
}

/// What is known of a peer, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerMetadata {
    /// Where it may be reached, what is best proven first.
    pub addresses: Vec<KnownAddress>,
    /// What it accepts; empty: unknown.
    pub protocols: Vec<ProtocolId>,
    /// Its program and version, safe to show.
    pub agent: Option<String>,
    /// Its public key.
    pub key: Option<PublicKey>,
    /// Its round trip time, smoothed over what pings and connections have measured.
    pub rtt: Option<Duration>,
    /// What the user keeps of it.
    pub values: BTreeMap<String, Vec<u8>>,
    /// Whether there is a connection.
    pub connected: bool,
    /// How long ago it was last connected; zero while it is, `None`: never, as far as is known.
    pub last_seen: Option<Duration>,
}

/// An address of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAddress {
    /// Without the peer id at its end.
    pub address: Multiaddr,
    /// Why it is believed.
    pub source: Source,
    /// How much longer it is; `None`: as long as the peer is connected, and some time after.
    pub ttl: Option<Duration>,
}
