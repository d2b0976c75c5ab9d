//! What peers say to each other: protocols whose state outlives one message. Sans-IO: bytes and the
//! time go in, bytes and results come out. No protocol imports another.

pub mod identify;
pub mod messages;
pub mod packets;
pub mod perf;
pub mod ping;
