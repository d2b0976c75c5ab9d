//! A stream: bytes in order to and from one peer, for one protocol.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use carrick_session::{Code, NegotiateError, negotiate::Dialer};
use carrick_swarm::Direction;
use carrick_wire::{PeerId, ProtocolId};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
};

use crate::{
    StreamError,
    connection::{Channel, Shared},
    metrics::StreamTally,
    quotas::StreamPermit,
    steps::{self, Step},
};

#[cfg(feature = "futures-io")]
mod futures_io;

/// A bidirectional stream to one peer.
///
/// It implements tokio's `AsyncRead` and `AsyncWrite`, and those of `futures` with the feature `futures-io`; the methods
/// here do the same with typed errors. Three ends look different to the reader: a clean end (`Ok(None)` or 0 bytes), a
/// reset ([`StreamError::Reset`]) and a lost connection ([`StreamError::ConnectionLost`]). Dropping a stream that was not [`finish`](Self::finish)ed resets it.
///
/// When the peer is known to speak the protocol, a stream is opened without waiting for its consent: header, protocol and
/// first data leave together. Should it refuse after all, the first read fails with [`StreamError::Unsupported`].
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Node, Stream};
///
/// let server = Node::builder()
///     .handle("/shout/1.0.0", |mut stream: Stream| async move {
///         let text = stream.read_to_end(1024).await?;
///         stream.write_all(&text.to_ascii_uppercase()).await?;
///         stream.finish().await
///     })
///     .listen("/ip4/127.0.0.1/tcp/0")?
///     .spawn()
///     .await?;
/// let client = Node::spawn().await?;
/// let mut stream = client.open_stream(server.address(), "/shout/1.0.0").await?;
/// stream.write_all(b"hello").await?;
/// stream.finish().await?;
/// assert_eq!(stream.read_to_end(1024).await?, "HELLO");
/// # Ok(())
/// # }
/// ```
pub struct Stream {
    shared: Arc<Shared>,
    /// Only [`park`](Self::park) takes it.
    channel: Option<Channel>,
    protocol: ProtocolId,
    /// Words of the negotiation that have not left yet; they go with the first data.
    head: Vec<u8>,
    /// The negotiation, while the peer's answer is still to come.
    unconfirmed: Option<Box<Dialer>>,
    /// Received and not read yet.
    chunk: Bytes,
    held: bool,
    /// A peer's stream counts as long as it is here.
    permit: Option<StreamPermit>,
    tally: StreamTally,
}

impl Stream {
    /// Takes charge of a stream of ours; `dialer` proposes the protocol.
    pub(crate) fn outbound(
        shared: Arc<Shared>,
        channel: Channel,
        protocol: ProtocolId,
        mut dialer: Dialer,
    ) -> Self {
        let tally = shared.tally.stream(Direction::Outbound, Some(&protocol));
        let mut stream = Self::new(shared, channel, protocol, tally);
        dialer.poll_transmit(&mut stream.head);
        stream.unconfirmed = Some(Box::new(dialer));
        stream
    }

    /// Takes charge of a stream that the peer opened.
    pub(crate) fn inbound(shared: Arc<Shared>, channel: Channel, protocol: ProtocolId) -> Self {
        let tally = shared.tally.stream(Direction::Inbound, None);
        Self::new(shared, channel, protocol, tally)
    }

    fn new(
        shared: Arc<Shared>,
        channel: Channel,
        protocol: ProtocolId,
        tally: StreamTally,
    ) -> Self {
        shared.hold_stream();
        Self {
            shared,
            channel: Some(channel),
            protocol,
            head: Vec::new(),
            unconfirmed: None,
            chunk: Bytes::new(),
            held: true,
            permit: None,
            tally,
        }
    }

    /// Counts it until it is dropped.
    pub(crate) fn count(&mut self, permit: StreamPermit) {
        self.permit = Some(permit);
    }

    /// Who is on the other end.
    pub fn peer(&self) -> PeerId {
        self.shared.peer
    }

    /// The protocol that was agreed on.
    pub fn protocol(&self) -> &ProtocolId {
        &self.protocol
    }

    /// Waits until the peer has agreed to the protocol, which [`Node::open_stream`](crate::Node::open_stream) may leave
    /// open. Reading does the same by itself. Cancel-safe.
    ///
    /// # Errors
    /// [`StreamError::Unsupported`] if the peer refuses; see [`StreamError`] for the others.
    pub async fn confirm(&mut self) -> Result<(), StreamError> {
        std::future::poll_fn(|cx| {
            while self.unconfirmed.is_some() {
                ready!(self.poll_recv(cx))?;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Writes all of `data`. Returns when everything is queued in the connection, which sends it at once.
    ///
    /// Not cancel-safe: a dropped call may have queued a part.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), StreamError> {
        while !data.is_empty() {
            let written = std::future::poll_fn(|cx| self.poll_write_some(cx, data)).await?;
            data = &data[written..];
        }
        Ok(())
    }

    /// Reads the next bytes that arrived, without copying them; `None` at the clean end. Cancel-safe.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await?;
        Ok(Some(std::mem::take(&mut self.chunk)).filter(|chunk| !chunk.is_empty()))
    }

    /// Fills `buf` from the stream.
    ///
    /// Not cancel-safe: what a dropped call had read is lost.
    ///
    /// # Errors
    /// [`StreamError::EndedEarly`] if the peer finished before; see [`StreamError`] for the others.
    pub async fn read_exact(&mut self, mut buf: &mut [u8]) -> Result<(), StreamError> {
        while !buf.is_empty() {
            std::future::poll_fn(|cx| self.poll_chunk(cx)).await?;
            if self.chunk.is_empty() {
                return Err(StreamError::EndedEarly);
            }
            let n = buf.len().min(self.chunk.len());
            self.chunk.copy_to_slice(&mut buf[..n]);
            buf = &mut buf[n..];
        }
        Ok(())
    }

    /// Reads until the peer finishes, at most `limit` bytes.
    ///
    /// Not cancel-safe: what a dropped call had read is lost.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] when the peer sends more than `limit` bytes; see [`StreamError`] for the others.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, StreamError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.read_chunk().await? {
            if chunk.len() > limit - all.len() {
                return Err(StreamError::TooLong { limit });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// Closes our write side: the peer reads everything and then a clean end. Reading goes on.
    ///
    /// Cancel-safe. Finishing twice is no error.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        std::future::poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// Ends both directions at once and tells the peer `code`; data under way may be lost.
    pub fn reset(mut self, code: Code) {
        let (channel, shared) = self.channel();
        channel.reset(shared, code);
        steps::passed(Step::StreamReset);
    }

    /// As [`reset`](Self::reset), but what was written before still arrives.
    pub(crate) fn refuse(mut self, code: Code) {
        let (channel, shared) = self.channel();
        channel.refuse(shared, code);
    }

    /// Waits until the peer, whose side has ended, wants nothing of ours any more, and says why: it has reset the stream, or is
    /// gone. Never ends for a QUIC stream that is finished. Cancel-safe.
    pub(crate) async fn unwanted(&mut self) -> StreamError {
        let (channel, shared) = self.channel();
        channel.unwanted(shared).await
    }

    /// Gives up reading: what was and will be received is discarded. Writing goes on. Over QUIC the peer is told at once
    /// and its writes fail; otherwise it learns of it when the stream is dropped, since the muxers of TCP have no word
    /// for it.
    pub fn stop(&mut self, code: Code) {
        self.chunk.clear();
        let (channel, shared) = self.channel();
        channel.stop(shared, code);
    }

    /// Sends back everything that is received, then finishes.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn echo(&mut self) -> Result<(), StreamError> {
        while let Some(chunk) = self.read_chunk().await? {
            self.write_all(&chunk).await?;
        }
        self.finish().await
    }

    /// Says the words of the negotiation without waiting for the first data.
    pub(crate) async fn speak(&mut self) -> Result<(), StreamError> {
        std::future::poll_fn(|cx| self.poll_write_head(cx)).await
    }

    /// From here on the stream is one of ours: it does not keep the connection from being idle.
    pub(crate) fn unhold(&mut self) {
        if std::mem::take(&mut self.held) {
            self.shared.unhold_stream();
        }
    }

    /// Takes [`unhold`](Self::unhold) back.
    pub(crate) fn hold(&mut self) {
        if !std::mem::replace(&mut self.held, true) {
            self.shared.hold_stream();
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The stream's id in QUIC, if that carries it.
    pub(crate) fn quic_id(&self) -> Option<u64> {
        self.channel.as_ref()?.quic_id()
    }

    pub(crate) fn set_protocol(&mut self, protocol: ProtocolId) {
        self.shared.tally.negotiated(&mut self.tally, &protocol);
        self.protocol = protocol;
    }

    /// Leaves the stream to the connection until it is [`resume`](Self::resume)d. It must be confirmed, and read out.
    pub(crate) fn park(mut self) -> Option<Channel> {
        debug_assert!(
            self.unconfirmed.is_none() && self.chunk.is_empty(),
            "nothing is left in the handle"
        );
        self.channel.take()
    }

    /// Takes charge of a stream that was parked.
    pub(crate) fn resume(shared: Arc<Shared>, channel: Channel, protocol: ProtocolId) -> Self {
        let tally = shared.tally.stream(Direction::Outbound, Some(&protocol));
        Self::new(shared, channel, protocol, tally)
    }

    /// Gives back bytes that belong to the protocol and not to its negotiation.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        debug_assert!(
            self.chunk.is_empty(),
            "bytes are given back before anything else is read"
        );
        self.chunk = bytes;
    }

    fn channel(&mut self) -> (&mut Channel, &Shared) {
        let channel = self.channel.as_mut();
        let channel = channel.expect("only park() takes it, and the handle with it");
        (channel, &self.shared)
    }

    /// Ready with bytes in `chunk`, or with none at the clean end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let coop = ready!(coop::poll_proceed(cx));
        while self.chunk.is_empty() {
            if !ready!(self.poll_recv(cx))? {
                break;
            }
        }
        coop.made_progress();
        Poll::Ready(Ok(()))
    }

    /// Receives once; false at the clean end. Words of the negotiation are taken out.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamError>> {
        if !self.head.is_empty() {
            // Who reads first must have asked first.
            let mut head = std::mem::take(&mut self.head);
            let (channel, shared) = self.channel();
            let written = channel.poll_write_head(shared, cx, &mut head);
            self.head = head;
            ready!(written)?;
        }
        let (channel, shared) = self.channel();
        let Some(mut bytes) = ready!(channel.poll_read(shared, cx))? else {
            return Poll::Ready(if self.unconfirmed.is_some() {
                Err(StreamError::EndedEarly)
            } else {
                Ok(false)
            });
        };
        if let Some(dialer) = &mut self.unconfirmed {
            let used = match dialer.recv(&bytes) {
                Ok(used) => used,
                Err(error) => return Poll::Ready(Err(self.refused(error))),
            };
            dialer.poll_transmit(&mut self.head);
            bytes.advance(used);
            if let Some(protocol) = dialer.outcome() {
                if self.protocol != *protocol {
                    self.shared.tally.negotiated(&mut self.tally, protocol);
                    self.protocol = protocol.clone();
                }
                self.shared.learn(protocol);
                self.unconfirmed = None;
                steps::passed(Step::StreamAgreed);
            }
        }
        self.chunk = bytes;
        steps::passed(Step::StreamRead);
        Poll::Ready(Ok(true))
    }

    /// Writes some of `data`; at least the words of the negotiation, if they have not left.
    pub(crate) fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        if data.is_empty() && self.head.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let coop = ready!(coop::poll_proceed(cx));
        let mut head = std::mem::take(&mut self.head);
        let (channel, shared) = self.channel();
        let written = channel.poll_write(shared, cx, &mut head, data);
        self.head = head;
        let written = ready!(written);
        coop.made_progress();
        steps::passed(Step::StreamWrote);
        Poll::Ready(written)
    }

    fn poll_write_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while !self.head.is_empty() {
            ready!(self.poll_write_some(cx, &[]))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_write_head(cx))?;
        let (channel, shared) = self.channel();
        let finished = channel.finish(shared);
        steps::passed(Step::StreamFinished);
        Poll::Ready(finished)
    }

    fn refused(&self, error: NegotiateError) -> StreamError {
        if let NegotiateError::Unsupported(protocols) = &error {
            protocols
                .iter()
                .for_each(|protocol| self.shared.unlearn(protocol));
        }
        error.into()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() && self.head.is_empty() && self.unconfirmed.is_none() {
            let coop = ready!(coop::poll_proceed(cx));
            let (channel, shared) = self.channel();
            if let Some(filled) = channel.poll_fill(shared, cx, buf) {
                if filled.is_ready() {
                    coop.made_progress();
                }
                return filled.map_err(io::Error::from);
            }
        }
        ready!(self.poll_chunk(cx))?;
        let n = buf.remaining().min(self.chunk.len());
        buf.put_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(ready!(self.poll_write_some(cx, data))?))
    }

    /// The connection sends what is queued without being asked; only an unsent negotiation is left to flush.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.poll_write_head(cx))?))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.poll_finish(cx))?))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            channel.release(&self.shared, self.unconfirmed.is_some());
        }
        if self.held {
            self.shared.unhold_stream();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.shared.peer)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
