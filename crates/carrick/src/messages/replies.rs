//! A request with a stream of its own, and the replies to it, however many.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_protocols::messages::{Answer, Ask, Asker};
use carrick_wire::messages::Refusal;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::timeout,
};

use super::{Message, error, inbound::Said, inner::User, outgoing::Outgoing, stats::Counts};
use crate::{RequestError, Stream, codec::Codec};

/// The replies to a request that may have many, one after the other. Dropping it cancels the request, here and at the
/// peer's handler.
pub struct Replies<M: Message> {
    origin: Origin<M::Reply>,
    after: Duration,
}

enum Origin<R> {
    Remote(Box<Alone>),
    /// The handler has said nothing yet.
    Local(oneshot::Receiver<Said<R>>),
    LocalMany(mpsc::Receiver<Result<R, Refusal>>),
    Over,
}

impl<M: Message> Replies<M> {
    pub(super) fn remote(alone: Alone, after: Duration) -> Self {
        let origin = Origin::Remote(Box::new(alone));
        Self { origin, after }
    }

    pub(super) fn local(said: oneshot::Receiver<Said<M::Reply>>, after: Duration) -> Self {
        let origin = Origin::Local(said);
        Self { origin, after }
    }

    /// The next reply; `None` after the last one, and after an error. A handler that answers with one reply has that one.
    /// Cancel-safe.
    ///
    /// # Errors
    /// See [`RequestError`]; there is at most one, and it is the last.
    pub async fn next(&mut self) -> Option<Result<M::Reply, RequestError>> {
        let after = self.after;
        let next = timeout(after, self.step()).await;
        let next = next.unwrap_or(Some(Err(RequestError::Timeout { after })));
        if !matches!(next, Some(Ok(_))) {
            self.origin = Origin::Over;
        }
        next
    }

    async fn step(&mut self) -> Option<Result<M::Reply, RequestError>> {
        if let Origin::Local(said) = &mut self.origin {
            match said.await {
                Ok(Said::One(reply)) => {
                    self.origin = Origin::Over;
                    return Some(reply.map_err(error::refused));
                }
                Ok(Said::Many(replies)) => self.origin = Origin::LocalMany(replies),
                Err(_) => return Some(Err(RequestError::Cancelled)),
            }
        }
        match &mut self.origin {
            Origin::Remote(alone) => {
                let reply = alone.next().await.transpose()?;
                Some(reply.and_then(|reply| M::Codec::decode(reply).map_err(error::codec)))
            }
            Origin::LocalMany(replies) => match replies.recv().await {
                Some(Ok(reply)) => Some(Ok(reply)),
                Some(Err(Refusal::Complete)) => None,
                Some(Err(why)) => Some(Err(error::refused(why))),
                None => Some(Err(RequestError::Cancelled)),
            },
            Origin::Local(_) | Origin::Over => None,
        }
    }
}

impl<M: Message> fmt::Debug for Replies<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("code", &M::CODE)
            .finish_non_exhaustive()
    }
}

/// A stream with one request, or one one-way message. Dropping it before its end resets the stream, which cancels the request.
#[derive(Debug)]
pub(super) struct Alone {
    stream: Stream,
    asker: Asker,
    counts: Arc<Counts>,
    is_over: bool,
    /// Given back before its peer may be forgotten.
    _permit: OwnedSemaphorePermit,
    _user: User,
}

impl Alone {
    pub(super) fn new(stream: Stream, permit: OwnedSemaphorePermit, user: User) -> Self {
        let inner = user.inner();
        Self {
            stream,
            asker: Asker::new(inner.tag, &inner.options.limits),
            counts: inner.counts.clone(),
            is_over: false,
            _permit: permit,
            _user: user,
        }
    }

    pub(super) async fn ask(
        &mut self,
        deadline: Instant,
        many: bool,
        ask: Ask,
    ) -> Result<(), RequestError> {
        let asked = self.asker.request(deadline, many, ask);
        asked.map_err(error::not_taken)?;
        self.send().await
    }

    pub(super) async fn tell(mut self, ask: Ask) -> Result<(), RequestError> {
        self.asker.one_way(ask).map_err(error::not_taken)?;
        self.send().await?;
        self.stream.finish().await.map_err(error::stream)
    }

    /// The next reply; `None` after the last one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RequestError> {
        if self.is_over {
            return Ok(None);
        }
        let before = self.asker.strays();
        let answer = self.answer().await;
        self.counts.strays(before, self.asker.strays());
        let answer = answer?;
        self.is_over = !matches!(answer, Answer::Reply { more: true, .. });
        if self.is_over {
            // What it has to say was heard, whether the peer hears of the end or not.
            let _ = self.stream.finish().await;
        }
        match answer {
            Answer::Reply { payload, .. } => Ok(Some(payload)),
            Answer::Refused {
                why: Refusal::Complete,
                ..
            } => Ok(None),
            Answer::Refused { why, .. } => Err(error::refused(why)),
        }
    }

    async fn answer(&mut self) -> Result<Answer, RequestError> {
        loop {
            let answer = self.asker.poll_event().map_err(error::violation)?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            match self.stream.read_chunk().await.map_err(error::stream)? {
                Some(chunk) => self.asker.recv(chunk),
                None => {
                    self.asker.finish().map_err(error::violation)?;
                    return Err(RequestError::Cancelled);
                }
            }
        }
    }

    async fn send(&mut self) -> Result<(), RequestError> {
        let mut out = Outgoing::default();
        out.fill(|| self.asker.poll_transmit());
        while !out.is_empty() {
            let sent = out.exchange(&mut self.stream, false).await;
            sent.map_err(error::stream)?;
        }
        Ok(())
    }
}
