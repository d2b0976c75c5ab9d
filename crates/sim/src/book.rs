//! How the simulation's own calls went.

/// How calls went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Book {
    /// Begun.
    pub begun: u64,
    /// Everything arrived, there and back.
    pub done: u64,
    /// Ended by an error.
    pub failed: u64,
    /// Given up by the caller.
    pub given_up: u64,
    /// Bytes that were verified.
    pub bytes: u64,
}

impl Book {
    /// Neither done nor failed.
    pub const fn open(&self) -> u64 {
        self.begun - self.done - self.failed - self.given_up
    }
}
