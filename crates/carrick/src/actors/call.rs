//! Calls: a request to an actor with the way back for its reply.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use thiserror::Error;
use tokio::sync::oneshot;

/// A request with the way back for its reply. Who asks waits for the [`Answer`]; dropping that cancels the call, which the
/// actor may notice. An actor that drops a call unanswered tells the asker so.
///
/// An actor that takes several kinds has an enum with one `From<Call<…>>` each, so that [`Sender::call`](super::Sender::call)
/// finds them.
#[derive(Debug)]
pub struct Call<M, R> {
    message: M,
    replier: Replier<R>,
}

impl<M, R> Call<M, R> {
    /// A call, and the answer to it.
    pub fn new(message: M) -> (Self, Answer<R>) {
        let (sender, receiver) = oneshot::channel();
        let replier = Replier { sender };
        (Self { message, replier }, Answer { receiver })
    }

    /// What is asked.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// Answers; `false`: nobody waits for it any more.
    pub fn reply(self, reply: R) -> bool {
        self.replier.reply(reply)
    }

    /// Returns when nobody waits for the reply any more. Cancel-safe.
    pub async fn cancelled(&mut self) {
        self.replier.cancelled().await;
    }

    /// Whether nobody waits for the reply any more: then the work can be left undone.
    pub fn is_cancelled(&self) -> bool {
        self.replier.is_cancelled()
    }

    /// What is asked, and the way back.
    pub fn into_parts(self) -> (M, Replier<R>) {
        (self.message, self.replier)
    }
}

/// The way back of a [`Call`].
#[derive(Debug)]
pub struct Replier<R> {
    sender: oneshot::Sender<R>,
}

impl<R> Replier<R> {
    /// As [`Call::reply`].
    pub fn reply(self, reply: R) -> bool {
        self.sender.send(reply).is_ok()
    }

    /// As [`Call::cancelled`].
    pub async fn cancelled(&mut self) {
        self.sender.closed().await;
    }

    /// As [`Call::is_cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.sender.is_closed()
    }
}

/// The reply to a [`Call`], once it comes. Dropping it cancels the call.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub struct Answer<R> {
    receiver: oneshot::Receiver<R>,
}

impl<R> Future for Answer<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = Pin::new(&mut self.receiver).poll(context);
        reply.map_err(|_| CallError::Unanswered)
    }
}

/// Why a call has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The mailbox was full, and its policy is not to wait; ask again later.
    #[error("the actor's mailbox is full; ask again later")]
    Full,
    /// The actor has ended.
    #[error("the actor has ended; nobody reads its mailbox any more")]
    Closed,
    /// The actor has dropped the call: it ended meanwhile, or a newer message pushed the call out of its mailbox.
    #[error(
        "the actor dropped the call without a reply: it has ended, or its mailbox was too full for it"
    )]
    Unanswered,
}
