//! How bytes reach a peer: the `Transport` trait, which users may implement, and our own transports, a file each.
//!
//! A transport makes pipes. Security, muxing and identity are the upgrade's affair, so a transport knows nothing of them.

use std::{
    fmt, io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

pub use futures::future::BoxFuture;
use multiaddr::Multiaddr;
use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(unix)]
pub use self::unix::UnixTransport;
#[cfg(unix)]
pub(crate) use self::unix::path as unix_path;
#[cfg(not(feature = "websocket"))]
pub(crate) use self::websocket::WebSocketTransport;
#[cfg(feature = "websocket")]
pub use self::websocket::{CertificateError, WebSocketTransport};
pub use self::{memory::MemoryTransport, tcp::TcpTransport};
pub(crate) use self::{
    missing::missing,
    shared::SharedTransport,
    tcp::{ReusingTcp, machine_ips},
};

mod memory;
mod missing;
mod places;
mod port;
#[cfg(feature = "quic")]
pub(crate) mod quic;
#[cfg(not(feature = "quic"))]
#[path = "transport/no_quic.rs"]
pub(crate) mod quic;
mod shared;
pub(crate) mod shortage;
mod tcp;
#[cfg(unix)]
mod unix;
#[cfg(feature = "websocket")]
mod websocket;
#[cfg(not(feature = "websocket"))]
#[path = "transport/no_websocket.rs"]
mod websocket;

/// Makes pipes to addresses and listens on them.
///
/// A node has TCP, WebSocket and memory by default; more are added with [`Builder::transport`](crate::Builder::transport), and asked first.
///
/// ```
/// use carrick::{Multiaddr, transport::{BoxFuture, Listener, Pipe, Transport}};
/// use std::io;
///
/// /// Dials nothing, and says so.
/// #[derive(Debug)]
/// struct Nowhere;
///
/// impl Transport for Nowhere {
///     fn can_handle(&self, address: &Multiaddr) -> bool {
///         address.is_empty()
///     }
///     fn dial(&self, _: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
///         Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, "nowhere to go")) })
///     }
///     fn listen(&self, _: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
///         Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, "nowhere to listen")) })
///     }
/// }
/// ```
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Whether this transport can dial or listen on `address`, which carries no `/p2p` part.
    fn can_handle(&self, address: &Multiaddr) -> bool;

    /// Connects. The node sets the deadline; dropping the future must abandon the attempt.
    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>>;

    /// Listens. Dropping the listener must free the address.
    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;
}

/// What [`Transport::listen`] gives.
pub trait Listener: fmt::Debug + Send {
    /// The addresses that peers can dial, with real ports and, for wildcards, one for each interface. Asked again when the
    /// machine's addresses have changed.
    fn addresses(&self) -> Vec<Multiaddr>;

    /// The next inbound pipe and the peer's address. Cancel-safe. An error ends the listener, except those that
    /// concern one pipe only, which the listener must swallow.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>>;
}

/// The reading half of a pipe.
pub trait PipeRead: AsyncRead + Send + Unpin {
    /// Ready when a read is likely to give something. A connection lends its read buffer only then; the default, ready
    /// always, costs each idle connection a buffer.
    fn poll_readable(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The address of this machine that the pipe leaves from, where there is one. When it is gone, the peer is asked for a
    /// sign of life at once; where it is not known, when any is gone.
    fn local_ip(&self) -> Option<IpAddr> {
        None
    }
}

/// A reliable, ordered byte stream to a peer, in two halves.
pub struct Pipe {
    /// What the peer sends.
    pub reader: Box<dyn PipeRead>,
    /// What we send. It may keep what it took until it is flushed, which a node does before it waits. Shutting it down
    /// must let the peer read everything and then an end.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Pipe {
    /// Splits any byte stream into a pipe.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader: Box::new(Always(Box::pin(reader))),
            writer: Box::new(Box::pin(writer)),
        }
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

/// A reader that cannot tell whether it is readable.
struct Always<R>(Pin<Box<R>>);

impl<R: AsyncRead + Send> PipeRead for Always<R> {}

impl<R: AsyncRead> AsyncRead for Always<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}
