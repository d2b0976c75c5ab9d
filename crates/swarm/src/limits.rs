//! Every limit of a node by its name, and what each of them has seen: how much is used, and how often it has refused.
//! A refusal is one type, [`LimitReached`], which says by which limit; every error that a limit causes carries it.

use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

/// One row for each limit: its name, level, unit, and what it bounds, as errors say it.
macro_rules! limits {
    ($($limit:ident: $name:literal, $level:ident, $unit:ident, $what:literal;)*) => {
        /// A named limit. All are on by default; where their numbers come from is said at the fields of `Config`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {
            $(#[doc = concat!("At most so many ", $what, ".")] $limit,)*
        }

        impl Limit {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$limit),*];

            /// Its name in snake case, as metrics and `Display` give it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$limit => $name,)* }
            }

            /// Of what there is one count.
            pub const fn level(self) -> Level {
                match self { $(Self::$limit => Level::$level,)* }
            }

            /// What is counted.
            pub const fn unit(self) -> Unit {
                match self { $(Self::$limit => Unit::$unit,)* }
            }

            /// What there is at most so much of, in words.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$limit => $what,)* }
            }
        }
    };
}

limits! {
    ConnectionsInbound: "connections_inbound", Global, Count, "inbound connections, with those in their upgrade";
    ConnectionsOutbound: "connections_outbound", Global, Count, "outbound connections, with one for each dial";
    ConnectionsPending: "connections_pending", Global, Count, "inbound connections in their upgrade";
    ConnectionsPerPeer: "connections_per_peer", Peer, Count, "connections to one peer";
    ConnectionsPerIp: "connections_per_ip", Subnet, Count, "inbound connections of one IPv4 address or IPv6 /56 network";
    ConnectionsPerSite: "connections_per_site", Subnet, Count, "inbound connections of one IPv6 /48 network";
    ConnectionRatePerIp: "connection_rate_per_ip", Subnet, Count, "inbound connections in short time from one IPv4 address or IPv6 /56 network";
    ConnectionRatePerSite: "connection_rate_per_site", Subnet, Count, "inbound connections in short time from one IPv6 /48 network";
    ConnectionRateSubnets: "connection_rate_subnets", Global, Count, "networks whose pace is remembered";
    Dials: "dials", Global, Count, "running dials";
    DialAddresses: "dial_addresses", Peer, Count, "addresses of one dial";
    DialAttempts: "dial_attempts", Peer, Count, "addresses of one dial at the same time";
    DialBackoffs: "dial_backoffs", Global, Count, "addresses whose failures are remembered";
    HearsayDials: "hearsay_dials", Global, Count, "hosts and ports, dialed on a peer's word, that are remembered";
    NameDepth: "name_depth", Peer, Count, "names that lead to each other";
    NameLookups: "name_lookups", Peer, Count, "lookups of one dial";
    NameRecords: "name_records", Peer, Count, "records of one name";
    NameRecordBytes: "name_record_bytes", Peer, Bytes, "bytes of one record";
    NameAddresses: "name_addresses", Peer, Count, "addresses that the names of one dial give";
    Peers: "peers", Global, Count, "peers that are known and not connected";
    PeersBytes: "peers_bytes", Global, Bytes, "bytes that peers say of themselves and are not connected";
    PeerAddresses: "peer_addresses", Peer, Count, "addresses of one peer that is not connected";
    PeerAddressesConnected: "peer_addresses_connected", Peer, Count, "addresses of one connected peer";
    PeerValues: "peer_values", Peer, Count, "values that the user keeps of one peer";
    PeerValuesBytes: "peer_values_bytes", Peer, Bytes, "bytes of the values that the user keeps of one peer, and of their names";
    FileDescriptors: "file_descriptors", Global, Count, "sockets of connections, dials and listeners";
    Memory: "memory", Global, Bytes, "bytes for connections and the growth of their receive windows";
    MemoryPerPeer: "memory_per_peer", Peer, Bytes, "bytes that the receive windows of one peer grow by";
    ReceiveWindows: "receive_windows", Connection, Bytes, "bytes that the receive windows of one connection grow by";
    SendBuffer: "send_buffer", Connection, Bytes, "unsent bytes of one connection, beyond which writers wait";
    StreamsInbound: "streams_inbound", Global, Count, "inbound streams";
    StreamsInboundPerPeer: "streams_inbound_per_peer", Peer, Count, "inbound streams of one peer";
    StreamsInboundPerProtocol: "streams_inbound_per_protocol", Protocol, Count, "inbound streams of one protocol";
    StreamsInboundPerConnection: "streams_inbound_per_connection", Connection, Count, "inbound streams of one connection";
    StreamsOutboundPerConnection: "streams_outbound_per_connection", Connection, Count, "outbound streams of one connection";
    Negotiations: "negotiations", Global, Count, "inbound streams whose protocol is not agreed on";
    NegotiationsPerConnection: "negotiations_per_connection", Connection, Count, "inbound streams of one connection whose protocol is not agreed on";
    HandlersPerProtocol: "handlers_per_protocol", Protocol, Count, "handlers of one protocol that run";
    QueuePerProtocol: "queue_per_protocol", Protocol, Count, "inbound streams of one protocol that wait to be accepted";
    RequestsInboundPerPeer: "requests_inbound_per_peer", Peer, Count, "requests of one peer in one protocol that are being answered";
    RequestBytesPerPeer: "request_bytes_per_peer", Peer, Bytes, "bytes of the requests of one peer in one protocol that are being answered";
    RequestRatePerPeer: "request_rate_per_peer", Peer, Count, "requests in short time of one peer in one protocol";
    RequestsOutboundPerPeer: "requests_outbound_per_peer", Peer, Count, "requests to one peer in one protocol that are under way";
    RequestsQueuedPerPeer: "requests_queued_per_peer", Peer, Count, "requests to one peer in one protocol that wait for others";
    Events: "events", Global, Count, "events that wait for one who listens";
    TagsPerPeer: "tags_per_peer", Peer, Count, "tags of one peer";
    TaggedPeers: "tagged_peers", Global, Count, "peers with tags";
    Scores: "scores", Global, Count, "peers whose behaviour is remembered";
    Bans: "bans", Global, Count, "bans, with those that are over and remembered";
    KeptPeers: "kept_peers", Global, Count, "peers to stay connected to";
}

/// Of what there is one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The node.
    Global,
    /// An IPv4 address, or a network of IPv6.
    Subnet,
    /// A peer, or the dial of one.
    Peer,
    /// A protocol.
    Protocol,
    /// A connection.
    Connection,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Global => "global",
            Self::Subnet => "subnet",
            Self::Peer => "peer",
            Self::Protocol => "protocol",
            Self::Connection => "connection",
        })
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A limit has refused something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at most {max} {} (limit {limit})", limit.what())]
pub struct LimitReached {
    /// Which one.
    pub limit: Limit,
    /// How much it allows, in its [`unit`](Limit::unit).
    pub max: u64,
}

/// What a limit allows and what it has seen. On other levels than [`Level::Global`] it is that of the peer, the
/// connection and so on that uses most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Which one.
    pub limit: Limit,
    /// What it allows.
    pub max: u64,
    /// What is used now; `None` where nothing lasts that could be counted.
    pub used: Option<u64>,
    /// The most that was ever used.
    pub peak: u64,
    /// How often it has refused, kept something waiting, or made something older give way.
    pub refused: u64,
}

impl Usage {
    /// Whether nothing more is let in now.
    pub fn is_at_limit(&self) -> bool {
        self.used.is_some_and(|used| used >= self.max)
    }
}

/// What all limits of a node allow and have seen. Shown, it is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits(Vec<Usage>);

impl Limits {
    /// In the order of [`Limit::ALL`].
    pub fn new(mut all: Vec<Usage>) -> Self {
        all.sort_by_key(|usage| usage.limit);
        Self(all)
    }

    /// One of them.
    pub fn get(&self, limit: Limit) -> Option<&Usage> {
        let at = self.0.binary_search_by_key(&limit, |usage| usage.limit);
        self.0.get(at.ok()?)
    }

    /// All of them, in the order of [`Limit::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = &Usage> {
        self.0.iter()
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, level) = ("limit", "level");
        let (used, max, peak, refused) = ("used", "max", "peak", "refused");
        write!(
            f,
            "{name:32} {level:10} {used:>10} {max:>10} {peak:>10} {refused:>9}"
        )?;
        for usage in &self.0 {
            let Usage { limit, refused, .. } = usage;
            let amount = |number| amount(limit.unit(), number);
            let used = usage.used.map_or_else(|| "-".to_owned(), amount);
            let (level, max, peak) = (limit.level(), amount(usage.max), amount(usage.peak));
            let mark = if usage.is_at_limit() {
                " <- at its limit"
            } else {
                ""
            };
            write!(
                f,
                "\n{limit:32} {level:10} {used:>10} {max:>10} {peak:>10} {refused:>9}{mark}"
            )?;
        }
        Ok(())
    }
}

fn amount(unit: Unit, number: u64) -> String {
    let mut text = String::new();
    let _ = match (unit, number) {
        (Unit::Bytes, 0x10_0000..) => write!(text, "{} MiB", number >> 20),
        (Unit::Bytes, 0x400..) => write!(text, "{} KiB", number >> 10),
        (Unit::Bytes, _) => write!(text, "{number} B"),
        (Unit::Count, _) => write!(text, "{number}"),
    };
    text
}

/// What the limits have seen. Invariant: the swarm's parts refuse through it, so that nothing is refused uncounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    seen: [Seen; Limit::ALL.len()],
    /// A bit for each limit that has refused since it was last told.
    news: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    peak: u64,
    refused: u64,
    told: Option<Instant>,
}

const _: () = assert!(Limit::ALL.len() <= 64, "a bit for each");

impl Default for Ledger {
    fn default() -> Self {
        Self {
            seen: [Seen::default(); Limit::ALL.len()],
            news: 0,
        }
    }
}

impl Ledger {
    /// How often the limit has refused.
    pub fn refused(&self, limit: Limit) -> u64 {
        self.seen[limit as usize].refused
    }

    /// Refuses one more if `used` is all that there may be.
    pub(crate) fn check(
        &mut self,
        limit: Limit,
        used: usize,
        max: usize,
    ) -> Result<(), LimitReached> {
        if used < max {
            Ok(())
        } else {
            Err(self.refuse(limit, max))
        }
    }

    /// Refuses.
    pub(crate) fn refuse(&mut self, limit: Limit, max: usize) -> LimitReached {
        self.count(limit);
        LimitReached {
            limit,
            max: max as u64,
        }
    }

    /// The limit has refused something.
    pub(crate) fn count(&mut self, limit: Limit) {
        self.seen[limit as usize].refused += 1;
        self.news |= 1 << limit as u64;
    }

    /// So much is used now.
    pub(crate) fn saw(&mut self, limit: Limit, used: usize) {
        let peak = &mut self.seen[limit as usize].peak;
        *peak = (*peak).max(used as u64);
    }

    /// The limits that have refused since they were last told, each once a second at most.
    pub(crate) fn news(&mut self, now: Instant) -> impl Iterator<Item = Limit> + use<> {
        let mut told = Vec::new();
        while self.news != 0 {
            let limit = Limit::ALL[self.news.trailing_zeros() as usize];
            self.news &= self.news - 1;
            let last = &mut self.seen[limit as usize].told;
            if last.is_none_or(|last| now.saturating_duration_since(last) >= TELL_INTERVAL) {
                *last = Some(now);
                told.push(limit);
            }
        }
        told.into_iter()
    }

    pub(crate) fn usage(&self, limit: Limit, used: Option<usize>, max: usize) -> Usage {
        let Seen { peak, refused, .. } = self.seen[limit as usize];
        let used = used.map(|used| used as u64);
        Usage {
            limit,
            max: max as u64,
            used,
            peak: peak.max(used.unwrap_or(0)),
            refused,
        }
    }
}

const TELL_INTERVAL: Duration = Duration::from_secs(1);
