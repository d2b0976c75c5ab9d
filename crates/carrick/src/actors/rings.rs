//! What the two ends of a mailbox share: a ring for each lane, the room in them, and who is to be woken.
//!
//! Wake-ups are tokio's semaphore, for senders who wait for room, and the `AtomicWaker` of the futures crates, for the one
//! receiver. Nothing is woken by hand, and what is announced has been pushed before.

use std::sync::{Arc, PoisonError};

use carrick_wire::messages::Priority;
use tokio::sync::TryAcquireError;

use super::mailbox::{Lane, MailboxOptions, Policy};
use crate::sync::{
    ArrayQueue, AtomicWaker, Consumer, Mutex, MutexGuard, Producer, RingBuffer, Semaphore,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
        fence,
    },
};

pub(super) const LANES: usize = Priority::ALL.len();

/// What both kinds of mailbox have.
#[derive(Debug)]
pub(super) struct Shared {
    policies: [Policy; LANES],
    /// The free places of each lane that senders wait for.
    room: [Semaphore; LANES],
    pub(super) arrived: AtomicWaker,
    pub(super) senders: AtomicUsize,
    /// Nobody will receive any more.
    gone: AtomicBool,
    pub(super) displaced: AtomicU64,
}

/// Why a message has no place.
pub(super) enum NoPlace {
    Full,
    Closed,
}

impl Shared {
    fn new(options: &MailboxOptions) -> Self {
        let lanes = options.lanes.each_ref();
        Self {
            policies: lanes.map(|lane| lane.policy),
            room: lanes.map(|lane| Semaphore::new(lane.capacity)),
            arrived: AtomicWaker::new(),
            senders: AtomicUsize::new(1),
            gone: AtomicBool::new(false),
            displaced: AtomicU64::new(0),
        }
    }

    pub(super) fn policy(&self, priority: Priority) -> Policy {
        self.policies[priority.lane()]
    }

    /// Takes a place of a lane for good; whoever empties it gives it back.
    pub(super) fn take_place(&self, priority: Priority) -> Result<(), NoPlace> {
        match self.room[priority.lane()].try_acquire() {
            Ok(place) => {
                place.forget();
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(NoPlace::Full),
            Err(TryAcquireError::Closed) => Err(NoPlace::Closed),
        }
    }

    /// As [`take_place`](Self::take_place), and waits its turn. Cancel-safe.
    pub(super) async fn wait_for_place(&self, priority: Priority) -> Result<(), NoPlace> {
        match self.room[priority.lane()].acquire().await {
            Ok(place) => {
                place.forget();
                Ok(())
            }
            Err(_) => Err(NoPlace::Closed),
        }
    }

    /// The receiver has emptied a place.
    pub(super) fn give_place(&self, lane: usize) {
        if self.policies[lane].counts_places() {
            self.room[lane].add_permits(1);
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Acquire)
    }

    /// After a push: wakes the receiver. `false`: it has gone meanwhile, perhaps without having seen what was pushed.
    fn announce(&self) -> bool {
        // Pairs with the one in `close`: one of the two sides sees what the other has done.
        fence(SeqCst);
        self.arrived.wake();
        !self.gone.load(Relaxed)
    }

    /// The receiver goes; what it then finds in the rings is all that it must drop.
    fn close(&self) {
        self.gone.store(true, Relaxed);
        fence(SeqCst);
        self.room.iter().for_each(|room| room.close());
    }

    pub(super) fn add_sender(&self) {
        self.senders.fetch_add(1, Relaxed);
    }

    pub(super) fn remove_sender(&self) {
        if self.senders.fetch_sub(1, AcqRel) == 1 {
            self.arrived.wake();
        }
    }
}

/// A mailbox with any number of senders.
#[derive(Debug)]
pub(super) struct Many<T> {
    pub(super) shared: Shared,
    pub(super) rings: [ArrayQueue<T>; LANES],
}

impl<T> Many<T> {
    pub(super) fn new(options: &MailboxOptions) -> Self {
        Self {
            shared: Shared::new(options),
            rings: options
                .lanes
                .each_ref()
                .map(|lane| ArrayQueue::new(lane.capacity)),
        }
    }

    /// Puts a message where there is a place for it, or makes one as the policy says.
    pub(super) fn push(&self, priority: Priority, message: T) -> Result<(), T> {
        let ring = &self.rings[priority.lane()];
        if self.shared.policy(priority).displaces() {
            if ring.force_push(message).is_some() {
                self.shared.displaced.fetch_add(1, Relaxed);
            }
        } else {
            ring.push(message)?;
        }
        if !self.shared.announce() {
            self.clear();
        }
        Ok(())
    }

    fn clear(&self) {
        for ring in &self.rings {
            while ring.pop().is_some() {}
        }
    }
}

/// A mailbox with one sender.
#[derive(Debug)]
pub(super) struct Sole<T> {
    pub(super) shared: Shared,
    /// The receiving ends, once the mailbox is gone: what was pushed too late is dropped from here.
    left: Mutex<Option<[Consumer<T>; LANES]>>,
}

impl<T> Sole<T> {
    pub(super) fn new(
        options: &MailboxOptions,
    ) -> (Self, [Producer<T>; LANES], [Consumer<T>; LANES]) {
        let ring = |lane: &Lane| RingBuffer::new(lane.capacity);
        let [(p0, c0), (p1, c1), (p2, c2), (p3, c3)] = options.lanes.each_ref().map(ring);
        let shared = Shared::new(options);
        let left = Mutex::new(None);
        (Self { shared, left }, [p0, p1, p2, p3], [c0, c1, c2, c3])
    }

    pub(super) fn push(&self, ring: &mut Producer<T>, message: T) -> Result<(), T> {
        ring.push(message)
            .map_err(|rtrb::PushError::Full(message)| message)?;
        if !self.shared.announce() {
            clear(&mut self.left());
        }
        Ok(())
    }

    fn left(&self) -> MutexGuard<'_, Option<[Consumer<T>; LANES]>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ring itself drops what is in it only when its sender goes, too.
fn clear<T>(rings: &mut Option<[Consumer<T>; LANES]>) {
    for ring in rings.iter_mut().flatten() {
        while ring.pop().is_ok() {}
    }
}

/// The receiving end of either.
#[derive(Debug)]
pub(super) enum Source<T> {
    Many(Arc<Many<T>>),
    Sole(Arc<Sole<T>>, Option<[Consumer<T>; LANES]>),
}

impl<T> Source<T> {
    pub(super) fn shared(&self) -> &Shared {
        match self {
            Self::Many(many) => &many.shared,
            Self::Sole(sole, _) => &sole.shared,
        }
    }

    /// Asks before it pops: to pop from an empty ring costs a fence.
    pub(super) fn pop(&mut self, lane: usize) -> Option<T> {
        match self {
            Self::Many(many) => {
                let ring = &many.rings[lane];
                if ring.is_empty() { None } else { ring.pop() }
            }
            Self::Sole(_, rings) => rings.as_mut()?[lane].pop().ok(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Many(many) => many.rings.iter().map(|ring| ring.len()).sum(),
            Self::Sole(_, rings) => rings.iter().flatten().map(|ring| ring.slots()).sum(),
        }
    }
}

impl<T> Drop for Source<T> {
    fn drop(&mut self) {
        self.shared().close();
        match self {
            Self::Many(many) => many.clear(),
            Self::Sole(sole, rings) => {
                let mut left = sole.left();
                *left = rings.take();
                clear(&mut left);
            }
        }
    }
}
