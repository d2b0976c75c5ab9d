//! One connection of a server: requests in, replies out, several at a time, until the other side ends it.
//!
//! What holds always: what is under way has a bound, and so have the bytes that wait for the service; whoever asks for more is
//! refused or not read from. A reply goes to whom asked, once; a request that is given up is cancelled.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use carrick_protocols::messages::{Answerer, Asked, NotTaken};
use carrick_swarm::Behaviour;
use carrick_wire::messages::{Priority, Refusal, tag};
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, Aborted, BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};

use super::{
    budget::{Budget, Share},
    call::{Answer, Call, CallError, Replier},
    frames::{ChunkReader, FrameWriter, ServerError},
    inbound::{Inbound, Origin, Outcome},
    mailbox::Sent,
    options::ServerOptions,
    sender::Sender,
};
use crate::{RequestError, core::Core, request::refusal, transport::Pipe};

/// What a conversation is told at its start.
pub(super) struct Terms {
    pub(super) origin: Origin,
    /// The node that has brought a peer.
    pub(super) node: Option<Arc<Core>>,
    pub(super) protocol: Arc<str>,
    pub(super) options: Arc<ServerOptions>,
    pub(super) budget: Budget,
    pub(super) inbox: Sender<Inbound>,
}

impl Terms {
    /// Counts what a peer did; of a program there is nothing to count.
    async fn record(&self, behaviour: Option<Behaviour>) {
        if let (Origin::Peer(peer), Some(node), Some(behaviour)) =
            (&self.origin, &self.node, behaviour)
        {
            node.record(*peer, behaviour, "actors").await;
        }
    }
}

/// Talks until the other side ends it. Dropping the future ends it as well, and cancels what is under way.
pub(super) async fn converse(pipe: Pipe, terms: Terms) -> Result<(), ServerError> {
    let terms = Arc::new(terms);
    let outcome = talk(pipe, terms.clone()).await;
    if let Err(error) = &outcome {
        terms.record(error.behaviour()).await;
    }
    outcome
}

async fn talk(pipe: Pipe, terms: Arc<Terms>) -> Result<(), ServerError> {
    let options = terms.options.clone();
    let limits = options.limits();
    let mut chunks = ChunkReader::new(pipe.reader, options.frame_timeout, limits.payload_max);
    let mut writer = FrameWriter::new(pipe.writer, options.frame_timeout);
    let mut talk = Conversation {
        answerer: Answerer::new(tag(&terms.protocol, &options.domain), &limits),
        answers: FuturesUnordered::new(),
        pending: HashMap::new(),
        delivering: None.into(),
        is_delivering: false,
        held: None,
        terms,
    };
    let (mut has_begun, mut has_ended) = (false, false);
    loop {
        while talk.take()? | talk.send(&mut writer) {}
        if has_ended && talk.is_over() && writer.is_empty() {
            return writer.finish().await;
        }
        let is_listening = !has_ended && !talk.is_delivering && !talk.answerer.is_clogged();
        let may_idle = has_begun && talk.answerer.finish().is_ok();
        tokio::select! {
            chunk = chunks.next(may_idle), if is_listening => match chunk? {
                Some(chunk) => {
                    has_begun |= true;
                    talk.answerer.recv(chunk);
                }
                None => {
                    talk.answerer.finish()?;
                    // A peer's stream may end in one direction after its question; a program that ends its socket is gone.
                    if !matches!(talk.terms.origin, Origin::Peer(_)) {
                        return Ok(());
                    }
                    has_ended = true;
                }
            },
            Some(is_open) = &mut talk.delivering, if talk.is_delivering => {
                talk.is_delivering = false;
                if !is_open {
                    return Ok(());
                }
            }
            Some((id, answered)) = talk.answers.next(), if talk.held.is_none() => talk.answer(id, answered).await,written = writer.write(), if !writer.is_empty() => written?,
        }
    }
}

struct Conversation {
    terms: Arc<Terms>,
    answerer: Answerer,
    /// The replies that the service owes.
    answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    pending: HashMap<u32, AbortHandle>,
    /// A message that waits for its place with the service: `false` comes of it if there is no service any more. Nothing is
    /// read meanwhile.
    delivering: OptionFuture<BoxFuture<'static, bool>>,
    is_delivering: bool,
    /// A reply for which there is no room.
    held: Option<(u32, Bytes)>,
}

type Answered = (u32, Result<Result<Outcome, CallError>, Aborted>);

impl Conversation {
    /// Takes what has come, as far as there is room for it; `false`: nothing.
    fn take(&mut self) -> Result<bool, ServerError> {
        let mut has_taken = false;
        while !self.is_delivering
            && let Some(asked) = self.answerer.poll_event()?
        {
            has_taken = true;
            match asked {
                Asked::Request {
                    id,
                    code,
                    priority,
                    payload,
                } => {
                    let (call, answer) = Call::new(());
                    self.expect(id, answer);
                    self.deliver(code, priority, payload, Some(call.into_parts().1));
                }
                Asked::OneWay {
                    code,
                    priority,
                    payload,
                } => {
                    self.deliver(code, priority, payload, None);
                }
                Asked::Cancelled { id } => {
                    if let Some(abort) = self.pending.remove(&id) {
                        abort.abort();
                    }
                }
            }
        }
        Ok(has_taken)
    }

    fn expect(&mut self, id: u32, answer: Answer<Outcome>) {
        let (abort, registration) = AbortHandle::new_pair();
        self.pending.insert(id, abort);
        let answered = Abortable::new(answer, registration);
        self.answers
            .push(answered.map(move |answered| (id, answered)).boxed());
    }

    fn deliver(
        &mut self,
        code: u16,
        priority: Priority,
        payload: Bytes,
        replier: Option<Replier<Outcome>>,
    ) {
        let bytes = payload.len().saturating_add(OVERHEAD);
        let (origin, options) = (self.terms.origin.clone(), self.terms.options.clone());
        let inbound =
            move |share: Share| Inbound::new(origin, code, priority, payload, share, replier);
        let delivered = move |sent| match sent {
            Sent::Ok => true,
            Sent::Full(inbound) => {
                let retry_after = Some(options.retry_after);
                Inbound::reply(inbound, Err(RequestError::Busy { retry_after }));
                true
            }
            Sent::Closed(_) => false,
        };
        let (budget, inbox) = (self.terms.budget.clone(), self.terms.inbox.clone());
        let mut delivering = async move {
            let inbound = inbound(budget.take(bytes).await);
            delivered(inbox.send_at(priority, inbound).await)
        }
        .boxed();
        // Mostly there is room; if the service is gone, that shows where it is awaited.
        if (&mut delivering).now_or_never() != Some(true) {
            self.is_delivering = true;
            self.delivering = Some(delivering).into();
        }
    }

    async fn answer(&mut self, id: u32, answered: Result<Result<Outcome, CallError>, Aborted>) {
        let Ok(answered) = answered else {
            return; // cancelled: nobody waits for it
        };
        self.pending.remove(&id);
        match answered {
            Ok(Ok(payload)) => self.reply(id, payload),
            Ok(Err(error)) => {
                let behaviour = match error {
                    RequestError::NotSupported => Some(Behaviour::Slow),
                    RequestError::Malformed(_) => Some(Behaviour::Spam),
                    _ => None,
                };
                self.answerer.refuse(id, &refusal(error));
                self.terms.record(behaviour).await;
            }
            Err(_) => self.answerer.refuse(id, &Refusal::Cancelled),
        }
    }

    fn reply(&mut self, id: u32, payload: Bytes) {
        match self.answerer.reply(id, payload.clone(), false) {
            Ok(()) => {}
            Err(NotTaken::LaneFull) => self.held = Some((id, payload)),
            Err(NotTaken::TooLarge(_) | NotTaken::TooMany) => {
                self.answerer.refuse(id, &Refusal::TooLarge)
            }
        }
    }

    /// Gives the writer what it takes; `false`: nothing.
    fn send(&mut self, writer: &mut FrameWriter) -> bool {
        let mut has_sent = false;
        while writer.has_room()
            && let Some(frame) = self.answerer.poll_transmit()
        {
            writer.push(&frame);
            has_sent = true;
        }
        if has_sent && let Some((id, payload)) = self.held.take() {
            self.reply(id, payload);
        }
        has_sent
    }

    fn is_over(&self) -> bool {
        self.answers.is_empty()
            && self.held.is_none()
            && self.answerer.is_sent()
            && !self.is_delivering
    }
}

/// About what a message costs besides its payload.
const OVERHEAD: usize = 256;
