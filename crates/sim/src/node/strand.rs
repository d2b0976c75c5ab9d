//! One stream of a connection: its negotiation, then its conversation.

use std::fmt;

use carrick_session::{
    Key,
    negotiate::{Dialer, Listener},
};
use carrick_wire::ProtocolId;

use super::place::Kind;
use crate::{
    conversation::{Conversation, Desk, Failure},
    ground::SECOND,
};

/// How long a stream's negotiation may take, nanoseconds.
pub(crate) const NEGOTIATION: u64 = 5 * SECOND;
/// Nothing is read for a conversation that has so much to write.
const UNWRITTEN_MAX: usize = 64 << 10;

pub(crate) struct Strand {
    pub(crate) key: Key,
    pub(crate) stage: Stage,
    /// Words of the negotiation that have not left yet.
    pub(crate) head: Vec<u8>,
    pub(crate) desk: Desk,
    pub(crate) conversation: Option<Box<dyn Conversation>>,
    pub(crate) deadline: Option<u64>,
    pub(crate) held: bool,
    pub(crate) reads_blocked: bool,
    pub(crate) writes_blocked: bool,
    pub(crate) opened: bool,
    pub(crate) finished: bool,
    pub(crate) ended: bool,
    pub(crate) progress: u64,
    pub(crate) protocol: ProtocolId,
    /// Which limit of the connection it counts for.
    pub(crate) kind: Kind,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Ours; the peer has not agreed yet.
    Asking(Box<Dialer>),
    /// The peer's; it has not chosen yet.
    Hearing(Box<Listener>),
    /// The conversation goes on; perhaps the peer's consent is still to come.
    Talking(Option<Box<Dialer>>),
}

impl fmt::Debug for Strand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strand")
            .field("key", &self.key)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// A stream is over, and why if that is not because both sides are done.
pub(crate) type Fate = Result<bool, Failure>;

impl Strand {
    /// A stream of ours. `optimistic`: the peer is known to speak the protocol.
    pub(crate) fn outbound(
        key: Key,
        protocol: ProtocolId,
        conversation: Box<dyn Conversation>,
        desk: Desk,
        optimistic: bool,
        now: u64,
    ) -> Self {
        let mut dialer = Dialer::new(vec![protocol.clone()]);
        let mut head = Vec::new();
        dialer.poll_transmit(&mut head);
        let dialer = Box::new(dialer);
        let stage = if optimistic {
            Stage::Talking(Some(dialer))
        } else {
            Stage::Asking(dialer)
        };
        Self {
            head,
            desk,
            conversation: Some(conversation),
            ..Self::new(key, stage, protocol, now)
        }
    }

    pub(crate) fn inbound(key: Key, now: u64) -> Self {
        let stage = Stage::Hearing(Box::new(Listener::new()));
        Self::new(key, stage, UNNEGOTIATED, now)
    }

    fn new(key: Key, stage: Stage, protocol: ProtocolId, now: u64) -> Self {
        Self {
            key,
            stage,
            head: Vec::new(),
            desk: Desk::default(),
            conversation: None,
            deadline: Some(now + NEGOTIATION),
            held: true,
            reads_blocked: false,
            writes_blocked: false,
            opened: false,
            finished: false,
            ended: false,
            progress: now,
            protocol,
            kind: Kind::User,
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.key.index()
    }

    /// When it wants to be looked at.
    pub(crate) fn next_at(&self) -> Option<u64> {
        let all = [self.deadline, self.desk.timeout, self.desk.paused];
        all.into_iter().flatten().min()
    }

    /// Whether it waits for the peer.
    pub(crate) fn is_waiting(&self) -> bool {
        let talking = matches!(self.stage, Stage::Talking(_));
        self.desk.paused.is_none()
            && (!talking || self.desk.expects || !self.desk.out.is_empty() || !self.head.is_empty())
    }

    pub(crate) fn is_reading(&self) -> bool {
        !self.ended && self.desk.paused.is_none() && self.desk.out.len() < UNWRITTEN_MAX
    }

    pub(crate) fn is_writing(&self) -> bool {
        !self.head.is_empty() || !self.desk.out.is_empty()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.finished && self.ended
    }
}

const UNNEGOTIATED: ProtocolId = ProtocolId::from_static("(not negotiated)");
