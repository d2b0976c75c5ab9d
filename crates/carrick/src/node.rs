//! The node: the handle that users hold.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use carrick_swarm::{DialError, DialOptions};
use carrick_wire::{Multiaddr, PeerId, ProtocolId};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};

use crate::{
    AcceptError, Code, Connection, Events, Incoming, Info, IntoAddress, IntoProtocols, IntoTarget,
    ListenError, OpenError, Packets, PacketsError, PacketsOptions, PingError, Stream, StreamError,
    core::{self, Core},
    message::Message,
    open, packets,
    router::Outcome,
    target::Target,
};

/// A libp2p node: an identity, listeners, connections, streams.
///
/// Cheap to clone; all clones are one node, and every method takes `&self`. The node works as long as a clone lives; the
/// last one's drop closes it in the background, [`close`](Self::close) does so and waits.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Node, Stream};
///
/// let server = Node::builder()
///     .handle("/echo/1.0.0", |mut stream: Stream| async move { stream.echo().await })
///     .listen("/ip4/127.0.0.1/tcp/0")?
///     .spawn()
///     .await?;
/// let client = Node::spawn().await?;
/// let mut stream = client.open_stream(server.address(), "/echo/1.0.0").await?;
/// stream.write_all(b"hi").await?;
/// stream.finish().await?;
/// assert_eq!(stream.read_to_end(1 << 20).await?, "hi");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Node {
    pub(crate) core: Arc<Core>,
    /// `None`: this handle does not keep the node alive.
    _alive: Option<Arc<Alive>>,
}

/// Closes the node when the last handle goes.
struct Alive(mpsc::Sender<Message>);

impl Drop for Alive {
    fn drop(&mut self) {
        core::post(&self.0, Message::Close { done: None });
    }
}

impl Node {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let alive = Arc::new(Alive(core.control.clone()));
        Self {
            core,
            _alive: Some(alive),
        }
    }

    /// A handle on the same node that does not keep it alive, nor do its clones: for what the node itself holds, such as
    /// handlers and protocols. On a closed node its methods fail.
    pub fn downgrade(&self) -> Self {
        Self {
            core: self.core.clone(),
            _alive: None,
        }
    }

    /// Who we are.
    pub fn id(&self) -> PeerId {
        self.core.id
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Listens on one more address and returns what it stands for: real ports, and for a wildcard one address for each
    /// interface.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn listen(&self, address: impl IntoAddress) -> Result<Vec<Multiaddr>, ListenError> {
        let (reply, outcome) = oneshot::channel();
        self.core
            .send(Message::Listen {
                address: address.into_address()?,
                reply,
            })
            .await;
        outcome.await.unwrap_or(Err(ListenError::Closed))
    }

    /// A connection to the target: an existing one, or a new one. All who dial the same peer share one dial, and each
    /// gets its outcome. Cancel-safe: a dial that nobody waits for any more is abandoned.
    ///
    /// The addresses given, and those known of the peer, are tried in the order that promises most, a little apart: QUIC
    /// first, IPv6 before IPv4, relays last. Names (`/dns`, `/dns4`, `/dns6`, `/dnsaddr`) are looked up. The first that
    /// works wins. An address that is only known rests for a while after it has failed; a given one is always tried.
    ///
    /// # Errors
    /// See [`DialError`]: every address that was tried, and why it failed.
    pub async fn dial(&self, target: impl IntoTarget) -> Result<Connection, OpenError> {
        self.dial_open(target.into_target()?, DialOptions::default())
            .await
    }

    /// As [`dial`](Self::dial), but says how: whether a connection that exists will do, and whether other addresses than
    /// the given ones may be tried.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use carrick::{DialOptions, Node};
    ///
    /// let server = Node::builder().listen("/ip4/127.0.0.1/tcp/0")?.spawn().await?;
    /// let client = Node::spawn().await?;
    /// let first = client.dial(server.address()).await?;
    /// let options = DialOptions { force_new: true, ..DialOptions::default() };
    /// let second = client.dial_with(server.address(), options).await?;
    /// assert_eq!(first.peer(), second.peer());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    pub async fn dial_with(
        &self,
        target: impl IntoTarget,
        options: DialOptions,
    ) -> Result<Connection, OpenError> {
        let target = target.into_target()?;
        if options.force_new {
            return Ok(self.core.connect(target, options).await?);
        }
        self.dial_open(target, options).await
    }

    async fn dial_open(
        &self,
        target: Target,
        options: DialOptions,
    ) -> Result<Connection, OpenError> {
        let mut connection = self.connect(target.clone(), options).await?;
        for _ in 0..RETRIES_MAX {
            if connection.shared().is_open() {
                break;
            }
            connection = self.reconnect(connection, target.clone(), options).await?;
        }
        Ok(connection)
    }

    pub(crate) async fn connect(
        &self,
        target: Target,
        options: DialOptions,
    ) -> Result<Connection, DialError> {
        match target.peer.and_then(|peer| self.core.connected(&peer)) {
            Some(shared) => Ok(Connection::new(shared)),
            None => self.core.connect(target, options).await,
        }
    }

    /// Another connection than this one, which is ending; it is the peer's only one, or it would not have been taken.
    async fn reconnect(
        &self,
        ending: Connection,
        target: Target,
        options: DialOptions,
    ) -> Result<Connection, DialError> {
        let shared = ending.shared().clone();
        drop(ending);
        // Whatever comes of it, the next step has deadlines of its own.
        let _ = timeout(self.core.config.negotiation_timeout, shared.wait_gone()).await;
        self.connect(target, options).await
    }

    /// Opens a stream to the target for one of `protocols`, the first that the peer supports; dials if there is no
    /// connection. Cancel-safe: dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_stream(
        &self,
        target: impl IntoTarget,
        protocols: impl IntoProtocols,
    ) -> Result<Stream, OpenError> {
        let (target, protocols) = (target.into_target()?, protocols.into_protocols()?);
        let options = DialOptions::default();
        let connection = self.connect(target.clone(), options).await?;
        self.open_on(connection, target, protocols).await
    }

    /// Opens a stream on this connection to the target, or on another if this one is about to end.
    pub(crate) async fn open_on(
        &self,
        mut connection: Connection,
        target: Target,
        protocols: Vec<ProtocolId>,
    ) -> Result<Stream, OpenError> {
        for _ in 0..RETRIES_MAX {
            match open::open(connection.shared(), protocols.clone()).await {
                // It ended under our hands; the peer has not taken the stream. Another connection will do.
                Err(OpenError::Stream(
                    StreamError::ConnectionLost(_) | StreamError::Reset(Code::SHUTDOWN),
                )) => {}
                outcome => return outcome,
            }
            connection = self
                .reconnect(connection, target.clone(), DialOptions::default())
                .await?;
        }
        open::open(connection.shared(), protocols).await
    }

    /// Accepts inbound streams of the protocols, until the [`Incoming`] is dropped.
    ///
    /// # Errors
    /// A protocol is registered already, or is not a protocol id.
    pub fn accept(&self, protocols: impl IntoProtocols) -> Result<Incoming, AcceptError> {
        let protocols = protocols.into_protocols()?;
        let streams = self.core.router.accept(protocols.clone())?;
        self.core.post(Message::ProtocolsChanged);
        Ok(Incoming::new(protocols, streams, self.core.clone()))
    }

    /// Runs `handler` as a task of its own for each inbound stream of the protocol, as long as the node lives.
    /// A handler that owns a clone of the node keeps it alive: such a node ends with [`close`](Self::close) only.
    ///
    /// # Errors
    /// The protocol is registered already, or is not a protocol id.
    pub fn handle<F, R>(&self, protocol: &str, handler: F) -> Result<(), AcceptError>
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.core
            .router
            .handle(crate::target::parse_protocol(protocol)?, handler)?;
        self.core.post(Message::ProtocolsChanged);
        Ok(())
    }

    /// Opens a flow of packets to the target, over a QUIC connection: an existing one, or one that is dialed for it, even
    /// when there is a connection without datagrams. Packets can be sent as soon as this returns. A peer that has no
    /// handler for the protocol says so by ending the flow. Cancel-safe.
    ///
    /// # Errors
    /// See [`PacketsError`].
    pub async fn packets(
        &self,
        target: impl IntoTarget,
        protocol: &str,
    ) -> Result<Packets, PacketsError> {
        self.packets_with(target, protocol, PacketsOptions::default())
            .await
    }

    /// As [`packets`](Self::packets), but says how.
    ///
    /// # Errors
    /// See [`PacketsError`].
    pub async fn packets_with(
        &self,
        target: impl IntoTarget,
        protocol: &str,
        options: PacketsOptions,
    ) -> Result<Packets, PacketsError> {
        let target = target.into_target().map_err(OpenError::from)?;
        let protocol = crate::target::parse_protocol(protocol).map_err(OpenError::from)?;
        packets::to(&self.core, target, protocol, options).await
    }

    /// Runs `handler` as a task of its own for each flow of packets that a peer opens for the protocol, as long as the node
    /// lives. It should return when [`Packets::recv`] fails.
    ///
    /// # Errors
    /// The protocol is registered already, or is not a protocol id.
    pub fn handle_packets<F, R>(&self, protocol: &str, handler: F) -> Result<(), AcceptError>
    where
        F: Fn(Packets) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        let protocol = crate::target::parse_protocol(protocol)?;
        packets::register(&self.core.router, protocol, handler)?;
        self.core.post(Message::ProtocolsChanged);
        Ok(())
    }

    /// Measures one round trip to the target with the ping protocol; dials if there is no connection.
    ///
    /// # Errors
    /// See [`PingError`].
    pub async fn ping(&self, target: impl IntoTarget) -> Result<Duration, PingError> {
        self.dial(target).await?.ping().await
    }

    /// What the connected peer says of itself, once it has.
    pub fn peer(&self, peer: &PeerId) -> Option<Arc<Info>> {
        self.core.connected(peer)?.info()
    }

    /// The peers that we are connected to.
    pub fn peers(&self) -> Vec<PeerId> {
        self.core
            .peers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        let events = self.core.events.upgrade();
        let events = events.map_or_else(|| broadcast::channel(1).1, |events| events.subscribe());
        Events(events, self.core.quotas.clone())
    }

    /// Closes the node: no new streams, open ones may finish for [`Config::drain_timeout`](crate::Config::drain_timeout), then every connection is
    /// closed and every listener gone. Also closes all clones.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.core.send(Message::Close { done: Some(done) }).await;
        // An error means that it was closed before.
        let _ = closed.await;
    }
}

/// How often opening starts again because its connection has ended meanwhile.
const RETRIES_MAX: usize = 3;

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.core.id)
            .finish_non_exhaustive()
    }
}
