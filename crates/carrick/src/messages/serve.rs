//! The asked end of a stream: what comes goes to the switcher, what is said goes back. One task for each stream.
//!
//! Invariant: at most one message is on its way into a mailbox, and nothing is read meanwhile; so a full mailbox, or a
//! used-up budget, holds back the peer by its stream's window.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use carrick_protocols::messages::{Answerer, Asked, NotTaken};
use carrick_session::Code;
use carrick_swarm::Behaviour;
use carrick_wire::{
    PeerId,
    messages::{Priority, Refusal},
};
use futures::{
    StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{error::Elapsed, timeout_at},
};

use super::{
    inbound::Said,
    inner::Inner,
    outgoing::{Moved, Outgoing},
    senders::PeerState,
    stats::Counts,
    switcher::{Arrival, Arrived, Delivery},
};
use crate::{
    Fault, Stream, StreamError,
    actors::Share,
    steps::{self, Step},
};

/// Serves a stream until its end.
pub(super) async fn serve(inner: Arc<Inner>, mut stream: Stream) -> Result<(), Fault> {
    let mut serving = Serving::new(&inner, stream.peer());
    let served = serving.run(&mut stream).await;
    // What the handlers still do, nobody waits for.
    drop(serving);
    if served.is_err() {
        stream.reset(Code::VIOLATION);
    }
    served
}

/// One stream that is served.
struct Serving<'a> {
    inner: &'a Inner,
    peer: PeerId,
    state: Arc<PeerState>,
    answerer: Answerer,
    out: Outgoing,
    /// The requests that handlers work on.
    working: FuturesUnordered<Abortable<Work>>,
    /// How to give them up.
    handles: BTreeMap<u32, (AbortHandle, OwnedSemaphorePermit)>,
    /// Whether the message on its way into a mailbox is a request: then nobody needs it once its asker has gone.
    asks: bool,
    /// For a message of so many bytes that has begun to come: else many streams could each hold most of one.
    reserved: Option<(usize, Share)>,
    /// A message on its way into a mailbox.
    delivering: Option<BoxFuture<'static, Delivered>>,
    /// Replies for which there is no room in their lane.
    held: [VecDeque<Spoken>; Priority::ALL.len()],
}

/// Where a message is from, while it is on its way.
#[derive(Clone, Copy)]
struct Sent {
    /// `None`: it is a one-way message.
    id: Option<u32>,
    code: u16,
    priority: Priority,
}

/// What has become of it.
enum Delivered {
    /// The rest of a message of so many bytes may come.
    Reserved(usize, Share),
    /// It has its bytes of the budget now.
    Weighed(Sent, Bytes, Share),
    Done(Sent, Result<(), Refusal>),
}

/// What a handler has said to a request.
type Spoken = (u32, Result<Bytes, Refusal>, Option<Replies>);
type Replies = mpsc::Receiver<Result<Bytes, Refusal>>;

impl<'a> Serving<'a> {
    fn new(inner: &'a Inner, peer: PeerId) -> Self {
        let state = inner.senders.peer(peer, &inner.options, Instant::now());
        Self {
            inner,
            peer,
            state,
            answerer: Answerer::new(inner.tag, &inner.options.limits),
            out: Outgoing::default(),
            working: FuturesUnordered::new(),
            handles: BTreeMap::new(),
            asks: false,
            reserved: None,
            delivering: None,
            held: Default::default(),
        }
    }

    async fn run(&mut self, stream: &mut Stream) -> Result<(), Fault> {
        let mut is_open = true;
        let connection = stream.shared().clone();
        loop {
            let refused = self.answerer.refused();
            let is_drained = self.take_all().await? && self.reserve();
            let refused = self.answerer.refused() - refused;
            if refused > 0 {
                self.inner.counts.busy.fetch_add(refused, Relaxed);
            }
            self.give_back();
            self.out.fill(|| self.answerer.poll_transmit());
            if !is_open && is_drained && self.is_done() {
                // The peer has said all, and so have we.
                let _ = stream.finish().await;
                return Ok(());
            }
            // The connection is in use while something is under way, and not by the stream alone.
            if is_drained && self.is_done() {
                stream.unhold();
            } else {
                stream.hold();
            }
            let may_read = is_open && is_drained;
            let waits = self.asks && self.delivering.is_some();
            tokio::select! {
                moved = unless_stalled(&mut self.out, stream, may_read, waits) => match moved {
                    Ok(Ok(Moved::Read(Some(chunk)))) => self.answerer.recv(chunk),
                    Ok(Ok(Moved::Read(None))) => {
                        is_open = false;
                        self.answerer.finish().map_err(violation)?;
                    }
                    Ok(Ok(Moved::Wrote)) => {}
                    // It was reset, which cancels all, or the connection is gone: no fault of the peer's.
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => return Err(Fault::new(Behaviour::Timeout, "it does not read the replies")),
                },
                Some(spoken) = self.working.next(), if !self.working.is_empty() => {
                    if let Ok(spoken) = spoken {
                        self.hold(spoken);
                    }
                }
                // Who waits for a mailbox does not read, and would not see it.
                () = connection.wait_gone(), if self.delivering.is_some() => return Ok(()),
                delivered = deliver(&mut self.delivering), if self.delivering.is_some() => {
                    self.delivering = None;
                    self.delivered(delivered).await;
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.answerer.in_flight() == 0 && self.answerer.is_sent() && self.out.is_empty()
    }

    /// Takes what has come until a mailbox makes it wait. Whether all of it was taken.
    async fn take_all(&mut self) -> Result<bool, Fault> {
        while self.delivering.is_none() {
            let Some(asked) = self.answerer.poll_event().map_err(violation)? else {
                return Ok(!self.answerer.is_clogged());
            };
            match asked {
                Asked::Request {
                    id,
                    code,
                    priority,
                    payload,
                } => {
                    let id = Some(id);
                    let sent = Sent { id, code, priority };
                    self.take(sent, payload).await;
                }
                Asked::OneWay {
                    code,
                    priority,
                    payload,
                } => {
                    let id = None;
                    let sent = Sent { id, code, priority };
                    self.take(sent, payload).await;
                }
                Asked::Cancelled { id } => self.give_up(id),
            }
        }
        Ok(false)
    }

    /// Takes bytes of the budget for a message that has begun. Whether the rest of it may come.
    fn reserve(&mut self) -> bool {
        let Some(len) = self.answerer.expects() else {
            // What it was for may have been refused before it was taken.
            self.reserved = None;
            return true;
        };
        if self.reserved.as_ref().is_some_and(|(of, _)| *of == len) {
            return true;
        }
        self.reserved = None;
        let Some(share) = self.state.budget.try_take(len) else {
            let budget = self.state.budget.clone();
            self.asks = false;
            let reserved = async move { Delivered::Reserved(len, budget.take(len).await) };
            self.delivering = Some(Box::pin(reserved));
            return false;
        };
        self.reserved = Some((len, share));
        true
    }

    async fn take(&mut self, sent: Sent, payload: Bytes) {
        let reserved = self
            .reserved
            .take()
            .filter(|(len, _)| *len == payload.len());
        if let Err(why) = self.state.keep_pace(Instant::now()) {
            return self.refuse(sent, why).await;
        }
        self.asks = sent.id.is_some();
        let share = reserved.map(|(_, share)| share);
        match share.or_else(|| self.state.budget.try_take(payload.len())) {
            Some(share) => self.begin(sent, payload, share).await,
            None => {
                let budget = self.state.budget.clone();
                self.delivering = Some(Box::pin(async move {
                    let share = budget.take(payload.len()).await;
                    Delivered::Weighed(sent, payload, share)
                }));
            }
        }
    }

    /// Hands it to the switcher.
    async fn begin(&mut self, sent: Sent, payload: Bytes, share: Share) {
        let way = match sent.id {
            None => Arrival::OneWay,
            Some(id) => {
                let Some(permit) = self.state.admit() else {
                    let retry_after = Some(self.inner.options.limits.retry_after);
                    return self.refuse(sent, Refusal::Busy { retry_after }).await;
                };
                let (to, said) = oneshot::channel();
                self.work(id, Work::new(id, Waits::First(said)), permit);
                Arrival::Request(to, self.inner.options.limits.payload_max)
            }
        };
        let arrived = Arrived {
            peer: self.peer,
            priority: sent.priority,
            payload,
            way,
            share: Some(share),
        };
        steps::passed(Step::MessageArrived);
        match self.inner.switcher.deliver(sent.code, arrived) {
            Delivery::Taken => Counts::one(&self.inner.counts.received),
            Delivery::Refused(why) => self.refuse(sent, why).await,
            Delivery::Waits(taken) => {
                self.delivering = Some(Box::pin(async move { Delivered::Done(sent, taken.await) }));
            }
        }
    }

    async fn delivered(&mut self, delivered: Delivered) {
        match delivered {
            Delivered::Reserved(len, share) => self.reserved = Some((len, share)),
            Delivered::Weighed(sent, payload, share) => self.begin(sent, payload, share).await,
            Delivered::Done(_, Ok(())) => Counts::one(&self.inner.counts.received),
            Delivered::Done(sent, Err(why)) => self.refuse(sent, why).await,
        }
    }

    /// Nobody takes it: the asker is told, and what it says of the peer is recorded.
    async fn refuse(&mut self, sent: Sent, why: Refusal) {
        let counts = &self.inner.counts;
        let behaviour = match why {
            Refusal::NotSupported => {
                Counts::one(&counts.unknown_codes);
                Some(Behaviour::Slow)
            }
            Refusal::Malformed(_) => {
                Counts::one(&counts.malformed);
                Some(Behaviour::Spam)
            }
            _ => {
                Counts::one(&counts.busy);
                None
            }
        };
        if let Some(id) = sent.id {
            self.give_up(id);
            self.answerer.refuse(id, &why);
        }
        if let Some(behaviour) = behaviour {
            let node = self.inner.node.core();
            node.record(self.peer, behaviour, "messages").await;
        }
    }

    fn work(&mut self, id: u32, work: Work, permit: OwnedSemaphorePermit) {
        let (handle, registration) = AbortHandle::new_pair();
        self.working.push(Abortable::new(work, registration));
        self.handles.insert(id, (handle, permit));
    }

    /// Nobody waits for what is said to this request any more.
    fn give_up(&mut self, id: u32) {
        if let Some((handle, _permit)) = self.handles.remove(&id) {
            handle.abort();
            for lane in &mut self.held {
                lane.retain(|(held, ..)| *held != id);
            }
        }
    }

    fn hold(&mut self, spoken: Spoken) {
        // A request that is over has no lane, and its reply goes nowhere.
        let serving = self.answerer.serving(spoken.0);
        let priority = serving.map_or(Priority::Normal, |serving| serving.priority);
        self.held[priority.lane()].push_back(spoken);
    }

    /// Sends back what handlers have said, as far as there is room.
    fn give_back(&mut self) {
        for lane in 0..self.held.len() {
            while let Some(spoken) = self.held[lane].pop_front() {
                if self.lacks_room(&spoken) {
                    self.held[lane].push_front(spoken);
                    break;
                }
                self.say(spoken);
            }
        }
    }

    fn lacks_room(&self, (id, said, _): &Spoken) -> bool {
        let Ok(payload) = said else {
            return false;
        };
        let room = self.answerer.check(*id, payload.len());
        matches!(room, Err(NotTaken::LaneFull | NotTaken::TooMany))
    }

    fn say(&mut self, (id, said, more): Spoken) {
        let said = said.and_then(|payload| {
            let taken = self.answerer.reply(id, payload, more.is_some());
            taken.map_err(|_| Refusal::TooLarge)
        });
        if let Err(why) = &said {
            self.answerer.refuse(id, why);
        }
        let permit = self.handles.remove(&id).map(|(_, permit)| permit);
        steps::passed(Step::MessageAnswered);
        if let (Ok(()), Some(more), Some(permit)) = (said, more, permit) {
            self.work(id, Work::new(id, Waits::More(more)), permit);
        }
    }
}

/// A request that a handler works on; ready when it has said something.
struct Work {
    id: u32,
    waits: Waits,
}

enum Waits {
    First(oneshot::Receiver<Said<Bytes>>),
    More(Replies),
    Over,
}

impl Work {
    fn new(id: u32, waits: Waits) -> Self {
        Self { id, waits }
    }
}

impl Future for Work {
    type Output = Spoken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Spoken> {
        let id = self.id;
        loop {
            match &mut self.waits {
                Waits::First(said) => match ready!(Pin::new(said).poll(cx)) {
                    Ok(Said::One(reply)) => return Poll::Ready((id, reply, None)),
                    Ok(Said::Many(replies)) => self.waits = Waits::More(replies),
                    Err(_) => return Poll::Ready((id, Err(Refusal::Cancelled), None)),
                },
                Waits::More(replies) => {
                    let said = ready!(replies.poll_recv(cx)).unwrap_or(Err(Refusal::Cancelled));
                    let Waits::More(replies) = std::mem::replace(&mut self.waits, Waits::Over)
                    else {
                        continue;
                    };
                    return Poll::Ready((id, said, Some(replies)));
                }
                Waits::Over => return Poll::Pending,
            }
        }
    }
}

/// Writes or reads; what is to be written may not wait for too long. Where a request `waits`, nothing is read, so that its
/// asker has gone is all that can happen.
async fn unless_stalled(
    out: &mut Outgoing,
    stream: &mut Stream,
    may_read: bool,
    waits: bool,
) -> Result<Result<Moved, StreamError>, Elapsed> {
    match out.due() {
        Some(due) => timeout_at(due.into(), out.exchange(stream, may_read)).await,
        None if waits => Ok(Err(stream.unwanted().await)),
        None => Ok(out.exchange(stream, may_read).await),
    }
}

/// The message on its way into a mailbox; forever pending without one.
async fn deliver(delivering: &mut Option<BoxFuture<'static, Delivered>>) -> Delivered {
    match delivering {
        Some(delivering) => delivering.await,
        None => std::future::pending().await,
    }
}

fn violation(violation: carrick_protocols::messages::Violation) -> Fault {
    Fault::new(Behaviour::Protocol, violation)
}
