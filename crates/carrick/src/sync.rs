//! Locks, atomics, rings and wakers by the names of std and of the libraries: theirs, and in `interleave/` those of a checker
//! that tries the orders in which threads may meet there. Invariant: a normal build gets re-exports and nothing else.

#[cfg(not(any(loom, shuttle)))]
mod real {
    pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, atomic};

    pub(crate) use crossbeam_queue::ArrayQueue;
    pub(crate) use futures::task::AtomicWaker;
    pub(crate) use rtrb::{Consumer, Producer, RingBuffer};
    pub(crate) use tokio::{
        spawn,
        sync::{Notify, Semaphore},
    };
}
#[cfg(not(any(loom, shuttle)))]
pub(crate) use self::real::*;

#[cfg(loom)]
mod every_order;
#[cfg(loom)]
pub(crate) use self::every_order::*;

#[cfg(shuttle)]
mod random_order;
#[cfg(shuttle)]
pub(crate) use self::random_order::*;
