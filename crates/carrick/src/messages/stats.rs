//! What is counted of one protocol's messages.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use carrick_protocols::messages::Strays;

/// Counts of one protocol's messages, since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessagesStats {
    /// Requests and one-way messages that went into a mailbox.
    pub received: u64,
    /// Those that were refused since their peer asks too fast, has asked for too much, or the mailbox was full.
    pub busy: u64,
    /// Those with a code that nobody takes.
    pub unknown_codes: u64,
    /// Those that did not decode.
    pub malformed: u64,
    /// Replies that came after their request was given up; they were dropped, as the next two.
    pub late_replies: u64,
    /// Replies to requests that were answered before.
    pub duplicate_replies: u64,
    /// Replies to what was never asked.
    pub unknown_replies: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) received: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) unknown_codes: AtomicU64,
    pub(super) malformed: AtomicU64,
    late: AtomicU64,
    duplicate: AtomicU64,
    unknown: AtomicU64,
}

impl Counts {
    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Adds what is new.
    pub(super) fn strays(&self, before: Strays, now: Strays) {
        if before != now {
            self.late.fetch_add(now.late - before.late, Relaxed);
            let duplicate = now.duplicate - before.duplicate;
            self.duplicate.fetch_add(duplicate, Relaxed);
            self.unknown
                .fetch_add(now.unknown - before.unknown, Relaxed);
        }
    }

    pub(super) fn stats(&self) -> MessagesStats {
        MessagesStats {
            received: self.received.load(Relaxed),
            busy: self.busy.load(Relaxed),
            unknown_codes: self.unknown_codes.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            late_replies: self.late.load(Relaxed),
            duplicate_replies: self.duplicate.load(Relaxed),
            unknown_replies: self.unknown.load(Relaxed),
        }
    }
}
