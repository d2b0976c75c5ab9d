//! What `carrick send` and `carrick receive` share: /carrick/transfer/1.0.0 over a stream, files on both ends.
//! docs/transfer.md says what is said; the frames themselves are `carrick::transfer`'s.

pub(crate) mod give;
pub(crate) mod guests;
mod hashing;
pub(crate) mod place;
pub(crate) mod show;
pub(crate) mod source;
pub(crate) mod take;
pub(crate) mod talk;
mod tree;
pub(crate) mod trouble;
