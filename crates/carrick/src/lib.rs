//! libp2p for Rust: dial a peer by its id, open any number of cheap, encrypted streams to it by protocol name.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use carrick::{Node, Stream};
//!
//! let server = Node::builder()
//!     .handle("/echo/1.0.0", |mut stream: Stream| async move { stream.echo().await })
//!     .listen("/ip4/127.0.0.1/tcp/0")?
//!     .spawn().await?;
//! let client = Node::spawn().await?;
//! let mut stream = client.open_stream(server.address(), "/echo/1.0.0").await?;
//! stream.write_all(b"hi").await?;
//! stream.finish().await?;
//! let reply = stream.read_to_end(1 << 20).await?; // reading everything always takes a limit
//! # assert_eq!(reply, "hi");
//! # Ok(())
//! # }
//! ```
//!
//! A [`Node`] has an identity, listeners and connections. [`Node::open_stream`] takes whatever names a peer and dials if it
//! must; [`Node::accept`] and [`Node::handle`] take what others open. A [`Stream`] is tokio's `AsyncRead + AsyncWrite`.
//! Everything is bounded, has a deadline, and fails with an error that says what happened.
//!
//! # Features
//! All but the last are on by default. Without any (`default-features = false`) a node has TCP, Unix sockets and memory,
//! with Noise and yamux, and less than half as many crates are built. What is off says so: an address that needs it fails with an
//! error that names the feature.
//!
//! | feature | without it |
//! |---|---|
//! | `quic` | no QUIC, so packets only on streams; it brings `tls` along |
//! | `websocket` | no WebSocket and no WSS |
//! | `tls` | no TLS beside Noise |
//! | `aws-lc` | handshakes compute in Rust, which is slower, and no large C library is built; `tls` and `websocket` bring it along |
//! | `dns` | names are looked up by the system's functions, which know no `/dnsaddr` |
//! | `metrics` | no `Node::metrics`: nothing is counted for Prometheus |
//! | `serde` | no CBOR and no JSON among the [`codec`]s: raw bytes, protocol buffers and those of yours |
//! | `store` | nothing is kept in a file, unless by a [`Store`] of yours |
//! | `pnet` | no private networks |
//! | `rsa`, `ecdsa`, `secp256k1` | no peers, and no identities, with keys of this type |
//! | `futures-io` | `Stream` has tokio's `AsyncRead` and `AsyncWrite` alone, not those of the futures crates |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(feature = "quic"),
    allow(
        clippy::large_enum_variant,
        clippy::boxed_local,
        reason = "what stands in for QUIC has no size"
    )
)]

pub mod actors;
mod addresses;
mod admission;
mod alarm;
mod announce;
mod buffers;
mod builder;
mod carried;
pub mod codec;
mod config;
mod connection;
mod connections;
mod control;
mod core;
mod dial;
mod error;
mod events;
mod fault;
#[cfg(feature = "metrics")]
mod figures;
mod handle;
mod identify;
mod inbound;
mod incoming;
mod info;
#[cfg(all(test, any(loom, shuttle)))]
mod interleaved;
mod limits;
mod machine;
mod message;
pub mod messages;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
mod metrics;
mod node;
mod open;
mod pace;
mod packets;
mod patience;
mod peer_metadata;
pub mod perf;
mod ping;
#[cfg(feature = "pnet")]
mod pnet;
#[cfg(not(feature = "pnet"))]
#[path = "no_pnet.rs"]
mod pnet;
mod proofs;
mod protocol;
mod quotas;
mod reputation;
mod request;
mod requesting;
pub mod resolve;
mod router;
#[doc(hidden)]
pub mod steps;
mod store;
mod stream;
mod sync;
mod tags;
mod target;
pub mod transport;
mod watch;
mod workers;

pub use builder::{Builder, Muxer, Security};
#[doc(hidden)]
pub use carrick_protocols::identify::misleads;
pub use carrick_session::{Code, Summary};
pub use carrick_swarm::{
    Ban, Behaviour, CloseReason, ConnectionId, DialOptions, Direction, KeepError, KnownAddress,
    Level, Limit, LimitReached, Limits, Network, PeerClass, PeerMetadata, Source, Stage, Subject,
    SubjectError, Tag, TagError, Unit, Usage, Verdict, Watermarks,
};
pub use carrick_wire::{Keypair, Multiaddr, PeerId, Protocol, ProtocolId, PublicKey};
pub use carrick_wire::{p2pd, transfer};
pub use config::Config;
pub use error::{
    AcceptError, AttemptError, ConnectionError, DialError, ListenError, OpenError, PingError,
    StreamError, TargetError,
};
pub use events::{ConnectionEnd, Events, NodeEvent};
pub use fault::{Because, Fault};
pub use handle::{Connection, ConnectionInfo};
pub use incoming::Incoming;
pub use info::{Changes, Info};
pub use node::Node;
#[doc(hidden)]
pub use pace::Pace;
pub use packets::{NoPackets, PacketStats, Packets, PacketsError, PacketsOptions};
#[cfg(feature = "pnet")]
pub use pnet::{SwarmKey, SwarmKeyError};
pub use protocol::ProtocolHandler;
pub use request::{RequestError, Requests};
pub use router::Outcome;
#[cfg(feature = "store")]
pub use store::FileStore;
pub use store::{Change, Store, StoreError};
pub use stream::Stream;
pub use tags::KeepConnectedError;
pub use target::{IntoAddress, IntoProtocols, IntoTarget, Target};
