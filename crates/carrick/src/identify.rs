//! The identify protocol's streams (specs/identify): asking, telling, and pushing what has changed. What they say is decided
//! in `carrick-protocols`.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use carrick_protocols::identify::{self, Collector, IdentifyError};
use carrick_session::Code;
use carrick_swarm::{Behaviour, ConnectionId};
use tokio::time::{timeout, timeout_at};
use tracing::debug;

use crate::{
    Fault, Stream,
    connection::Shared,
    core::Core,
    info::Info,
    message::Message,
    open,
    steps::{self, Step},
};

/// How long an identify exchange may take.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that a peer of unknown make is asked to bear: some stacks end the connection at 512.
pub(crate) const FOREIGN_STREAMS_MAX: usize = 480;
/// How agents of this stack are known.
pub(crate) const AGENT: &str = concat!("carrick/", env!("CARGO_PKG_VERSION"));

/// How long a connection lives before its peer is asked who it is, unless somebody wants to know sooner: what is closed at
/// once does not pay for it.
const ASK_AFTER: Duration = Duration::from_millis(10);

/// Connections whose peers are to be asked soon, in order of time.
#[derive(Debug, Default)]
pub(crate) struct Later(VecDeque<(Instant, ConnectionId)>);

impl Later {
    pub(crate) fn push(&mut self, now: Instant, connection: ConnectionId) {
        self.0.push_back((now + ASK_AFTER, connection));
    }

    /// Takes one out that need not wait any more; false if it was not there.
    pub(crate) fn remove(&mut self, connection: ConnectionId) -> bool {
        let found = self
            .0
            .iter()
            .position(|(_, waiting)| *waiting == connection);
        found.is_some_and(|found| self.0.remove(found).is_some())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0.front().map(|(due, _)| *due)
    }

    /// The next one whose time has come.
    pub(crate) fn due(&mut self, now: Instant) -> Option<ConnectionId> {
        let due = self.0.pop_front_if(|(due, _)| *due <= now);
        due.map(|(_, connection)| connection)
    }
}

/// Tells the peer who we are.
pub(crate) async fn serve(node: &Core, mut stream: Stream) {
    stream.unhold();
    let shared = stream.shared().clone();
    let Ok(_permit) = shared.inbound_identifies.try_acquire() else {
        return stream.reset(Code::LIMIT);
    };
    tell(node, &mut stream, false).await;
    // A QUIC stream that is dropped tells the peer to stop writing, upon which some stacks read no more, either.
    let _ = timeout(IDENTIFY_TIMEOUT, stream.read_to_end(0)).await;
}

async fn tell(node: &Core, stream: &mut Stream, is_push: bool) {
    let message = node.identify(&stream.shared().address);
    let told = timeout(IDENTIFY_TIMEOUT, async {
        stream.write_all(&message).await?;
        stream.finish().await
    });
    match told.await {
        Ok(Ok(())) => {
            node.metrics.identify_sent(is_push);
            steps::passed(Step::IdentifyTold);
        }
        Ok(Err(error)) => debug!(peer = %stream.peer(), %error, "identify was not sent"),
        Err(_) => debug!(peer = %stream.peer(), "identify was not sent in time"),
    }
}

/// Asks the peer who it is.
pub(crate) async fn ask(node: Arc<Core>, shared: Arc<Shared>) {
    let ask = async {
        steps::passed(Step::IdentifyAsked);
        let stream = open::open_own(&shared, identify::PROTOCOL)
            .await
            .map_err(Fault::from)?;
        collect(stream).await
    };
    match timeout(IDENTIFY_TIMEOUT, ask).await {
        Ok(Ok(info)) => {
            node.metrics.identify_received(false, &info);
            learn(&shared, Info::new(shared.peer, &shared.key, &info));
            steps::passed(Step::IdentifyLearned);
            node.send(Message::Identified {
                connection: shared.id,
                info: Box::new(info),
            })
            .await;
        }
        Ok(Err(fault)) => {
            debug!(peer = %shared.peer, %fault, "the peer was not identified");
            node.blame(shared.peer, &fault, "identify").await;
        }
        Err(_) => {
            debug!(peer = %shared.peer, "the peer was not identified in time");
            node.record(shared.peer, Behaviour::Timeout, "identify")
                .await;
        }
    }
}

/// Tells the peer what has changed.
pub(crate) async fn push(node: Arc<Core>, shared: Arc<Shared>) {
    // Peers that do not know the push are not told; that is no failure.
    if let Ok(mut stream) = open::open_own(&shared, identify::PUSH_PROTOCOL).await {
        stream.unhold();
        tell(&node, &mut stream, true).await;
    }
}

/// Hears what has changed. A push that comes too early is not read; what it said is asked for later.
pub(crate) async fn serve_push(node: Arc<Core>, mut stream: Stream) {
    stream.unhold();
    let shared = stream.shared().clone();
    if let Err(next) = allow_push(&shared) {
        stream.reset(Code::LIMIT);
        let Ok(_permit) = shared.refresh.try_acquire() else {
            return;
        };
        if timeout_at(next.into(), shared.wait_gone()).await.is_err() {
            ask(node, shared.clone()).await;
        }
        return;
    }
    match timeout(IDENTIFY_TIMEOUT, collect(stream)).await {
        Ok(Ok(push)) => {
            node.metrics.identify_received(true, &push);
            if let Some(known) = shared.info() {
                learn(&shared, known.updated(&push));
            }
            node.send(Message::Pushed {
                connection: shared.id,
                info: Box::new(push),
            })
            .await;
        }
        Ok(Err(fault)) => {
            debug!(peer = %shared.peer, %fault, "an identify push was not understood");
            node.blame(shared.peer, &fault, "identify").await;
        }
        Err(_) => debug!(peer = %shared.peer, "an identify push did not end in time"),
    }
}

/// Counts a push; the time of the next one when it is one too many.
fn allow_push(shared: &Shared) -> Result<(), Instant> {
    let mut pushes = shared.pushes.lock().unwrap_or_else(PoisonError::into_inner);
    pushes
        .allow(Instant::now())
        .then_some(())
        .ok_or_else(|| pushes.next())
}

async fn collect(mut stream: Stream) -> Result<identify::Info, Fault> {
    stream.unhold();
    // Nothing of ours is left to say. A peer that cannot take the end of our side still tells us what we asked.
    let _ = stream.finish().await;
    let mut collector = Collector::new(stream.peer());
    while let Some(bytes) = stream.read_chunk().await? {
        collector.recv(&bytes).map_err(fault)?;
    }
    collector.finish().map_err(fault)
}

fn fault(error: IdentifyError) -> Fault {
    match error {
        // Some stacks lose the end of what they say.
        IdentifyError::Truncated => error.into(),
        IdentifyError::Decode(_) | IdentifyError::TooManyParts | IdentifyError::WrongPeer(_) => {
            Fault::new(Behaviour::Protocol, error)
        }
    }
}

fn learn(shared: &Shared, info: Info) {
    let mut spoken = info.protocols.clone();
    spoken.sort();
    spoken.dedup();
    *shared
        .spoken
        .write()
        .unwrap_or_else(PoisonError::into_inner) = spoken;
    if info
        .agent
        .as_deref()
        .is_some_and(|agent| agent.contains("carrick/"))
    {
        shared.set_outbound_max(shared.outbound_max);
    }
    shared.known.send_modify(|known| {
        known.changes.add(known.info.as_deref(), &info);
        known.info = Some(Arc::new(info));
    });
}
