//! The node: the handle that users hold, and what all of its parts share.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carrick_protocols::identify::Own;
use carrick_session::{NegotiateError, NoiseIdentity, negotiate::Dialer};
use carrick_swarm::{DialError, WaiterId};
use carrick_wire::{Keypair, Multiaddr, PeerId, Protocol, ProtocolId};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};

use crate::{
    AcceptError, Builder, Config, Connection, ConnectionError, Events, Incoming, Info, IntoAddress,
    IntoProtocols, IntoTarget, ListenError, NodeEvent, OpenError, PingError, Stream, StreamError,
    connection::Shared,
    control::Message,
    router::{Outcome, Router},
    target::Target,
    transport::Transport,
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
    inner: Arc<Inner>,
    _alive: Arc<Alive>,
}

/// What the node's handles, tasks and streams share.
pub(crate) struct Inner {
    pub(crate) id: PeerId,
    pub(crate) keypair: Keypair,
    pub(crate) noise: Arc<NoiseIdentity>,
    /// `config.session`, shared by all upgrades.
    pub(crate) session_config: Arc<carrick_session::Config>,
    pub(crate) config: Config,
    pub(crate) muxers: Vec<ProtocolId>,
    pub(crate) agent: String,
    pub(crate) transports: Vec<Box<dyn Transport>>,
    pub(crate) router: Router,
    /// The connection that new streams to a peer use.
    pub(crate) peers: RwLock<HashMap<PeerId, Arc<Shared>>>,
    /// Where we listen.
    pub(crate) addresses: RwLock<Vec<Multiaddr>>,
    /// The control task's: events end with it.
    events: broadcast::WeakSender<NodeEvent>,
    pub(crate) control: mpsc::Sender<Message>,
    waiters: AtomicU64,
    /// Numbers our signed records; it starts with the clock, so that it grows over restarts.
    pub(crate) record_seq: AtomicU64,
}

/// Closes the node when the last handle goes.
struct Alive(mpsc::Sender<Message>);

impl Drop for Alive {
    fn drop(&mut self) {
        post(&self.0, Message::Close { done: None });
    }
}

/// Sends a message from where waiting is impossible.
fn post(control: &mpsc::Sender<Message>, message: Message) {
    if let Err(mpsc::error::TrySendError::Full(message)) = control.try_send(message) {
        let control = control.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // A closed node needs no message.
            runtime.spawn(async move { control.send(message).await.ok() });
        }
    }
}

/// What a builder hands over.
pub(crate) struct Parts {
    pub(crate) keypair: Keypair,
    pub(crate) noise: NoiseIdentity,
    pub(crate) config: Config,
    pub(crate) muxers: Vec<ProtocolId>,
    pub(crate) agent: String,
    pub(crate) transports: Vec<Box<dyn Transport>>,
    pub(crate) router: Router,
    pub(crate) control: mpsc::Sender<Message>,
    pub(crate) events: broadcast::WeakSender<NodeEvent>,
}

impl Inner {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            id: parts.keypair.public().to_peer_id(),
            keypair: parts.keypair,
            noise: Arc::new(parts.noise),
            session_config: Arc::new(parts.config.session.clone()),
            config: parts.config,
            muxers: parts.muxers,
            agent: parts.agent,
            transports: parts.transports,
            router: parts.router,
            peers: RwLock::default(),
            addresses: RwLock::default(),
            events: parts.events,
            control: parts.control,
            waiters: AtomicU64::new(0),
            record_seq: AtomicU64::new(0),
        }
    }

    /// Sends a message to the control task; a closed node drops it.
    pub(crate) async fn send(&self, message: Message) {
        let _ = self.control.send(message).await;
    }

    /// As [`send`](Self::send), from where waiting is impossible.
    pub(crate) fn post(&self, message: Message) {
        post(&self.control, message);
    }

    pub(crate) fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What we tell of ourselves, ready to send.
    pub(crate) fn identify(&self, observed: Option<&Multiaddr>) -> Vec<u8> {
        let own = Own {
            protocol_version: "ipfs/0.1.0".to_owned(),
            agent: self.agent.clone(),
            listen_addresses: self.listen_addresses(),
            protocols: self.router.protocols(),
        };
        own.encode(
            &self.keypair,
            self.record_seq.load(Ordering::Relaxed),
            observed,
        )
    }

    /// The connection that streams to `peer` use, if there is one.
    pub(crate) fn connected(&self, peer: &PeerId) -> Option<Arc<Shared>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(peer).filter(|shared| shared.is_open()).cloned()
    }

    /// A connection to the target: an existing one, or what a dial brings.
    async fn connect(&self, target: Target) -> Result<Connection, DialError> {
        let waiter = WaiterId(self.waiters.fetch_add(1, Ordering::Relaxed));
        let (reply, outcome) = oneshot::channel();
        let mut guard = CancelDial {
            node: self,
            waiter,
            armed: true,
        };
        self.send(Message::Connect {
            waiter,
            target,
            reply,
        })
        .await;
        let outcome = outcome.await.unwrap_or(Err(DialError::Closed));
        guard.armed = false;
        outcome
    }
}

/// Tells the swarm that a waiter has gone, so that a dial nobody waits for ends.
struct CancelDial<'a> {
    node: &'a Inner,
    waiter: WaiterId,
    armed: bool,
}

impl Drop for CancelDial<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.node.post(Message::Cancel {
                waiter: self.waiter,
            });
        }
    }
}

impl Node {
    /// A builder with a fresh Ed25519 identity, TCP, and no listener.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A node that dials but does not listen, with a fresh identity.
    ///
    /// # Errors
    /// Only if there is no entropy.
    pub async fn spawn() -> Result<Self, ListenError> {
        Self::builder().spawn().await
    }

    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let alive = Arc::new(Alive(inner.control.clone()));
        Self {
            inner,
            _alive: alive,
        }
    }

    /// Who we are.
    pub fn id(&self) -> PeerId {
        self.inner.id
    }

    /// An address of ours that others can dial, ending in our `/p2p/…`: the first one that we listen on. Without a
    /// listener it is `/p2p/…` alone.
    pub fn address(&self) -> Multiaddr {
        let first = self.inner.listen_addresses().into_iter().next();
        first
            .unwrap_or_else(Multiaddr::empty)
            .with(Protocol::P2p(self.id()))
    }

    /// All addresses that we listen on, each ending in our `/p2p/…`.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let suffix = Protocol::P2p(self.id());
        self.inner
            .listen_addresses()
            .into_iter()
            .map(|address| address.with(suffix.clone()))
            .collect()
    }

    /// Listens on one more address and returns what it stands for: real ports, and for a wildcard one address for each
    /// interface.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn listen(&self, address: impl IntoAddress) -> Result<Vec<Multiaddr>, ListenError> {
        let (reply, outcome) = oneshot::channel();
        self.inner
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
    /// # Errors
    /// See [`DialError`]: every address that was tried, and why it failed.
    pub async fn dial(&self, target: impl IntoTarget) -> Result<Connection, OpenError> {
        let target = target.into_target()?;
        let mut connection = self.connect(target.clone()).await?;
        for _ in 0..RETRIES_MAX {
            if connection.shared().is_open() {
                break;
            }
            connection = self.reconnect(connection, target.clone()).await?;
        }
        Ok(connection)
    }

    async fn connect(&self, target: Target) -> Result<Connection, DialError> {
        match target.peer.and_then(|peer| self.inner.connected(&peer)) {
            Some(shared) => Ok(Connection::new(self.inner.clone(), shared)),
            None => self.inner.connect(target).await,
        }
    }

    /// Another connection than this one, which is ending; it is the peer's only one, or it would not have been taken.
    async fn reconnect(&self, ending: Connection, target: Target) -> Result<Connection, DialError> {
        let shared = ending.shared().clone();
        drop(ending);
        // Whatever comes of it, the next step has deadlines of its own.
        let _ = timeout(self.inner.config.negotiation_timeout, shared.wait_gone()).await;
        self.connect(target).await
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
        let mut connection = self.connect(target.clone()).await?;
        for _ in 0..RETRIES_MAX {
            match open_on(&self.inner, connection.shared(), protocols.clone()).await {
                // It ended under our hands; the peer has not taken the stream. Another connection will do.
                Err(OpenError::Stream(StreamError::ConnectionLost(_))) => {}
                outcome => return outcome,
            }
            connection = self.reconnect(connection, target.clone()).await?;
        }
        open_on(&self.inner, connection.shared(), protocols).await
    }

    /// Accepts inbound streams of the protocols, until the [`Incoming`] is dropped.
    ///
    /// # Errors
    /// A protocol is registered already, or is not a protocol id.
    pub fn accept(&self, protocols: impl IntoProtocols) -> Result<Incoming, AcceptError> {
        let protocols = protocols.into_protocols()?;
        let streams = self.inner.router.accept(protocols.clone())?;
        self.inner.post(Message::ProtocolsChanged);
        Ok(Incoming::new(protocols, streams, self.inner.clone()))
    }

    /// Runs `handler` as a task of its own for each inbound stream of the protocol, as long as the node lives.
    ///
    /// # Errors
    /// The protocol is registered already, or is not a protocol id.
    pub fn handle<F, R>(&self, protocol: &str, handler: F) -> Result<(), AcceptError>
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.inner
            .router
            .handle(crate::target::parse_protocol(protocol)?, handler)?;
        self.inner.post(Message::ProtocolsChanged);
        Ok(())
    }

    /// Measures one round trip to the target with the ping protocol; dials if there is no connection.
    ///
    /// # Errors
    /// See [`PingError`].
    pub async fn ping(&self, target: impl IntoTarget) -> Result<Duration, PingError> {
        self.dial(target).await?.ping().await
    }

    /// Remembers where a peer may be found, for an hour, so that it can be dialed by its id alone.
    ///
    /// # Errors
    /// No peer is named, or two are.
    pub async fn add_addresses(&self, target: impl IntoTarget) -> Result<(), OpenError> {
        let target = target.into_target()?;
        let peer = target.peer.ok_or(crate::TargetError::Empty)?;
        self.inner
            .send(Message::Addresses {
                peer,
                addresses: target.addresses,
            })
            .await;
        Ok(())
    }

    /// What the connected peer says of itself, once it has.
    pub fn peer(&self, peer: &PeerId) -> Option<Arc<Info>> {
        self.inner.connected(peer)?.info.borrow().clone()
    }

    /// The peers that we are connected to.
    pub fn peers(&self) -> Vec<PeerId> {
        self.inner
            .peers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        let events = self.inner.events.upgrade();
        Events(events.map_or_else(|| broadcast::channel(1).1, |events| events.subscribe()))
    }

    /// Closes the node: no new streams, open ones may finish for [`Config::drain_timeout`], then every connection is
    /// closed and every listener gone. Also closes all clones.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.inner.send(Message::Close { done: Some(done) }).await;
        // An error means that it was closed before.
        let _ = closed.await;
    }
}

/// How often opening starts again because its connection has ended meanwhile.
const RETRIES_MAX: usize = 3;

/// Opens a stream on this connection.
pub(crate) async fn open_on(
    node: &Arc<Inner>,
    shared: &Arc<Shared>,
    protocols: Vec<ProtocolId>,
) -> Result<Stream, OpenError> {
    let open = async {
        let key = poll_fn(|cx| shared.poll_open(cx))
            .await
            .map_err(StreamError::ConnectionLost)?;
        let known = protocols
            .iter()
            .find(|protocol| shared.speaks(protocol))
            .cloned();
        let optimistic = known.is_some();
        let first = known.or_else(|| protocols.first().cloned());
        let proposed = if optimistic {
            first.iter().cloned().collect()
        } else {
            protocols.clone()
        };
        let Some(first) = first else {
            return Err(StreamError::Unsupported(NegotiateError::Unsupported(
                proposed,
            )));
        };
        let mut stream = Stream::outbound(
            shared.clone(),
            node.clone(),
            key,
            first,
            Dialer::new(proposed),
        );
        if !optimistic {
            stream.confirm().await?;
        }
        Ok(stream)
    };
    let after = node.config.negotiation_timeout;
    let opened = timeout(after, open).await;
    let peer = shared.peer;
    let result = opened.map_err(|_| OpenError::TimedOut { peer, after })?;
    result.map_err(|error| match error {
        StreamError::Unsupported(NegotiateError::Unsupported(_)) => {
            OpenError::Unsupported { peer, protocols }
        }
        error => OpenError::Stream(error),
    })
}

impl From<ConnectionError> for OpenError {
    fn from(error: ConnectionError) -> Self {
        Self::Stream(StreamError::ConnectionLost(error))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
