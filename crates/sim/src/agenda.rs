//! What will happen when: one queue for the whole world. What is due at the same time happens in an order that the seed
//! decides, so that no order goes untried.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::pipe::{PipeId, Side};

/// Something that will happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Bytes, an end or a reset may have come to this side of a pipe.
    Arrive(PipeId, Side),
    /// This side may have room to write again.
    Room(PipeId, Side),
    /// A pipe's first word reaches whom it was meant for.
    Knock(PipeId),
    /// The answer is back: the dialer has a pipe, or was refused.
    Answered { pipe: PipeId, refused: bool },
    /// An alarm of a process rings: of its swarm, an upgrade or a connection.
    Alarm { host: usize, life: u32, of: AlarmOf },
    /// An operation of the scenario.
    Operation(usize),
    /// What an operation began is over.
    Over(Over),
    /// All hosts are looked at.
    Audit,
}

/// Whose alarm it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AlarmOf {
    Swarm,
    Upgrade(u64),
    Connection(u64),
}

/// What is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Over {
    Cut(usize, usize),
    Slow(usize, usize),
    Crash(usize),
    Suspension(usize),
}

/// The queue. Times are nanoseconds since the world's beginning.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(u64, u32, u64, Due)>>,
    next: u64,
}

impl Agenda {
    /// `salt` decides among what is due at the same time.
    pub(crate) fn push(&mut self, at: u64, salt: u32, due: Due) {
        self.next += 1;
        self.heap.push(Reverse((at, salt, self.next, due)));
    }

    /// The next thing, if it is due by `until`.
    pub(crate) fn pop(&mut self, until: u64) -> Option<(u64, Due)> {
        let Reverse((at, ..)) = self.heap.peek()?;
        if *at > until {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, _, due))| (at, due))
    }
}
