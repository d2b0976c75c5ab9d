//! Limits and timings of a node.

use std::time::Duration;

/// Limits and timings of a node; `Config { idle_timeout: None, ..Config::default() }` changes one.
#[derive(Clone, Debug)]
pub struct Config {
    /// Upgrade, muxer and stream limits of each connection.
    pub session: carrick_session::Config,
    /// Connection, dial and peer store limits.
    pub swarm: carrick_swarm::Config,
    /// Close a connection when no stream and no [`Connection`](crate::Connection) handle of it has lived for this long;
    /// `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How long the peer and our queues together may take to agree on a stream's protocol.
    pub negotiation_timeout: Duration,
    /// How long [`Node::close`](crate::Node::close) lets open streams finish.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session: carrick_session::Config::default(),
            swarm: carrick_swarm::Config::default(),
            idle_timeout: Some(Duration::from_secs(60)),
            negotiation_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
