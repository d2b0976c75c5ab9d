//! The sending ends of mailboxes.

use std::{fmt, sync::Arc};

use carrick_wire::messages::Priority;

use super::{
    call::{Call, CallError},
    mailbox::{Policy, Sent},
    rings::{LANES, Many, NoPlace, Sole},
};
use crate::sync::Producer;

/// A sending end of a mailbox. Clones send to the same one; it ends for its receiver when the last of them is dropped.
///
/// Whatever is sent without a priority is [`Priority::Normal`].
pub struct Sender<T> {
    many: Arc<Many<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(many: Arc<Many<T>>) -> Self {
        Self { many }
    }

    /// Sends a message; if its lane is full and its policy is [`Policy::Wait`], waits for a place. Cancel-safe in that a
    /// dropped future takes no place; the message is dropped with it.
    pub async fn send(&self, message: T) -> Sent<T> {
        self.send_at(Priority::Normal, message).await
    }

    /// As [`send`](Self::send), in the lane of this priority.
    pub async fn send_at(&self, priority: Priority, message: T) -> Sent<T> {
        if self.many.shared.policy(priority) != Policy::Wait {
            return self.try_send_at(priority, message);
        }
        match self.many.shared.wait_for_place(priority).await {
            Ok(()) => self.push(priority, message),
            Err(_) => Sent::Closed(message),
        }
    }

    /// As [`send`](Self::send), and never waits.
    pub fn try_send(&self, message: T) -> Sent<T> {
        self.try_send_at(Priority::Normal, message)
    }

    /// As [`try_send`](Self::try_send), in the lane of this priority.
    pub fn try_send_at(&self, priority: Priority, message: T) -> Sent<T> {
        let shared = &self.many.shared;
        if shared.is_gone() {
            return Sent::Closed(message);
        }
        if shared.policy(priority).counts_places() {
            match shared.take_place(priority) {
                Ok(()) => {}
                Err(NoPlace::Full) => return Sent::Full(message),
                Err(NoPlace::Closed) => return Sent::Closed(message),
            }
        }
        self.push(priority, message)
    }

    fn push(&self, priority: Priority, message: T) -> Sent<T> {
        self.many
            .push(priority, message)
            .map_or_else(Sent::Full, |()| Sent::Ok)
    }

    /// Sends a request and waits for its reply; dropping the future cancels it. Nothing limits how long the actor may take:
    /// use `tokio::time::timeout` where that matters.
    ///
    /// # Errors
    /// The mailbox is full or closed, or the actor has dropped the call.
    pub async fn call<M, R>(&self, message: M) -> Result<R, CallError>
    where
        T: From<Call<M, R>>,
    {
        self.call_at(Priority::Normal, message).await
    }

    /// As [`call`](Self::call), in the lane of this priority.
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    pub async fn call_at<M, R>(&self, priority: Priority, message: M) -> Result<R, CallError>
    where
        T: From<Call<M, R>>,
    {
        let (call, answer) = Call::new(message);
        match self.send_at(priority, call.into()).await {
            Sent::Ok => answer.await,
            Sent::Full(_) => Err(CallError::Full),
            Sent::Closed(_) => Err(CallError::Closed),
        }
    }

    /// Whether the mailbox is gone.
    pub fn is_closed(&self) -> bool {
        self.many.shared.is_gone()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.many.shared.add_sender();
        Self::new(self.many.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.many.shared.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The only sending end of a mailbox; see [`spsc`](super::spsc).
pub struct SoleSender<T> {
    sole: Arc<Sole<T>>,
    rings: [Producer<T>; LANES],
}

impl<T> SoleSender<T> {
    pub(super) fn new(sole: Arc<Sole<T>>, rings: [Producer<T>; LANES]) -> Self {
        Self { sole, rings }
    }

    /// As [`Sender::send`].
    pub async fn send(&mut self, message: T) -> Sent<T> {
        self.send_at(Priority::Normal, message).await
    }

    /// As [`Sender::send_at`].
    pub async fn send_at(&mut self, priority: Priority, message: T) -> Sent<T> {
        if self.sole.shared.policy(priority) != Policy::Wait {
            return self.try_send_at(priority, message);
        }
        match self.sole.shared.wait_for_place(priority).await {
            Ok(()) => self.push(priority, message),
            Err(_) => Sent::Closed(message),
        }
    }

    /// As [`Sender::try_send`].
    pub fn try_send(&mut self, message: T) -> Sent<T> {
        self.try_send_at(Priority::Normal, message)
    }

    /// As [`Sender::try_send_at`].
    pub fn try_send_at(&mut self, priority: Priority, message: T) -> Sent<T> {
        let shared = &self.sole.shared;
        if shared.is_gone() {
            return Sent::Closed(message);
        }
        if shared.policy(priority).counts_places() {
            match shared.take_place(priority) {
                Ok(()) => {}
                Err(NoPlace::Full) => return Sent::Full(message),
                Err(NoPlace::Closed) => return Sent::Closed(message),
            }
        }
        self.push(priority, message)
    }

    fn push(&mut self, priority: Priority, message: T) -> Sent<T> {
        let ring = &mut self.rings[priority.lane()];
        self.sole
            .push(ring, message)
            .map_or_else(Sent::Full, |()| Sent::Ok)
    }

    /// Whether the mailbox is gone.
    pub fn is_closed(&self) -> bool {
        self.sole.shared.is_gone()
    }
}

impl<T> Drop for SoleSender<T> {
    fn drop(&mut self) {
        self.sole.shared.remove_sender();
    }
}

impl<T> fmt::Debug for SoleSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoleSender")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
