//! Under shuttle: its locks and atomics. What libraries do inside of one call is one step; before each the schedule may change.

use std::ops::{Deref, DerefMut};

pub(crate) use shuttle::future::spawn;
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, atomic};

use self::atomic::{AtomicBool, Ordering::SeqCst};

/// Here another thread may go on.
pub(crate) fn step() {
    AtomicBool::new(false).load(SeqCst);
}

/// What a library does in a step.
#[derive(Debug, Default)]
pub(crate) struct Stepped<T>(T);

impl<T> Deref for Stepped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        step();
        &self.0
    }
}

impl<T> DerefMut for Stepped<T> {
    fn deref_mut(&mut self) -> &mut T {
        step();
        &mut self.0
    }
}

pub(crate) type ArrayQueue<T> = Stepped<crossbeam_queue::ArrayQueue<T>>;
pub(crate) type AtomicWaker = Stepped<futures::task::AtomicWaker>;
pub(crate) type Consumer<T> = Stepped<rtrb::Consumer<T>>;
pub(crate) type Notify = Stepped<tokio::sync::Notify>;
pub(crate) type Producer<T> = Stepped<rtrb::Producer<T>>;
pub(crate) type Semaphore = Stepped<tokio::sync::Semaphore>;

impl<T> Stepped<crossbeam_queue::ArrayQueue<T>> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(crossbeam_queue::ArrayQueue::new(capacity))
    }
}

impl Stepped<futures::task::AtomicWaker> {
    pub(crate) const fn new() -> Self {
        Self(futures::task::AtomicWaker::new())
    }
}

impl Stepped<tokio::sync::Notify> {
    pub(crate) const fn new() -> Self {
        Self(tokio::sync::Notify::const_new())
    }
}

impl Stepped<tokio::sync::Semaphore> {
    pub(crate) const MAX_PERMITS: usize = tokio::sync::Semaphore::MAX_PERMITS;

    pub(crate) const fn new(permits: usize) -> Self {
        Self(tokio::sync::Semaphore::const_new(permits))
    }
}

pub(crate) struct RingBuffer;

impl RingBuffer {
    #[expect(clippy::new_ret_no_self, reason = "rtrb's own has this shape")]
    pub(crate) fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let (producer, consumer) = rtrb::RingBuffer::new(capacity);
        (Stepped(producer), Stepped(consumer))
    }
}
