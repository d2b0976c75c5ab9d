//! Typed messages between peers: requests with one reply or many, and messages that need none. Each has a code, and the
//! [`Switcher`] of who receives it knows which actor's mailbox that code goes to. What is on the wire: `docs/messages.md`.
//!
//! ```text
//!  Messages::request ──▶ Link ──▶ stream ──▶ serve ──▶ Switcher ──▶ mailbox of an actor
//!          ▲               │                   ▲                          │
//!          └──── reply ────┘                   └───── Inbound::reply ─────┘
//! ```
//! What always holds: every request has a deadline; one that nobody waits for any more is cancelled at its handler; whoever
//! does not take what it asked for, or has asked for too much, is not read from.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use carrick_protocols::messages::Ask;
use carrick_wire::{PeerId, ProtocolId};
use futures::{StreamExt, stream::FuturesUnordered};

pub use self::{
    builder::{Form, MessagesBuilder},
    inbound::{Inbound, Replier, ReplySender},
    replies::Replies,
    stats::MessagesStats,
    switcher::Switcher,
};
pub use carrick_protocols::messages::Rate;
pub use carrick_wire::messages::Priority;

use self::inner::Inner;
use crate::{IntoTarget, OpenError, RequestError, codec::Codec};

mod builder;
mod error;
mod inbound;
mod inner;
mod link;
mod outgoing;
mod replies;
mod senders;
mod serve;
mod stats;
mod switcher;

/// A type of message of an application's protocol.
///
/// ```
/// use carrick::{codec::Raw, messages::{Message, Priority}};
/// # use carrick::codec::{Codec, CodecError};
///
/// /// How high a chain is.
/// #[derive(Clone)]
/// struct Height;
///
/// impl Message for Height {
///     const CODE: u16 = 1;
///     const PRIORITY: Priority = Priority::High;
///     type Reply = Vec<u8>;
///     type Codec = HeightCodec;
/// }
/// # struct HeightCodec;
/// # impl Codec<Height> for HeightCodec {
/// #     fn encode(_: &Height) -> Result<bytes::Bytes, CodecError> { Ok(Default::default()) }
/// #     fn decode(_: bytes::Bytes) -> Result<Height, CodecError> { Ok(Height) }
/// # }
/// # impl Codec<Vec<u8>> for HeightCodec {
/// #     fn encode(value: &Vec<u8>) -> Result<bytes::Bytes, CodecError> { Raw::encode(value) }
/// #     fn decode(bytes: bytes::Bytes) -> Result<Vec<u8>, CodecError> { Raw::decode(bytes) }
/// # }
/// ```
pub trait Message: Clone + Send + 'static {
    /// What tells it from the other messages of the protocol.
    const CODE: u16;
    /// How urgent it is, and its reply: which lane it takes on both ends.
    const PRIORITY: Priority = Priority::Normal;
    /// What comes back; `()` for messages that are only [notified](Messages::notify).
    type Reply: Send + 'static;
    /// How both become bytes.
    type Codec: Codec<Self> + Codec<Self::Reply>;
}

/// A message as bytes, encoded once; clones share them, so it goes to any number of peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    code: u16,
    priority: Priority,
    payload: Bytes,
}

impl Encoded {
    /// Encodes a message.
    ///
    /// # Errors
    /// [`RequestError::Malformed`]: its codec has no form for it.
    pub fn new<M: Message>(message: &M) -> Result<Self, RequestError> {
        Ok(Self {
            code: M::CODE,
            priority: M::PRIORITY,
            payload: M::Codec::encode(message).map_err(error::codec)?,
        })
    }

    /// The bytes.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    fn ask(&self) -> Ask {
        Ask {
            code: self.code,
            priority: self.priority,
            payload: self.payload.clone(),
        }
    }
}

/// The messages of one application's protocol: asks peers, and answers them if it was built with a [`Switcher`].
///
/// Clones are the same. What goes to the node's own id goes straight to its own switcher, without being encoded; all else is
/// the same there. A handler may own one: it does not keep the node alive.
///
/// Who asks opens the streams, so the replies to one side's requests never wait behind the other side's requests. See
/// [`Form`] for how many there are.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{
///     Node,
///     actors::{MailboxOptions, mailbox},
///     codec::Raw,
///     messages::{Inbound, Message, Messages, Switcher},
/// };
///
/// #[derive(Clone)]
/// struct Shout(Vec<u8>);
/// # impl carrick::codec::Codec<Shout> for Raw {
/// #     fn encode(shout: &Shout) -> Result<bytes::Bytes, carrick::codec::CodecError> { Raw::encode(&shout.0) }
/// #     fn decode(bytes: bytes::Bytes) -> Result<Shout, carrick::codec::CodecError> { Ok(Shout(bytes.into())) }
/// # }
/// impl Message for Shout {
///     const CODE: u16 = 1;
///     type Reply = Vec<u8>;
///     type Codec = Raw;
/// }
///
/// let (sender, mut inbox) = mailbox::<Inbound<Shout>>(MailboxOptions::default());
/// tokio::spawn(async move {
///     while let Some(asked) = inbox.recv().await {
///         let loud = asked.message().0.to_ascii_uppercase();
///         asked.reply(loud);
///     }
/// });
/// let server = Node::builder().listen("/ip4/127.0.0.1/tcp/0")?.spawn().await?;
/// Messages::builder("/shout/1").switcher(Switcher::new().route::<Shout, _>(sender)).start(&server)?;
///
/// let client = Node::spawn().await?;
/// let messages = Messages::builder("/shout/1").start(&client)?;
/// let loud = messages.request(server.address(), &Shout(b"hello".to_vec())).await?;
/// assert_eq!(loud, b"HELLO");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Messages {
    inner: Arc<Inner>,
    timeout: Duration,
}

impl Messages {
    /// Messages of this protocol, such as `/ledger/1`.
    pub fn builder(protocol: &str) -> MessagesBuilder {
        MessagesBuilder::new(protocol)
    }

    /// The same with another deadline for each request, instead of the builder's; it covers dialing, if that is needed.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            inner: self.inner.clone(),
            timeout,
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> &ProtocolId {
        &self.inner.protocol
    }

    /// Asks a peer and waits for its reply. Dropping the future cancels the request, here and at the peer's handler. At most as
    /// many requests as the builder says are under way to one peer; further ones wait their turn, within their deadline.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request<M: Message>(
        &self,
        target: impl IntoTarget,
        message: &M,
    ) -> Result<M::Reply, RequestError> {
        let target = target.into_target().map_err(OpenError::from)?;
        if self.inner.is_self(&target) {
            let asked = self.inner.switcher.ask_local(self.inner.id(), message);
            return self.in_time(asked).await;
        }
        let encoded = Encoded::new(message)?;
        let reply = self.inner.request(target, encoded.ask(), self.timeout);
        let reply = self.in_time(reply).await?;
        M::Codec::decode(reply).map_err(error::codec)
    }

    /// Asks a peer for any number of replies, on a stream of its own whatever the [`Form`]: who reads them slowly holds up
    /// nothing but their sender. Each reply has the request's time.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request_stream<M: Message>(
        &self,
        target: impl IntoTarget,
        message: &M,
    ) -> Result<Replies<M>, RequestError> {
        let target = target.into_target().map_err(OpenError::from)?;
        let after = self.timeout;
        if self.inner.is_self(&target) {
            let asked = self.inner.switcher.stream_local(self.inner.id(), message);
            return Ok(Replies::local(self.in_time(asked).await?, after));
        }
        let encoded = Encoded::new(message)?;
        let alone = self.inner.ask_alone(target, encoded.ask(), after, true);
        Ok(Replies::remote(self.in_time(alone).await?, after))
    }

    /// Tells a peer something; returns when it is queued to be sent, and says nothing about whether it arrives.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn notify<M: Message>(
        &self,
        target: impl IntoTarget,
        message: &M,
    ) -> Result<(), RequestError> {
        let target = target.into_target().map_err(OpenError::from)?;
        if self.inner.is_self(&target) {
            let told = self.inner.switcher.tell_local(self.inner.id(), message);
            return self.in_time(told).await;
        }
        let encoded = Encoded::new(message)?;
        self.in_time(self.inner.notify(target, encoded.ask())).await
    }

    /// As [`notify`](Self::notify), with a message that is encoded already.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn notify_encoded(
        &self,
        target: impl IntoTarget,
        message: &Encoded,
    ) -> Result<(), RequestError> {
        let target = target.into_target().map_err(OpenError::from)?;
        if self.inner.is_self(&target) {
            let told = self.inner.tell_encoded(message.clone());
            return self.in_time(told).await;
        }
        self.in_time(self.inner.notify(target, message.ask())).await
    }

    /// Tells many peers the same, at the same time; what became of it, in the order in which that was known.
    pub async fn broadcast(
        &self,
        peers: impl IntoIterator<Item = PeerId>,
        message: &Encoded,
    ) -> Vec<(PeerId, Result<(), RequestError>)> {
        let tell = |peer| async move { (peer, self.notify_encoded(peer, message).await) };
        let all: FuturesUnordered<_> = peers.into_iter().map(tell).collect();
        all.collect().await
    }

    /// What was counted so far.
    pub fn stats(&self) -> MessagesStats {
        self.inner.counts.stats()
    }

    async fn in_time<T>(
        &self,
        what: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let after = self.timeout;
        match tokio::time::timeout(after, what).await {
            Ok(Err(RequestError::Timeout { .. })) | Err(_) => Err(RequestError::Timeout { after }),
            Ok(outcome) => outcome,
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("protocol", &self.inner.protocol)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
