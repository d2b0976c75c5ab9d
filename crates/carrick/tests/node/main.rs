//! The node from the outside: what its users may rely on, over memory and over TCP. Files by subject.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

#[path = "../common/mod.rs"]
mod common;

mod accept;
mod addresses;
#[cfg(feature = "quic")]
mod datagrams;
#[cfg(all(feature = "quic", feature = "websocket"))]
mod dial;
mod events;
mod features;
mod hostile;
mod idle;
mod keeping;
mod limits;
mod listen;
mod messages;
#[cfg(all(feature = "metrics", feature = "quic"))]
mod metrics;
#[cfg(all(target_os = "linux", feature = "quic"))]
mod network;
mod open;
mod optimistic;
#[cfg(feature = "quic")]
mod packets;
mod peers;
mod perf;
#[cfg(all(feature = "pnet", feature = "quic"))]
mod pnet;
mod private;
mod protocol;
#[cfg(feature = "quic")]
mod quic;
#[cfg(feature = "quic")]
mod quic_hostile;
mod races;
mod reputation;
mod requests;
#[cfg(feature = "quic")]
mod round_trips;
#[cfg(all(
    feature = "tls",
    feature = "rsa",
    feature = "ecdsa",
    feature = "secp256k1"
))]
mod security;
#[cfg(all(feature = "pnet", feature = "websocket"))]
mod shared_port;
mod shutdown;
mod silence;
mod stream;
mod unix;
mod wakers;
#[cfg(all(feature = "pnet", feature = "websocket"))]
mod websocket;
mod workers;
