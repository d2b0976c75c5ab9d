//! Limits and timings of a node.

use std::time::Duration;

use crate::machine::{self, Machine};

/// Limits and timings of a node; `Config { idle_timeout: None, ..Config::default() }` changes one.
#[derive(Clone, Debug)]
pub struct Config {
    /// Upgrade, muxer and stream limits of each connection.
    pub session: carrick_session::Config,
    /// Connection, dial and peer store limits.
    pub swarm: carrick_swarm::Config,
    /// Close a connection when no stream and no [`Connection`](crate::Connection) handle of it has lived for this long, and
    /// nobody [protects](crate::Node::protect) its peer; `None`: never. Streams of the built-in protocols do not count.
    pub idle_timeout: Option<Duration>,
    /// How long the peer and our queues together may take to agree on a stream's protocol.
    pub negotiation_timeout: Duration,
    /// Bytes for connections, 128 KiB each, and for the growth of their receive windows; it is not allocated before it is
    /// needed. An eighth of the machine's memory, or of what the process may have of it, between 16 MiB and 4 GiB. Windows
    /// grow into 60 % of it at most, and newcomers are refused when 80 % are used.
    pub memory_max: u64,
    /// Bytes that the receive windows of one peer's connections grow by, and that are unread in those that have not grown,
    /// beyond 1 MiB of a connection. No peer gets more than a quarter of what is left.
    pub memory_per_peer_max: u64,
    /// Sockets of connections, dials and listeners. Half of what the process may open; accepting pauses at nine tenths.
    pub file_descriptors_max: usize,
    /// Streams that all peers together hold open for the protocols of this program; one more is reset.
    pub streams_inbound_max: usize,
    /// The same of one peer, over all its connections.
    pub streams_inbound_per_peer_max: usize,
    /// The same for one protocol.
    pub streams_inbound_per_protocol_max: usize,
    /// Inbound streams whose protocol is being agreed on; one more is reset. The last quarter is for connections that have none
    /// of them, others wait.
    pub negotiations_max: usize,
    /// The same of one connection, at least one; further ones wait, no longer than `negotiation_timeout`, and cost a few
    /// hundred bytes each.
    pub negotiations_per_connection_max: usize,
    /// Handlers of one protocol that run at once; further streams wait before they are confirmed.
    pub handlers_per_protocol_max: usize,
    /// How long [`Node::close`](crate::Node::close) lets open streams finish.
    pub drain_timeout: Duration,
    /// How often the node looks whether the machine's addresses have changed, or it has slept; `None`: never. A look lists
    /// the machine's interfaces. After a change listeners on wildcards tell their new addresses, failures are forgotten, and connections
    /// that may be lost are asked for a sign of life.
    pub watch_interval: Option<Duration>,
    /// Threads of the node's own, on which its connections and the handlers of its protocols run; `None`: those of the tokio
    /// runtime that makes the node. Own threads keep the network apart from other work, and cost each message one more
    /// wake-up of another thread on its way between a connection and a stream that is used elsewhere.
    pub workers: Option<usize>,
}

/// Limits as large as is good for this machine.
impl Default for Config {
    fn default() -> Self {
        let scale = Machine::this().scale();
        Self {
            session: carrick_session::Config::default(),
            swarm: carrick_swarm::Config {
                connections_inbound_max: scale.inbound,
                connections_outbound_max: scale.outbound,
                pending_inbound_max: scale.pending,
                dials_max: scale.dials,
                ..carrick_swarm::Config::default()
            },
            memory_max: scale.memory,
            memory_per_peer_max: scale.memory_per_peer,
            file_descriptors_max: scale.descriptors,
            streams_inbound_max: scale.streams,
            streams_inbound_per_peer_max: scale.streams / 4,
            streams_inbound_per_protocol_max: scale.streams / 2,
            negotiations_max: scale.negotiations,
            negotiations_per_connection_max: 64,
            handlers_per_protocol_max: 4096,
            idle_timeout: Some(Duration::from_secs(60)),
            negotiation_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(3),
            watch_interval: Some(Duration::from_secs(5)),
            workers: None,
        }
    }
}

/// As good as never, and still a time that can be added to a clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Config {
    /// With so many connections at most: two thirds for those who dial us and one for those whom we dial, at least one
    /// each. Sockets and memory are as they were: [`Node::limits`](crate::Node::limits) shows whether they are enough.
    pub fn with_connections_max(mut self, connections: usize) -> Self {
        let (inbound, outbound) = machine::split(connections);
        self.swarm.connections_inbound_max = inbound;
        self.swarm.connections_outbound_max = outbound;
        self
    }

    /// Without durations that overflow a clock, such as `Duration::MAX`.
    pub(crate) fn bounded(mut self) -> Self {
        let (session, swarm) = (&mut self.session, &mut self.swarm);
        let own = [&mut self.negotiation_timeout, &mut self.drain_timeout];
        let sessions = [
            &mut session.upgrade_timeout,
            &mut session.mplex_patience,
            &mut session.keep_alive_interval,
            &mut session.keep_alive_timeout,
            &mut session.linger,
        ];
        let swarms = [
            &mut swarm.attempt_timeout,
            &mut swarm.dial_timeout,
            &mut swarm.dial_delay,
            &mut swarm.dial_delay_local,
            &mut swarm.dial_delay_other,
            &mut swarm.dial_delay_other_local,
            &mut swarm.dial_delay_relay,
            &mut swarm.backoff_base,
            &mut swarm.backoff_step,
            &mut swarm.backoff_max,
            &mut swarm.name_timeout,
            &mut swarm.duplicate_idle_timeout,
            &mut swarm.push_delay,
            &mut swarm.trim_grace,
            &mut swarm.trim_tenure,
            &mut swarm.connection_interval_per_ip,
            &mut swarm.connection_interval_per_site,
            &mut swarm.address_ttl,
            &mut swarm.disconnected_ttl,
            &mut swarm.hearsay_interval,
            &mut swarm.save_interval,
        ];
        own.into_iter()
            .chain(self.idle_timeout.as_mut())
            .chain(self.watch_interval.as_mut())
            .chain(sessions)
            .chain(swarms)
            .for_each(|duration| *duration = (*duration).min(LONGEST));
        self
    }
}
