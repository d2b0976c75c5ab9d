//! A channel of bytes at whatever layer: a socket, WebSocket frames on it, TLS, or Noise in any of them. What has come and was
//! not taken yet stays in it.

use std::{future::Future, io, pin::Pin};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{noise::Secured, websocket::Frames};
use crate::case::{Step, fail};

/// Whatever carries bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Something to talk through: a channel or a stream of a muxer.
pub(crate) trait Talk: Send {
    /// Sends all of it.
    fn send(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Exactly `count` bytes; an end before that is `UnexpectedEof`.
    fn take(&mut self, count: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
}

enum Below {
    Socket(Box<dyn Duplex>),
    WebSocket(Box<Frames>),
    Noise(Box<Secured>),
}

/// See the module.
pub(crate) struct Channel {
    below: Below,
    pub(crate) input: BytesMut,
    /// Bytes that have come, taken or not.
    pub(crate) heard: usize,
}

impl Channel {
    pub(crate) fn new(socket: Box<dyn Duplex>) -> Self {
        Self::over(Below::Socket(socket))
    }

    pub(crate) fn websocket(frames: Frames) -> Self {
        Self::over(Below::WebSocket(Box::new(frames)))
    }

    pub(crate) fn noise(secured: Secured) -> Self {
        Self::over(Below::Noise(Box::new(secured)))
    }

    fn over(below: Below) -> Self {
        Self {
            below,
            input: BytesMut::new(),
            heard: 0,
        }
    }

    /// The socket itself and what was read ahead, for TLS.
    pub(crate) fn into_socket(self) -> Step<(Box<dyn Duplex>, BytesMut)> {
        match self.below {
            Below::Socket(socket) => Ok((socket, self.input)),
            _ => fail("only a socket can be taken out"),
        }
    }

    /// Noise's own layer.
    pub(crate) fn secured(&mut self) -> Option<&mut Secured> {
        match &mut self.below {
            Below::Noise(secured) => Some(secured),
            _ => None,
        }
    }

    /// WebSocket's own layer.
    pub(crate) fn frames(&mut self) -> Option<&mut Frames> {
        match &mut self.below {
            Below::WebSocket(frames) => Some(frames),
            _ => None,
        }
    }

    /// Sends our end of the stream.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        match &mut self.below {
            Below::Socket(socket) => socket.shutdown().await,
            _ => Ok(()),
        }
    }

    fn pass<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            match &mut self.below {
                Below::Socket(socket) => {
                    socket.write_all(bytes).await?;
                    socket.flush().await
                }
                Below::WebSocket(frames) => frames.send(bytes).await,
                Below::Noise(secured) => secured.send(bytes).await,
            }
        })
    }

    /// Waits for more; false at the end.
    pub(crate) fn fill(&mut self) -> Pin<Box<dyn Future<Output = io::Result<bool>> + Send + '_>> {
        Box::pin(async {
            let before = self.input.len();
            let more = match &mut self.below {
                Below::Socket(socket) => socket.read_buf(&mut self.input).await? > 0,
                Below::WebSocket(frames) => frames.fill(&mut self.input).await?,
                Below::Noise(secured) => secured.fill(&mut self.input).await?,
            };
            self.heard += self.input.len() - before;
            Ok(more)
        })
    }

    /// Waits for the other side to close, cleanly or not, whatever it still says.
    pub(crate) async fn closed(&mut self) -> Step<String> {
        let heard = self.heard;
        loop {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return Ok(format!("closed after {} bytes", self.heard - heard)),
                Err(error) => return Ok(format!("closed: {error}")),
            }
        }
    }

    /// Waits for the other side to close without a further word.
    pub(crate) async fn rejected(&mut self) -> Step<String> {
        let heard = self.heard;
        let closed = self.closed().await?;
        if self.heard > heard {
            return fail(format!("the peer went on: {} bytes", self.heard - heard));
        }
        Ok(closed)
    }
}

impl Talk for Channel {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pass(bytes).await
    }

    async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < count {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.input.split_to(count).to_vec())
    }
}
