//! The code switcher: which actor's mailbox a message goes to, by its code.

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use carrick_wire::{
    PeerId,
    messages::{Priority, Refusal},
};
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::{
    Inbound, Message, error,
    inbound::{Said, Way},
};
use crate::{
    RequestError,
    actors::{Sender, Sent, Share},
    codec::Codec,
};

/// Which mailbox each message goes to, by its code; fixed once the messages are started.
///
/// What the mailbox does when it is full, its policy says: with [`Policy::Wait`](crate::actors::Policy::Wait) the peer is not
/// read from until there is room, with the others it is told that we are busy, or the oldest request is dropped. A code without
/// a mailbox is refused as not supported, what does not decode as malformed; both are counted, and recorded of the peer.
#[derive(Clone, Default)]
pub struct Switcher {
    routes: Arc<BTreeMap<u16, Route>>,
}

#[derive(Clone)]
struct Route {
    /// Takes a message as it came.
    deliver: Arc<dyn Fn(Arrived) -> Delivery + Send + Sync>,
    /// The `Arc<dyn Typed<M>>` behind it.
    typed: Arc<dyn Any + Send + Sync>,
}

/// A message as it came.
pub(super) struct Arrived {
    pub(super) peer: PeerId,
    pub(super) priority: Priority,
    pub(super) payload: Bytes,
    pub(super) way: Arrival,
    pub(super) share: Option<Share>,
}

/// Who waits for the reply, in whatever type it is.
pub(super) enum Arrival {
    OneWay,
    Request(oneshot::Sender<Said<Bytes>>, usize),
}

/// What has become of a message.
pub(super) enum Delivery {
    /// A mailbox has it.
    Taken,
    /// Nobody has it.
    Refused(Refusal),
    /// The mailbox may take it soon; if not, this says why.
    Waits(BoxFuture<'static, Result<(), Refusal>>),
}

impl Switcher {
    /// No mailbox yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages of type `M` go to this mailbox, in the lane of the priority that they came with. The mailbox holds
    /// `Inbound<M>`, or an enum made from it. A code that was given before goes to the new mailbox.
    #[must_use]
    pub fn route<M, T>(mut self, sender: Sender<T>) -> Self
    where
        M: Message,
        T: From<Inbound<M>> + Send + 'static,
    {
        let typed: Arc<dyn Typed<M>> = Arc::new(sender);
        let to = typed.clone();
        let deliver = move |arrived: Arrived| {
            let message = match <M::Codec as Codec<M>>::decode(arrived.payload) {
                Ok(message) => message,
                Err(error) => return Delivery::Refused(Refusal::Malformed(error.to_string())),
            };
            let way = match arrived.way {
                Arrival::OneWay => Way::Nowhere,
                Arrival::Request(to, max) => Way::Remote(to, max),
            };
            let inbound = Inbound::new(arrived.peer, message, way, arrived.share);
            to.take(arrived.priority, inbound)
        };
        let route = Route {
            deliver: Arc::new(deliver),
            typed: Arc::new(typed),
        };
        Arc::make_mut(&mut self.routes).insert(M::CODE, route);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    pub(super) fn deliver(&self, code: u16, arrived: Arrived) -> Delivery {
        match self.routes.get(&code) {
            Some(route) => (route.deliver)(arrived),
            None => Delivery::Refused(Refusal::NotSupported),
        }
    }

    /// Asks an actor of this node.
    pub(super) async fn ask_local<M: Message>(
        &self,
        peer: PeerId,
        message: &M,
    ) -> Result<M::Reply, RequestError> {
        let (to, said) = oneshot::channel();
        self.take_local(peer, message, Way::Local(to)).await?;
        match said.await {
            Ok(Said::One(reply)) => reply.map_err(error::refused),
            Ok(Said::Many(_)) => Err(many_instead_of_one()),
            Err(_) => Err(RequestError::Cancelled),
        }
    }

    /// As [`ask_local`](Self::ask_local), for any number of replies.
    pub(super) async fn stream_local<M: Message>(
        &self,
        peer: PeerId,
        message: &M,
    ) -> Result<oneshot::Receiver<Said<M::Reply>>, RequestError> {
        let (to, said) = oneshot::channel();
        self.take_local(peer, message, Way::Local(to)).await?;
        Ok(said)
    }

    /// As [`ask_local`](Self::ask_local), for none.
    pub(super) async fn tell_local<M: Message>(
        &self,
        peer: PeerId,
        message: &M,
    ) -> Result<(), RequestError> {
        self.take_local(peer, message, Way::Nowhere).await
    }

    async fn take_local<M: Message>(
        &self,
        peer: PeerId,
        message: &M,
        way: Way<M::Reply>,
    ) -> Result<(), RequestError> {
        let route = self.routes.get(&M::CODE);
        let typed = route.and_then(|route| route.typed.downcast_ref::<Arc<dyn Typed<M>>>());
        let typed = typed.ok_or(RequestError::NotSupported)?;
        let inbound = Inbound::new(peer, message.clone(), way, None);
        taken(typed.take(M::PRIORITY, inbound)).await
    }
}

/// Waits until a mailbox has it, or not.
pub(super) async fn taken(delivery: Delivery) -> Result<(), RequestError> {
    match delivery {
        Delivery::Taken => Ok(()),
        Delivery::Refused(why) => Err(error::refused(why)),
        Delivery::Waits(taken) => taken.await.map_err(error::refused),
    }
}

/// A handler has said more than was asked for.
pub(super) fn many_instead_of_one() -> RequestError {
    RequestError::Malformed("many replies instead of one".to_owned())
}

/// A mailbox for messages of one type, whatever else it is for.
trait Typed<M: Message>: Send + Sync {
    fn take(&self, priority: Priority, inbound: Inbound<M>) -> Delivery;
}

impl<M, T> Typed<M> for Sender<T>
where
    M: Message,
    T: From<Inbound<M>> + Send + 'static,
{
    fn take(&self, priority: Priority, inbound: Inbound<M>) -> Delivery {
        let message = match self.try_send_at(priority, inbound.into()) {
            Sent::Ok => return Delivery::Taken,
            Sent::Closed(_) => return Delivery::Refused(Refusal::NotSupported),
            Sent::Full(message) => message,
        };
        let sender = self.clone();
        Delivery::Waits(Box::pin(async move {
            match sender.send_at(priority, message).await {
                Sent::Ok => Ok(()),
                Sent::Closed(_) => Err(Refusal::NotSupported),
                Sent::Full(_) => Err(Refusal::Busy {
                    retry_after: Some(RETRY_AFTER),
                }),
            }
        }))
    }
}

impl fmt::Debug for Switcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

/// What a peer is told whose message a mailbox does not take.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(100);
