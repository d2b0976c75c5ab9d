//! The node from the outside: what its users may rely on, over memory and over TCP. Files by subject.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

#[path = "../common/mod.rs"]
mod common;

mod accept;
mod datagrams;
mod dial;
mod hostile;
mod idle;
mod listen;
mod open;
mod optimistic;
mod packets;
mod peers;
mod perf;
mod pnet;
mod quic;
mod quic_hostile;
mod round_trips;
mod security;
mod shared_port;
mod shutdown;
mod silence;
mod stream;
mod unix;
mod wakers;
mod websocket;
