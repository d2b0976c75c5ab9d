//! Hivemind's unary calls: a program calls peers and is called by them, many times at once over one socket. Each call has a
//! stream of its own to the other daemon; a stream that ends early is a call given up.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use carrick::{
    Code, Node, PeerId, ProtocolId, Stream,
    p2pd::{CallId, UnaryRequest, UnaryResponse},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, split},
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::timeout,
};
use tracing::debug;

use super::{
    frames::Frames,
    handlers::{Handler, Handlers},
};
use crate::{failure::Failure, socket::Socket};

/// The programs that hold such a socket; counted, since a daemon may be there for them alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs(Arc<watch::Sender<usize>>);

impl Programs {
    /// How many there are, now and from now on.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }

    /// Serves one until its socket ends, and then gives up what it handled and called.
    pub(super) async fn serve(
        &self,
        socket: Socket,
        frames: Frames,
        node: Node,
        handlers: Arc<Handlers>,
    ) -> io::Result<()> {
        self.0.send_modify(|count| *count += 1);
        let (reader, mut writer) = split(socket);
        let (out, mut outbox) = mpsc::channel::<Vec<u8>>(OUTBOX_MAX);
        let program = Program(Arc::new(Inner {
            out,
            waiting: Mutex::default(),
            calls: Mutex::default(),
        }));
        let mut session = Session {
            program: program.clone(),
            node,
            handlers,
            protocols: Vec::new(),
        };
        let write = async {
            while let Some(message) = outbox.recv().await {
                timeout(WRITE_TIMEOUT, writer.write_all(&message)).await??;
            }
            Ok(())
        };
        let ended = tokio::select! {
            ended = session.read(reader, frames) => ended,
            ended = write => ended,
        };
        for protocol in &session.protocols {
            let handler = Handler::Program(program.clone());
            let _ = session.handlers.remove(protocol, &handler).await;
        }
        for (_, call) in lock(&program.0.calls).drain() {
            call.abort();
        }
        // Their callers are told by the ends of their streams.
        lock(&program.0.waiting).clear();
        self.0.send_modify(|count| *count -= 1);
        ended
    }
}

/// A program that is connected.
#[derive(Clone)]
pub(super) struct Program(Arc<Inner>);

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

struct Inner {
    out: mpsc::Sender<Vec<u8>>,
    /// Calls of peers that it has been told of.
    waiting: Mutex<HashMap<CallId, oneshot::Sender<Answer>>>,
    /// Its own calls. Whoever takes one out has the last word on it.
    calls: Mutex<HashMap<CallId, AbortHandle>>,
}

type Answer = Result<Vec<u8>, Vec<u8>>;

impl Program {
    /// Serves one call of a peer's.
    pub(super) async fn take(self, mut stream: Stream) -> Result<(), String> {
        match self.answer(&mut stream).await {
            Ok(()) => stream.finish().await.map_err(|error| error.to_string()),
            Err(why) => {
                stream.reset(Code::NONE);
                Err(why)
            }
        }
    }

    async fn answer(&self, stream: &mut Stream) -> Result<(), String> {
        let frame = timeout(WRITE_TIMEOUT, Frames::default().next(stream)).await;
        let frame = frame.map_err(text)?.map_err(text)?;
        let frame = frame.ok_or("the caller has said nothing")?;
        let (call, request) = UnaryRequest::decode(&frame).map_err(text)?;
        let UnaryRequest::Call { protocol, data, .. } = request else {
            return Err("the caller does not call".to_owned());
        };
        let peer = stream.peer();
        let told = UnaryResponse::Call {
            peer,
            protocol,
            data,
        };
        let mut waiting = Waiting::new(&self.0, call)?;
        self.say(call, &told).await;
        let answer = tokio::select! {
            answer = &mut waiting.answer => answer.map_err(|_| "the program has gone")?,
            // It has nothing more to say, so this is its end.
            _ = stream.read_chunk() => {
                self.say(call, &UnaryResponse::Cancelled).await;
                return Err("the caller has given up".to_owned());
            }
            () = tokio::time::sleep(CALL_TIMEOUT) => {
                self.say(call, &UnaryResponse::Cancelled).await;
                return Err("the program does not answer".to_owned());
            }
        };
        let answer = UnaryRequest::Reply(answer).encode(call);
        let written = timeout(WRITE_TIMEOUT, stream.write_all(&answer)).await;
        written.map_err(text)?.map_err(text)
    }

    /// A program that has gone hears nothing.
    async fn say(&self, call: CallId, told: &UnaryResponse) {
        let _ = self.0.out.send(told.encode(call)).await;
    }
}

/// A place among the calls that wait for the program's answer.
struct Waiting<'a> {
    program: &'a Inner,
    call: CallId,
    answer: oneshot::Receiver<Answer>,
}

impl<'a> Waiting<'a> {
    fn new(program: &'a Inner, call: CallId) -> Result<Self, String> {
        let (reply, answer) = oneshot::channel();
        let mut waiting = lock(&program.waiting);
        if waiting.len() >= CALLS_MAX || waiting.contains_key(&call) {
            return Err("the program has too many calls, or this one, already".to_owned());
        }
        waiting.insert(call, reply);
        Ok(Self {
            program,
            call,
            answer,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.program.waiting).remove(&self.call);
    }
}

/// What the program asks over its socket.
struct Session {
    program: Program,
    node: Node,
    handlers: Arc<Handlers>,
    /// Those it handles.
    protocols: Vec<ProtocolId>,
}

impl Session {
    async fn read(
        &mut self,
        mut socket: impl AsyncRead + Unpin,
        mut frames: Frames,
    ) -> io::Result<()> {
        while let Some(frame) = frames.next(&mut socket).await? {
            let (call, told) = match UnaryRequest::decode(&frame) {
                Ok((call, request)) => (call, self.fulfil(call, request).await),
                Err(error) => match error.call {
                    Some(call) => (call, Some(UnaryResponse::Failed(error.to_string()))),
                    None => {
                        debug!(%error, "a program's request was left out");
                        continue;
                    }
                },
            };
            if let Some(told) = told {
                self.program.say(call, &told).await;
            }
        }
        Ok(())
    }

    /// `None`: the answer comes later, or none is wanted.
    async fn fulfil(&mut self, call: CallId, request: UnaryRequest) -> Option<UnaryResponse> {
        let handler = || Handler::Program(self.program.clone());
        let done = match request {
            UnaryRequest::AddHandler { protocol, balanced } => {
                let added = self
                    .handlers
                    .add(&protocol, handler(), Some(balanced))
                    .await;
                added.map(|()| self.protocols.push(protocol))
            }
            UnaryRequest::RemoveHandler { protocol } => {
                let removed = self.handlers.remove(&protocol, &handler()).await;
                removed.map(|()| {
                    let at = self.protocols.iter().position(|one| *one == protocol);
                    at.map(|at| self.protocols.swap_remove(at));
                })
            }
            UnaryRequest::Call {
                peer,
                protocol,
                data,
            } => match self.call(call, peer, protocol, data) {
                Ok(()) => return None,
                refused => refused,
            },
            UnaryRequest::Reply(answer) => {
                let waiting = lock(&self.program.0.waiting).remove(&call);
                // The caller may have given up.
                let _ = waiting.map(|reply| reply.send(answer));
                return None;
            }
            UnaryRequest::Cancel => {
                let own = lock(&self.program.0.calls).remove(&call);
                return own.map(|call| {
                    call.abort();
                    UnaryResponse::Cancelled
                });
            }
        };
        Some(done.map_or_else(UnaryResponse::Failed, |()| UnaryResponse::Done))
    }

    /// Starts a call; its outcome is told when it is there.
    fn call(
        &self,
        call: CallId,
        peer: PeerId,
        protocol: ProtocolId,
        data: Vec<u8>,
    ) -> Result<(), String> {
        let mut calls = lock(&self.program.0.calls);
        if calls.len() >= CALLS_MAX || calls.contains_key(&call) {
            return Err("too many calls are under way, or this one is".to_owned());
        }
        let (node, program) = (self.node.clone(), self.program.clone());
        let task = tokio::spawn(async move {
            let outcome = timeout(CALL_TIMEOUT, exchange(&node, call, peer, protocol, data)).await;
            let outcome = outcome.unwrap_or_else(|late| Err(late.to_string()));
            if lock(&program.0.calls).remove(&call).is_some() {
                let told = outcome.map_or_else(UnaryResponse::Failed, UnaryResponse::Reply);
                program.say(call, &told).await;
            }
        });
        calls.insert(call, task.abort_handle());
        Ok(())
    }
}

/// One call over a stream of its own.
async fn exchange(
    node: &Node,
    call: CallId,
    peer: PeerId,
    protocol: ProtocolId,
    data: Vec<u8>,
) -> Result<Answer, String> {
    let mut stream = node
        .open_stream(peer, &protocol)
        .await
        .map_err(|error| Failure::from(error).to_string())?;
    let request = UnaryRequest::Call {
        peer,
        protocol,
        data,
    };
    stream
        .write_all(&request.encode(call))
        .await
        .map_err(text)?;
    let frame = Frames::default().next(&mut stream).await.map_err(text)?;
    let frame = frame.ok_or("the peer has ended the call without an answer")?;
    // Both sides have said all.
    let _ = stream.finish().await;
    match UnaryRequest::decode(&frame).map_err(text)? {
        (_, UnaryRequest::Reply(answer)) => Ok(answer),
        _ => Err("the peer has answered a call with something else".to_owned()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// Messages to a program that it has not read.
const OUTBOX_MAX: usize = 16;
/// Calls of one program at once, in each direction.
const CALLS_MAX: usize = 1024;
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// From a call's begin to its answer: some compute for long.
const CALL_TIMEOUT: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests;
