//! The queue of inbound streams that `Node::accept` gives.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use carrick_wire::ProtocolId;
use tokio::sync::mpsc;

use crate::{Stream, core::Core, message::Message};

/// Inbound streams of the protocols that were asked for, from all peers, in the order in which they were negotiated.
///
/// While nobody takes them, further peers are held back and, after a while, refused. Dropping it makes the node refuse the
/// protocols at once; streams that wait in the queue are reset.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::Node;
///
/// let server = Node::builder().listen("/ip4/127.0.0.1/tcp/0")?.spawn().await?;
/// let mut incoming = server.accept("/chat/1.0.0")?;
///
/// let client = Node::spawn().await?;
/// let mut stream = client.open_stream(server.address(), "/chat/1.0.0").await?;
/// stream.write_all(b"hello").await?;
///
/// let mut inbound = incoming.next().await.ok_or("the node was closed")?;
/// assert_eq!(inbound.peer(), client.id());
/// assert_eq!(inbound.read_chunk().await?.as_deref(), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Incoming {
    protocols: Vec<ProtocolId>,
    streams: mpsc::Receiver<Stream>,
    node: Arc<Core>,
}

impl Incoming {
    pub(crate) fn new(
        protocols: Vec<ProtocolId>,
        streams: mpsc::Receiver<Stream>,
        node: Arc<Core>,
    ) -> Self {
        Self {
            protocols,
            streams,
            node,
        }
    }

    /// The next stream; `None` once the node is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }

    pub(crate) fn node(&self) -> &Arc<Core> {
        &self.node
    }

    /// The protocols of this queue.
    pub fn protocols(&self) -> &[ProtocolId] {
        &self.protocols
    }
}

impl futures::Stream for Incoming {
    type Item = Stream;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
        self.streams.poll_recv(cx)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After close() the routes may belong to nobody; only an open queue is still ours to remove.
        if !self.streams.is_closed() {
            self.node.router.remove(&self.protocols);
            self.node.post(Message::ProtocolsChanged);
        }
    }
}
