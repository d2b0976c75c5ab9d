//! What the node counts, as OpenMetrics: names and labels as in go-libp2p where the meaning is the same, so that its
//! dashboards work; what only we have starts with `carrick_`.
//!
//! Invariants: no label holds a word of a peer's, so the tables are bounded; a connection's event costs a look into a table
//! or two, a stream's and a batch's one relaxed atomic each, a byte nothing. What the control task alone knows is asked for
//! when somebody wants the figures.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use carrick_protocols::identify;
use carrick_session::Summary;
use carrick_swarm::{AttemptError, Direction};
use carrick_wire::{Multiaddr, ProtocolId, PublicKey, key};
use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets, linear_buckets},
    },
    registry::Registry,
};

use self::{labels::Labels, streams::Streams};
pub(crate) use self::{sample::Set, streams::StreamTally};
use crate::carried::Carried;

mod labels;
mod sample;
mod streams;

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
    peer_connections: Family<Labels<1>, Histogram>,
    previous_peer_connections: Family<Labels<1>, Histogram>,
    identifies: Family<Labels<1>, Counter>,
    identify_pushes: Family<Labels<1>, Counter>,
    pushes_triggered: Family<Labels<1>, Counter>,
    push_support: Family<Labels<1>, Counter>,
    protocols_received: Histogram,
    addresses_received: Histogram,
    events: Family<Labels<1>, Counter>,
    streams: Streams,
    bytes: Family<Labels<2>, Counter>,
    traffic: [Traffic; Carried::ALL.len()],
    /// As it was when somebody last asked.
    sample: Mutex<Vec<Set>>,
}

/// What all connections over one transport have carried, with what its layers add: to pipes the upgrade and the muxer, to
/// UDP's packets all of QUIC.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    received: Counter,
    sent: Counter,
}

impl Traffic {
    pub(crate) fn received(&self, bytes: usize) {
        self.received.inc_by(bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.inc_by(bytes as u64);
    }
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

    pub(crate) fn traffic(&self) -> &Traffic {
        self.metrics.traffic(self.carried)
    }

    /// A stream of the connection, from here on; `None`: its protocol is not agreed on.
    pub(crate) fn stream(
        &self,
        direction: Direction,
        protocol: Option<&ProtocolId>,
    ) -> StreamTally {
        StreamTally::new(&self.metrics.streams, direction, protocol)
    }

    /// The stream's protocol is agreed on.
    pub(crate) fn negotiated(&self, stream: &mut StreamTally, protocol: &ProtocolId) {
        stream.negotiated(&self.metrics.streams, protocol);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let bytes = Family::<Labels<2>, Counter>::default();
        let traffic = Carried::ALL.map(|carried| {
            let counter = |direction| {
                let labels = [("transport", carried.name()), ("dir", direction)];
                bytes.get_or_create_owned(&labels)
            };
            Traffic {
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
            peer_connections: per_peer(),
            previous_peer_connections: per_peer(),
            identifies: Family::default(),
            identify_pushes: Family::default(),
            pushes_triggered: Family::default(),
            push_support: Family::default(),
            protocols_received: Histogram::new(told()),
            addresses_received: Histogram::new(told()),
            events: Family::default(),
            streams: Streams::default(),
            bytes,
            traffic,
            sample: Mutex::default(),
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

    /// Where packets and batches are counted.
    pub(crate) fn traffic(&self, carried: Carried) -> &Traffic {
        &self.traffic[carried as usize]
    }

    /// A peer has `now` connections of this direction, and had `before`. Both are counted, and their difference is what is
    /// now.
    pub(crate) fn peer_connections(&self, direction: Direction, before: usize, now: usize) {
        let labels = [("dir", labels::direction(direction))];
        for (all, count) in [
            (&self.previous_peer_connections, before),
            (&self.peer_connections, now),
        ] {
            if count > 0 {
                all.get_or_create(&labels).observe(count as f64);
            }
        }
    }

    /// We have told a peer who we are; `is_push`: unasked.
    pub(crate) fn identify_sent(&self, is_push: bool) {
        if is_push {
            let labels = [("dir", "outbound")];
            self.identify_pushes.get_or_create(&labels).inc();
        } else {
            self.identifies.get_or_create(&[("dir", "inbound")]).inc();
        }
    }

    /// A peer has told who it is; `is_push`: unasked.
    pub(crate) fn identify_received(&self, is_push: bool, info: &identify::Info) {
        if is_push {
            let labels = [("dir", "inbound")];
            self.identify_pushes.get_or_create(&labels).inc();
        } else {
            self.identifies.get_or_create(&[("dir", "outbound")]).inc();
            let supported = info.protocols.contains(&identify::PUSH_PROTOCOL);
            let support = if supported {
                "supported"
            } else {
                "not supported"
            };
            let labels = [("support", support)];
            self.push_support.get_or_create(&labels).inc();
        }
        let counts = [
            (&self.protocols_received, info.protocols.len()),
            (&self.addresses_received, info.listen_addresses.len()),
        ];
        for (all, count) in counts {
            all.observe(count as f64);
        }
    }

    /// What we tell of ourselves has changed; each change may lead to a push.
    pub(crate) fn push_triggered(&self, trigger: &'static str) {
        let labels = [("trigger", trigger)];
        self.pushes_triggered.get_or_create(&labels).inc();
    }

    /// Users were told of something.
    pub(crate) fn event(&self, name: &'static str) {
        self.events.get_or_create(&[("event", name)]).inc();
    }

    /// How many connections are not established yet.
    pub(crate) fn transient(&self, inbound: u64, outbound: u64) {
        for (direction, count) in [("inbound", inbound), ("outbound", outbound)] {
            let labels = [("dir", direction), ("scope", "transient")];
            let gauge = self.connections.get_or_create(&labels);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// How the node stands now.
    pub(crate) fn set_sample(&self, sample: Vec<Set>) {
        *self.sample.lock().unwrap_or_else(PoisonError::into_inner) = sample;
    }

    /// Puts everything into a registry; what is counted later shows there, too.
    pub(crate) fn register(self: &Arc<Self>, registry: &mut Registry) {
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
        let help = "Connections of a peer, each number it has had";
        r.register("peer_connections", help, self.peer_connections.clone());
        let help = "Connections of a peer, each number it has no more";
        let previous = self.previous_peer_connections.clone();
        r.register("previous_peer_connections", help, previous);
        r.register("streams", "Streams in use", self.streams.open.clone());
        let r = registry.sub_registry_with_prefix("libp2p_identify");
        let help = "Peers that told us who they are, or asked us";
        r.register("identify", help, self.identifies.clone());
        let help = "Peers that told us unasked, or that we told";
        r.register("identify_push", help, self.identify_pushes.clone());
        let help = "Changes of what we tell";
        r.register(
            "identify_pushes_triggered",
            help,
            self.pushes_triggered.clone(),
        );
        let help = "Peers that can be told what has changed";
        r.register("conn_push_support", help, self.push_support.clone());
        let help = "Protocols that a peer names";
        r.register("protocols_received", help, self.protocols_received.clone());
        let help = "Addresses that a peer names";
        r.register("addrs_received", help, self.addresses_received.clone());
        let r = registry.sub_registry_with_prefix("libp2p_eventbus");
        let help = "What users were told of";
        r.register("events_emitted", help, self.events.clone());
        let r = registry.sub_registry_with_prefix("carrick");
        let help = "What connections have carried, with what their layers add";
        r.register("transport_bytes", help, self.bytes.clone());
        r.register("streams_opened", "Streams", self.streams.opened.clone());
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.iter().try_for_each(|set| set.encode(&mut encoder))
    }
}

/// Bounds of go-libp2p's counts for each peer.
const PER_PEER: [f64; 15] = [
    1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 16.0, 32.0, 64.0, 128.0, 256.0,
];

/// Both directions are there from the start: whoever subtracts needs both sides.
fn per_peer() -> Family<Labels<1>, Histogram> {
    let all = Family::<Labels<1>, _>::new_with_constructor(
        (|| Histogram::new(PER_PEER)) as fn() -> Histogram,
    );
    for direction in ["inbound", "outbound"] {
        drop(all.get_or_create(&[("dir", direction)]));
    }
    all
}

/// Bounds of go-libp2p's counts of what identify tells.
fn told() -> impl Iterator<Item = f64> {
    linear_buckets(1.0, 1.0, 20).chain(linear_buckets(25.0, 5.0, 16))
}

fn of(direction: Direction, address: &Multiaddr, summary: &Summary) -> Labels<6> {
    let [a, b, c, d, e] = labels::session(address, summary);
    [("dir", labels::direction(direction)), a, b, c, d, e]
}

const fn system(direction: &'static str) -> Labels<2> {
    [("dir", direction), ("scope", "system")]
}
