//! What the node counts, as OpenMetrics: names and labels as in go-libp2p where the meaning is the same, so that its
//! dashboards work; what only we have starts with `carrick_`.
//!
//! Invariants: no label holds a word of a peer's, so the tables are bounded; a connection's event costs a look into a table
//! or two, a stream's and a batch's one relaxed atomic each, a byte nothing. What the control task alone knows is asked for
//! when somebody wants the figures.

use std::{sync::Arc, time::Instant};

use carrick_session::Summary;
use carrick_swarm::{AttemptError, Direction};
use carrick_wire::{Multiaddr, PublicKey, key};
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use self::labels::{Carried, Labels};

mod labels;

/// What every metric of a node is counted in.
#[derive(Debug)]
pub(crate) struct Metrics {
    opened: Family<Labels<6>, Counter>,
    closed: Family<Labels<6>, Counter>,
    lasted: Family<Labels<6>, Histogram>,
    key_types: Family<Labels<2>, Counter>,
    handshakes: Family<Labels<5>, Histogram>,
    dial_errors: Family<Labels<3>, Counter>,
    connections: Family<Labels<2>, Gauge>,
    bytes: Family<Labels<2>, Counter>,
    tallies: [Bytes; Carried::ALL.len()],
}

/// What all connections over one transport have carried, with the overhead of all layers above the transport.
#[derive(Debug)]
struct Bytes {
    received: Counter,
    sent: Counter,
}

/// Where one connection is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    metrics: Arc<Metrics>,
    carried: Carried,
    since: Instant,
}

impl Tally {
    pub(crate) fn new(metrics: &Arc<Metrics>, address: &Multiaddr) -> Self {
        Self {
            metrics: metrics.clone(),
            carried: Carried::by(address),
            since: Instant::now(),
        }
    }

    /// The swarm has taken it in.
    pub(crate) fn opened(
        &self,
        direction: Direction,
        address: &Multiaddr,
        summary: &Summary,
        key: &PublicKey,
    ) {
        let all = &self.metrics;
        all.opened
            .get_or_create(&of(direction, address, summary))
            .inc();
        let direction = labels::direction(direction);
        let labels = [("dir", direction), ("key_type", key::kind(key))];
        all.key_types.get_or_create(&labels).inc();
        all.connections.get_or_create(&system(direction)).inc();
    }

    /// What was [`opened`](Self::opened) is gone.
    pub(crate) fn closed(&self, direction: Direction, address: &Multiaddr, summary: &Summary) {
        let all = &self.metrics;
        let labels = of(direction, address, summary);
        all.closed.get_or_create(&labels).inc();
        let lasted = self.since.elapsed().as_secs_f64();
        all.lasted.get_or_create(&labels).observe(lasted);
        let system = system(labels::direction(direction));
        all.connections.get_or_create(&system).dec();
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes().received.inc_by(bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes().sent.inc_by(bytes as u64);
    }

    fn bytes(&self) -> &Bytes {
        &self.metrics.tallies[self.carried as usize]
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let bytes = Family::<Labels<2>, Counter>::default();
        let tallies = Carried::ALL.map(|carried| {
            let counter = |direction| {
                let labels = [("transport", carried.name()), ("dir", direction)];
                bytes.get_or_create_owned(&labels)
            };
            Bytes {
                received: counter("inbound"),
                sent: counter("outbound"),
            }
        });
        Self {
            opened: Family::default(),
            closed: Family::default(),
            // Up to 24 days.
            lasted: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1.0 / 16.0, 2.0, 25))
            }),
            key_types: Family::default(),
            handshakes: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 1.3, 35))
            }),
            dial_errors: Family::default(),
            connections: Family::default(),
            bytes,
            tallies,
        }
    }
}

impl Metrics {
    /// An address did not lead to the peer.
    pub(crate) fn dial_failed(&self, address: &Multiaddr, error: &AttemptError) {
        let labels = [
            ("transport", Carried::by(address).name()),
            ("error", labels::dial_error(error)),
            ("ip_version", labels::ip_version(address)),
        ];
        self.dial_errors.get_or_create(&labels).inc();
    }

    /// A handshake that began `since` then has brought a session.
    pub(crate) fn upgraded(&self, address: &Multiaddr, summary: &Summary, since: Instant) {
        let labels = labels::session(address, summary);
        let took = since.elapsed().as_secs_f64();
        self.handshakes.get_or_create(&labels).observe(took);
    }

    /// Puts everything into a registry; what is counted later shows there, too.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("libp2p_swarm");
        r.register("connections_opened", "Opened", self.opened.clone());
        r.register("connections_closed", "Closed", self.closed.clone());
        let help = "How long connections lasted";
        r.register("connection_duration_seconds", help, self.lasted.clone());
        let help = "Connections by the kind of the peer's identity key";
        r.register("key_types", help, self.key_types.clone());
        let help = "From the first packet, or from admission, to the muxer";
        r.register("handshake_latency_seconds", help, self.handshakes.clone());
        let help = "Addresses that did not lead to the peer";
        r.register("dial_errors", help, self.dial_errors.clone());
        let r = registry.sub_registry_with_prefix("libp2p_rcmgr");
        r.register("connections", "Connections", self.connections.clone());
        let r = registry.sub_registry_with_prefix("carrick");
        let help = "What connections have carried, with what their layers add";
        r.register("transport_bytes", help, self.bytes.clone());
    }
}

fn of(direction: Direction, address: &Multiaddr, summary: &Summary) -> Labels<6> {
    let [a, b, c, d, e] = labels::session(address, summary);
    [("dir", labels::direction(direction)), a, b, c, d, e]
}

const fn system(direction: &'static str) -> Labels<2> {
    [("dir", direction), ("scope", "system")]
}
