//! A message that has come, in its actor's hands, and the way back for the reply.

use std::fmt;

use bytes::Bytes;
use carrick_wire::{PeerId, messages::Refusal};
use tokio::sync::{mpsc, oneshot};

use super::{Message, error};
use crate::{RequestError, actors::Share, codec::Codec};

/// A message that has come from a peer, or from this node itself. An actor's mailbox has it as it is, or in an enum with a
/// `From` for each message.
///
/// Dropping a request unanswered tells the asker that it was given up. Until it is answered or dropped, its bytes count for
/// the peer's budget.
pub struct Inbound<M: Message> {
    message: M,
    replier: Replier<M>,
}

/// The way back for the reply to an [`Inbound`].
pub struct Replier<M: Message> {
    peer: PeerId,
    way: Way<M::Reply>,
    _share: Option<Share>,
}

/// What is said to a request.
pub(super) enum Said<R> {
    /// The reply.
    One(Result<R, Refusal>),
    /// Replies come here; the end is [`Refusal::Complete`], or another refusal.
    Many(mpsc::Receiver<Result<R, Refusal>>),
}

pub(super) enum Way<R> {
    /// Nobody waits: it is a one-way message.
    Nowhere,
    /// Within this node.
    Local(oneshot::Sender<Said<R>>),
    /// To the peer; so large a reply may be.
    Remote(oneshot::Sender<Said<Bytes>>, usize),
}

impl<M: Message> Inbound<M> {
    pub(super) fn new(peer: PeerId, message: M, way: Way<M::Reply>, share: Option<Share>) -> Self {
        let replier = Replier {
            peer,
            way,
            _share: share,
        };
        Self { message, replier }
    }

    /// Who sent it; the connection has made sure of it.
    pub fn peer(&self) -> PeerId {
        self.replier.peer
    }

    /// The message.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// Whether it is a request, which wants a reply.
    pub fn wants_reply(&self) -> bool {
        self.replier.wants_reply()
    }

    /// Answers; `false`: nobody waits for it (any more).
    pub fn reply(self, reply: M::Reply) -> bool {
        self.replier.reply(reply)
    }

    /// Tells the asker that there is no answer; [`RequestError::Failed`] has place for a text of up to 256 bytes.
    pub fn refuse(self, why: RequestError) -> bool {
        self.replier.refuse(why)
    }

    /// Whether nobody waits for the reply any more: then the work can be left undone.
    pub fn is_cancelled(&self) -> bool {
        self.replier.is_cancelled()
    }

    /// The message, and the way back.
    pub fn into_parts(self) -> (M, Replier<M>) {
        (self.message, self.replier)
    }
}

impl<M: Message> Replier<M> {
    /// As [`Inbound::peer`].
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// As [`Inbound::wants_reply`].
    pub fn wants_reply(&self) -> bool {
        !matches!(self.way, Way::Nowhere)
    }

    /// As [`Inbound::reply`].
    pub fn reply(self, reply: M::Reply) -> bool {
        match self.way {
            Way::Nowhere => false,
            Way::Local(to) => to.send(Said::One(Ok(reply))).is_ok(),
            Way::Remote(to, max) => {
                let said = Said::One(encode::<M>(&reply, max));
                to.send(said).is_ok()
            }
        }
    }

    /// As [`Inbound::refuse`].
    pub fn refuse(self, why: RequestError) -> bool {
        let why = error::refusal(why);
        match self.way {
            Way::Nowhere => false,
            Way::Local(to) => to.send(Said::One(Err(why))).is_ok(),
            Way::Remote(to, _) => to.send(Said::One(Err(why))).is_ok(),
        }
    }

    /// Answers with any number of replies. Who asked for one only gets an error.
    pub fn many(self) -> ReplySender<M> {
        let to = match self.way {
            Way::Nowhere => To::Nowhere,
            Way::Local(to) => {
                let (sender, replies) = mpsc::channel(REPLIES_MAX);
                // Who has gone has closed the channel with it.
                let _ = to.send(Said::Many(replies));
                To::Local(sender)
            }
            Way::Remote(to, max) => {
                let (sender, replies) = mpsc::channel(REPLIES_MAX);
                let _ = to.send(Said::Many(replies));
                To::Remote(sender, max)
            }
        };
        ReplySender { to }
    }

    /// As [`Inbound::is_cancelled`].
    pub fn is_cancelled(&self) -> bool {
        match &self.way {
            Way::Nowhere => true,
            Way::Local(to) => to.is_closed(),
            Way::Remote(to, _) => to.is_closed(),
        }
    }

    /// Returns when nobody waits for the reply any more. Cancel-safe.
    pub async fn cancelled(&mut self) {
        match &mut self.way {
            Way::Nowhere => {}
            Way::Local(to) => to.closed().await,
            Way::Remote(to, _) => to.closed().await,
        }
    }
}

/// Sends any number of replies to one request. Dropping it unfinished tells the asker that the rest was given up.
pub struct ReplySender<M: Message> {
    to: To<M::Reply>,
}

enum To<R> {
    Nowhere,
    Local(mpsc::Sender<Result<R, Refusal>>),
    Remote(mpsc::Sender<Result<Bytes, Refusal>>, usize),
}

impl<M: Message> ReplySender<M> {
    /// Sends one more reply; waits while the asker does not take those before it. Dropping the future drops the reply.
    ///
    /// # Errors
    /// [`RequestError::Cancelled`]: nobody waits for it any more. [`RequestError::TooLarge`], [`RequestError::Malformed`]: this
    /// one cannot be sent.
    pub async fn send(&self, reply: M::Reply) -> Result<(), RequestError> {
        let sent = match &self.to {
            To::Nowhere => false,
            To::Local(to) => to.send(Ok(reply)).await.is_ok(),
            To::Remote(to, max) => {
                let bytes = encode::<M>(&reply, *max).map_err(error::refused)?;
                to.send(Ok(bytes)).await.is_ok()
            }
        };
        sent.then_some(()).ok_or(RequestError::Cancelled)
    }

    /// Says that these were all.
    pub async fn finish(self) {
        self.end(Refusal::Complete).await;
    }

    /// Says that no more come, and why.
    pub async fn fail(self, why: RequestError) {
        self.end(error::refusal(why)).await;
    }

    /// Returns when nobody waits for replies any more. Cancel-safe.
    pub async fn cancelled(&self) {
        match &self.to {
            To::Nowhere => {}
            To::Local(to) => to.closed().await,
            To::Remote(to, _) => to.closed().await,
        }
    }

    async fn end(self, why: Refusal) {
        // Who has gone needs no last word.
        let _ = match self.to {
            To::Nowhere => true,
            To::Local(to) => to.send(Err(why)).await.is_ok(),
            To::Remote(to, _) => to.send(Err(why)).await.is_ok(),
        };
    }
}

impl<M: Message> fmt::Debug for Inbound<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("code", &M::CODE)
            .field("replier", &self.replier)
            .finish_non_exhaustive()
    }
}

impl<M: Message> fmt::Debug for Replier<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replier")
            .field("peer", &self.peer)
            .field("wants_reply", &self.wants_reply())
            .finish_non_exhaustive()
    }
}

impl<M: Message> fmt::Debug for ReplySender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplySender")
            .field("code", &M::CODE)
            .finish_non_exhaustive()
    }
}

fn encode<M: Message>(reply: &M::Reply, max: usize) -> Result<Bytes, Refusal> {
    let bytes = <M::Codec as Codec<M::Reply>>::encode(reply);
    let bytes = bytes.map_err(|error| Refusal::Failed(error.to_string()))?;
    if bytes.len() > max {
        return Err(Refusal::TooLarge);
    }
    Ok(bytes)
}

/// Replies of one request that wait to be sent, before their handler waits.
const REPLIES_MAX: usize = 4;
