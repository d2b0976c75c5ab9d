//! One byte pipe becomes an authenticated peer with many streams: negotiate → secure → negotiate → mux.
//!
//! Sans-IO: bytes, time and entropy come in as arguments; bytes and events go out through `poll_*`. After any input,
//! drain the outputs. Nothing here knows a socket, a task or a clock, so two machines joined by a loop are a whole network.
//!
//! | in reading order | is |
//! |---|---|
//! | [`Upgrade`] | the one place that knows the order of the steps, with one deadline over all of them |
//! | [`negotiate`] | multistream-select, both roles; also used for every stream |
//! | [`Security`] | Noise or TLS: a handshake leaves behind an [`Opener`] for the reader, a [`Sealer`] for the writer |
//! | [`tls`] | the certificate and the configurations, which QUIC uses as well |
//! | [`Mux`] | yamux or mplex: the state that reader, writer and streams share |
//! | [`Records`] | the outgoing buffer: frames are written once and sealed where they lie |

mod buffer;
mod config;
mod error;
mod event;
mod mplex;
mod mux;
pub mod negotiate;
mod noise;
mod outbox;
#[cfg(feature = "pnet")]
mod pnet;
mod proofs;
mod secure;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod unread;
mod upgrade;
mod yamux;

pub use buffer::{Layout, Records};
pub use config::Config;
pub use error::{
    Code, NegotiateError, OpenError, SecureError, StreamError, UpgradeError, Violation,
};
pub(crate) use event::Proof;
pub use event::{Event, Key, Read, Role};
pub use mux::Mux;
pub use noise::NoiseIdentity;
#[cfg(feature = "pnet")]
pub use pnet::Keystream;
pub use proofs::{NoProofs, Proofs};
#[cfg(all(fuzzing, feature = "tls"))]
pub use secure::tls_halves;
pub use secure::{Opener, Sealer, Security};
pub use tls::TlsIdentity;
pub use unread::WindowPool;
pub use upgrade::{Summary, Upgrade, Upgraded};
