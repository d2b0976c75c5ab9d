//! The datagrams of a QUIC connection: which flow of packets each belongs to is decided in `carrick-protocols`; here are
//! the tasks that read and write them.
//!
//! A packet leaves with the call that sends it as long as `quinn` has room. When it has none, packets wait in their flow's
//! queue, which drops its oldest, and a task sends them: `quinn` itself would drop without counting.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_protocols::packets::{Flow, Flows, Limits, Stats, TooManyFlows, Violation};
use carrick_wire::packets as codec;
use futures::FutureExt;
use quinn::{Connection, SendDatagramError};
use tokio::sync::Notify;

/// What the flows of one connection share.
pub(crate) struct Datagrams {
    connection: Connection,
    /// Bidirectional streams that the peer may have open at once.
    streams_max: u64,
    /// Bidirectional streams of the peer's that were accepted so far.
    accepted: AtomicU64,
    reading: AtomicBool,
    /// A flow's queue has become empty, or a flow has ended.
    drained: Notify,
    state: Mutex<State>,
}

struct State {
    flows: Flows,
    /// Whom to tell when something came, by flow.
    readers: BTreeMap<u64, Arc<Notify>>,
    /// A task sends what is queued.
    writing: bool,
    /// The least that `quinn` has room for, and the least that fits a datagram; looked up when they do not suffice.
    room: usize,
    len_max: usize,
}

impl Datagrams {
    pub(super) fn new(connection: Connection, streams_max: usize) -> Self {
        let dialed = connection.side().is_client();
        let state = State {
            flows: Flows::new(Limits::default(), dialed),
            readers: BTreeMap::new(),
            writing: false,
            room: 0,
            len_max: 0,
        };
        Self {
            connection,
            streams_max: streams_max as u64,
            accepted: AtomicU64::new(0),
            reading: AtomicBool::new(false),
            drained: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// Whether the peer takes datagrams.
    pub(crate) fn are_enabled(&self) -> bool {
        self.connection.max_datagram_size().is_some()
    }

    /// The peer has opened another bidirectional stream.
    pub(super) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the caller is the first, and is to run [`read_all`](Self::read_all) as a task.
    pub(super) fn start(&self) -> bool {
        !self.reading.swap(true, Ordering::Relaxed)
    }

    /// Reads until the connection is over, or must be because of what came.
    pub(crate) async fn read_all(&self) -> Option<Violation> {
        let mut batch = Vec::new();
        while let Ok(first) = self.connection.read_datagram().await {
            let more = std::iter::from_fn(|| self.connection.read_datagram().now_or_never()?.ok());
            batch.extend(std::iter::once(first).chain(more).take(BATCH_MAX));
            let is_full = batch.len() == BATCH_MAX;
            if let Err(violation) = self.take(batch.drain(..)) {
                return Some(violation);
            }
            // Who was told may be next on this very thread, and its queue holds only so much.
            if is_full {
                tokio::task::yield_now().await;
            }
        }
        None
    }

    /// Gives datagrams to their flows, and tells these.
    fn take(&self, datagrams: impl Iterator<Item = Bytes>) -> Result<(), Violation> {
        let mut guard = self.state();
        let state = &mut *guard;
        // A stream makes room for another when it is over, so it was accepted before: no allowed one is beyond this.
        let accepted = self.accepted.load(Ordering::Relaxed);
        state
            .flows
            .allow_streams(accepted.saturating_add(self.streams_max));
        let hold = || (2 * self.connection.rtt()).clamp(HOLD_MIN, HOLD_MAX);
        let (now, mut told) = (Instant::now(), None);
        for datagram in datagrams {
            let flow = state.flows.recv(now, hold, &datagram)?;
            if flow.is_some() && flow != told {
                // Told under the lock, so each gets it once for what came in a row.
                let reader = flow.and_then(|id| state.readers.get(&id));
                reader.inspect(|reader| reader.notify_one());
                told = flow;
            }
        }
        Ok(())
    }

    /// A flow whose control stream has this id, and what tells that something came.
    pub(crate) fn open(&self, id: u64) -> Result<Arc<Notify>, TooManyFlows> {
        let mut state = self.state();
        state.flows.open(Instant::now(), id)?;
        Ok(state.readers.entry(id).or_default().clone())
    }

    /// The flow is over.
    pub(crate) fn close(&self, id: u64) -> Option<Flow> {
        let mut state = self.state();
        state.readers.remove(&id);
        let flow = state.flows.close(id);
        drop(state);
        self.drained.notify_waiters();
        flow
    }

    /// The next packets of a flow that came.
    pub(crate) fn read(&self, id: u64, packets: &mut VecDeque<Bytes>) {
        if let Some(flow) = self.state().flows.flow(id) {
            packets.extend(std::iter::from_fn(|| flow.read()).take(READ_MAX));
        }
    }

    pub(crate) fn stats(&self, id: u64) -> Option<Stats> {
        self.state().flows.flow(id).map(|flow| flow.stats())
    }

    /// Datagrams that belonged to no flow.
    pub(crate) fn strays(&self) -> u64 {
        self.state().flows.strays()
    }

    /// The largest packet of this flow that fits a datagram now.
    pub(crate) fn max_payload(&self, id: u64) -> usize {
        let max = self.connection.max_datagram_size().unwrap_or(0);
        max.saturating_sub(codec::id_len(id))
    }

    /// Sends a packet, or queues it.
    ///
    /// # Errors
    /// It is larger than this, the most that fits.
    pub(crate) fn send(self: &Arc<Self>, id: u64, packet: &[u8]) -> Result<(), usize> {
        let len = packet.len() + codec::id_len(id);
        let mut state = self.state();
        if len > state.len_max {
            state.len_max = self.connection.max_datagram_size().unwrap_or(0);
            if len > state.len_max {
                return Err(state.len_max.saturating_sub(codec::id_len(id)));
            }
        }
        let State { flows, room, .. } = &mut *state;
        let sent = flows.send(id, packet, |len| self.has_room(room, len));
        let now = sent.flatten();
        let queued = now.is_none() && !std::mem::replace(&mut state.writing, true);
        drop(state);
        if queued {
            tokio::spawn(self.clone().write_all());
        }
        // Whatever else fails is the connection's end, of which the flow hears soon.
        if now.map(|datagram| self.connection.send_datagram(datagram))
            == Some(Err(SendDatagramError::TooLarge))
        {
            self.unsend(id);
            return Err(self.max_payload(id));
        }
        Ok(())
    }

    /// Waits until nothing of this flow is queued, or it is over.
    pub(crate) async fn drained(&self, id: u64) {
        loop {
            // Made before the look: what comes right after it is not missed.
            let drained = self.drained.notified();
            if !self
                .state()
                .flows
                .flow(id)
                .is_some_and(|flow| flow.is_sending())
            {
                return;
            }
            drained.await;
        }
    }

    /// Only we send, so the room becomes less by what we send, and more by itself.
    fn has_room(&self, room: &mut usize, len: usize) -> bool {
        if *room < len {
            *room = self.connection.datagram_send_buffer_space();
        }
        let has = *room >= len;
        if has {
            *room = room.saturating_sub(len + OVERHEAD);
        }
        has
    }

    /// Sends what is queued, until nothing is.
    async fn write_all(self: Arc<Self>) {
        while let Some((id, datagram, last)) = self.next_queued() {
            match self.connection.send_datagram_wait(datagram).await {
                Ok(()) => {}
                Err(SendDatagramError::TooLarge) => self.unsend(id),
                // Nothing leaves any more; nobody starts another task for it.
                Err(_) => return,
            }
            if last {
                self.drained.notify_waiters();
            }
        }
    }

    /// The next datagram, its flow, and whether it was the last one of that.
    fn next_queued(&self) -> Option<(u64, Bytes, bool)> {
        let mut state = self.state();
        let Some((id, datagram)) = state.flows.poll_transmit() else {
            state.writing = false;
            state.room = 0;
            return None;
        };
        let drained = !state.flows.flow(id).is_some_and(|flow| flow.is_sending());
        drop(state);
        Some((id, datagram, drained))
    }

    /// The path has become too narrow for what was sent last.
    fn unsend(&self, id: u64) {
        let mut state = self.state();
        state.flows.unsend(id);
        state.len_max = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The tables are whole whatever a panicking holder did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long packets wait for their control stream, about a round trip: at least, for those who are near and busy, and at
/// most.
const HOLD_MIN: Duration = Duration::from_millis(100);
const HOLD_MAX: Duration = Duration::from_secs(1);
/// Datagrams that are taken under one lock.
const BATCH_MAX: usize = 64;
/// Packets that a reader takes under one lock, besides those that wait in the flow.
const READ_MAX: usize = 64;
/// What `quinn` counts for a datagram besides its bytes, and more.
const OVERHEAD: usize = 64;
