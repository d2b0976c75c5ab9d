//! Packets, draft datagrams/datagrams.md of libp2p/specs pull request 680: flows of datagrams over one QUIC connection, each
//! tied to a control stream. Datagrams and the ids of streams go in; datagrams, packets and counts come out.
//!
//! ```text
//!  send ──▶ outgoing ──poll_transmit──▶ datagram        datagram ──recv──▶ incoming ──read──▶ packet
//!                                                          └─▶ held, until its control stream is here
//! ```
//! Invariants: every queue is bounded and drops its oldest; every datagram that came is read, queued, held or counted as
//! dropped, and never two of these.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_wire::{ProtocolId, packets as codec};

use self::queue::Queue;

mod queue;

/// `/dg/1`: what a control stream negotiates.
pub const PROTOCOL: ProtocolId = ProtocolId::from_static("/dg/1");
/// What a stream negotiates that carries packets where there are no datagrams. Reliable and in order, and says so.
pub const STREAM_PROTOCOL: ProtocolId = ProtocolId::from_static("/carrick/packets-on-stream/1.0.0");
/// The code that ends a connection whose datagrams break the draft.
pub const VIOLATION_CODE: u32 = 0x1003;

/// How much is kept of what cannot be sent or read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packets of one flow that wait to be sent; the oldest is dropped. Each is at most a datagram large.
    pub send_packets_max: usize,
    /// Bytes of these.
    pub send_bytes_max: usize,
    /// Packets of one flow that wait to be read; the oldest is dropped.
    pub recv_packets_max: usize,
    /// Bytes of these.
    pub recv_bytes_max: usize,
    /// Packets of a connection that wait for their control stream; the oldest is dropped.
    pub held_packets_max: usize,
    /// Bytes of these.
    pub held_bytes_max: usize,
    /// Flows of one connection, ours and the peer's.
    pub flows_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            send_packets_max: 128,
            send_bytes_max: 256 * 1024,
            recv_packets_max: 512,
            recv_bytes_max: 512 * 1024,
            held_packets_max: 64,
            held_bytes_max: 64 * 1024,
            flows_max: 256,
        }
    }
}

/// What became of the packets of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets that were handed to the connection to be sent at once.
    pub sent: u64,
    /// Packets that came.
    pub received: u64,
    /// Packets that were never sent, since newer ones filled the queue or the path became too narrow for them.
    pub dropped_send: u64,
    /// Packets that came but were dropped unread, since newer ones filled the queue.
    pub dropped_recv: u64,
}

/// A datagram that the draft forbids: the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It ends inside the id of its control stream.
    #[error("a datagram is too short for its control stream's id")]
    TooShort,
    /// Its control stream cannot exist, since the peer may not have opened so many.
    #[error("a datagram names a control stream beyond the limit of streams")]
    BeyondLimit,
}

/// No flow can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection has too many flows of packets")]
pub struct TooManyFlows;

/// One flow's queues and counts.
#[derive(Debug)]
pub struct Flow {
    incoming: Queue,
    outgoing: Queue,
    stats: Stats,
}

impl Flow {
    /// Empty queues with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            incoming: Queue::with_max(limits.recv_packets_max, limits.recv_bytes_max),
            outgoing: Queue::with_max(limits.send_packets_max, limits.send_bytes_max),
            stats: Stats::default(),
        }
    }

    /// Queues a packet to send.
    pub fn send(&mut self, packet: Bytes) {
        self.stats.dropped_send += self.outgoing.push(packet);
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let packet = self.outgoing.pop()?;
        self.stats.sent += 1;
        Some(packet)
    }

    /// Whether packets wait to be sent.
    pub fn is_sending(&self) -> bool {
        self.outgoing.len() > 0
    }

    /// Queues a packet that came.
    pub fn recv(&mut self, packet: Bytes) {
        self.stats.received += 1;
        // A slice keeps alive what it was cut from, which may be far more. A reader who keeps up may have that.
        let packet = if self.incoming.len() < SLICES_MAX {
            packet
        } else {
            Bytes::copy_from_slice(&packet)
        };
        self.stats.dropped_recv += self.incoming.push(packet);
    }

    /// The next packet that came.
    pub fn read(&mut self) -> Option<Bytes> {
        self.incoming.pop()
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

/// The flows of one QUIC connection.
#[derive(Debug)]
pub struct Flows {
    limits: Limits,
    /// The lowest bit of the ids of the peer's streams.
    peer_bit: u64,
    /// So many bidirectional streams the peer may have opened.
    peer_streams_max: u64,
    flows: BTreeMap<u64, Flow>,
    /// The ids of the flows that ended last.
    ended: VecDeque<u64>,
    /// Packets whose control stream is not here yet, in the order in which they came.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// The flows with something to send, each once.
    turns: VecDeque<u64>,
    strays: u64,
}

#[derive(Debug)]
struct Held {
    id: u64,
    packet: Bytes,
    until: Instant,
}

impl Flows {
    /// No flows yet; `dialed`: the connection was dialed by us, so we are QUIC's client.
    pub fn new(limits: Limits, dialed: bool) -> Self {
        Self {
            limits,
            peer_bit: u64::from(dialed),
            peer_streams_max: 0,
            flows: BTreeMap::new(),
            ended: VecDeque::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            turns: VecDeque::new(),
            strays: 0,
        }
    }

    /// The peer may have opened so many bidirectional streams by now, closed ones included. It never becomes less.
    pub fn allow_streams(&mut self, count: u64) {
        self.peer_streams_max = self.peer_streams_max.max(count);
    }

    /// The control stream of a flow is here; what was held for it can be read. Opening a flow twice changes nothing.
    ///
    /// # Errors
    /// There are too many flows.
    pub fn open(&mut self, now: Instant, id: u64) -> Result<(), TooManyFlows> {
        if self.flows.contains_key(&id) {
            return Ok(());
        }
        if self.flows.len() >= self.limits.flows_max {
            return Err(TooManyFlows);
        }
        self.expire(now);
        let mut flow = Flow::new(&self.limits);
        let mut others = VecDeque::with_capacity(self.held.len());
        for held in self.held.drain(..) {
            if held.id == id {
                self.held_bytes -= held.packet.len();
                flow.recv(held.packet);
            } else {
                others.push_back(held);
            }
        }
        self.held = others;
        self.flows.insert(id, flow);
        Ok(())
    }

    /// The control stream has ended, and the flow with it. What was not sent or read is gone.
    pub fn close(&mut self, id: u64) -> Option<Flow> {
        let flow = self.flows.remove(&id)?;
        self.turns.retain(|turn| *turn != id);
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(id);
        Some(flow)
    }

    /// Takes a datagram; the flow that has something to read now. Packets of flows that are not here yet are held for
    /// `hold`, about a round trip.
    ///
    /// # Errors
    /// The draft ends the connection for this one, with [`VIOLATION_CODE`].
    pub fn recv(
        &mut self,
        now: Instant,
        hold: impl FnOnce() -> Duration,
        datagram: &Bytes,
    ) -> Result<Option<u64>, Violation> {
        let (id, used) = codec::decode(datagram).map_err(|_| Violation::TooShort)?;
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.recv(datagram.slice(used..));
            return Ok(Some(id));
        }
        let is_of_peer = id & 1 == self.peer_bit && id & UNIDIRECTIONAL == 0;
        if is_of_peer && id >> 2 >= self.peer_streams_max {
            return Err(Violation::BeyondLimit);
        }
        if is_of_peer && !self.ended.contains(&id) {
            self.expire(now);
            self.hold(id, &datagram[used..], now + hold());
        } else {
            self.strays += 1;
        }
        Ok(None)
    }

    /// Sends a packet: gives the datagram back when it can leave at once, and queues it otherwise. `room`: whether the
    /// connection takes a datagram of this size now. `None`: there is no such flow.
    pub fn send(
        &mut self,
        id: u64,
        packet: &[u8],
        room: impl FnOnce(usize) -> bool,
    ) -> Option<Option<Bytes>> {
        let flow = self.flows.get_mut(&id)?;
        let datagram = Bytes::from(codec::encode(id, packet));
        // Nobody overtakes.
        if self.turns.is_empty() && room(datagram.len()) {
            flow.stats.sent += 1;
            return Some(Some(datagram));
        }
        let was_idle = !flow.is_sending();
        flow.send(datagram);
        if was_idle && flow.is_sending() {
            self.turns.push_back(id);
        }
        Some(None)
    }

    /// The next datagram to send, and its flow; the flows take turns.
    pub fn poll_transmit(&mut self) -> Option<(u64, Bytes)> {
        loop {
            let id = self.turns.pop_front()?;
            let Some(flow) = self.flows.get_mut(&id) else {
                continue;
            };
            let datagram = flow.poll_transmit();
            if flow.is_sending() {
                self.turns.push_back(id);
            }
            if let Some(datagram) = datagram {
                return Some((id, datagram));
            }
        }
    }

    /// The datagram that this flow sent last did not leave after all.
    pub fn unsend(&mut self, id: u64) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.stats.sent = flow.stats.sent.saturating_sub(1);
            flow.stats.dropped_send += 1;
        }
    }

    /// The flow, to read from.
    pub fn flow(&mut self, id: u64) -> Option<&mut Flow> {
        self.flows.get_mut(&id)
    }

    /// Datagrams that belonged to no flow and were dropped: their control stream had ended, or did not come in time.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    fn hold(&mut self, id: u64, packet: &[u8], until: Instant) {
        if packet.len() > self.limits.held_bytes_max || self.limits.held_packets_max == 0 {
            self.strays += 1;
            return;
        }
        while self.held.len() >= self.limits.held_packets_max
            || self.held_bytes + packet.len() > self.limits.held_bytes_max
        {
            self.forget_oldest();
        }
        self.held_bytes += packet.len();
        self.held.push_back(Held {
            id,
            packet: Bytes::copy_from_slice(packet),
            until,
        });
    }

    /// Drops what was held too long.
    fn expire(&mut self, now: Instant) {
        while self.held.front().is_some_and(|held| held.until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(held) = self.held.pop_front() {
            self.held_bytes -= held.packet.len();
            self.strays += 1;
        }
    }
}

/// The bit in a stream's id that says so, RFC 9000 §2.1.
const UNIDIRECTIONAL: u64 = 2;
/// Packets in a queue that may be slices of something larger.
const SLICES_MAX: usize = 8;
/// Flows that ended whose late packets are not held.
const ENDED_MAX: usize = 64;

#[cfg(test)]
mod tests;
