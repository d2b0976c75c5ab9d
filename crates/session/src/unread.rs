//! What the streams of a connection hold that nobody has read, and the pool that pays for it.
//!
//! A mebibyte of each connection is free. Beyond that the pool lends, a quarter of a mebibyte at a time; when it has no more,
//! streams must do without.

use std::{fmt, sync::Arc};

/// The memory that all connections of a node grow their windows into. Asked when a window grows, never for a frame; called
/// from any thread.
pub trait WindowPool: fmt::Debug + Send + Sync {
    /// Takes so many bytes, if there are as many for this connection.
    fn take(&self, bytes: u32) -> bool;

    /// Gives back what was taken.
    fn give_back(&self, bytes: u32);
}

#[derive(Debug, Default)]
pub(crate) struct Unread {
    held: u64,
    /// How much of it the pool has lent.
    lent: u64,
    /// Without one there is no limit.
    pool: Option<Arc<dyn WindowPool>>,
}

/// What a connection may hold without asking, bytes, and what it borrows and gives back at once.
pub(crate) const HELD_FREE: u64 = 1 << 20;
const LENT_STEP: u32 = 256 << 10;

impl Unread {
    /// From now on the pool pays; call it before anything is held.
    pub(crate) fn set_pool(&mut self, pool: Arc<dyn WindowPool>) {
        self.pool = Some(pool);
    }

    /// A stream that held `before` bytes holds `now`. `false`: there is no memory for them.
    pub(crate) fn hold(&mut self, before: u32, now: u32) -> bool {
        self.held = self.held + u64::from(now) - u64::from(before);
        while self.held > HELD_FREE + self.lent {
            if !self.pool.as_ref().is_none_or(|pool| pool.take(LENT_STEP)) {
                return false;
            }
            self.lent += u64::from(LENT_STEP);
        }
        // Not what may soon be needed again.
        let kept = self.held + 2 * u64::from(LENT_STEP);
        while self.lent > 0 && kept <= HELD_FREE + self.lent {
            self.give_back();
        }
        true
    }

    fn give_back(&mut self) {
        self.lent -= u64::from(LENT_STEP);
        if let Some(pool) = &self.pool {
            pool.give_back(LENT_STEP);
        }
    }
}

impl Drop for Unread {
    /// Streams that are still open end with their connection.
    fn drop(&mut self) {
        while self.lent > 0 {
            self.give_back();
        }
    }
}
