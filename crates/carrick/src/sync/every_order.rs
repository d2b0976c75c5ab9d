//! Under loom: its locks and atomics, and rings made of them with the orders that the libraries' own have. What is not ours
//! and has none of loom's operations inside is one step, as tokio's semaphore.

use std::{sync::Mutex as Opaque, task::Waker};

pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock, atomic};
pub(crate) use tokio::{
    spawn,
    sync::{Notify, Semaphore},
};

use self::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// Whoever comes second sees what the first has done, as with the real one.
#[derive(Debug, Default)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn register(&self, waker: &Waker) {
        *self.waker() = Some(waker.clone());
    }

    pub(crate) fn wake(&self) {
        let waker = self.waker().take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().expect("nothing panics under it")
    }
}

/// As crossbeam's, step by step: a place in turn is free, or full, and says so with a release.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    slots: Vec<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    /// Twice the turn that it is free for, and one more while it is full.
    stamp: AtomicUsize,
    value: Opaque<Option<T>>,
}

impl<T> Slot<T> {
    fn exchange(&self, value: Option<T>) -> Option<T> {
        let mut slot = self.value.lock().expect("nothing panics under it");
        std::mem::replace(&mut *slot, value)
    }
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let slot = |turn| Slot {
            stamp: AtomicUsize::new(2 * turn),
            value: Opaque::new(None),
        };
        Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            slots: (0..capacity).map(slot).collect(),
        }
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let mut tail = self.tail.load(Relaxed);
        loop {
            let slot = &self.slots[tail % self.slots.len()];
            let stamp = slot.stamp.load(Acquire);
            if stamp == 2 * tail {
                match self.tail.compare_exchange(tail, tail + 1, SeqCst, Relaxed) {
                    Ok(_) => {
                        slot.exchange(Some(value));
                        slot.stamp.store(2 * tail + 1, Release);
                        return Ok(());
                    }
                    Err(now) => tail = now,
                }
                continue;
            }
            if stamp < 2 * tail {
                fence(SeqCst);
                if self.head.load(Relaxed) + self.slots.len() == tail {
                    return Err(value);
                }
            }
            loom::thread::yield_now();
            tail = self.tail.load(Relaxed);
        }
    }

    pub(crate) fn force_push(&self, mut value: T) -> Option<T> {
        let mut displaced = None;
        while let Err(again) = self.push(value) {
            displaced = self.pop();
            value = again;
        }
        displaced
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let mut head = self.head.load(Relaxed);
        loop {
            let slot = &self.slots[head % self.slots.len()];
            let stamp = slot.stamp.load(Acquire);
            if stamp == 2 * head + 1 {
                match self.head.compare_exchange(head, head + 1, SeqCst, Relaxed) {
                    Ok(_) => {
                        let value = slot.exchange(None);
                        slot.stamp.store(2 * (head + self.slots.len()), Release);
                        return value;
                    }
                    Err(now) => head = now,
                }
                continue;
            }
            if stamp == 2 * head {
                fence(SeqCst);
                if self.tail.load(Relaxed) == head {
                    return None;
                }
            }
            loom::thread::yield_now();
            head = self.head.load(Relaxed);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(SeqCst);
        self.tail.load(SeqCst) == head
    }

    pub(crate) fn len(&self) -> usize {
        let tail = self.tail.load(SeqCst);
        tail - self.head.load(SeqCst)
    }
}

/// rtrb's two ends: each has its own index, and publishes it with a release.
#[derive(Debug)]
struct Ring<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    slots: Vec<Opaque<Option<T>>>,
}

#[derive(Debug)]
pub(crate) struct Producer<T>(std::sync::Arc<Ring<T>>);

#[derive(Debug)]
pub(crate) struct Consumer<T>(std::sync::Arc<Ring<T>>);

pub(crate) struct RingBuffer;

impl RingBuffer {
    #[expect(clippy::new_ret_no_self, reason = "rtrb's own has this shape")]
    pub(crate) fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let ring = std::sync::Arc::new(Ring {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            slots: (0..capacity).map(|_| Opaque::new(None)).collect(),
        });
        (Producer(ring.clone()), Consumer(ring))
    }
}

impl<T> Producer<T> {
    pub(crate) fn push(&mut self, value: T) -> Result<(), rtrb::PushError<T>> {
        let ring = &self.0;
        let tail = ring.tail.load(Relaxed);
        if tail - ring.head.load(Acquire) == ring.slots.len() {
            return Err(rtrb::PushError::Full(value));
        }
        let slot = &ring.slots[tail % ring.slots.len()];
        *slot.lock().expect("nothing panics under it") = Some(value);
        ring.tail.store(tail + 1, Release);
        Ok(())
    }
}

impl<T> Consumer<T> {
    pub(crate) fn pop(&mut self) -> Result<T, rtrb::PopError> {
        let ring = &self.0;
        let head = ring.head.load(Relaxed);
        if ring.tail.load(Acquire) == head {
            return Err(rtrb::PopError::Empty);
        }
        let slot = &ring.slots[head % ring.slots.len()];
        let value = slot.lock().expect("nothing panics under it").take();
        ring.head.store(head + 1, Release);
        value.ok_or(rtrb::PopError::Empty)
    }

    pub(crate) fn slots(&self) -> usize {
        self.0.tail.load(Acquire) - self.0.head.load(Relaxed)
    }
}
