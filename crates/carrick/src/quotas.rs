//! The limits on what connections carry and cost: streams, negotiations, sockets, memory. Those on connections, dials and
//! peers are the swarm's.
//!
//! A use is a permit that gives itself back when it is dropped. Permits are taken for a connection, a stream, a
//! negotiation, a window that grows: never for a byte or a frame.

use std::{fmt, sync::Arc, time::Instant};

use carrick_swarm::{Limit, LimitReached, Usage};

#[cfg(feature = "quic")]
pub(crate) use self::share::Lent;
pub(crate) use self::share::{ConnectionPermit, Permit, Share, StreamPermit};
use crate::{
    Config,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    transport::shortage,
};

mod share;

/// Streams of one protocol that wait for [`Incoming::next`](crate::Incoming::next); further ones wait before they are
/// confirmed.
pub(crate) const QUEUE_MAX: usize = 256;
/// Events kept for those who have not read them: about 200 KiB for a node. What is older, they miss.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Requests to one peer in one protocol at once, as rust-libp2p has it, unless the program says otherwise.
pub(crate) const REQUESTS_OUTBOUND_MAX: usize = 100;
/// Requests that wait for those.
pub(crate) const REQUESTS_QUEUED_MAX: usize = 4096;
/// Requests of one peer in one protocol at once: twice what one asks, since what it has given up ends here a moment later.
pub(crate) const REQUESTS_INBOUND_MAX: usize = 200;
/// Bytes of them.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 << 20;

/// The gauges of a node's limits beyond the swarm's.
pub(crate) struct Quotas {
    /// By limit; those that are not ours stay unused.
    gauges: [Gauge; Limit::ALL.len()],
    /// How many negotiations one connection may have.
    pub(crate) negotiations_per_connection: usize,
    /// The second of the node's life in which each was told last; 0: never.
    told: [AtomicU64; Limit::ALL.len()],
    started: Instant,
    tell: Box<Tell>,
}

/// Tells the user that a limit has refused something.
type Tell = dyn Fn(Limit) + Send + Sync;

#[derive(Debug, Default)]
struct Gauge {
    /// `None`: it is not ours.
    max: Option<u64>,
    /// What the program has allowed meanwhile; 0: nothing.
    allowed: AtomicU64,
    used: AtomicU64,
    peak: AtomicU64,
    refused: AtomicU64,
}

impl Gauge {
    fn max(&self) -> Option<u64> {
        match self.allowed.load(Relaxed) {
            0 => self.max,
            allowed => Some(allowed),
        }
    }
}

impl Quotas {
    pub(crate) fn new(config: &Config, tell: Box<Tell>) -> Arc<Self> {
        let gauge = |limit| Gauge {
            max: max(limit, config),
            ..Gauge::default()
        };
        Arc::new(Self {
            gauges: std::array::from_fn(|at| gauge(Limit::ALL[at])),
            negotiations_per_connection: config.negotiations_per_connection_max,
            told: std::array::from_fn(|_| AtomicU64::new(0)),
            started: Instant::now(),
            tell,
        })
    }

    /// Uses `amount` more, up to the limit.
    pub(crate) fn take(&self, limit: Limit, amount: u64) -> Result<(), LimitReached> {
        self.take_below(limit, amount, self.max(limit))
    }

    /// As [`take`](Self::take), up to less than the limit.
    fn take_below(&self, limit: Limit, amount: u64, max: u64) -> Result<(), LimitReached> {
        let gauge = self.gauge(limit);
        let more = |used: u64| used.checked_add(amount).filter(|used| *used <= max);
        match gauge.used.fetch_update(Relaxed, Relaxed, more) {
            Ok(before) => {
                self.saw(limit, before + amount);
                Ok(())
            }
            Err(_) => Err(self.refuse(limit)),
        }
    }

    /// Uses `amount` more, whatever the limit is: what is there already must be counted.
    pub(crate) fn force(&self, limit: Limit, amount: u64) {
        let before = self.gauge(limit).used.fetch_add(amount, Relaxed);
        self.saw(limit, before.saturating_add(amount));
    }

    /// Ends a use.
    pub(crate) fn give_back(&self, limit: Limit, amount: u64) {
        self.gauge(limit).used.fetch_sub(amount, Relaxed);
    }

    /// So much is used, by somebody.
    pub(crate) fn saw(&self, limit: Limit, used: u64) {
        let peak = &self.gauge(limit).peak;
        if peak.load(Relaxed) < used {
            peak.fetch_max(used, Relaxed);
        }
    }

    /// The limit has refused something, or has kept it waiting.
    pub(crate) fn refuse(&self, limit: Limit) -> LimitReached {
        self.count(limit, 1);
        let second = self.started.elapsed().as_secs() + 1;
        if self.told[limit as usize].swap(second, Relaxed) != second {
            (self.tell)(limit);
        }
        LimitReached {
            limit,
            max: self.max(limit),
        }
    }

    /// The limit has refused so much without a word.
    pub(crate) fn count(&self, limit: Limit, refused: u64) {
        self.gauge(limit).refused.fetch_add(refused, Relaxed);
    }

    pub(crate) fn max(&self, limit: Limit) -> u64 {
        self.gauge(limit).max().unwrap_or(u64::MAX)
    }

    /// Somebody may use so much, of a limit that is different for each protocol: the largest is shown.
    pub(crate) fn allow(&self, limit: Limit, max: usize) {
        let allowed = &self.gauge(limit).allowed;
        if allowed.load(Relaxed) < max as u64 {
            allowed.fetch_max(max as u64, Relaxed);
        }
    }

    pub(crate) fn used(&self, limit: Limit) -> u64 {
        self.gauge(limit).used.load(Relaxed)
    }

    /// Whether what is left should be for those who have nothing of it yet, so that a few who take much keep nobody out.
    pub(crate) fn is_last_quarter(&self, limit: Limit) -> bool {
        let (max, used) = (self.max(limit), self.used(limit));
        (max - max / 4..max).contains(&used)
    }

    /// Whether accepting must pause for want of sockets: the last tenth is for dials, and the half of the process's that is
    /// not ours for files.
    pub(crate) fn is_short_of_sockets(&self) -> bool {
        let limit = Limit::FileDescriptors;
        let short = self.used(limit) >= self.max(limit) - self.max(limit) / 10;
        if short {
            self.refuse(limit);
        }
        short
    }

    pub(crate) fn usage(&self, limit: Limit, used: Option<u64>) -> Option<Usage> {
        let gauge = self.gauge(limit);
        let (peak, mut refused) = (gauge.peak.load(Relaxed), gauge.refused.load(Relaxed));
        if limit == Limit::FileDescriptors {
            // The process's own limit was reached before ours.
            refused += shortage::count();
        }
        let peak = peak.max(used.unwrap_or(0));
        Some(Usage {
            limit,
            max: gauge.max()?,
            used,
            peak,
            refused,
        })
    }

    fn gauge(&self, limit: Limit) -> &Gauge {
        &self.gauges[limit as usize]
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.gauges).finish()
    }
}

/// What is allowed of the limits that are ours; the sessions and the swarm see to theirs.
fn max(limit: Limit, config: &Config) -> Option<u64> {
    let session = &config.session;
    let count = |count: usize| Some(count as u64);
    match limit {
        Limit::FileDescriptors => count(config.file_descriptors_max),
        Limit::Memory => Some(config.memory_max),
        Limit::MemoryPerPeer => Some(config.memory_per_peer_max),
        Limit::ReceiveWindows => Some(session.window_budget.into()),
        Limit::SendBuffer => count(session.send_buffer_max),
        Limit::StreamsInbound => count(config.streams_inbound_max),
        Limit::StreamsInboundPerPeer => count(config.streams_inbound_per_peer_max),
        Limit::StreamsInboundPerProtocol => count(config.streams_inbound_per_protocol_max),
        Limit::StreamsInboundPerConnection => count(session.inbound_streams_max),
        Limit::StreamsOutboundPerConnection => count(session.outbound_streams_max),
        Limit::Negotiations => count(config.negotiations_max),
        Limit::NegotiationsPerConnection => count(config.negotiations_per_connection_max),
        Limit::HandlersPerProtocol => count(config.handlers_per_protocol_max),
        Limit::QueuePerProtocol => count(QUEUE_MAX),
        Limit::RequestsInboundPerPeer => count(REQUESTS_INBOUND_MAX),
        Limit::RequestBytesPerPeer => count(REQUEST_BYTES_MAX),
        Limit::RequestRatePerPeer => Some(u64::MAX),
        Limit::RequestsOutboundPerPeer => count(REQUESTS_OUTBOUND_MAX),
        Limit::RequestsQueuedPerPeer => count(REQUESTS_QUEUED_MAX),
        Limit::Events => count(EVENTS_MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
