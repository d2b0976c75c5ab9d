//! Limits and timings of a node.

use std::time::Duration;

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
    /// How long [`Node::close`](crate::Node::close) lets open streams finish.
    pub drain_timeout: Duration,
    /// Threads of the node's own, on which its connections and the handlers of its protocols run; `None`: those of the tokio
    /// runtime that makes the node. Own threads keep the network apart from other work, and cost each message one more
    /// wake-up of another thread on its way between a connection and a stream that is used elsewhere.
    pub workers: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session: carrick_session::Config::default(),
            swarm: carrick_swarm::Config::default(),
            idle_timeout: Some(Duration::from_secs(60)),
            negotiation_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
            workers: None,
        }
    }
}

/// As good as never, and still a time that can be added to a clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Config {
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
            &mut swarm.address_ttl,
            &mut swarm.disconnected_ttl,
            &mut swarm.hearsay_interval,
            &mut swarm.save_interval,
        ];
        own.into_iter()
            .chain(self.idle_timeout.as_mut())
            .chain(sessions)
            .chain(swarms)
            .for_each(|duration| *duration = (*duration).min(LONGEST));
        self
    }
}
