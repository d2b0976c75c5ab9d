//! Which protocol goes where: to a handler, into a queue, or to ourselves.
//!
//! Invariant: a protocol is confirmed to the peer only when there is room for its stream, so a negotiated stream is never
//! dropped: a full queue holds the peer back, a protocol that nobody accepts any more is refused.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, PoisonError},
};

use carrick_protocols::{identify, packets, ping};
use carrick_swarm::Limit;
use carrick_wire::ProtocolId;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    AcceptError, Fault, Stream,
    quotas::{QUEUE_MAX, Quotas},
    sync::{
        RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a handler's future may end in: nothing, or a result whose error can be shown. What it implies of the peer is scored,
/// see [`Fault`].
pub trait Outcome: Send {
    /// Why it failed, if it did.
    fn fault(self) -> Option<Fault>;
}

impl Outcome for () {
    fn fault(self) -> Option<Fault> {
        None
    }
}

impl<T: Send, E: fmt::Display + Send + 'static> Outcome for Result<T, E> {
    fn fault(self) -> Option<Fault> {
        self.err().map(Fault::of)
    }
}

type Handler = Arc<dyn Fn(Stream) -> BoxFuture<'static, Option<Fault>> + Send + Sync>;

/// Where the streams of one protocol go.
#[derive(Clone)]
enum Route {
    Handler(Handler, Arc<Semaphore>, Arc<AtomicU64>),
    Queue(mpsc::Sender<Stream>, Arc<AtomicU64>),
    Ping,
    Identify,
    IdentifyPush,
    Packets(Arc<AtomicU64>),
}

/// Room for one stream, reserved before the protocol is confirmed.
pub(crate) enum Place {
    Handler(Handler, OwnedSemaphorePermit, Arc<AtomicU64>),
    Queue(mpsc::OwnedPermit<Stream>, Arc<AtomicU64>),
    Ping,
    Identify,
    IdentifyPush,
    Packets(Arc<AtomicU64>),
}

impl Place {
    /// How many streams of a user's protocol are open.
    pub(crate) fn streams(&self) -> Option<&Arc<AtomicU64>> {
        match self {
            Self::Handler(_, _, streams) | Self::Queue(_, streams) | Self::Packets(streams) => {
                Some(streams)
            }
            Self::Ping | Self::Identify | Self::IdentifyPush => None,
        }
    }
}

pub(crate) struct Router {
    /// `None`: the node is closed.
    routes: RwLock<Option<Routes>>,
    handlers_max: usize,
}

struct Routes {
    streams: BTreeMap<ProtocolId, Route>,
    /// Who takes flows of packets, by the application's protocol.
    packets: BTreeMap<ProtocolId, (Handler, Arc<Semaphore>)>,
}

impl Router {
    /// Knows the protocols that every node serves.
    pub(crate) fn new(handlers_max: usize) -> Self {
        let routes = [
            (ping::PROTOCOL, Route::Ping),
            (identify::PROTOCOL, Route::Identify),
            (identify::PUSH_PROTOCOL, Route::IdentifyPush),
        ];
        Self {
            routes: RwLock::new(Some(Routes {
                streams: routes.into(),
                packets: BTreeMap::new(),
            })),
            handlers_max: handlers_max.min(Semaphore::MAX_PERMITS),
        }
    }

    pub(crate) fn handle<F, R>(&self, protocol: ProtocolId, handler: F) -> Result<(), AcceptError>
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        let (handler, permits) = handling(handler, self.handlers_max);
        self.add(
            vec![protocol],
            &Route::Handler(handler, permits, Arc::default()),
        )
    }

    /// Registers who takes the control streams of one protocol's flows of packets.
    pub(crate) fn handle_packets<F, R>(
        &self,
        protocol: ProtocolId,
        handler: F,
    ) -> Result<(), AcceptError>
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(routes) = routes.as_mut() else {
            return Ok(());
        };
        for carrier in [packets::PROTOCOL, packets::STREAM_PROTOCOL] {
            let route = routes.streams.entry(carrier.clone());
            let packets = || Route::Packets(Arc::default());
            if !matches!(route.or_insert_with(packets), Route::Packets(_)) {
                return Err(AcceptError::AlreadyRegistered(carrier));
            }
        }
        if routes.packets.contains_key(&protocol) {
            return Err(AcceptError::AlreadyRegistered(protocol));
        }
        let handling = handling(handler, self.handlers_max);
        routes.packets.insert(protocol, handling);
        Ok(())
    }

    /// Who takes flows of packets for this protocol; within it `None` when there are too many already.
    pub(crate) fn packets(
        &self,
        protocol: &ProtocolId,
    ) -> Option<Option<(Handler, OwnedSemaphorePermit)>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let (handler, permits) = routes.as_ref()?.packets.get(protocol)?.clone();
        let permit = permits.try_acquire_owned().ok();
        Some(permit.map(|permit| (handler, permit)))
    }

    /// Registers all protocols or none; one queue for all of them.
    pub(crate) fn accept(
        &self,
        protocols: Vec<ProtocolId>,
    ) -> Result<mpsc::Receiver<Stream>, AcceptError> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        self.add(protocols, &Route::Queue(sender, Arc::default()))?;
        Ok(receiver)
    }

    pub(crate) fn remove(&self, protocols: &[ProtocolId]) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        for routes in routes.iter_mut() {
            routes
                .streams
                .retain(|protocol, _| !protocols.contains(protocol));
        }
    }

    /// Ends every queue and forgets every handler, also those still to come.
    pub(crate) fn close(&self) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let ended = routes.take();
        // A handler may own what comes back here when it is dropped.
        drop(routes);
        drop(ended);
    }

    /// What we accept, for identify and `ls`.
    pub(crate) fn protocols(&self) -> Vec<ProtocolId> {
        self.routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .flat_map(|routes| routes.streams.keys())
            .cloned()
            .collect()
    }

    fn add(&self, protocols: Vec<ProtocolId>, route: &Route) -> Result<(), AcceptError> {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        // On a closed node a queue ends at once, since nobody holds its other end.
        let Some(routes) = routes.as_mut() else {
            return Ok(());
        };
        if let Some(taken) = protocols
            .iter()
            .find(|protocol| routes.streams.contains_key(*protocol))
        {
            return Err(AcceptError::AlreadyRegistered(taken.clone()));
        }
        routes.streams.extend(
            protocols
                .into_iter()
                .map(|protocol| (protocol, route.clone())),
        );
        Ok(())
    }

    /// Streams of the protocol that has most of them.
    pub(crate) fn streams_of_busiest(&self) -> u64 {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let all = routes.iter().flat_map(|routes| routes.streams.values());
        let all = all.filter_map(|route| match route {
            Route::Handler(_, _, streams) | Route::Queue(_, streams) | Route::Packets(streams) => {
                Some(streams)
            }
            Route::Ping | Route::Identify | Route::IdentifyPush => None,
        });
        all.map(|streams| streams.load(Ordering::Relaxed))
            .max()
            .unwrap_or(0)
    }

    /// Waits for room; `None` when nobody accepts the protocol (any more).
    pub(crate) async fn reserve(&self, protocol: &ProtocolId, quotas: &Quotas) -> Option<Place> {
        let route = self
            .routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()?
            .streams
            .get(protocol)?
            .clone();
        Some(match route {
            Route::Handler(handler, permits, streams) => {
                let limit = Limit::HandlersPerProtocol;
                match permits.available_permits() {
                    0 => drop(quotas.refuse(limit)),
                    free => quotas.saw(limit, (self.handlers_max - free) as u64 + 1),
                }
                Place::Handler(handler, permits.acquire_owned().await.ok()?, streams)
            }
            Route::Queue(sender, streams) => {
                let limit = Limit::QueuePerProtocol;
                match sender.capacity() {
                    0 => drop(quotas.refuse(limit)),
                    free => quotas.saw(limit, (QUEUE_MAX - free) as u64 + 1),
                }
                Place::Queue(sender.reserve_owned().await.ok()?, streams)
            }
            Route::Ping => Place::Ping,
            Route::Identify => Place::Identify,
            Route::IdentifyPush => Place::IdentifyPush,
            Route::Packets(streams) => Place::Packets(streams),
        })
    }
}

/// A handler in the form that routes have, and its places.
fn handling<F, R>(handler: F, max: usize) -> (Handler, Arc<Semaphore>)
where
    F: Fn(Stream) -> R + Send + Sync + 'static,
    R: Future<Output: Outcome> + Send + 'static,
{
    let handler: Handler = Arc::new(move |stream| {
        let handled = handler(stream);
        Box::pin(async move { handled.await.fault() })
    });
    (handler, Arc::new(Semaphore::new(max)))
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router").field(&self.protocols()).finish()
    }
}
