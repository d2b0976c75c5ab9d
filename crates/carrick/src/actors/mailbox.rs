//! Mailboxes: what they do when they are full, and the receiving end with its turns.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed},
    },
    task::{Context, Poll},
};

use carrick_wire::messages::Priority;

use super::{
    rings::{LANES, Many, Sole, Source},
    sender::{Sender, SoleSender},
};

/// What a lane does with a message when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// `send` waits for its turn, first come first served; `try_send` gives the message back. So whoever feeds the mailbox is
    /// held back, down to the socket from which it reads.
    #[default]
    Wait,
    /// The message goes back to its sender at once.
    Reject,
    /// The oldest message of the lane is dropped and counted. For what loses its worth with time.
    DropOldest,
    /// The lane has one place, and a newer message replaces the one in it. For what is always told in full, such as a height.
    KeepLast,
}

impl Policy {
    /// Whether senders wait for places, so that these are counted.
    pub(super) fn counts_places(self) -> bool {
        self == Self::Wait
    }

    pub(super) fn displaces(self) -> bool {
        matches!(self, Self::DropOldest | Self::KeepLast)
    }
}

/// How large a mailbox is, and what it does when it is full, lane by lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxOptions {
    pub(super) lanes: [Lane; LANES],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) capacity: usize,
    pub(super) policy: Policy,
}

impl Lane {
    fn new(capacity: usize, policy: Policy) -> Self {
        let most = if policy == Policy::KeepLast {
            1
        } else {
            CAPACITY_MAX
        };
        let capacity = capacity.clamp(1, most);
        Self { capacity, policy }
    }
}

impl MailboxOptions {
    /// Four lanes, one for each [`Priority`], of so many messages each: 1 to 1,048,576, and other numbers become the nearest of
    /// these. The memory for them is taken at once.
    pub fn new(capacity: usize, policy: Policy) -> Self {
        let lanes = [Lane::new(capacity, policy); LANES];
        Self { lanes }
    }

    /// The same, but for one lane.
    #[must_use]
    pub fn lane(mut self, priority: Priority, capacity: usize, policy: Policy) -> Self {
        self.lanes[priority.lane()] = Lane::new(capacity, policy);
        self
    }
}

/// 64 messages a lane, for which senders wait.
impl Default for MailboxOptions {
    fn default() -> Self {
        Self::new(64, Policy::Wait)
    }
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message that was not taken comes back in here"]
pub enum Sent<T> {
    /// It is in the mailbox. Whether its actor lives to read it is not known.
    Ok,
    /// Its lane is full; here it is again.
    Full(T),
    /// Nobody will read the mailbox any more; here it is again.
    Closed(T),
}

impl<T> Sent<T> {
    /// Whether the mailbox has it.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }

    /// The message, if it was not taken.
    pub fn refused(self) -> Option<T> {
        match self {
            Self::Ok => None,
            Self::Full(message) | Self::Closed(message) => Some(message),
        }
    }
}

/// A mailbox for any number of senders, on a lock-free ring for each lane.
pub fn mailbox<T: Send>(options: MailboxOptions) -> (Sender<T>, Mailbox<T>) {
    let many = Arc::new(Many::new(&options));
    let source = Source::Many(many.clone());
    (Sender::new(many), Mailbox::new(source))
}

/// A mailbox for one sender, on a wait-free ring for each lane. A sender alone cannot take messages out again, so lanes whose
/// policy is [`DropOldest`](Policy::DropOldest) or [`KeepLast`](Policy::KeepLast) reject here.
pub fn spsc<T: Send>(options: MailboxOptions) -> (SoleSender<T>, Mailbox<T>) {
    let (sole, producers, consumers) = Sole::new(&options);
    let sole = Arc::new(sole);
    let source = Source::Sole(sole.clone(), Some(consumers));
    (SoleSender::new(sole, producers), Mailbox::new(source))
}

/// The receiving end of a mailbox, which belongs to one actor. It is a `Stream` of the futures crates as well.
///
/// Lanes take turns by weight: while all have messages, of fifteen that are received eight are [`Priority::Control`], four
/// high, two normal and one bulk. Dropping it drops what is in it and closes it for its senders.
#[derive(Debug)]
pub struct Mailbox<T> {
    source: Source<T>,
    /// The turns that each lane has left in this round.
    turns: [u32; LANES],
}

impl<T> Mailbox<T> {
    fn new(source: Source<T>) -> Self {
        let turns = WEIGHTS;
        Self { source, turns }
    }

    /// The next message; `None` once all senders are gone and nothing is left. Cancel-safe: no message is lost with a dropped
    /// future.
    pub async fn recv(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next message, if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        let turns = &mut self.turns;
        for refilled in [false, true] {
            if refilled {
                *turns = WEIGHTS;
            }
            for (lane, turns) in turns
                .iter_mut()
                .enumerate()
                .filter(|(_, turns)| **turns > 0)
            {
                if let Some(message) = self.source.pop(lane) {
                    *turns -= 1;
                    self.source.shared().give_place(lane);
                    return Some(message);
                }
            }
        }
        None
    }

    /// As [`recv`](Self::recv), for those who poll; the waker of the last call is woken.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(message) = self.try_recv() {
            return Poll::Ready(Some(message));
        }
        self.source.shared().arrived.register(context.waker());
        // What came before the waker was there has woken nobody.
        let ended = self.source.shared().senders.load(Acquire) == 0;
        match self.try_recv() {
            None if !ended => Poll::Pending,
            last => Poll::Ready(last),
        }
    }

    /// How many messages are waiting.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Whether none is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages newer ones have pushed out, as the policies of their lanes say.
    pub fn displaced(&self) -> u64 {
        self.source.shared().displaced.load(Relaxed)
    }
}

impl<T> futures::Stream for Mailbox<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_recv(context)
    }
}

/// No field is pinned.
impl<T> Unpin for Mailbox<T> {}

const CAPACITY_MAX: usize = 1 << 20;

const WEIGHTS: [u32; LANES] = {
    let [control, high, normal, bulk] = Priority::ALL;
    [
        control.weight(),
        high.weight(),
        normal.weight(),
        bulk.weight(),
    ]
};
