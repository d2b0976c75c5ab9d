//! One flow: its queues, which the connection's datagrams or a stream of its own fill and empty, and its end.
//!
//! A task owns the control stream, so the flow ends with it, whoever ends it and whether or not anybody sends or reads.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use carrick_protocols::packets::{self as machine, Stats};
use carrick_session::Code;
use carrick_wire::{PeerId, ProtocolId, packets as codec};
use tokio::{sync::Notify, time::timeout};
use tracing::debug;

use super::{NoPackets, PacketsError, on_stream};
use crate::{Stream, StreamError, connection::Datagrams};

pub(crate) struct Flow {
    pub(super) peer: PeerId,
    pub(super) protocol: ProtocolId,
    carrier: Carrier,
    /// Something came, or the flow has ended.
    changed: Arc<Notify>,
    /// The user has gone.
    left: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    end: Option<End>,
    /// Taken out of the queue and not handed out yet: one look there serves for several.
    packets: VecDeque<Bytes>,
}

enum Carrier {
    Datagrams {
        all: Arc<Datagrams>,
        id: u64,
    },
    Stream {
        queues: Mutex<machine::Flow>,
        /// There is something to send.
        wanted: Notify,
        /// Something was sent, or the flow has ended.
        drained: Notify,
    },
}

/// Why it is over, and what was not read before.
struct End {
    error: PacketsError,
    remains: Option<machine::Flow>,
}

impl Flow {
    /// A flow over datagrams, whose control stream has this id.
    pub(super) fn over_datagrams(
        stream: &Stream,
        protocol: ProtocolId,
        all: Arc<Datagrams>,
        id: u64,
    ) -> Result<Self, PacketsError> {
        let changed = all.open(id)?;
        let carrier = Carrier::Datagrams { all, id };
        Ok(Self::new(stream, protocol, carrier, changed))
    }

    /// A flow on a stream.
    pub(super) fn over_stream(stream: &Stream, protocol: ProtocolId) -> Self {
        let carrier = Carrier::Stream {
            queues: Mutex::new(machine::Flow::new(&machine::Limits::default())),
            wanted: Notify::new(),
            drained: Notify::new(),
        };
        Self::new(stream, protocol, carrier, Arc::default())
    }

    fn new(stream: &Stream, protocol: ProtocolId, carrier: Carrier, changed: Arc<Notify>) -> Self {
        Self {
            peer: stream.peer(),
            protocol,
            carrier,
            changed,
            left: Notify::new(),
            state: Mutex::default(),
        }
    }

    pub(super) fn is_reliable(&self) -> bool {
        matches!(self.carrier, Carrier::Stream { .. })
    }

    pub(super) fn max_payload(&self) -> usize {
        match &self.carrier {
            Carrier::Datagrams { all, id } => all.max_payload(*id),
            Carrier::Stream { .. } => codec::STREAM_PACKET_MAX,
        }
    }

    pub(super) fn send(&self, packet: Bytes) -> Result<(), PacketsError> {
        if let Some(end) = &self.state().end {
            return Err(end.error.clone());
        }
        let (len, max) = (packet.len(), codec::STREAM_PACKET_MAX);
        match &self.carrier {
            Carrier::Datagrams { all, id } => all
                .send(*id, &packet)
                .map_err(|max| PacketsError::TooLarge { len, max }),
            Carrier::Stream { .. } if len > max => Err(PacketsError::TooLarge { len, max }),
            Carrier::Stream { queues, wanted, .. } => {
                lock(queues).send(packet);
                wanted.notify_one();
                Ok(())
            }
        }
    }

    /// Waits until nothing is queued.
    pub(super) async fn ready(&self) -> Result<(), PacketsError> {
        // As for the reader.
        tokio::task::coop::consume_budget().await;
        match &self.carrier {
            Carrier::Datagrams { all, id } => all.drained(*id).await,
            Carrier::Stream {
                queues, drained, ..
            } => loop {
                let drained = drained.notified();
                if !lock(queues).is_sending() || self.ended().is_some() {
                    break;
                }
                drained.await;
            },
        }
        self.ended().map_or(Ok(()), Err)
    }

    /// Waits for a packet, or the end.
    pub(super) async fn recv(&self) -> Result<Bytes, PacketsError> {
        // Somebody who always finds a packet must let others run, too.
        tokio::task::coop::consume_budget().await;
        loop {
            // Made before the look: what comes right after it is not missed.
            let changed = self.changed.notified();
            if let Some(packet) = self.read()? {
                return Ok(packet);
            }
            changed.await;
        }
    }

    fn read(&self) -> Result<Option<Bytes>, PacketsError> {
        let mut guard = self.state();
        let State { end, packets } = &mut *guard;
        if packets.is_empty() {
            match (&self.carrier, &mut *end) {
                (Carrier::Stream { queues, .. }, _) => packets.extend(lock(queues).read()),
                (Carrier::Datagrams { all, id }, None) => all.read(*id, packets),
                (Carrier::Datagrams { .. }, Some(end)) => {
                    packets.extend(end.remains.as_mut().and_then(machine::Flow::read));
                }
            }
        }
        match (packets.pop_front(), end) {
            (None, Some(end)) => Err(end.error.clone()),
            (packet, _) => Ok(packet),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.state();
        match (&self.carrier, &state.end) {
            (Carrier::Datagrams { .. }, Some(End { remains, .. })) => {
                remains.as_ref().map(machine::Flow::stats)
            }
            (Carrier::Datagrams { all, id }, None) => all.stats(*id),
            (Carrier::Stream { queues, .. }, _) => Some(lock(queues).stats()),
        }
        .unwrap_or_default()
    }

    /// Why the flow is over, if it is.
    pub(super) fn ended(&self) -> Option<PacketsError> {
        self.state().end.as_ref().map(|end| end.error.clone())
    }

    /// The user has gone, or wants to.
    pub(super) fn leave(&self) {
        self.finish(PacketsError::Closed);
        self.left.notify_one();
    }

    /// Runs until the flow is over: as the owner of its control stream.
    pub(super) async fn run(self: Arc<Self>, mut stream: Stream) {
        let limit = stream.shared().negotiation_timeout;
        let ended = tokio::select! {
            biased;
            () = self.left.notified() => PacketsError::Closed,
            ended = self.carry(&mut stream) => self.reason(ended),
        };
        debug!(peer = %self.peer, protocol = %self.protocol, reason = %ended, "a flow of packets ended");
        // Before the stream: nothing may be sent when its send side is closed.
        self.finish(ended);
        let _ = timeout(limit, stream.finish()).await;
    }

    /// Ends with the peer's side of the stream.
    async fn carry(&self, stream: &mut Stream) -> Result<(), StreamError> {
        match &self.carrier {
            // The draft has no use for the control stream yet; what comes there is for later versions of it.
            Carrier::Datagrams { .. } => {
                while stream.read_chunk().await?.is_some() {}
                Ok(())
            }
            Carrier::Stream {
                queues,
                wanted,
                drained,
            } => on_stream::carry(stream, queues, [wanted, drained], &self.changed).await,
        }
    }

    fn reason(&self, ended: Result<(), StreamError>) -> PacketsError {
        let peer = self.peer;
        match ended {
            Ok(()) | Err(StreamError::EndedEarly) => PacketsError::ClosedByPeer(Code::NONE),
            Err(error) => self::reason(peer, &self.protocol, error),
        }
    }

    fn finish(&self, error: PacketsError) {
        let mut state = self.state();
        if state.end.is_none() {
            let remains = match &self.carrier {
                Carrier::Datagrams { all, id } => all.close(*id),
                Carrier::Stream { .. } => None,
            };
            state.end = Some(End { error, remains });
        }
        drop(state);
        self.changed.notify_waiters();
        if let Carrier::Stream { drained, .. } = &self.carrier {
            drained.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What the end of a control stream means for its flow.
pub(super) fn reason(peer: PeerId, protocol: &ProtocolId, error: StreamError) -> PacketsError {
    match error {
        StreamError::Reset(Code::NEGOTIATION_FAILED) => PacketsError::Refused {
            peer,
            protocol: protocol.clone(),
        },
        StreamError::Reset(code) => PacketsError::ClosedByPeer(code),
        StreamError::ConnectionLost(error) => PacketsError::Lost(error),
        StreamError::Unsupported(_) => PacketsError::Unsupported {
            peer,
            reason: NoPackets::Protocol(machine::PROTOCOL),
        },
        StreamError::EndedEarly | StreamError::TooLong { .. } => {
            PacketsError::ClosedByPeer(Code::NONE)
        }
        StreamError::ResetLocally(_) | StreamError::Finished => PacketsError::Closed,
    }
}

impl Drop for Flow {
    /// A flow whose task never ran has an entry in its connection all the same.
    fn drop(&mut self) {
        self.finish(PacketsError::Closed);
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packets")
            .field("peer", &self.peer)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The queues are whole whatever a panicking holder did.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
