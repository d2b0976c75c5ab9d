//! What one peer uses of the node's limits, over all its connections, and the permits for it.

use std::sync::Arc;

use carrick_session::WindowPool;
use carrick_swarm::{Limit, LimitReached};

use super::Quotas;
use crate::{
    machine::CONNECTION_BYTES,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// One peer's use; its connections share it.
#[derive(Debug)]
pub(crate) struct Share {
    quotas: Arc<Quotas>,
    streams: AtomicU64,
    memory: AtomicU64,
}

impl Share {
    pub(crate) fn new(quotas: Arc<Quotas>) -> Arc<Self> {
        Arc::new(Self {
            quotas,
            streams: AtomicU64::new(0),
            memory: AtomicU64::new(0),
        })
    }

    pub(crate) fn streams(&self) -> u64 {
        self.streams.load(Relaxed)
    }

    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// The node's gauges.
    pub(crate) fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// A stream that the peer has opened for a protocol, of which `of_protocol` are open: counted until the permit goes.
    pub(crate) fn stream(
        self: &Arc<Self>,
        of_protocol: &Arc<AtomicU64>,
    ) -> Result<StreamPermit, LimitReached> {
        let quotas = &self.quotas;
        add(quotas, Limit::StreamsInboundPerPeer, &self.streams)?;
        let permit = || {
            add(quotas, Limit::StreamsInboundPerProtocol, of_protocol)?;
            quotas
                .take(Limit::StreamsInbound, 1)
                .inspect_err(|_| sub(of_protocol))
        };
        permit().inspect_err(|_| sub(&self.streams))?;
        Ok(StreamPermit {
            share: self.clone(),
            of_protocol: of_protocol.clone(),
        })
    }

    /// As much as there is for this peer, at most `bytes`, by halves.
    #[cfg(feature = "quic")]
    pub(crate) fn lend(self: &Arc<Self>, mut bytes: u32) -> Lent {
        while bytes > 0 && !self.take(bytes) {
            bytes /= 2;
        }
        Lent {
            share: self.clone(),
            bytes,
        }
    }
}

fn add(quotas: &Quotas, limit: Limit, used: &AtomicU64) -> Result<(), LimitReached> {
    let max = quotas.max(limit);
    let more = |used: u64| (used < max).then_some(used + 1);
    let before = used.fetch_update(Relaxed, Relaxed, more);
    let before = before.map_err(|_| quotas.refuse(limit))?;
    quotas.saw(limit, before + 1);
    Ok(())
}

fn sub(used: &AtomicU64) {
    used.fetch_sub(1, Relaxed);
}

impl WindowPool for Share {
    /// Windows grow out of the first part of the node's memory, so that new connections find room in the rest. No peer gets
    /// more than a quarter of what it leaves of that part, so that one who wants much later finds most of it.
    fn take(&self, bytes: u32) -> bool {
        let (quotas, bytes) = (&self.quotas, u64::from(bytes));
        let for_windows = quotas.max(Limit::Memory) / 100 * WINDOWS_PERCENT;
        let left = for_windows.saturating_sub(quotas.used(Limit::Memory));
        let max = quotas.max(Limit::MemoryPerPeer).min(left / 4);
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= max);
        let Ok(before) = self.memory.fetch_update(Relaxed, Relaxed, more) else {
            quotas.refuse(Limit::MemoryPerPeer);
            return false;
        };
        if quotas
            .take_below(Limit::Memory, bytes, for_windows)
            .is_err()
        {
            self.memory.fetch_sub(bytes, Relaxed);
            return false;
        }
        quotas.saw(Limit::MemoryPerPeer, before + bytes);
        true
    }

    fn give_back(&self, bytes: u32) {
        self.memory.fetch_sub(bytes.into(), Relaxed);
        self.quotas.give_back(Limit::Memory, bytes.into());
    }
}

/// The parts of the node's memory that windows may grow into, and that are used when newcomers are refused.
const WINDOWS_PERCENT: u64 = 60;
const NEWCOMERS_PERCENT: u64 = 80;

/// An inbound stream of a user's protocol.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    share: Arc<Share>,
    of_protocol: Arc<AtomicU64>,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        sub(&self.share.streams);
        sub(&self.of_protocol);
        self.share.quotas.give_back(Limit::StreamsInbound, 1);
    }
}

/// Memory that a window has grown by.
#[cfg(feature = "quic")]
#[derive(Debug)]
pub(crate) struct Lent {
    share: Arc<Share>,
    bytes: u32,
}

#[cfg(feature = "quic")]
impl Lent {
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }
}

#[cfg(feature = "quic")]
impl Drop for Lent {
    fn drop(&mut self) {
        self.share.give_back(self.bytes);
    }
}

/// A connection's socket and memory, from its first packet on.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    quotas: Arc<Quotas>,
    has_socket: bool,
}

impl Quotas {
    /// For a connection that came in, whose socket is there already. Who is connected goes before who would be.
    pub(crate) fn arrival(
        self: &Arc<Self>,
        has_socket: bool,
    ) -> Result<ConnectionPermit, LimitReached> {
        let max = self.max(Limit::Memory) / 100 * NEWCOMERS_PERCENT;
        self.take_below(Limit::Memory, CONNECTION_BYTES, max)?;
        if has_socket {
            self.force(Limit::FileDescriptors, 1);
        }
        Ok(ConnectionPermit {
            quotas: self.clone(),
            has_socket,
        })
    }

    /// For a connection that we dial.
    pub(crate) fn dial(
        self: &Arc<Self>,
        has_socket: bool,
    ) -> Result<ConnectionPermit, LimitReached> {
        self.take(Limit::Memory, CONNECTION_BYTES)?;
        if has_socket && let Err(reached) = self.take(Limit::FileDescriptors, 1) {
            self.give_back(Limit::Memory, CONNECTION_BYTES);
            return Err(reached);
        }
        Ok(ConnectionPermit {
            quotas: self.clone(),
            has_socket,
        })
    }

    /// For one use that lasts as long as the permit.
    pub(crate) fn permit(self: &Arc<Self>, limit: Limit) -> Result<Permit, LimitReached> {
        self.take(limit, 1)?;
        Ok(Permit {
            quotas: self.clone(),
            limit,
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.quotas.give_back(Limit::Memory, CONNECTION_BYTES);
        if self.has_socket {
            self.quotas.give_back(Limit::FileDescriptors, 1);
        }
    }
}

/// One use of a limit.
#[derive(Debug)]
pub(crate) struct Permit {
    quotas: Arc<Quotas>,
    limit: Limit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.quotas.give_back(self.limit, 1);
    }
}
