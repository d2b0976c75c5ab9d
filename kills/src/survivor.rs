//! The node that must not notice: it lives in this process, on a runtime of its own, where everything can be counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use carrick::{Config, Keypair, Limit, Multiaddr};
use tokio::{
    runtime::{Handle, Runtime},
    time::timeout,
};

use crate::deed::{Party, text};

/// A node and where its tasks run.
pub(crate) struct Survivor {
    pub(crate) party: Arc<Party>,
    handle: Handle,
    /// Only the drop takes it.
    runtime: Option<Runtime>,
    baseline: Option<Gauges>,
}

/// What is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gauges {
    connections: usize,
    tasks: usize,
    sockets: usize,
    used: Vec<(Limit, u64)>,
}

impl Survivor {
    pub(crate) async fn new(config: Config, listen: &'static str) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(text)?;
        let key = Keypair::generate_ed25519();
        let party = runtime.spawn(Party::new(key, config, Some(listen), None));
        let party = party.await.map_err(text)??;
        Ok(Self {
            party: party.into(),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            baseline: None,
        })
    }

    /// Where the node's tasks run: what is spawned there counts with them.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(crate) fn address(&self) -> Multiaddr {
        self.party.node.address()
    }

    /// What is used now is what is always used.
    pub(crate) async fn set_baseline(&mut self) -> Result<(), String> {
        let calm = async {
            let (mut last, mut lasted) = (None, 0);
            // What a connection over QUIC leaves goes a while after it.
            while lasted < CALM_LOOKS {
                tokio::time::sleep(LOOK).await;
                let gauges = self.gauges().await;
                let mut used = gauges.used.iter();
                let idle = |(limit, used): &(Limit, u64)| {
                    // The listener keeps its socket.
                    *used == 0 || *limit == Limit::FileDescriptors && *used == 1
                };
                let calm = gauges.connections == 0 && used.all(idle);
                let same = last.as_ref() == Some(&gauges);
                lasted = if calm && same { lasted + 1 } else { 0 };
                last = Some(gauges);
            }
            last
        };
        let calm = timeout(PATIENCE, calm).await;
        self.baseline = calm.map_err(|_| "it never comes to rest".to_owned())?;
        Ok(())
    }

    /// How long it takes from now until everything is as it was at first.
    pub(crate) async fn recover(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        loop {
            let gauges = self.gauges().await;
            if self.baseline.as_ref() == Some(&gauges) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!(
                    "left over: {gauges:?}; at first: {:?}",
                    self.baseline
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The node is closed: its tasks end.
    pub(crate) async fn dies_out(&self) -> Result<(), String> {
        let begun = Instant::now();
        while self.handle.metrics().num_alive_tasks() > ACTORS {
            if begun.elapsed() > PATIENCE {
                return Err("tasks of a closed node live on".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn gauges(&self) -> Gauges {
        let node = &self.party.node;
        let limits = node.limits().await;
        let used = limits.iter().filter(|usage| HELD.contains(&usage.limit));
        Gauges {
            connections: node.connections().await.len(),
            tasks: self.handle.metrics().num_alive_tasks(),
            sockets: sockets(),
            used: used
                .filter_map(|usage| Some((usage.limit, usage.used?)))
                .collect(),
        }
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        // Where this ends, nobody may wait for a runtime's end.
        let runtime = self.runtime.take();
        runtime.into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Sockets that this process has open.
fn sockets() -> usize {
    let Ok(all) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let links = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

/// What a peer uses up as long as it is there. The others are what is known of peers, which stays.
const HELD: [Limit; 17] = [
    Limit::ConnectionsInbound,
    Limit::ConnectionsOutbound,
    Limit::ConnectionsPending,
    Limit::ConnectionsPerPeer,
    Limit::ConnectionsPerIp,
    Limit::Dials,
    Limit::DialAttempts,
    Limit::FileDescriptors,
    Limit::Memory,
    Limit::MemoryPerPeer,
    Limit::StreamsInbound,
    Limit::StreamsInboundPerPeer,
    Limit::StreamsInboundPerProtocol,
    Limit::Negotiations,
    Limit::NegotiationsPerConnection,
    Limit::RequestsInboundPerPeer,
    Limit::RequestsOutboundPerPeer,
];
/// Tasks that are not the node's.
const ACTORS: usize = 1;
/// Looks for so long see the same before it counts.
const CALM_LOOKS: u32 = 300;
const LOOK: Duration = Duration::from_millis(5);
/// Long enough to be sure that it never comes.
const PATIENCE: Duration = Duration::from_secs(50);
