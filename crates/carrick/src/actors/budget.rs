//! A budget of bytes: what one peer may have waiting in mailboxes, however many messages that is.

use std::{ops::Deref, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes, for example what one peer may have waiting. A message takes its [`Share`] along and gives it back when it is
/// dropped, wherever that happens. Clones are the same budget.
///
/// Whoever reads a peer's messages takes the share of the next one before he reads further; so a peer whose messages nobody
/// handles is not read from, and others are.
///
/// ```
/// use carrick::actors::Budget;
///
/// let budget = Budget::new(1 << 20);
/// let message = budget.try_take(4096).expect("it is all free").weigh("what was read");
/// assert_eq!(budget.available(), (1 << 20) - 4096);
/// drop(message);
/// assert_eq!(budget.available(), 1 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    bytes: u32,
}

impl Budget {
    /// 1 byte to 4 GiB - 1; other numbers become the nearest of these.
    pub fn new(bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        // A semaphore counts at least 29 bits.
        let bytes = bytes.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        let free = Arc::new(Semaphore::new(bytes as usize));
        Self { free, bytes }
    }

    /// A share of so many bytes; waits until they are free, first come first served. Whatever is larger than the whole budget
    /// takes all of it, so it passes alone. Cancel-safe.
    pub async fn take(&self, bytes: usize) -> Share {
        let permit = self
            .free
            .clone()
            .acquire_many_owned(self.clamp(bytes))
            .await;
        Share {
            _permit: permit.ok(),
        }
    }

    /// As [`take`](Self::take); `None`: they are not free now.
    pub fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = self
            .free
            .clone()
            .try_acquire_many_owned(self.clamp(bytes))
            .ok()?;
        Some(Share {
            _permit: Some(permit),
        })
    }

    /// The bytes that are free.
    pub fn available(&self) -> usize {
        self.free.available_permits()
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes)
    }
}

/// Bytes of a [`Budget`] that are in use; dropping it gives them back.
#[derive(Debug)]
pub struct Share {
    /// `None` never happens: nobody closes the semaphore.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Ties it to what uses the bytes.
    pub fn weigh<T>(self, message: T) -> Weighed<T> {
        Weighed {
            message,
            share: self,
        }
    }
}

/// A message with its share of a [`Budget`].
#[derive(Debug)]
pub struct Weighed<T> {
    message: T,
    share: Share,
}

impl<T> Weighed<T> {
    /// The message, and its share, which is to live as long as the bytes do.
    pub fn into_parts(self) -> (T, Share) {
        (self.message, self.share)
    }
}

impl<T> Deref for Weighed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.message
    }
}
