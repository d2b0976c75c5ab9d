//! How a node is made.

use std::{fmt, sync::Arc};

use carrick_session::NoiseIdentity;
#[cfg(feature = "tls")]
use carrick_session::TlsIdentity;
use carrick_swarm::{Stage, Verdict};
use carrick_wire::{Keypair, Multiaddr, ProtocolId};
use tokio::sync::{broadcast, mpsc};

use crate::{
    AcceptError, Config, IntoAddress, ListenError, Node, Packets, ProtocolHandler, Stream,
    TargetError,
    admission::Judge,
    carried::Carried,
    control::{Control, MESSAGES_MAX},
    core::{Core, Parts},
    identify,
    metrics::Metrics,
    packets,
    pnet::{self, SwarmKey},
    proofs::RecentProofs,
    quotas::EVENTS_MAX,
    resolve::{Resolver, SystemResolver},
    router::{Outcome, Router},
    store::{Saver, Store},
    target::parse_protocol,
    transport::{
        MemoryTransport, ReusingTcp, SharedTransport, TcpTransport, Transport, WebSocketTransport,
        quic::Quic,
    },
    workers::Workers,
};

/// What secures connections over pipes: it encrypts, and proves to each peer who the other one is. QUIC brings its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `/noise`, with ChaCha20-Poly1305. Every libp2p stack has it.
    Noise,
    /// `/tls/1.0.0`: TLS 1.3, with AES where the peer agrees. Several times faster with much data on most machines.
    #[cfg(feature = "tls")]
    Tls,
}

impl Security {
    /// All of them, as they are offered unless the user says otherwise.
    const ALL: &[Self] = &[
        Self::Noise,
        #[cfg(feature = "tls")]
        Self::Tls,
    ];

    /// The node's part in it; `None` if the identity cannot sign.
    fn identity(
        self,
        keypair: &Keypair,
        early_muxers: Vec<ProtocolId>,
        proofs: Arc<RecentProofs>,
    ) -> Option<carrick_session::Security> {
        Some(match self {
            Self::Noise => {
                let secret = rand::random();
                let noise = NoiseIdentity::with_proofs(keypair, secret, early_muxers, proofs)?;
                carrick_session::Security::Noise(Arc::new(noise))
            }
            #[cfg(feature = "tls")]
            Self::Tls => {
                let tls = TlsIdentity::with_proofs(keypair, early_muxers, proofs)?;
                carrick_session::Security::Tls(Arc::new(tls))
            }
        })
    }
}

/// A stream multiplexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Muxer {
    /// `/yamux/1.0.0`, with flow control.
    Yamux,
    /// `/mplex/6.7.0`, for older peers: without flow control, so a slow reader holds up its connection and is then reset.
    Mplex,
}

impl Muxer {
    fn protocol(self) -> ProtocolId {
        match self {
            Self::Yamux => ProtocolId::from_static("/yamux/1.0.0"),
            Self::Mplex => ProtocolId::from_static("/mplex/6.7.0"),
        }
    }
}

type RegisterProtocol = dyn FnOnce(&Node) -> Result<(), AcceptError> + Send;
type Register = Box<dyn FnOnce(&Router) -> Result<(), AcceptError> + Send>;

/// Makes a [`Node`]: identity, listeners, handlers, limits. Everything has a default.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Config, Keypair, Node};
///
/// let node = Node::builder()
///     .identity(Keypair::generate_ed25519())
///     .agent("my-app/1.0")
///     .config(Config { idle_timeout: None, ..Config::default() })
///     .listen("/ip4/127.0.0.1/tcp/0")?
///     .listen("/ip6/::1/tcp/0")?
///     .spawn()
///     .await?;
/// assert_eq!(node.addresses().len(), 2);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing before spawn()"]
pub struct Builder {
    keypair: Keypair,
    config: Config,
    securities: Vec<Security>,
    muxers: Vec<Muxer>,
    early_muxers: bool,
    agent: Option<String>,
    listen: Vec<Multiaddr>,
    announce: Vec<Multiaddr>,
    announce_only: bool,
    transports: Vec<Box<dyn Transport>>,
    resolver: Box<dyn Resolver>,
    websocket: WebSocketTransport,
    share_port: bool,
    handlers: Vec<Register>,
    protocols: Vec<Box<RegisterProtocol>>,
    swarm_key: Option<SwarmKey>,
    reuse_port: bool,
    store: Option<Arc<dyn Store>>,
    judge: Option<Judge>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            keypair: Keypair::generate_ed25519(),
            config: Config::default(),
            securities: Security::ALL.to_vec(),
            muxers: vec![Muxer::Yamux],
            early_muxers: true,
            agent: None,
            listen: Vec::new(),
            announce: Vec::new(),
            announce_only: false,
            transports: Vec::new(),
            resolver: Box::new(SystemResolver::default()),
            websocket: WebSocketTransport::new(),
            share_port: false,
            handlers: Vec::new(),
            protocols: Vec::new(),
            swarm_key: None,
            reuse_port: false,
            store: None,
            judge: None,
        }
    }

    /// The node's identity; without this, a new Ed25519 key.
    pub fn identity(mut self, keypair: Keypair) -> Self {
        self.keypair = keypair;
        self
    }

    /// Limits and timings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The security protocols to offer, in order of preference; Noise and TLS by default. A dialer proposes the first
    /// alone, with its first handshake message; a peer that refuses it is dialed again with the next one.
    pub fn securities(mut self, securities: impl IntoIterator<Item = Security>) -> Self {
        self.securities = securities.into_iter().collect();
        self
    }

    /// The muxers to offer, in order of preference; yamux alone by default. With one muxer a connection to a peer that
    /// lacks the early negotiation is a round trip faster.
    pub fn muxers(mut self, muxers: impl IntoIterator<Item = Muxer>) -> Self {
        self.muxers = muxers.into_iter().collect();
        self
    }

    /// Whether the muxer is agreed on within the security handshake, where the peer can do so; on by default.
    pub fn early_muxers(mut self, early: bool) -> Self {
        self.early_muxers = early;
        self
    }

    /// What identify calls this program, such as `my-app/1.0`; Carrick's own name is appended.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Listens on this address once the node is spawned. May be called several times.
    ///
    /// # Errors
    /// The text is not a multiaddr.
    pub fn listen(mut self, address: impl IntoAddress) -> Result<Self, TargetError> {
        self.listen.push(address.into_address()?);
        Ok(self)
    }

    /// Tells others that the node can be reached at this address: see [`Node::announce`]. May be called several times.
    ///
    /// # Errors
    /// The text is not a multiaddr.
    pub fn announce(mut self, address: impl IntoAddress) -> Result<Self, TargetError> {
        self.announce.push(address.into_address()?);
        Ok(self)
    }

    /// Whether others are told of announced addresses only, and not of those that the node listens on or is seen at.
    pub fn announce_only(mut self, only: bool) -> Self {
        self.announce_only = only;
        self
    }

    /// Adds a transport. TCP, QUIC, WebSocket, memory and Unix sockets are there without it; added ones are asked first.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transports.push(Box::new(transport));
        self
    }

    /// Looks names up for `/dns`, `/dns4`, `/dns6` and `/dnsaddr`, instead of the system's configuration.
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolver = Box::new(resolver);
        self
    }

    /// Whether listeners for TCP, WebSocket and WSS that name the same port share it: `/ip4/0.0.0.0/tcp/4001`,
    /// `/ip4/0.0.0.0/tcp/4001/ws` and `/ip4/0.0.0.0/tcp/4001/tls/ws`. Off by default; a second one is then refused as by
    /// any other program. Peers are told apart by their first byte, which a private network hides, so [`spawn`](Self::spawn)
    /// refuses the two together.
    pub fn share_port(mut self, share: bool) -> Self {
        self.share_port = share;
        self
    }

    /// Runs `handler` as a task of its own for each inbound stream of the protocol. A protocol id that does not parse,
    /// or is there twice, is reported by [`spawn`](Self::spawn).
    pub fn handle<F, R>(mut self, protocol: &str, handler: F) -> Self
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        let protocol = parse_protocol(protocol);
        self.handlers
            .push(Box::new(move |router| router.handle(protocol?, handler)));
        self
    }

    /// Runs `handler` as a task of its own for each flow of packets that a peer opens for the protocol. What is wrong with
    /// it is reported by [`spawn`](Self::spawn).
    pub fn handle_packets<F, R>(mut self, protocol: &str, handler: F) -> Self
    where
        F: Fn(Packets) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        let protocol = parse_protocol(protocol);
        self.handlers.push(Box::new(move |router| {
            packets::register(router, protocol?, handler)
        }));
        self
    }

    /// Registers a protocol that wants to know of connections and peers, too, from the first one on: see
    /// [`ProtocolHandler`]. What is wrong with it is reported by [`spawn`](Self::spawn).
    pub fn protocol(mut self, protocol: &str, handler: impl ProtocolHandler) -> Self {
        let protocol = protocol.to_owned();
        let register = Box::new(move |node: &Node| node.protocol(&protocol, handler));
        self.protocols.push(register);
        self
    }

    /// Whether TCP dials leave from a port that the node listens on with TCP, where one fits; off by default. Peers then
    /// see where the node can be reached, which helps behind a NAT. In return, another process of the same user may listen
    /// on the port as well, and takes a part of its connections. A dial that cannot have the port takes a free one.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Keeps what is known of peers in this store, and knows it again in the next run; by default it is forgotten. Changes
    /// are handed over at most once in [`save_interval`](carrick_swarm::Config::save_interval).
    pub fn store_with(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Asks `judge` about everybody who wants in, three times: by address before anything is read, by peer after the
    /// handshake, which no protocol sees the peer before, and by what the peer says of itself. Bans and limits come first.
    ///
    /// It runs on the node's control task, which waits for it: it should only look something up. One that panics lets
    /// nobody in. Connections that we dial have the last two stages.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use carrick::{Node, Stage, Verdict};
    ///
    /// let friend = Node::spawn().await?;
    /// let only = friend.id();
    /// let server = Node::builder()
    ///     .admit(move |stage| match stage {
    ///         Stage::Peer { peer, .. } if peer != only => Verdict::reject("not a friend"),
    ///         _ => Verdict::Accept,
    ///     })
    ///     .listen("/ip4/127.0.0.1/tcp/0")?
    ///     .spawn()
    ///     .await?;
    /// friend.dial(server.address()).await?.info().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn admit(mut self, judge: impl Fn(Stage<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        self.judge = Some(Arc::new(judge));
        self
    }

    /// Makes the node and binds its listeners, within the current tokio runtime.
    ///
    /// # Errors
    /// A listener cannot be bound, an announced address names another peer, a handler cannot be registered, or the identity
    /// cannot sign; or the environment has `LIBP2P_FORCE_PNET=1` and there is no [`private_network`](Self::private_network).
    pub async fn spawn(mut self) -> Result<Node, ListenError> {
        match self.swarm_key {
            None if pnet::is_forced() => return Err(ListenError::NoSwarmKey),
            Some(_) if self.share_port => return Err(ListenError::PrivateSharedPort),
            _ => {}
        }
        let router = Router::new(self.config.handlers_per_protocol_max);
        self.handlers
            .drain(..)
            .try_for_each(|register| register(&router))?;
        self.config.swarm.tcp_port_reused |= self.reuse_port;
        let reusing = self.reuse_port.then(ReusingTcp::default);
        let transports = transports(self.transports, self.websocket, self.share_port, reusing);
        let muxers: Vec<_> = self.muxers.iter().map(|muxer| muxer.protocol()).collect();
        let early = if self.early_muxers {
            muxers.clone()
        } else {
            Vec::new()
        };
        let proofs = Arc::<RecentProofs>::default();
        let securities = self.securities.iter();
        let securities: Option<_> = securities
            .map(|security| security.identity(&self.keypair, early.clone(), proofs.clone()))
            .collect();
        let config = self.config.bounded();
        let workers = Workers::new(config.workers)
            .map_err(|error| ListenError::Workers(error.to_string()))?;
        let metrics = Arc::<Metrics>::default();
        let quic = Quic::new(
            &self.keypair,
            &config.session,
            config.swarm.pending_inbound_max,
            proofs,
            metrics.traffic(Carried::Quic).clone(),
        );
        let (control, messages) = mpsc::channel(MESSAGES_MAX);
        let events = broadcast::Sender::new(EVENTS_MAX);
        let parts = Parts {
            keypair: self.keypair,
            securities: securities.ok_or(ListenError::Identity)?,
            quic: quic.ok_or(ListenError::Identity)?,
            config,
            muxers,
            agent: agent(self.agent),
            transports,
            resolver: self.resolver,
            swarm_key: self.swarm_key,
            router,
            judge: self.judge,
            metrics,
            control,
            events: events.downgrade(),
            workers,
        };
        let inner = Arc::new(Core::new(parts));
        let core = inner.clone();
        let store = self.store.clone();
        let saver = store.map(|store| Saver::new(store, &inner.runtime()));
        let control = async move { Control::new(core, messages, events, saver).run().await };
        inner.runtime().spawn(control);
        let node = Node::new(inner);
        node.restore(self.store).await?;
        for register in self.protocols {
            register(&node)?;
        }
        node.announce_only(self.announce_only).await;
        begin(&node, self.announce, self.listen).await?;
        Ok(node)
    }
}

/// The user's word for the program, with ours behind it.
fn agent(own: Option<String>) -> String {
    let ours = identify::AGENT;
    own.map_or_else(|| ours.to_owned(), |own| format!("{own} {ours}"))
}

async fn begin(
    node: &Node,
    announce: Vec<Multiaddr>,
    listen: Vec<Multiaddr>,
) -> Result<(), ListenError> {
    for address in announce {
        node.announce(address).await?;
    }
    for address in listen {
        node.listen(address).await?;
    }
    Ok(())
}

/// The users' own ones first.
fn transports(
    mut all: Vec<Box<dyn Transport>>,
    websocket: WebSocketTransport,
    share_port: bool,
    reusing: Option<ReusingTcp>,
) -> Vec<Box<dyn Transport>> {
    if share_port {
        all.push(Box::new(SharedTransport::new(reusing, websocket)));
    } else {
        all.push(match reusing {
            Some(reusing) => Box::new(reusing),
            None => Box::new(TcpTransport),
        });
        all.push(Box::new(websocket));
    }
    all.push(Box::new(MemoryTransport));
    #[cfg(unix)]
    all.push(Box::new(crate::transport::UnixTransport));
    all
}

#[cfg(feature = "websocket")]
impl Builder {
    /// The certificate to show where the node listens on WSS, such as `/ip4/0.0.0.0/tcp/443/tls/ws`: PEM files with the
    /// server's certificate, those of its authorities behind it, and with its key.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub fn wss_certificate(
        mut self,
        chain: impl AsRef<std::path::Path>,
        key: impl AsRef<std::path::Path>,
    ) -> Result<Self, crate::transport::CertificateError> {
        self.websocket = self.websocket.with_certificate(chain, key)?;
        Ok(self)
    }

    /// Trusts the authorities in this PEM file, beside the web's, when the node dials WSS.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn wss_root(
        mut self,
        path: impl AsRef<std::path::Path>,
    ) -> Result<Self, crate::transport::CertificateError> {
        self.websocket = self.websocket.with_root(path)?;
        Ok(self)
    }
}

#[cfg(feature = "store")]
impl Builder {
    /// Keeps what is known of peers in a file in this directory, and knows it again in the next run: addresses, protocols,
    /// keys, and what the user keeps of them. A program that is killed loses about the last second. Blocks while the file
    /// is opened.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = std::env::temp_dir().join(format!("carrick-doc-{}", std::process::id()));
    /// let node = carrick::Node::builder().store(&dir)?.spawn().await?;
    /// # node.close().await;
    /// # std::fs::remove_dir_all(dir)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`StoreError`](crate::StoreError): the directory cannot be written to, another process has the store open, or
    /// the file is not a store that this version reads.
    pub fn store(self, directory: impl AsRef<std::path::Path>) -> Result<Self, crate::StoreError> {
        Ok(self.store_with(crate::FileStore::open(directory)?))
    }
}

#[cfg(feature = "pnet")]
impl Builder {
    /// Talks to nobody but the nodes that have this key. A private network has no QUIC, whose packets cannot be hidden;
    /// TCP, WebSocket, Unix sockets and memory work as ever.
    pub fn private_network(mut self, key: SwarmKey) -> Self {
        self.swarm_key = Some(key);
        self
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
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.listen)
            .field("securities", &self.securities)
            .field("muxers", &self.muxers)
            .finish_non_exhaustive()
    }
}
