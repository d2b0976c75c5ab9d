//! The asking side: one connection to a [`Server`](super::Server), or to whatever answers these frames, and any number of
//! requests in it.
//!
//! A task drives the connection; who asks shares the machine with it behind a lock that is held for bookkeeping only. What
//! holds always: every request ends by its deadline; one that is dropped is cancelled at the other side.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use carrick_protocols::messages::{Answer, Ask, Asker, Limits, NotTaken};
use carrick_wire::messages::{Priority, tag};
use multiaddr::Multiaddr;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    door,
    frames::{ChunkReader, FrameWriter, ServerError},
    inbound::Outcome,
};
use crate::{RequestError, request::refused, transport::Pipe};

/// The bounds of a [`Client`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// As the server's: tells conversations apart that must not mix. Empty by default.
    pub domain: Vec<u8>,
    /// How long connecting and each request may take. 10 seconds by default.
    pub timeout: Duration,
    /// Requests under way; further ones wait for their turn, within their time. 64 by default, as many as a server takes.
    pub in_flight_max: usize,
    /// Bytes of a message, in either direction. 1 MiB by default.
    pub payload_bytes_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            domain: Vec::new(),
            timeout: Duration::from_secs(10),
            in_flight_max: 64,
            payload_bytes_max: 1 << 20,
        }
    }
}

/// Asks a server, over a socket or a peer's stream. Clones share the connection, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Ends the connection when the last client goes; the task's is none.
#[derive(Debug)]
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    timeout: Duration,
    state: Mutex<State>,
    /// There is something to send, or to end.
    work: Notify,
    /// There may be room for what was not taken.
    room: Notify,
}

#[derive(Debug)]
struct State {
    asker: Asker,
    waiting: HashMap<u32, oneshot::Sender<Outcome>>,
    /// No client is left.
    is_abandoned: bool,
    /// The connection has ended.
    has_ended: bool,
}

impl Client {
    /// Connects to a server of this machine, at `/unix/…` or at an address and port of TCP.
    ///
    /// # Errors
    /// Nobody answers there, in time, or the address is of another kind.
    pub async fn dial(
        address: Multiaddr,
        protocol: &str,
        options: ClientOptions,
    ) -> io::Result<Self> {
        let dial = door::transport(&address)?.dial(address);
        let dialed = tokio::time::timeout(options.timeout, dial).await;
        let pipe = dialed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Self::over(pipe, protocol, options))
    }

    /// Asks over any pipe, such as a peer's stream: `Client::over(Pipe::new(stream), …)`. The task that this starts ends with
    /// the connection.
    pub fn over(pipe: Pipe, protocol: &str, options: ClientOptions) -> Self {
        let limits = Limits {
            payload_max: options.payload_bytes_max,
            in_flight_max: options.in_flight_max.max(1),
            ..Limits::default()
        };
        let shared = Arc::new(Shared {
            timeout: options.timeout,
            state: Mutex::new(State {
                asker: Asker::new(tag(protocol, &options.domain), &limits),
                waiting: HashMap::new(),
                is_abandoned: false,
                has_ended: false,
            }),
            work: Notify::new(),
            room: Notify::new(),
        });
        let chunks = ChunkReader::new(pipe.reader, options.timeout, limits.payload_max);
        let writer = FrameWriter::new(pipe.writer, options.timeout);
        let driven = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = drive(chunks, writer, &driven).await {
                tracing::debug!(%error, "a client's connection ended");
            }
            let mut state = driven.state();
            state.has_ended = true;
            // Who waits learns of it by this.
            state.waiting.clear();
            driven.room.notify_waiters();
        });
        let handle = Arc::new(Handle(shared));
        Self { handle }
    }

    /// Sends a request and waits for its reply. Dropping the future cancels it, here and there.
    ///
    /// # Errors
    /// As the server says, or [`RequestError::Timeout`], [`RequestError::ConnectionLost`], [`RequestError::TooLarge`].
    pub async fn request(&self, code: u16, payload: impl Into<Bytes>) -> Outcome {
        let timeout = self.handle.0.timeout;
        self.request_at(Priority::Normal, code, payload, timeout)
            .await
    }

    /// As [`request`](Self::request), as urgent and for as long as given.
    ///
    /// # Errors
    /// Those of [`request`](Self::request).
    pub async fn request_at(
        &self,
        priority: Priority,
        code: u16,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> Outcome {
        let payload = payload.into();
        let (deadline, late) = (
            Instant::now() + timeout,
            RequestError::Timeout { after: timeout },
        );
        let ask = || Ask {
            code,
            priority,
            payload: payload.clone(),
        };
        let begin = |state: &mut State| {
            let id = state.asker.request(deadline.into_std(), false, ask())?;
            let (sender, reply) = oneshot::channel();
            state.waiting.insert(id, sender);
            let shared = &*self.handle.0;
            Ok(Waiter { shared, id, reply })
        };
        let begun = timeout_at(deadline, self.once_taken(begin)).await;
        let mut waiter = begun.map_err(|_| late.clone())??;
        let answered = timeout_at(deadline, &mut waiter.reply).await;
        answered
            .map_err(|_| late)?
            .map_err(|_| RequestError::ConnectionLost)?
    }

    /// Sends a message that nobody answers; returns once it waits to leave, which says nothing about its arrival.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`], [`RequestError::ConnectionLost`]; [`RequestError::Timeout`] if those before it do not leave.
    pub async fn notify(
        &self,
        priority: Priority,
        code: u16,
        payload: impl Into<Bytes>,
    ) -> Result<(), RequestError> {
        let (payload, after) = (payload.into(), self.handle.0.timeout);
        let ask = || Ask {
            code,
            priority,
            payload: payload.clone(),
        };
        let told = self.once_taken(|state| state.asker.one_way(ask()));
        let told = tokio::time::timeout(after, told).await;
        told.map_err(|_| RequestError::Timeout { after })?
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.handle.0.state().has_ended
    }

    /// Tries until the machine takes it.
    async fn once_taken<T>(
        &self,
        mut attempt: impl FnMut(&mut State) -> Result<T, NotTaken>,
    ) -> Result<T, RequestError> {
        let shared = &self.handle.0;
        loop {
            let mut room = std::pin::pin!(shared.room.notified());
            // From now on, so that no room passes by between the attempt and the wait.
            room.as_mut().enable();
            let attempted = {
                let mut state = shared.state();
                if state.has_ended {
                    return Err(RequestError::ConnectionLost);
                }
                attempt(&mut state)
            };
            match attempted {
                Ok(taken) => {
                    shared.work.notify_one();
                    return Ok(taken);
                }
                Err(NotTaken::TooLarge(limit)) => return Err(RequestError::TooLarge { limit }),
                Err(NotTaken::LaneFull | NotTaken::TooMany) => room.await,
            }
        }
    }
}

/// Somebody who waits for a reply. Whoever stops doing so, at the deadline or before, cancels the request; so the machine need
/// not be asked for timeouts.
struct Waiter<'a> {
    shared: &'a Shared,
    id: u32,
    reply: oneshot::Receiver<Outcome>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.waiting.remove(&self.id).is_some() {
            state.asker.cancel(self.id);
            drop(state);
            self.shared.work.notify_one();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state().is_abandoned = true;
        self.0.work.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives replies to those who wait for them.
    fn take(&mut self) -> Result<(), ServerError> {
        while let Some(answer) = self.asker.poll_event()? {
            let (id, outcome) = match answer {
                Answer::Reply { id, payload, .. } => (id, Ok(payload)),
                Answer::Refused { id, why } => (id, Err(refused(why))),
            };
            if let Some(waiter) = self.waiting.remove(&id) {
                // Who has just stopped waiting does not need it.
                let _ = waiter.send(outcome);
            }
        }
        Ok(())
    }
}

/// Sends what is asked, the urgent first, and takes what comes, until nobody can ask any more.
async fn drive(
    mut chunks: ChunkReader,
    mut writer: FrameWriter,
    shared: &Shared,
) -> Result<(), ServerError> {
    loop {
        let (is_abandoned, is_between) = {
            let mut state = shared.state();
            state.take()?;
            while writer.has_room()
                && let Some(frame) = state.asker.poll_transmit()
            {
                writer.push(&frame);
            }
            (state.is_abandoned, state.asker.finish().is_ok())
        };
        shared.room.notify_waiters();
        if is_abandoned && writer.is_empty() {
            return writer.finish().await;
        }
        tokio::select! {
            chunk = chunks.next(is_between) => match chunk? {
                Some(chunk) => shared.state().asker.recv(chunk),
                None => return Ok(()),
            },
            written = writer.write(), if !writer.is_empty() => written?,
            () = shared.work.notified() => {}
        }
    }
}
