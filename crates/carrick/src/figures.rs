//! The node's figures, for its users and for Prometheus.

use carrick_swarm::{BlackHoleFigures, Level, Limit, Limits, Swarm};
use prometheus_client::{encoding::text, registry::Registry};

use crate::{Node, metrics::Set, quotas::EVENTS_MAX};

impl Node {
    /// What the node has counted so far, as OpenMetrics text, which Prometheus scrapes: `docs/metrics.md` explains each name.
    /// It has some hundred lines, however many peers there are. Costs the control task a look at every connection.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = carrick::Node::spawn().await?;
    /// assert!(node.metrics().await.ends_with("# EOF\n"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn metrics(&self) -> String {
        self.core.metrics.set_sample(self.sample().await);
        let mut registry = Registry::default();
        self.register_metrics(&mut registry);
        let mut text = String::new();
        // Writing to a string does not fail, and our labels can all be written.
        let _ = text::encode(&mut text, &registry);
        text
    }

    /// Puts what the node counts into a registry of the user's, under the names that [`metrics`](Self::metrics) has. What is
    /// counted there lives on; how the node stands, such as its limits, is as it was at the last call of `metrics`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.core.metrics.register(registry);
    }

    /// How the node stands.
    async fn sample(&self) -> Vec<Set> {
        let ask = |swarm: &mut Swarm, _| {
            let mut all = dials(swarm);
            all.extend(peers(swarm));
            let help = "Addresses that we tell";
            let addresses = swarm.told_addresses().len();
            all.push(Set::gauge("libp2p_identify_addrs_count", help).row([], addresses));
            all
        };
        let mut all = self.core.with_swarm(ask).await.unwrap_or_default();
        let standing = self.limits().await;
        let used = |limit| {
            standing
                .get(limit)
                .and_then(|usage| usage.used)
                .unwrap_or(0)
        };
        let dials = used(Limit::Dials);
        self.core
            .metrics
            .transient(used(Limit::ConnectionsPending), dials);
        all.extend(limits(&standing));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let help = "Tasks that are alive in the runtime, the program's own with them";
            let alive = runtime.metrics().num_alive_tasks();
            all.push(Set::gauge("carrick_tasks", help).row([], alive));
        }
        let help = "Protocols that we tell";
        let protocols = self.core.router.protocols().len();
        all.push(Set::gauge("libp2p_identify_protocols_count", help).row([], protocols));
        if let Some(events) = self.core.events.upgrade() {
            let help = "Who listens to events";
            let set = Set::gauge("libp2p_eventbus_subscribers_total", help);
            all.push(set.row([("event", "NodeEvent")], events.receiver_count()));
            let help = "Events that the slowest subscriber has not taken";
            let set = Set::gauge("libp2p_eventbus_subscriber_queue_length", help);
            all.push(set.row([("subscriber_name", "slowest")], events.len()));
            let help = "Whether the slowest subscriber misses events";
            let set = Set::gauge("libp2p_eventbus_subscriber_queue_full", help);
            let is_full = usize::from(events.len() >= EVENTS_MAX);
            all.push(set.row([("subscriber_name", "slowest")], is_full));
        }
        all
    }
}

fn dials(swarm: &Swarm) -> Vec<Set> {
    const TRIED: [&str; 7] = ["0", "1", "2", "3", "4", "5", ">=6"];
    let figures = swarm.dial_figures();
    let help = "Dials by the number of addresses that were tried";
    let mut counts = Set::counter("libp2p_swarm_dials_per_peer", help);
    let help = "How long dials took, with the lookups of names";
    let mut took = Set::histogram("libp2p_swarm_dial_latency_seconds", help);
    for (outcome, all) in [("success", figures.succeeded), ("failed", figures.failed)] {
        for (tried, spread) in TRIED.into_iter().zip(all) {
            let labels = [("outcome", outcome), ("num_dials", tried)];
            counts = counts.row(labels, spread.counts.iter().sum::<u64>());
            took = took.row(labels, spread);
        }
    }
    let help = "How long the address that led to the peer waited for its turn";
    let delays = Set::histogram("libp2p_swarm_dial_ranking_delay_seconds", help);
    let mut all = vec![counts, took, delays.row([], figures.delays)];
    all.extend(black_holes(&swarm.black_holes()));
    all
}

fn black_holes(kinds: &[BlackHoleFigures; 2]) -> [Set; 3] {
    let help = "0: too little is known; 1: it works; 2: it does not, and is left out";
    let mut state = Set::gauge("libp2p_swarm_black_hole_filter_state", help);
    let help = "Attempts that succeeded, of the last ones";
    let mut successes = Set::gauge("libp2p_swarm_black_hole_filter_success_fraction", help);
    let help = "Dials until what is left out is tried again";
    let mut next = Set::gauge(
        "libp2p_swarm_black_hole_filter_next_request_allowed_after",
        help,
    );
    for (name, kind) in ["UDP", "IPv6"].into_iter().zip(kinds) {
        let labels = [("name", name)];
        let number = match (kind.is_probing, kind.is_blocked) {
            (true, _) => 0_u64,
            (false, false) => 1,
            (false, true) => 2,
        };
        state = state.row(labels, number);
        let share = kind.successes as f64 / kind.attempts.max(1) as f64;
        successes = successes.row(labels, share);
        next = next.row(labels, kind.next_probe);
    }
    [state, successes, next]
}

/// What is known of peers, and what came of their behaviour.
fn peers(swarm: &Swarm) -> [Set; 4] {
    let help = "Known peers, and those we are connected to";
    let known = swarm.peer_store().peers_count();
    let connected = swarm.peers().count();
    let peers = Set::gauge("carrick_peers", help)
        .row([("state", "known")], known)
        .row([("state", "connected")], connected);
    let reputation = swarm.reputation();
    let bans = Set::gauge("carrick_bans", "Bans in force").row([], reputation.bans().count());
    let help = "Behaviour of peers, by what has seen it";
    let mut behaviours = Set::counter("carrick_behaviours", help);
    for (source, behaviour, count) in reputation.recorded() {
        let labels = [("source", source), ("behaviour", behaviour.name())];
        behaviours = behaviours.row(labels, count);
    }
    let help = "What was turned away, given up, or closed";
    let mut counts = Set::counter("carrick_swarm", help);
    let counters = swarm.counters();
    for (what, count) in [
        ("refused_banned", counters.refused_banned),
        ("rejected", counters.rejected),
        ("closed_banned", counters.closed_banned),
        ("closed_misbehaved", counters.closed_misbehaved),
        ("closed_duplicate", counters.closed_duplicate),
        ("closed_trimmed", counters.closed_trimmed),
        ("reconnects", counters.reconnects),
        ("skipped_backoff", counters.skipped_backoff),
        ("skipped_black_hole", counters.skipped_black_hole),
        ("lookups_timed_out", counters.lookups_timed_out),
        ("attempts_timed_out", counters.attempts_timed_out),
        ("pushes_ignored", counters.pushes_ignored),
        ("records_refused", counters.records_refused),
        ("addresses_dropped", counters.addresses_dropped),
        ("addresses_private", counters.addresses_private),
        ("stored_refused", counters.stored_refused),
    ] {
        counts = counts.row([("what", what)], count);
    }
    [peers, bans, behaviours, counts]
}

/// All limits under our own names, and those that go-libp2p has under its, too.
fn limits(limits: &Limits) -> Vec<Set> {
    let help = "What limits allow";
    let mut max = Set::gauge("carrick_limit_max", help);
    let help =
        "What is used, by whom that uses most where each peer, network or connection has its own";
    let mut used = Set::gauge("carrick_limit_used", help);
    let help = "The most that was ever used";
    let mut peak = Set::gauge("carrick_limit_peak", help);
    let help = "Refusals, and old things that gave way";
    let mut refused = Set::counter("carrick_limit_refused", help);
    let help = "Resource manager limits";
    let mut go_max = Set::gauge("libp2p_rcmgr_limit", help);
    let help = "Number of blocked resources";
    let mut go_refused = Set::gauge("libp2p_rcmgr_blocked_resources", help);
    for usage in limits.iter() {
        let limit = usage.limit;
        let labels = [("limit", limit.name()), ("level", level(limit.level()))];
        max = max.row(labels, usage.max);
        if let Some(count) = usage.used {
            used = used.row(labels, count);
        }
        peak = peak.row(labels, usage.peak);
        refused = refused.row(labels, usage.refused);
        if let Some((dir, scope, resource)) = in_go(limit) {
            let labels = [("dir", dir), ("scope", scope), ("resource", resource)];
            go_refused = go_refused.row(labels, usage.refused);
        }
        if let Some((scope, resource)) = in_go_max(limit) {
            let labels = [("scope", scope), ("resource", resource)];
            go_max = go_max.row(labels, usage.max);
        }
    }
    let standing = |limit| limits.get(limit).and_then(|usage| usage.used).unwrap_or(0);
    let help = "Memory that is counted";
    let memory = Set::gauge("libp2p_rcmgr_memory", help);
    let labels = [("scope", "system"), ("protocol", "")];
    let memory = memory.row(labels, standing(Limit::Memory));
    let sockets = Set::gauge("libp2p_rcmgr_fds", "Sockets");
    let sockets = sockets.row([("scope", "system")], standing(Limit::FileDescriptors));
    vec![
        max, used, peak, refused, go_max, go_refused, memory, sockets,
    ]
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Global => "global",
        Level::Subnet => "subnet",
        Level::Peer => "peer",
        Level::Protocol => "protocol",
        Level::Connection => "connection",
    }
}

/// Direction, scope and resource by which go-libp2p counts what this limit refuses.
const fn in_go(limit: Limit) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match limit {
        Limit::ConnectionsInbound => ("inbound", "system", "connection"),
        Limit::ConnectionsOutbound => ("outbound", "system", "connection"),
        Limit::ConnectionsPending => ("inbound", "transient", "connection"),
        Limit::ConnectionsPerPeer => ("inbound", "peer", "connection"),
        Limit::StreamsInbound => ("inbound", "system", "stream"),
        Limit::StreamsInboundPerPeer => ("inbound", "peer", "stream"),
        Limit::StreamsInboundPerProtocol => ("inbound", "protocol", "stream"),
        Limit::Negotiations => ("inbound", "transient", "stream"),
        Limit::FileDescriptors => ("", "system", "fd"),
        Limit::Memory => ("", "system", "memory"),
        Limit::MemoryPerPeer => ("", "peer", "memory"),
        _ => return None,
    })
}

/// Scope and resource under which go-libp2p shows this limit.
const fn in_go_max(limit: Limit) -> Option<(&'static str, &'static str)> {
    Some(match limit {
        Limit::ConnectionsInbound => ("system", "conns_inbound"),
        Limit::ConnectionsOutbound => ("system", "conns_outbound"),
        Limit::ConnectionsPending => ("transient", "conns_inbound"),
        Limit::StreamsInbound => ("system", "streams_inbound"),
        Limit::Negotiations => ("transient", "streams_inbound"),
        Limit::FileDescriptors => ("system", "fd"),
        Limit::Memory => ("system", "memory"),
        _ => return None,
    })
}
