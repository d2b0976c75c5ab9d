//! Every limit and delay of the swarm, by name. All limits are on by default.

use std::time::Duration;

use crate::limits::Ledger;

/// Limits and delays; a plain value, `..Config::default()` fills the rest.
/// A maximum of 0 allows none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Connections to one peer. Each costs a socket, two tasks and a muxer.
    pub connections_per_peer_max: usize,
    /// Connections that others dialed, with those in their upgrade.
    pub connections_inbound_max: usize,
    /// Connections that we dialed, with one for each running dial.
    pub connections_outbound_max: usize,
    /// Inbound connections in their upgrade: nobody is authenticated yet, and handshakes are not free.
    pub pending_inbound_max: usize,
    /// Inbound connections of one IPv4 address or IPv6 /56 network. Memory is exempt, and loopback is unless
    /// [`Self::loopback_exempt`] says otherwise.
    pub connections_per_ip_max: usize,
    /// Inbound connections of one IPv6 /48 network.
    pub connections_per_site_max: usize,
    /// Inbound connections that one IPv4 address or IPv6 /56 network may begin at once; each costs us a handshake.
    pub connection_burst_per_ip: usize,
    /// How long such a network waits, when that is used up, until it may begin one more.
    pub connection_interval_per_ip: Duration,
    /// The same of one IPv6 /48 network.
    pub connection_burst_per_site: usize,
    /// See [`Self::connection_burst_per_site`].
    pub connection_interval_per_site: Duration,
    /// Networks whose pace is remembered, about 100 bytes each; a network keeps its place until it has its whole burst
    /// again.
    pub connection_rate_subnets_max: usize,
    /// Whether loopback has no limits of its own as a network.
    pub loopback_exempt: bool,
    /// Above how many connections that others dialed some of them are trimmed, and down to how many; `None`:
    /// [`Watermarks::below`] the maximum.
    pub inbound_watermarks: Option<Watermarks>,
    /// The same of connections that we dialed; those in use are never trimmed.
    pub outbound_watermarks: Option<Watermarks>,
    /// How long a new connection is not trimmed.
    pub trim_grace: Duration,
    /// How old a connection becomes until it outranks all younger ones whose peers' tags have the same value.
    pub trim_tenure: Duration,
    /// Tags and protections of one peer.
    pub tags_per_peer_max: usize,
    /// Peers with tags or protections; about 300 bytes each and 150 for every tag.
    pub tagged_peers_max: usize,
    /// Peers to [keep connected to](crate::Swarm::keep_connected).
    pub kept_peers_max: usize,
    /// Running dials: peers, not addresses.
    pub dials_max: usize,
    /// Addresses of one dial that are tried; those given by the waiter come before known ones, and those
    /// that no transport can dial do not count.
    pub dial_addresses_max: usize,
    /// Addresses of one dial that are tried at the same time.
    pub attempts_per_peer_max: usize,
    /// Time for one address, from the first packet to the muxer.
    pub attempt_timeout: Duration,
    /// Time for a whole dial.
    pub dial_timeout: Duration,
    /// Head start of a public or relayed address before the next one: about one round trip (RFC 8305).
    pub dial_delay: Duration,
    /// Head start of a private, loopback or memory address before the next one.
    pub dial_delay_local: Duration,
    /// Head start of a public address before what is neither QUIC nor TCP.
    pub dial_delay_other: Duration,
    /// The same of a private or loopback address.
    pub dial_delay_other_local: Duration,
    /// Head start of public addresses before relayed ones.
    pub dial_delay_relay: Duration,
    /// How long an address of a peer is not dialed after its first failure, unless it is given by the caller. After n
    /// failures, `backoff_base + n² · backoff_step`.
    pub backoff_base: Duration,
    /// See [`Self::backoff_base`].
    pub backoff_step: Duration,
    /// The longest backoff.
    pub backoff_max: Duration,
    /// Addresses whose failures are remembered, over all peers; about 200 bytes each.
    pub backoffs_max: usize,
    /// How long a host and port is not dialed again that nobody but peers has told, whichever peers these are: many made-up
    /// ones could live in the same place. Neither given addresses nor those where the peer was reached are held back.
    pub hearsay_interval: Duration,
    /// Hosts and ports for which that is remembered; about 100 bytes each.
    pub hearsay_dials_max: usize,
    /// Attempts over public UDP, or to public IPv6, that tell whether it works here at all. 0: never doubt it.
    pub black_hole_window: usize,
    /// As many of them must succeed; else only one dial in `black_hole_window` tries it.
    pub black_hole_successes_min: usize,
    /// `/dnsaddr` names that lead to each other.
    pub name_depth_max: usize,
    /// Lookups of one dial.
    pub name_lookups_max: usize,
    /// TXT records of one name that are followed.
    pub name_records_max: usize,
    /// Longest TXT record that is read, in bytes.
    pub name_record_bytes_max: usize,
    /// Addresses that the names of one dial give.
    pub name_addresses_max: usize,
    /// Time for the lookups of one dial, together.
    pub name_timeout: Duration,
    /// How long a connection that is not preferred must be idle before its dialer closes it.
    pub duplicate_idle_timeout: Duration,
    /// How long we wait for further changes before we push identify.
    pub push_delay: Duration,
    /// Peers that the peer store remembers without being connected to them.
    pub peers_max: usize,
    /// Memory for what peers say of themselves, in bytes, over all peers that are not connected.
    pub peers_bytes_max: usize,
    /// Addresses remembered of a connected peer.
    pub addresses_connected_max: usize,
    /// Addresses remembered of a peer that is not connected.
    pub addresses_max: usize,
    /// How long addresses learnt from the peer itself are believed, and those learnt from others at most. As long a
    /// signed record's number refuses older records.
    pub address_ttl: Duration,
    /// How long a peer is remembered, at least, after its last connection has closed.
    pub disconnected_ttl: Duration,
    /// Whether what is learnt from peers in the world may lead to private networks and to this machine. Off, such addresses
    /// are neither remembered nor dialed, also when a name leads to them, since whoever tells them could have us knock at
    /// doors that it cannot reach itself. What a user gives is dialed in any case.
    pub allow_private: bool,
    /// Values that the user may keep of one peer.
    pub metadata_values_max: usize,
    /// Bytes of them all and their names, of one peer.
    pub metadata_bytes_max: usize,
    /// With a store, how often changes are handed to it at most; when the program is killed, about as much is lost.
    pub save_interval: Duration,
    /// Whether TCP dials leave from a port that we listen on, so that those whom we dial count as observers, too.
    pub tcp_port_reused: bool,
    /// Observers, each in another IPv4 /24 or IPv6 /48 network, until an address is believed ours.
    pub observers_min: usize,
    /// How long it takes a peer's score to come half as near to 0.
    pub score_half_life: Duration,
    /// A peer that makes its score fall to this or below is disconnected. Scores are compared in whole points.
    pub score_disconnect: i32,
    /// A peer that makes its score fall to this or below is banned.
    pub score_ban: i32,
    /// Peers whose scores are remembered; about 250 bytes each.
    pub scores_max: usize,
    /// How long the first ban lasts that its score brings a peer; each further one twice as long.
    pub ban_base: Duration,
    /// The longest of these, and how long they are remembered.
    pub ban_max: Duration,
    /// Bans; the oldest makes room for a new one. About 500 bytes each.
    pub bans_max: usize,
    /// Banned peers of one IPv4 address or IPv6 /64; when there are more, nobody is let in from there. Loopback is exempt.
    pub banned_peers_per_ip_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_per_peer_max: 4,
            connections_inbound_max: 512,
            connections_outbound_max: 256,
            pending_inbound_max: 128,
            inbound_watermarks: None,
            outbound_watermarks: None,
            trim_grace: Duration::from_secs(30),
            trim_tenure: Duration::from_secs(10 * 60),
            tags_per_peer_max: 16,
            tagged_peers_max: 4096,
            kept_peers_max: 256,
            connections_per_ip_max: 8,
            connections_per_site_max: 64,
            connection_burst_per_ip: 16,
            connection_interval_per_ip: Duration::from_secs(5),
            connection_burst_per_site: 80,
            connection_interval_per_site: Duration::from_secs(2),
            connection_rate_subnets_max: 4096,
            loopback_exempt: true,
            dials_max: 128,
            dial_addresses_max: 16,
            attempts_per_peer_max: 8,
            // Longer than the upgrade's own deadline, whose error says more.
            attempt_timeout: Duration::from_secs(15),
            dial_timeout: Duration::from_secs(30),
            dial_delay: Duration::from_millis(250),
            dial_delay_local: Duration::from_millis(30),
            dial_delay_other: Duration::from_secs(1),
            dial_delay_other_local: Duration::from_millis(100),
            dial_delay_relay: Duration::from_millis(500),
            backoff_base: Duration::from_secs(5),
            backoff_step: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            backoffs_max: 4096,
            hearsay_interval: Duration::from_secs(10),
            hearsay_dials_max: 4096,
            black_hole_window: 100,
            black_hole_successes_min: 5,
            name_depth_max: 4,
            name_lookups_max: 32,
            name_records_max: 16,
            name_record_bytes_max: 1024,
            name_addresses_max: 100,
            name_timeout: Duration::from_secs(5),
            duplicate_idle_timeout: Duration::from_secs(5),
            push_delay: Duration::from_millis(100),
            peers_max: 20_000,
            peers_bytes_max: 64 << 20,
            addresses_connected_max: 64,
            addresses_max: 32,
            address_ttl: Duration::from_secs(60 * 60),
            disconnected_ttl: Duration::from_secs(15 * 60),
            allow_private: false,
            metadata_values_max: 16,
            metadata_bytes_max: 4096,
            save_interval: Duration::from_secs(1),
            tcp_port_reused: false,
            observers_min: 4,
            score_half_life: Duration::from_secs(600),
            score_disconnect: -20,
            score_ban: -50,
            scores_max: 10_000,
            ban_base: Duration::from_secs(15 * 60),
            ban_max: Duration::from_secs(12 * 60 * 60),
            bans_max: 1000,
            banned_peers_per_ip_max: 5,
        }
    }
}

/// Two numbers of connections: above `high` some are closed, until there are `low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// How many are left; a higher number than `high` counts as that.
    pub low: usize,
    /// How many there may be.
    pub high: usize,
}

impl Watermarks {
    /// Nothing is ever trimmed.
    pub const NEVER: Self = Self {
        low: usize::MAX,
        high: usize::MAX,
    };

    /// Three quarters and seven eighths of a maximum, so that there is room for newcomers: 384 and 448 of 512.
    pub const fn below(max: usize) -> Self {
        Self {
            low: max - max / 4,
            high: max - max / 8,
        }
    }
}

/// What the swarm refused or gave up, since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// What limits have refused.
    pub limits: Ledger,
    /// Inbound connections refused: their address is banned.
    pub refused_banned: u64,
    /// Connections refused or closed because admission decided so.
    pub rejected: u64,
    /// Connections closed because the peer is banned.
    pub closed_banned: u64,
    /// Connections closed because of [`Config::score_disconnect`].
    pub closed_misbehaved: u64,
    /// Connections closed because another one is preferred.
    pub closed_duplicate: u64,
    /// Connections trimmed: [`Config::inbound_watermarks`] or [`Config::outbound_watermarks`].
    pub closed_trimmed: u64,
    /// Dials of peers to keep connected to.
    pub reconnects: u64,
    /// Addresses not dialed: they failed shortly before.
    pub skipped_backoff: u64,
    /// Addresses not dialed: [`Config::hearsay_interval`].
    pub skipped_hearsay: u64,
    /// Addresses not dialed: UDP or IPv6 does not work here.
    pub skipped_black_hole: u64,
    /// Lookups that were not answered within [`Config::name_timeout`].
    pub lookups_timed_out: u64,
    /// Attempts that took longer than [`Config::attempt_timeout`] or their dial's time.
    pub attempts_timed_out: u64,
    /// Identify pushes ignored because the peer sends too many.
    pub pushes_ignored: u64,
    /// Signed records refused: an older one than we have.
    pub records_refused: u64,
    /// Addresses of peers not remembered: too long, or none.
    pub addresses_dropped: u64,
    /// Addresses not remembered, or not dialed: they lead to where only we are, or to nobody.
    pub addresses_private: u64,
    /// Records of an earlier run that were not understood, or were too large.
    pub stored_refused: u64,
}
