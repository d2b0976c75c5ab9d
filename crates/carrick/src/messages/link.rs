//! The stream of [`Form::Multiplexed`](super::Form): all messages to one peer, and the replies. One task for each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_protocols::messages::{Answer, Ask, Asker, NotTaken};
use carrick_session::Code;
use carrick_wire::messages::Priority;
use tokio::sync::{Notify, oneshot};

use super::{
    error,
    inner::Inner,
    outgoing::{Moved, Outgoing},
    stats::Counts,
};
use crate::{RequestError, Stream, alarm::Alarm, connection::Shared};

pub(super) struct Link {
    inner: Weak<Inner>,
    counts: Arc<Counts>,
    /// The connection.
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// There is something to send.
    wanted: Notify,
    lanes: [Turn; Priority::ALL.len()],
}

struct State {
    asker: Asker,
    waiting: HashMap<u32, oneshot::Sender<Result<Bytes, Unsent>>>,
    is_over: bool,
}

/// Who waits for room in a lane, one by one.
#[derive(Default)]
struct Turn {
    turn: tokio::sync::Mutex<()>,
    room: Notify,
}

/// Why a message was not sent.
pub(super) enum Unsent {
    /// The stream has ended before; on another one it may be.
    Ended,
    /// That helps nobody.
    Failed(RequestError),
}

impl Link {
    /// Takes charge of a stream.
    pub(super) fn start(inner: &Arc<Inner>, stream: Stream) -> Arc<Self> {
        let link = Arc::new(Self {
            inner: Arc::downgrade(inner),
            counts: inner.counts.clone(),
            shared: stream.shared().clone(),
            state: Mutex::new(State {
                asker: Asker::new(inner.tag, &inner.options.limits),
                waiting: HashMap::new(),
                is_over: false,
            }),
            wanted: Notify::new(),
            lanes: Default::default(),
        });
        let idle_timeout = inner.options.idle_timeout;
        tokio::spawn(link.clone().run(stream, idle_timeout));
        link
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().is_over || !self.shared.is_open()
    }

    /// One reply.
    pub(super) async fn request(&self, ask: Ask, deadline: Instant) -> Result<Bytes, Unsent> {
        let (to, reply) = oneshot::channel();
        let mut to = Some(to);
        let priority = ask.priority;
        let id = self.when_there_is_room(priority, |state| {
            let id = state.asker.request(deadline, false, ask.clone())?;
            state.waiting.extend(to.take().map(|to| (id, to)));
            Ok(id)
        });
        let id = id.await?;
        let _cancel = Cancel { link: self, id };
        let lost = || Err(Unsent::Failed(RequestError::ConnectionLost));
        reply.await.unwrap_or_else(|_| lost())
    }

    /// Without a reply.
    pub(super) async fn notify(&self, ask: Ask) -> Result<(), Unsent> {
        let told = self.when_there_is_room(ask.priority, |state| state.asker.one_way(ask.clone()));
        told.await
    }

    /// Queues something in a lane, first come first served.
    async fn when_there_is_room<T>(
        &self,
        priority: Priority,
        mut queue: impl FnMut(&mut State) -> Result<T, NotTaken>,
    ) -> Result<T, Unsent> {
        let lane = &self.lanes[priority.lane()];
        let _turn = lane.turn.lock().await;
        loop {
            {
                let mut state = self.state();
                if state.is_over {
                    return Err(Unsent::Ended);
                }
                match queue(&mut state) {
                    Ok(queued) => {
                        self.wanted.notify_one();
                        return Ok(queued);
                    }
                    Err(NotTaken::LaneFull) => {}
                    Err(error) => return Err(Unsent::Failed(error::not_taken(error))),
                }
            }
            lane.room.notified().await;
        }
    }

    async fn run(self: Arc<Self>, mut stream: Stream, idle_timeout: Duration) {
        let (code, why) = match self.drive(&mut stream, idle_timeout).await {
            Ok(()) => (None, RequestError::ConnectionLost),
            Err((code, why)) => (Some(code), why),
        };
        self.end(&why);
        self.lanes.iter().for_each(|lane| lane.room.notify_one());
        match code {
            None => drop(stream.finish().await),
            Some(code) => stream.reset(code),
        }
        if let Some(inner) = self.inner.upgrade() {
            inner.forget(self.shared.peer);
        }
    }

    /// Until it was idle for long enough, or cannot go on.
    async fn drive(
        &self,
        stream: &mut Stream,
        idle_timeout: Duration,
    ) -> Result<(), (Code, RequestError)> {
        let mut out = Outgoing::default();
        let mut moved_at = Instant::now();
        let mut alarm = Alarm::new();
        loop {
            let deadline = {
                let mut state = self.state();
                out.fill(|| state.asker.poll_transmit());
                state.asker.poll_timeout()
            };
            // The connection is in use while something is under way, and not by the stream alone.
            if deadline.is_some() || !out.is_empty() {
                stream.hold();
            } else {
                stream.unhold();
            }
            self.lanes.iter().for_each(|lane| lane.room.notify_one());
            let patience = if out.is_empty() {
                idle_timeout
            } else {
                STALL_TIMEOUT
            };
            let quiet = moved_at + patience;
            alarm.set(Some(deadline.map_or(quiet, |deadline| deadline.min(quiet))));
            tokio::select! {
                moved = out.exchange(stream, true) => {
                    moved_at = Instant::now();
                    match moved {
                        Ok(Moved::Read(Some(chunk))) => self.recv(chunk)?,
                        Ok(Moved::Read(None)) => return Err((Code::NONE, self.ended())),
                        Ok(Moved::Wrote) => {}
                        Err(broken) => return Err((Code::NONE, error::stream(broken))),
                    }
                }
                () = self.wanted.notified() => {}
                _ = alarm.rings() => {
                    let now = Instant::now();
                    self.time_out(now);
                    if now >= moved_at + patience {
                        if !out.is_empty() {
                            return Err((Code::NONE, RequestError::ConnectionLost));
                        }
                        if self.end_if_idle() {
                            return Ok(());
                        }
                        moved_at = now;
                    }
                }
            }
        }
    }

    /// Tells all who wait.
    fn end(&self, why: &RequestError) {
        let mut state = self.state();
        state.is_over = true;
        for (id, to) in std::mem::take(&mut state.waiting) {
            let unsent = match why {
                // Another stream may do: the peer cannot have acted on it.
                RequestError::ConnectionLost if !state.asker.has_left(id) => Unsent::Ended,
                why => Unsent::Failed(why.clone()),
            };
            // Whoever asked may have gone.
            let _ = to.send(Err(unsent));
        }
    }

    fn recv(&self, chunk: Bytes) -> Result<(), (Code, RequestError)> {
        let mut state = self.state();
        let before = state.asker.strays();
        state.asker.recv(chunk);
        let outcome = loop {
            let (id, reply) = match state.asker.poll_event() {
                Ok(Some(Answer::Reply { id, payload, .. })) => (id, Ok(payload)),
                Ok(Some(Answer::Refused { id, why })) => (id, Err(error::refused(why))),
                Ok(None) => break Ok(()),
                Err(violation) => break Err((Code::VIOLATION, error::violation(violation))),
            };
            if let Some(to) = state.waiting.remove(&id) {
                // Whoever asked may just have gone.
                let _ = to.send(reply.map_err(Unsent::Failed));
            }
        };
        self.counts.strays(before, state.asker.strays());
        outcome
    }

    /// The peer has ended its side.
    fn ended(&self) -> RequestError {
        let cut = self.state().asker.finish();
        cut.map_or_else(error::violation, |()| RequestError::ConnectionLost)
    }

    fn time_out(&self, now: Instant) {
        let mut state = self.state();
        while let Some(id) = state.asker.handle_timeout(now) {
            if let Some(to) = state.waiting.remove(&id) {
                let after = Duration::ZERO;
                let _ = to.send(Err(Unsent::Failed(RequestError::Timeout { after })));
            }
        }
    }

    fn end_if_idle(&self) -> bool {
        let mut state = self.state();
        state.is_over = state.asker.in_flight() == 0 && state.asker.is_sent();
        state.is_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a request up when whoever asked goes.
struct Cancel<'a> {
    link: &'a Link,
    id: u32,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let mut state = self.link.state();
        if state.waiting.remove(&self.id).is_some() {
            state.asker.cancel(self.id);
            self.link.wanted.notify_one();
        }
    }
}

/// How long the peer may leave unread what we send, whoever waits for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
