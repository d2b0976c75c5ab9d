//! What the parts of a node share: identity, configuration, routes, and the way to the control task.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime},
};

use carrick_protocols::identify::{Own, Sealed};
use carrick_session::Security;
use carrick_swarm::{Behaviour, DialError, DialOptions, Limit, Swarm, WaiterId, scope};
use carrick_wire::{Keypair, Multiaddr, PeerId, ProtocolId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{
    Config, Connection, Fault, NodeEvent,
    addresses::Addresses,
    admission::Judge,
    connection::Shared,
    message::{Answering, Ask, Message},
    metrics::Metrics,
    pnet::SwarmKey,
    quotas::Quotas,
    requesting::Requesting,
    resolve::Resolver,
    router::Router,
    target::Target,
    transport::{Transport, quic::Quic},
    workers::Workers,
};

/// What the node's handles, tasks and streams share.
pub(crate) struct Core {
    pub(crate) id: PeerId,
    pub(crate) keypair: Keypair,
    /// In order of preference.
    pub(crate) securities: Vec<Security>,
    /// `config.session`, shared by all upgrades.
    pub(crate) session_config: Arc<carrick_session::Config>,
    pub(crate) config: Config,
    pub(crate) muxers: Vec<ProtocolId>,
    pub(crate) agent: String,
    pub(crate) transports: Vec<Box<dyn Transport>>,
    pub(crate) quic: Quic,
    pub(crate) resolver: Box<dyn Resolver>,
    /// Of the private network that we are in.
    pub(crate) swarm_key: Option<SwarmKey>,
    pub(crate) router: Router,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) requesting: Requesting,
    pub(crate) metrics: Arc<Metrics>,
    /// What the user says to who wants in.
    pub(crate) judge: Option<Judge>,
    /// The connection that new streams to a peer use.
    pub(crate) peers: RwLock<HashMap<PeerId, Arc<Shared>>>,
    pub(crate) addresses: RwLock<Addresses>,
    /// The control task's: events end with it.
    pub(crate) events: broadcast::WeakSender<NodeEvent>,
    pub(crate) control: mpsc::Sender<Message>,
    /// Told when the machine's addresses have changed.
    pub(crate) network: watch::Sender<()>,
    waiters: AtomicU64,
    /// What identify told last, its number and its signed form; for each [`Scope`](carrick_swarm::Scope) of peers.
    told: Mutex<[Option<(Own, u64, Sealed)>; 3]>,
    /// The threads live as long as this.
    workers: Workers,
}

/// What a builder hands over.
pub(crate) struct Parts {
    pub(crate) keypair: Keypair,
    pub(crate) securities: Vec<Security>,
    pub(crate) config: Config,
    pub(crate) muxers: Vec<ProtocolId>,
    pub(crate) agent: String,
    pub(crate) transports: Vec<Box<dyn Transport>>,
    pub(crate) quic: Quic,
    pub(crate) resolver: Box<dyn Resolver>,
    pub(crate) swarm_key: Option<SwarmKey>,
    pub(crate) router: Router,
    pub(crate) judge: Option<Judge>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) control: mpsc::Sender<Message>,
    pub(crate) events: broadcast::WeakSender<NodeEvent>,
    pub(crate) workers: Workers,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            id: parts.keypair.public().to_peer_id(),
            keypair: parts.keypair,
            securities: parts.securities,
            quotas: Quotas::new(&parts.config, telling(parts.control.clone())),
            session_config: Arc::new(parts.config.session.clone()),
            config: parts.config,
            muxers: parts.muxers,
            agent: parts.agent,
            transports: parts.transports,
            quic: parts.quic,
            resolver: parts.resolver,
            swarm_key: parts.swarm_key,
            router: parts.router,
            judge: parts.judge,
            metrics: parts.metrics,
            requesting: Requesting::default(),
            peers: RwLock::default(),
            addresses: RwLock::default(),
            events: parts.events,
            control: parts.control,
            network: watch::Sender::new(()),
            waiters: AtomicU64::new(0),
            told: Mutex::default(),
            workers: parts.workers,
        }
    }

    /// Where the node's tasks run.
    pub(crate) fn runtime(&self) -> tokio::runtime::Handle {
        self.workers.handle()
    }

    /// Sends a message to the control task; a closed node drops it.
    pub(crate) async fn send(&self, message: Message) {
        let _ = self.control.send(message).await;
    }

    /// As [`send`](Self::send), from where waiting is impossible.
    pub(crate) fn post(&self, message: Message) {
        post(&self.control, message);
    }

    /// What we tell a peer at `remote` of ourselves, ready to send. Signed anew only when it has changed.
    pub(crate) fn identify(&self, remote: &Multiaddr) -> Vec<u8> {
        let addresses = self.addresses.read();
        let addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        let (listen_addresses, seq) = addresses.told_at(remote);
        drop(addresses);
        let own = Own {
            protocol_version: "ipfs/0.1.0".to_owned(),
            agent: self.agent.clone(),
            listen_addresses,
            protocols: self.router.protocols(),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // What one peer is told differs from what another is: see `Scope`.
        let told = &mut told[scope(remote) as usize];
        let sealed = match told.as_mut() {
            Some((last, number, sealed)) if *last == own && *number == seq => sealed,
            _ => {
                let sealed = own.seal(&self.keypair, seq);
                &mut told.insert((own, seq, sealed)).2
            }
        };
        sealed.encode(Some(remote))
    }

    /// After a change of the swarm's addresses.
    pub(crate) fn update_addresses(&self, swarm: &Swarm) {
        let addresses = self.addresses.write();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        addresses.update(swarm, SystemTime::now());
    }

    /// Asks or commands the swarm, on the control task; `None` once the node is closed. When it returns, what the swarm
    /// wanted done is done, or begun. Dropping the future does not take back what was asked.
    pub(crate) async fn with_swarm<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Swarm, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |swarm: &mut Swarm, now| {
            let answer = ask(swarm, now);
            // Whoever asked may have gone.
            Box::new(move || drop(reply.send(answer))) as Answering
        });
        self.send(Message::Swarm(Ask(ask))).await;
        answer.await.ok()
    }

    /// Counts what a peer did.
    pub(crate) async fn record(&self, peer: PeerId, behaviour: Behaviour, source: &'static str) {
        let record = move |swarm: &mut Swarm, now| {
            swarm.record_behaviour(now, peer, behaviour, source);
        };
        self.with_swarm(record).await;
    }

    /// Counts what an error implies of a peer.
    pub(crate) async fn blame(&self, peer: PeerId, fault: &Fault, source: &'static str) {
        if let Some(behaviour) = fault.behaviour() {
            self.record(peer, behaviour, source).await;
        }
    }

    /// The connection that streams to `peer` use, if there is one.
    pub(crate) fn connected(&self, peer: &PeerId) -> Option<Arc<Shared>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(peer).filter(|shared| shared.is_open()).cloned()
    }

    /// A connection to the target: an existing one, or what a dial brings.
    pub(crate) async fn connect(
        &self,
        target: Target,
        options: DialOptions,
    ) -> Result<Connection, DialError> {
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
            options,
            reply,
        })
        .await;
        let outcome = outcome.await.unwrap_or(Err(DialError::Closed));
        guard.armed = false;
        outcome
    }
}

/// Tells the user, through the swarm, that a limit was reached.
fn telling(control: mpsc::Sender<Message>) -> Box<dyn Fn(Limit) + Send + Sync> {
    Box::new(move |limit| {
        let ask = Ask(Box::new(move |swarm, now| {
            swarm.limit_reached(now, limit);
            Box::new(|| {})
        }));
        post(&control, Message::Swarm(ask));
    })
}

/// Tells the swarm that a waiter has gone, so that a dial nobody waits for ends.
struct CancelDial<'a> {
    node: &'a Core,
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

/// Sends a message from where waiting is impossible.
pub(crate) fn post(control: &mpsc::Sender<Message>, message: Message) {
    if let Err(mpsc::error::TrySendError::Full(message)) = control.try_send(message) {
        let control = control.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // A closed node needs no message.
            runtime.spawn(async move { control.send(message).await.ok() });
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
