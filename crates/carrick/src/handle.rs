//! The handle on one connection, and how one stands.

use std::{fmt, sync::Arc, time::Duration};

use carrick_session::Summary;
use carrick_swarm::{CloseReason, ConnectionId, Direction};
use carrick_wire::{Multiaddr, PeerId, PublicKey, key};
use tokio::time::timeout;

use crate::{
    ConnectionError, Info, IntoProtocols, OpenError, PingError, Stream, connection::Shared, open,
    ping,
};

/// One connection to a peer. While a handle or a stream of it lives, the connection is not idle.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::Node;
///
/// let server = Node::builder().listen("/ip4/127.0.0.1/tcp/0")?.spawn().await?;
/// let client = Node::spawn().await?;
/// let connection = client.dial(server.address()).await?;
/// assert_eq!(connection.peer(), server.id());
/// println!("{} in {} round trip(s)", connection.summary().muxer, connection.summary().round_trips);
/// println!("ping: {:?}", connection.ping().await?);
/// connection.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    shared: Arc<Shared>,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.hold_handle();
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its number, as events name it; no other connection of the node's has had it.
    pub fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// Who is on the other end.
    pub fn peer(&self) -> PeerId {
        self.shared.peer
    }

    /// The peer's identity key.
    pub fn key(&self) -> &PublicKey {
        &self.shared.key
    }

    /// The kind of the peer's identity key, such as `Ed25519`.
    pub fn key_type(&self) -> &'static str {
        key::kind(&self.shared.key)
    }

    /// The peer's address, as dialed or as seen.
    pub fn address(&self) -> &Multiaddr {
        &self.shared.address
    }

    /// Who dialed.
    pub fn direction(&self) -> Direction {
        self.shared.direction
    }

    /// What was negotiated.
    pub fn summary(&self) -> &Summary {
        &self.shared.summary
    }

    /// The streams that live on it, ours and the peer's, built-in ones included.
    pub fn streams(&self) -> usize {
        self.shared.streams()
    }

    /// The round-trip time as the connection itself has measured it last, without a ping; `None`: not yet, or its muxer
    /// cannot.
    pub fn rtt(&self) -> Option<Duration> {
        self.shared.rtt()
    }

    /// Datagrams of the peer's that belonged to no flow of packets, and were dropped. They are looked at, and counted, once
    /// there was a first flow on the connection.
    pub fn stray_packets(&self) -> u64 {
        self.shared.datagrams().map_or(0, |all| all.strays())
    }

    /// Why the connection is over, if it is.
    pub fn lost(&self) -> Option<ConnectionError> {
        self.shared.lost()
    }

    /// Opens a stream on this connection. See [`Node::open_stream`](crate::Node::open_stream).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_stream(&self, protocols: impl IntoProtocols) -> Result<Stream, OpenError> {
        open::open(&self.shared, protocols.into_protocols()?).await
    }

    /// One round trip with the ping protocol.
    ///
    /// # Errors
    /// See [`PingError`].
    pub async fn ping(&self) -> Result<Duration, PingError> {
        ping::ping(&self.shared).await
    }

    /// What the peer says of itself; waits until it has, which takes one round trip after connecting. `None` if the
    /// connection ended before, or the peer does not speak identify. Cancel-safe.
    pub async fn info(&self) -> Option<Arc<Info>> {
        let mut known = self.shared.known.subscribe();
        if known.borrow().info.is_none() {
            // Without a place there it is asked all the same, a moment later.
            let _ = self.shared.hurry.try_send(self.shared.id);
        }
        let told = known.wait_for(|known| known.info.is_some() || known.gone);
        let told = timeout(INFO_TIMEOUT, told).await;
        told.ok()?.ok()?.info.clone()
    }

    /// Closes the connection and waits until it is gone, at most a few seconds. What was written is sent before, over QUIC
    /// what was finished; streams that are still open are lost.
    pub async fn close(self) {
        self.shared.close(CloseReason::Requested);
        self.shared.wait_gone().await;
    }
}

/// How long [`Connection::info`] waits for the peer's word.
const INFO_TIMEOUT: Duration = Duration::from_secs(5);

impl Stream {
    /// The connection that carries the stream.
    pub fn connection(&self) -> Connection {
        Connection::new(self.shared().clone())
    }
}

/// A connection as it was at one moment. Unlike a [`Connection`], it keeps nothing from being idle.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its number, as events name it.
    pub id: ConnectionId,
    /// Who is on the other end.
    pub peer: PeerId,
    /// The peer's address, as dialed or as seen.
    pub address: Multiaddr,
    /// Who dialed.
    pub direction: Direction,
    /// What was negotiated.
    pub summary: Summary,
    /// The streams that live on it, built-in ones included.
    pub streams: usize,
    /// The round-trip time, where the connection itself has measured it.
    pub rtt: Option<Duration>,
    /// How long it has lasted.
    pub age: Duration,
}

impl ConnectionInfo {
    pub(crate) fn new(shared: &Shared, age: Duration) -> Self {
        Self {
            id: shared.id,
            peer: shared.peer,
            address: shared.address.clone(),
            direction: shared.direction,
            summary: shared.summary.clone(),
            streams: shared.streams(),
            rtt: shared.rtt(),
            age,
        }
    }
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.unhold_handle();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
