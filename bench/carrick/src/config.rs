//! Carrick's settings: every default but those that end idle connections or cap their number.

use anyhow::{Result, bail};
use bench_harness::{Over, Security, Transport};
use carrick::{Builder, Config, Node};

/// A node over what is asked for.
pub(crate) fn builder(over: Over) -> Result<Builder> {
    let security = match over.security {
        Security::Noise => carrick::Security::Noise,
        Security::Tls => carrick::Security::Tls,
        Security::None => bail!("this stack secures every connection"),
    };
    Ok(Node::builder().config(config(over)).securities([security]))
}

fn config(over: Over) -> Config {
    let mut config = Config {
        idle_timeout: None,
        ..Config::default()
    };
    config.swarm.connections_inbound_max = CONNECTIONS_MAX;
    config.file_descriptors_max = 2 * CONNECTIONS_MAX;
    config.memory_max = config.memory_max.max(4 << 30);
    config.streams_inbound_max = 2 * STREAMS_MAX;
    config.streams_inbound_per_peer_max = STREAMS_MAX;
    config.streams_inbound_per_protocol_max = STREAMS_MAX;
    if over.transport == Transport::Tcp {
        config.session.inbound_streams_max = STREAMS_MAX;
        config.session.outbound_streams_max = STREAMS_MAX;
    }
    config
}

/// More connections and streams than any workload opens.
const CONNECTIONS_MAX: usize = 12_000;
const STREAMS_MAX: usize = 12_000;
