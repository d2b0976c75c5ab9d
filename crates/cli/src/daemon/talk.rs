//! A conversation with one client over any transport that carries texts both ways: calls in, answers and notifications out.
//! Invariants: a client has so many calls and unsent answers at most; whoever does not read is given up.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use jsonrpsee::core::server::MethodResponse;
use jsonrpsee::{
    core::server::Methods,
    types::{ErrorObject, Id, error::reject_too_big_request},
};
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use super::calls::{Caller, REQUEST_BYTES_MAX};

/// Calls of one client that run at once; further ones wait unread.
const CALLS_MAX: usize = 16;
/// Texts for one client that wait to be sent.
const UNSENT_MAX: usize = 64;
/// How long a client may take to read one text.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to send one text, once it has begun.
pub(crate) const TEXT_TIMEOUT: Duration = Duration::from_secs(30);

/// Texts from a client.
pub(crate) trait Source: Send {
    /// The next text; `None` at the end. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Unreadable>> + Send;
}

/// Texts to a client.
pub(crate) trait Drain: Send + 'static {
    fn send(&mut self, text: &str) -> impl Future<Output = io::Result<()>> + Send;
}

/// Why nothing that follows can be understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A text has more than [`REQUEST_BYTES_MAX`] bytes.
    TooLong,
    /// A text was begun and not ended within [`TEXT_TIMEOUT`].
    TooSlow,
    /// The transport's own error.
    Broken,
}

/// How busy a client is.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: usize,
    began: Instant,
    /// It has shown that it may call.
    admitted: AtomicBool,
    calls: AtomicUsize,
    /// When it said or was told something last, in milliseconds of its life.
    active_ms: AtomicU64,
    closing: watch::Receiver<()>,
}

impl Client {
    pub(crate) fn new(id: usize, closing: watch::Receiver<()>) -> Self {
        Self {
            id,
            began: Instant::now(),
            admitted: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            active_ms: AtomicU64::new(0),
            closing,
        }
    }

    /// Since when nothing has happened; `None` while a call runs.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let active = Duration::from_millis(self.active_ms.load(Relaxed));
        (self.calls.load(Relaxed) == 0).then(|| self.began + active)
    }

    /// It may call.
    pub(crate) fn admit(&self) {
        self.admitted.store(true, Relaxed);
    }

    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted.load(Relaxed)
    }

    fn touch(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_ms.store(now, Relaxed);
    }

    /// Counts a call until what this returns is dropped.
    pub(crate) fn call(self: &Arc<Self>) -> Running {
        self.touch();
        self.calls.fetch_add(1, Relaxed);
        Running(self.clone())
    }
}

/// A call that runs.
pub(crate) struct Running(Arc<Client>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.touch();
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

/// Serves one client until it has gone, or does not read.
pub(crate) async fn talk(
    methods: Methods,
    client: Arc<Client>,
    mut source: impl Source,
    drain: impl Drain,
) {
    let (sender, unsent) = mpsc::channel(UNSENT_MAX);
    let (done, finished) = oneshot::channel();
    // Ends with this function, like the calls.
    let mut writing = JoinSet::new();
    writing.spawn(write(unsent, drain, client.clone(), finished));
    let caller = Arc::new(Caller::new(methods, client.id, Some(sender.clone())));
    let mut calls = JoinSet::new();
    let mut closing = client.closing.clone();
    loop {
        tokio::select! {
            text = source.next(), if calls.len() < CALLS_MAX => match text {
                Ok(Some(text)) => {
                    let (caller, sender, running) = (caller.clone(), sender.clone(), client.call());
                    calls.spawn(async move {
                        let _running = running;
                        if let Some(answer) = caller.answer(&text).await {
                            // Nobody is left to read it otherwise.
                            let _ = sender.send(answer).await;
                        }
                    });
                }
                Ok(None) => break,
                Err(reason) => {
                    if let Some(answer) = complaint(&reason) {
                        let _ = sender.send(answer).await;
                    }
                    break;
                }
            },
            Some(_) = calls.join_next() => {}
            _ = writing.join_next() => return,
            _ = closing.changed() => break,
        }
    }
    // Whoever has said all it has to say still wants its answers.
    while calls.join_next().await.is_some() {}
    let _ = done.send(());
    writing.join_next().await;
}

/// Sends what there is to send, until all is sent and nothing more is to come, or the client does not take it.
async fn write(
    mut unsent: mpsc::Receiver<Box<RawValue>>,
    mut drain: impl Drain,
    client: Arc<Client>,
    mut finished: oneshot::Receiver<()>,
) {
    loop {
        let text = tokio::select! {
            biased;
            text = unsent.recv() => text,
            _ = &mut finished => None,
        };
        let Some(text) = text else {
            return;
        };
        client.touch();
        if !matches!(
            timeout(SEND_TIMEOUT, drain.send(text.get())).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

/// The last words to a client that cannot be understood.
fn complaint(reason: &Unreadable) -> Option<Box<RawValue>> {
    let error = match reason {
        Unreadable::TooLong => {
            reject_too_big_request(u32::try_from(REQUEST_BYTES_MAX).unwrap_or(u32::MAX))
        }
        Unreadable::TooSlow => {
            ErrorObject::owned(2, "a call that was begun did not end in time", None::<()>)
        }
        Unreadable::Broken => return None,
    };
    Some(MethodResponse::error(Id::Null, error).into_json())
}

#[cfg(test)]
mod tests;
