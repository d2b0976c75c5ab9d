//! What the swarm's limits allow, and what is used of them.

use std::time::Instant;

use super::Swarm;
use crate::limits::{Limit, Usage};

impl Swarm {
    /// What the swarm's own limits allow and have seen. Costs a look at every connection and dial.
    pub fn limits(&self, now: Instant) -> Vec<Usage> {
        let all = Limit::ALL.iter();
        all.filter_map(|limit| self.usage(now, *limit)).collect()
    }

    /// A limit of the shell has refused something: the app is told, once a second at most.
    pub fn limit_reached(&mut self, now: Instant, limit: Limit) {
        self.out.counters.limits.count(limit);
        self.out.tell_limits(now);
    }

    /// `None`: it is not the swarm's.
    #[expect(clippy::too_many_lines, reason = "a table with a row for each limit")]
    fn usage(&self, now: Instant, limit: Limit) -> Option<Usage> {
        let (config, dialer) = (&self.config, &self.dialer);
        let of_connections = self.connections.used(now, limit);
        let (peers, bytes) = self.peer_store.used();
        let (used, max) = match limit {
            Limit::ConnectionsInbound => (of_connections, config.connections_inbound_max),
            Limit::ConnectionsOutbound => (
                of_connections.map(|outbound| outbound + dialer.dials_count()),
                config.connections_outbound_max,
            ),
            Limit::ConnectionsPending => (of_connections, config.pending_inbound_max),
            Limit::ConnectionsPerPeer => (of_connections, config.connections_per_peer_max),
            Limit::ConnectionsPerIp => (of_connections, config.connections_per_ip_max),
            Limit::ConnectionsPerSite => (of_connections, config.connections_per_site_max),
            Limit::ConnectionRatePerIp => (of_connections, config.connection_burst_per_ip),
            Limit::ConnectionRatePerSite => (of_connections, config.connection_burst_per_site),
            Limit::ConnectionRateSubnets => (of_connections, config.connection_rate_subnets_max),
            Limit::Dials => (Some(dialer.dials_count()), config.dials_max),
            Limit::DialAddresses => (
                Some(dialer.used(|dial| dial.addresses_count())),
                config.dial_addresses_max,
            ),
            Limit::DialAttempts => (
                Some(dialer.used(|dial| dial.in_flight.len())),
                config.attempts_per_peer_max,
            ),
            Limit::DialBackoffs => (Some(dialer.backoffs_count()), config.backoffs_max),
            Limit::HearsayDials => (Some(dialer.hearsay_count()), config.hearsay_dials_max),
            Limit::NameDepth => (None, config.name_depth_max),
            Limit::NameLookups => (
                Some(dialer.used(|dial| dial.names.lookups_count())),
                config.name_lookups_max,
            ),
            Limit::NameRecords => (None, config.name_records_max),
            Limit::NameRecordBytes => (None, config.name_record_bytes_max),
            Limit::NameAddresses => (
                Some(dialer.used(|dial| dial.names.found_count())),
                config.name_addresses_max,
            ),
            Limit::Peers => (Some(peers), config.peers_max),
            Limit::PeersBytes => (Some(bytes), config.peers_bytes_max),
            Limit::PeerAddresses => (None, config.addresses_max),
            Limit::PeerAddressesConnected => (None, config.addresses_connected_max),
            Limit::PeerValues => (None, config.metadata_values_max),
            Limit::PeerValuesBytes => (None, config.metadata_bytes_max),
            Limit::Scores => (Some(self.reputation.used().0), config.scores_max),
            Limit::Bans => (Some(self.reputation.used().1), config.bans_max),
            Limit::FileDescriptors
            | Limit::Memory
            | Limit::MemoryPerPeer
            | Limit::ReceiveWindows
            | Limit::SendBuffer
            | Limit::StreamsInbound
            | Limit::StreamsInboundPerPeer
            | Limit::StreamsInboundPerProtocol
            | Limit::StreamsInboundPerConnection
            | Limit::StreamsOutboundPerConnection
            | Limit::Negotiations
            | Limit::NegotiationsPerConnection
            | Limit::HandlersPerProtocol
            | Limit::QueuePerProtocol
            | Limit::RequestsInboundPerPeer
            | Limit::RequestBytesPerPeer
            | Limit::RequestRatePerPeer
            | Limit::RequestsOutboundPerPeer
            | Limit::RequestsQueuedPerPeer
            | Limit::Events => return None,
            Limit::TagsPerPeer => (None, config.tags_per_peer_max),
            Limit::TaggedPeers => (Some(self.tags.peers_count()), config.tagged_peers_max),
            Limit::KeptPeers => (Some(self.kept.count()), config.kept_peers_max),
        };
        Some(self.out.counters.limits.usage(limit, used, max))
    }
}
