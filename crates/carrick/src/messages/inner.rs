//! What all handles of one protocol's messages share: who is asked on which streams, and how many requests are under way.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_protocols::messages::Ask;
use carrick_wire::{PeerId, ProtocolId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Encoded, Form, Switcher,
    builder::Options,
    error,
    link::{Link, Unsent},
    replies::Alone,
    senders::Senders,
    stats::Counts,
    switcher::{Arrival, Arrived, taken},
};
use crate::{Node, RequestError, Stream, target::Target};

pub(super) struct Inner {
    pub(super) node: Node,
    pub(super) protocol: ProtocolId,
    pub(super) tag: u32,
    pub(super) options: Options,
    pub(super) switcher: Switcher,
    pub(super) senders: Senders,
    pub(super) counts: Arc<Counts>,
    asked: Mutex<HashMap<PeerId, Arc<Asked>>>,
}

/// A peer that we ask.
struct Asked {
    in_flight: Arc<Semaphore>,
    /// The stream for all messages, while there is one; who opens it has the lock.
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
}

impl Inner {
    pub(super) fn new(
        node: Node,
        protocol: ProtocolId,
        tag: u32,
        options: Options,
        switcher: Switcher,
    ) -> Self {
        Self {
            node,
            protocol,
            tag,
            options,
            switcher,
            senders: Senders::default(),
            counts: Arc::default(),
            asked: Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> PeerId {
        self.node.id()
    }

    pub(super) fn is_self(&self, target: &Target) -> bool {
        target.peer == Some(self.node.id())
    }

    /// One reply.
    pub(super) async fn request(
        self: &Arc<Self>,
        target: Target,
        ask: Ask,
        timeout: Duration,
    ) -> Result<Bytes, RequestError> {
        match self.options.form {
            Form::StreamPerRequest => {
                let alone = self.ask_alone(target, ask, timeout, false);
                let reply = alone.await?.next().await?;
                reply.ok_or_else(|| RequestError::Failed("it has no reply".to_owned()))
            }
            Form::Multiplexed => {
                let deadline = Instant::now() + timeout;
                let (user, target) = self.user(target).await?;
                let _permit = user.admit().await?;
                for _ in 0..RETRIES_MAX {
                    let link = user.link(&target).await?;
                    match link.request(ask.clone(), deadline).await {
                        Err(Unsent::Ended) => {}
                        Err(Unsent::Failed(error)) => return Err(error),
                        Ok(reply) => return Ok(reply),
                    }
                }
                Err(RequestError::ConnectionLost)
            }
        }
    }

    /// A stream with one request.
    pub(super) async fn ask_alone(
        self: &Arc<Self>,
        target: Target,
        ask: Ask,
        timeout: Duration,
        many: bool,
    ) -> Result<Alone, RequestError> {
        let deadline = Instant::now() + timeout;
        let (user, target) = self.user(target).await?;
        let permit = user.admit().await?;
        let stream = self.open(&target).await?;
        let mut alone = Alone::new(stream, permit, user);
        alone.ask(deadline, many, ask).await?;
        Ok(alone)
    }

    pub(super) async fn notify(
        self: &Arc<Self>,
        target: Target,
        ask: Ask,
    ) -> Result<(), RequestError> {
        let (user, target) = self.user(target).await?;
        if self.options.form == Form::StreamPerRequest {
            let permit = user.admit().await?;
            let stream = self.open(&target).await?;
            return Alone::new(stream, permit, user).tell(ask).await;
        }
        for _ in 0..RETRIES_MAX {
            let link = user.link(&target).await?;
            match link.notify(ask.clone()).await {
                Err(Unsent::Ended) => {}
                Err(Unsent::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(RequestError::ConnectionLost)
    }

    /// Gives ourselves what is encoded already.
    pub(super) async fn tell_encoded(&self, message: Encoded) -> Result<(), RequestError> {
        let arrived = Arrived {
            peer: self.id(),
            priority: message.priority,
            payload: message.payload,
            way: Arrival::OneWay,
            share: None,
        };
        taken(self.switcher.deliver(message.code, arrived)).await
    }

    async fn open(&self, target: &Target) -> Result<Stream, RequestError> {
        let opened = self.node.open_stream(target.clone(), self.protocol.clone());
        opened.await.map_err(error::opening)
    }

    /// The peer, dialed if that is how we learn who it is.
    async fn user(self: &Arc<Self>, mut target: Target) -> Result<(User, Target), RequestError> {
        let peer = match target.peer {
            Some(peer) => peer,
            None => {
                let dialed = self.node.dial(target.clone()).await;
                dialed.map_err(error::opening)?.peer()
            }
        };
        target.peer = Some(peer);
        let mut asked = self.asked();
        let asked = asked.entry(peer).or_insert_with(|| {
            let most = self.options.limits.in_flight_max;
            Arc::new(Asked {
                in_flight: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
                link: tokio::sync::Mutex::default(),
            })
        });
        let user = User {
            inner: self.clone(),
            peer,
            asked: Some(asked.clone()),
        };
        Ok((user, target))
    }

    /// Forgets a peer that nobody asks any more.
    pub(super) fn forget(&self, peer: PeerId) {
        let mut asked = self.asked();
        let is_over = asked.get(&peer).is_some_and(|asked| {
            Arc::strong_count(asked) == 1
                && asked.in_flight.available_permits() >= self.permits()
                && asked
                    .link
                    .try_lock()
                    .is_ok_and(|link| link.as_ref().is_none_or(|link| link.is_over()))
        });
        if is_over {
            asked.remove(&peer);
        }
    }

    fn permits(&self) -> usize {
        self.options
            .limits
            .in_flight_max
            .min(Semaphore::MAX_PERMITS)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Asked>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who asks a peer; the last one leaves nothing behind.
pub(super) struct User {
    inner: Arc<Inner>,
    peer: PeerId,
    /// Only dropping takes it.
    asked: Option<Arc<Asked>>,
}

impl User {
    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Waits until one more request may be under way.
    async fn admit(&self) -> Result<OwnedSemaphorePermit, RequestError> {
        let asked = self.asked.as_ref().ok_or(RequestError::Closed)?;
        let permit = asked.in_flight.clone().acquire_owned().await;
        permit.map_err(|_| RequestError::Closed)
    }

    /// The stream for all messages; opened if there is none, by the first who wants it while the others wait.
    async fn link(&self, target: &Target) -> Result<Arc<Link>, RequestError> {
        let asked = self.asked.as_ref().ok_or(RequestError::Closed)?;
        let mut link = asked.link.lock().await;
        if let Some(link) = link.as_ref().filter(|link| !link.is_over()) {
            return Ok(link.clone());
        }
        let stream = self.inner.open(target).await?;
        let new = Link::start(&self.inner, stream);
        *link = Some(new.clone());
        Ok(new)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("User").field(&self.peer).finish()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.asked = None;
        self.inner.forget(self.peer);
    }
}

/// How often a message is sent anew since its stream has just ended; it had not left.
const RETRIES_MAX: usize = 3;
