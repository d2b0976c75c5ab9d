//! Pipes between hosts, as TCP would give them: bytes in order, in pieces of any size, late, or never.

use std::collections::VecDeque;

use bytes::Bytes;
use carrick_wire::ProtocolId;

/// One pipe; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PipeId(pub(crate) u64);

/// An end of a pipe: the dialer's is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Side(pub(crate) usize);

impl Side {
    pub(crate) const DIALER: Self = Self(0);
    pub(crate) const LISTENER: Self = Self(1);

    pub(crate) const fn other(self) -> Self {
        Self(1 - self.0)
    }
}

/// Who has an end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// A dial that waits for the answer.
    Attempt(u64),
    Upgrade(u64),
    Connection(u64),
    Nobody,
}

/// What reading gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Bytes(Bytes),
    Nothing,
    End,
    Broken,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) ends: [End; 2],
    /// What is on its way to each side.
    pub(crate) lanes: [Lane; 2],
    /// Somebody broke it on purpose: what goes wrong on it is nobody's fault.
    pub(crate) tainted: bool,
    /// Security and muxer, as the first end has them.
    pub(crate) agreed: Option<(ProtocolId, ProtocolId)>,
    /// When both sides could last hear each other.
    pub(crate) reached_at: u64,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: usize,
    pub(crate) life: u32,
    pub(crate) user: User,
    pub(crate) is_open: bool,
    /// It was reset: nothing can be written, and read only that.
    pub(crate) is_broken: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) queue: VecDeque<(u64, Bytes)>,
    /// Bytes in it.
    pub(crate) held: usize,
    pub(crate) capacity: usize,
    /// When the wire is free for the next byte.
    pub(crate) free_at: u64,
    pub(crate) last_at: u64,
    /// When the end comes, behind all bytes.
    pub(crate) end_at: Option<u64>,
    /// What is sent arrives nowhere.
    pub(crate) is_hole: bool,
    /// An arrival is in the agenda.
    pub(crate) armed: Option<u64>,
    pub(crate) wants_room: bool,
    pub(crate) taken: u64,
    pub(crate) given: u64,
    /// The time of what was given last, and whether it ever went back.
    given_at: u64,
    pub(crate) is_disordered: bool,
}

impl Pipe {
    pub(crate) fn new(hosts: [(usize, u32); 2], users: [User; 2], capacity: usize) -> Self {
        let end = |at: usize| End {
            host: hosts[at].0,
            life: hosts[at].1,
            user: users[at],
            is_open: true,
            is_broken: false,
        };
        let lane = || Lane {
            capacity,
            ..Lane::default()
        };
        Self {
            ends: [end(0), end(1)],
            lanes: [lane(), lane()],
            tainted: false,
            agreed: None,
            reached_at: 0,
        }
    }

    pub(crate) fn end(&self, side: Side) -> &End {
        &self.ends[side.0]
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side.0]
    }

    /// What is on its way to `side`.
    pub(crate) fn lane_to(&mut self, side: Side) -> &mut Lane {
        &mut self.lanes[side.0]
    }
}

impl Lane {
    /// When the next thing comes, if something will.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.queue.front().map(|(at, _)| *at).or(self.end_at)
    }

    /// What has arrived, at most `max` bytes in one piece.
    pub(crate) fn take(&mut self, now: u64, max: usize) -> Option<Bytes> {
        let (at, bytes) = self.queue.front_mut()?;
        if *at > now {
            return None;
        }
        self.is_disordered |= *at < self.given_at;
        self.given_at = *at;
        let piece = bytes.split_to(bytes.len().min(max));
        if bytes.is_empty() {
            self.queue.pop_front();
        }
        self.held -= piece.len();
        self.given += piece.len() as u64;
        Some(piece)
    }

    /// Everything on its way is lost.
    pub(crate) fn drop_all(&mut self) {
        self.queue.clear();
        self.held = 0;
        self.end_at = None;
    }
}
