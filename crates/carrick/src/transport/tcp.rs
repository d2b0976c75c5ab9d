//! TCP: `/ip4/…/tcp/…` and `/ip6/…/tcp/…`. Wildcards are expanded to the addresses of the interfaces.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use multiaddr::{Multiaddr, Protocol};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
};

use self::reuse::share_port;
use super::{Listener, Pipe, PipeRead, Transport};

pub(crate) use self::reuse::ReusingTcp;

mod reuse;

/// Connections that the kernel queues for us between two accepts.
const BACKLOG: i32 = 1024;
/// How long accepting pauses when the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// TCP over IPv4 and IPv6, without Nagle's delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        socket_address(address).is_some()
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        Box::pin(async move {
            let address = socket_address(&address).ok_or(io::ErrorKind::Unsupported)?;
            Ok(pipe(connect(address).await?))
        })
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let address = socket_address(&address).ok_or(io::ErrorKind::Unsupported)?;
            listen_on(Acceptor::Own(bind(address, false)?))
        })
    }
}

/// Binds a socket that listens; on a port that dials may share, if it is to be reused.
pub(super) fn bind(address: SocketAddr, reused: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // `[::]` next to `0.0.0.0` on one port, as people expect who give both.
        socket.set_only_v6(true)?;
    }
    // Elsewhere it would let others take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if reused {
        share_port(&socket)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A listener for bare TCP.
pub(super) fn listen_on(acceptor: Acceptor) -> io::Result<Box<dyn Listener>> {
    let addresses = expand(acceptor.local_addr()?)?;
    Ok(Box::new(TcpAccept {
        acceptor,
        addresses,
    }))
}

/// Where a listener's sockets come from.
#[derive(Debug)]
pub(super) enum Acceptor {
    /// All that arrive at a port.
    Own(TcpListener),
}

impl Acceptor {
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Own(listener) => listener.local_addr(),
        }
    }

    /// The next socket, without Nagle's delay. Cancel-safe.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = match self {
                Self::Own(listener) => listener.accept().await,
            };
            match accepted {
                Ok((stream, remote)) if stream.set_nodelay(true).is_ok() => {
                    return (stream, remote);
                }
                Ok(_) => {}
                // A failed accept concerns one connection or a passing shortage, never the listener.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

#[derive(Debug)]
struct TcpAccept {
    acceptor: Acceptor,
    addresses: Vec<Multiaddr>,
}

impl Listener for TcpAccept {
    fn addresses(&self) -> Vec<Multiaddr> {
        self.addresses.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            let (stream, remote) = self.acceptor.accept().await;
            Ok((pipe(stream), multiaddr(remote)))
        })
    }
}

/// The reading half of a socket.
pub(super) struct TcpRead(pub(super) OwnedReadHalf);

impl PipeRead for TcpRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_ref().poll_read_ready(cx)
    }
}

impl AsyncRead for TcpRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

fn pipe(stream: TcpStream) -> Pipe {
    let (reader, writer) = stream.into_split();
    Pipe {
        reader: Box::new(TcpRead(reader)),
        writer: Box::new(writer),
    }
}

/// Dials, without Nagle's delay.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// `/ip4|ip6/…/tcp/…` and nothing behind it.
fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

pub(super) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// What peers can dial when we listen on `bound`.
pub(super) fn expand(bound: SocketAddr) -> io::Result<Vec<Multiaddr>> {
    if !bound.ip().is_unspecified() {
        return Ok(vec![multiaddr(bound)]);
    }
    let mut ips: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| interface.ip())
        .collect();
    // A link-local address means nothing without its interface, which a multiaddr of ours does not name.
    ips.retain(|ip| {
        ip.is_ipv4() == bound.is_ipv4() && !matches!(ip, IpAddr::V6(ip) if is_link_local(*ip))
    });
    ips.sort_by_key(|ip| (ip.is_loopback(), *ip));
    ips.dedup();
    Ok(ips
        .into_iter()
        .map(|ip| multiaddr(SocketAddr::new(ip, bound.port())))
        .collect())
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests;
