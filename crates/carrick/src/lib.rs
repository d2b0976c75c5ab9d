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

mod buffers;
mod builder;
mod config;
mod connection;
mod control;
mod core;
mod dial;
mod error;
mod events;
mod handle;
mod identify;
mod inbound;
mod incoming;
mod info;
mod message;
mod node;
mod open;
mod packets;
pub mod perf;
mod ping;
mod pnet;
pub mod resolve;
mod router;
mod stream;
mod target;
pub mod transport;

pub use builder::{Builder, Muxer, Security};
pub use carrick_session::{Code, Summary};
pub use carrick_swarm::{DialOptions, Direction};
pub use carrick_wire::{Keypair, Multiaddr, PeerId, Protocol, ProtocolId, PublicKey};
pub use config::Config;
pub use error::{
    AcceptError, AttemptError, ConnectionError, DialError, ListenError, OpenError, PingError,
    StreamError, TargetError,
};
pub use events::{Events, NodeEvent};
pub use handle::Connection;
pub use incoming::Incoming;
pub use info::Info;
pub use node::Node;
pub use packets::{NoPackets, PacketStats, Packets, PacketsError, PacketsOptions};
pub use pnet::{SwarmKey, SwarmKeyError};
pub use router::Outcome;
pub use stream::Stream;
pub use target::{IntoAddress, IntoProtocols, IntoTarget, Target};
