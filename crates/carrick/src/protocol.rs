//! A protocol as an object: callbacks for what happens to connections and peers, beside its streams and packets.
//!
//! One task for each protocol starts its callbacks, in the order in which the node decided, and never waits for one to end;
//! so a slow protocol holds up nobody, and itself only when [`UNFINISHED_MAX`] of its callbacks are under way.

use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    sync::Arc,
    task::Poll,
};

use carrick_swarm::ConnectionId;
use carrick_wire::PeerId;
use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::error;

use crate::{
    AcceptError, Changes, ConnectionEnd, Events, Node, NodeEvent, Packets, Stream,
    message::Message, packets, target::parse_protocol,
};

/// A protocol that wants to know more than its streams; implement what it needs, as `async fn`. Register it with
/// [`Builder::protocol`](crate::Builder::protocol). For streams alone, [`Builder::handle`](crate::Builder::handle) is simpler.
///
/// Callbacks are started in the order in which things happened, each after the one before has run up to its first wait, and
/// finish on their own: `connection_opened` is started before any stream of that connection, and `connection_closed` after it
/// was opened; a stream may be started after the end of its connection, and fails then. One that panics is logged, and that is
/// all.
///
/// Callbacks about connections and peers that are not finished are counted: at 256 no further one is started, nor a stream
/// taken, until one is done. Whoever does not keep up for 1024 more events misses the oldest, and is told with
/// [`missed`](Self::missed). What takes long belongs into a task of its own.
///
/// The [`Node`] that they get does not keep the node alive. With it they dial, listen, open streams and flows of packets.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{ConnectionId, Node, PeerId, ProtocolHandler, Stream};
///
/// /// Greets whoever connects, and reads greetings.
/// struct Greeter;
///
/// impl ProtocolHandler for Greeter {
///     async fn connection_opened(&self, node: Node, peer: PeerId, _: ConnectionId) {
///         if let Ok(mut stream) = node.open_stream(peer, "/greet/1.0.0").await {
///             let _ = stream.write_all(b"hello").await;
///             let _ = stream.finish().await;
///         }
///     }
///
///     async fn inbound_stream(&self, _: Node, mut stream: Stream) {
///         println!("{}: {:?}", stream.peer(), stream.read_to_end(64).await);
///     }
/// }
///
/// let node = Node::builder().protocol("/greet/1.0.0", Greeter).spawn().await?;
/// # Ok(())
/// # }
/// ```
#[expect(
    unused_variables,
    reason = "the names in these signatures are documentation"
)]
pub trait ProtocolHandler: Send + Sync + 'static {
    /// A connection to a peer is up, be it the peer's first or not, and whether or not the peer speaks the protocol.
    fn connection_opened(
        &self,
        node: Node,
        peer: PeerId,
        connection: ConnectionId,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// It is gone.
    fn connection_closed(
        &self,
        node: Node,
        peer: PeerId,
        connection: ConnectionId,
        reason: ConnectionEnd,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The peer has told who it is, or what has changed: [`Node::peer`] knows more.
    fn peer_identified(
        &self,
        node: Node,
        peer: PeerId,
        changes: Changes,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The peer has opened a stream for the protocol. Not one of the 256; as many streams at once as with
    /// [`Node::handle`]. By default it is reset.
    fn inbound_stream(&self, node: Node, stream: Stream) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The peer has opened a flow of packets for the protocol. As with streams; only if
    /// [`takes_packets`](Self::takes_packets).
    fn inbound_packets(&self, node: Node, packets: Packets) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Whether peers may open flows of packets for the protocol.
    fn takes_packets(&self) -> bool {
        false
    }

    /// This many events were missed, right here; not all of them would have been for this protocol. What holds now can be
    /// asked: see [`Node::peers`].
    fn missed(&self, node: Node, count: u64) -> impl Future<Output = ()> + Send {
        async {}
    }
}

impl Node {
    /// Registers a protocol, as long as the node lives; see [`ProtocolHandler`]. Connections that were there before are not
    /// told of.
    ///
    /// # Errors
    /// The protocol is registered already, or is not a protocol id.
    pub fn protocol(
        &self,
        protocol: &str,
        handler: impl ProtocolHandler,
    ) -> Result<(), AcceptError> {
        let protocol = parse_protocol(protocol)?;
        let router = &self.core().router;
        let (inbox, inbound) = mpsc::channel(INBOUND_MAX);
        let takes_packets = handler.takes_packets();
        let streams = inbox.clone();
        router.handle(protocol.clone(), move |stream| {
            hand_over(streams.clone(), |done| Inbound::Stream(stream, done))
        })?;
        if takes_packets {
            let taken = packets::register(router, protocol.clone(), move |packets| {
                hand_over(inbox.clone(), |done| Inbound::Packets(packets, done))
            });
            taken.inspect_err(|_| router.remove(&[protocol]))?;
        }
        let starter = Starter {
            node: self.downgrade(),
            handler: Arc::new(handler),
            unfinished: Arc::new(Semaphore::new(UNFINISHED_MAX)),
        };
        let run = starter.run(self.events(), inbound);
        self.core().runtime().spawn(run);
        self.core().post(Message::ProtocolsChanged);
        Ok(())
    }
}

/// What a peer has opened, and who waits until it is served.
enum Inbound {
    Stream(Stream, oneshot::Sender<()>),
    Packets(Packets, oneshot::Sender<()>),
}

/// Has it started in its turn, and waits until it is done: its place is taken until then.
async fn hand_over(
    inbox: mpsc::Sender<Inbound>,
    inbound: impl FnOnce(oneshot::Sender<()>) -> Inbound,
) {
    let (done, served) = oneshot::channel();
    if inbox.send(inbound(done)).await.is_ok() {
        // Nobody sends: it is dropped.
        let _ = served.await;
    }
}

/// Starts one protocol's callbacks.
struct Starter<P> {
    node: Node,
    handler: Arc<P>,
    unfinished: Arc<Semaphore>,
}

impl<P: ProtocolHandler> Starter<P> {
    async fn run(self, mut events: Events, mut inbound: mpsc::Receiver<Inbound>) {
        let mut next = None;
        loop {
            let Ok(permit) = self.unfinished.clone().acquire_owned().await else {
                return;
            };
            // What happened to a connection is told before its streams are served: also what happens between a look for
            // news and one for streams.
            let told = if next.is_some() {
                events.next().now_or_never()
            } else {
                tokio::select! {
                    biased;
                    event = events.next() => Some(event),
                    Some(inbound) = inbound.recv() => {
                        next = Some(inbound);
                        continue;
                    }
                }
            };
            match (told, next.take()) {
                (Some(None), _) => return,
                (Some(Some(event)), later) => {
                    next = later;
                    if let Some(callback) = self.callback(event) {
                        let contained = async move {
                            callback.await;
                            drop(permit);
                        };
                        start(contained).await;
                    }
                }
                (None, Some(inbound)) => start(self.serve(inbound)).await,
                (None, None) => {}
            }
        }
    }

    /// `None`: it concerns the node alone.
    fn callback(&self, event: NodeEvent) -> Option<impl Future<Output = ()> + Send + use<P>> {
        if !matches!(
            event,
            NodeEvent::ConnectionOpened { .. }
                | NodeEvent::ConnectionClosed { .. }
                | NodeEvent::Identified { .. }
                | NodeEvent::Missed { .. }
        ) {
            return None;
        }
        let (node, to) = (self.node.clone(), self.handler.clone());
        Some(async move {
            match event {
                NodeEvent::ConnectionOpened {
                    peer, connection, ..
                } => to.connection_opened(node, peer, connection).await,
                NodeEvent::ConnectionClosed {
                    peer,
                    connection,
                    reason,
                    ..
                } => to.connection_closed(node, peer, connection, reason).await,
                NodeEvent::Identified { peer, changes } => {
                    to.peer_identified(node, peer, changes).await;
                }
                NodeEvent::Missed { count } => to.missed(node, count).await,
                _ => {}
            }
        })
    }

    fn serve(&self, inbound: Inbound) -> impl Future<Output = ()> + Send + use<P> {
        let (node, to) = (self.node.clone(), self.handler.clone());
        async move {
            match inbound {
                Inbound::Stream(stream, _done) => to.inbound_stream(node, stream).await,
                Inbound::Packets(packets, _done) => to.inbound_packets(node, packets).await,
            }
        }
    }
}

/// Runs it here up to its first wait, and then as a task of its own.
async fn start(callback: impl Future<Output = ()> + Send + 'static) {
    let mut contained = Box::pin(AssertUnwindSafe(callback).catch_unwind().map(|outcome| {
        if outcome.is_err() {
            error!("a protocol's callback has panicked");
        }
    }));
    let begun = poll_fn(|cx| Poll::Ready(contained.as_mut().poll(cx))).await;
    if begun.is_pending() {
        tokio::spawn(contained);
    }
}

/// Callbacks of one protocol about connections and peers that are under way.
const UNFINISHED_MAX: usize = 256;
/// Streams and flows of one protocol that wait to be started; their negotiation is done.
const INBOUND_MAX: usize = 64;
