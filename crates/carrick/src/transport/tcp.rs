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

use super::{Listener, Pipe, PipeRead, Transport};

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
            pipe(TcpStream::connect(address).await?)
        })
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let address = socket_address(&address).ok_or(io::ErrorKind::Unsupported)?;
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            if address.is_ipv6() {
                // `[::]` next to `0.0.0.0` on one port, as people expect who give both.
                socket.set_only_v6(true)?;
            }
            // Elsewhere it would let others take the port over.
            #[cfg(unix)]
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            let listener = TcpListener::from_std(socket.into())?;
            let addresses = expand(listener.local_addr()?)?;
            Ok(Box::new(TcpAccept {
                listener,
                addresses,
            }) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct TcpAccept {
    listener: TcpListener,
    addresses: Vec<Multiaddr>,
}

impl Listener for TcpAccept {
    fn addresses(&self) -> Vec<Multiaddr> {
        self.addresses.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            loop {
                // A failed accept concerns one connection or a passing shortage, never the listener.
                let Ok((stream, remote)) = self.listener.accept().await else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                if let Ok(pipe) = pipe(stream) {
                    return Ok((pipe, multiaddr(remote)));
                }
            }
        })
    }
}

struct TcpRead(OwnedReadHalf);

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

fn pipe(stream: TcpStream) -> io::Result<Pipe> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok(Pipe {
        reader: Box::new(TcpRead(reader)),
        writer: Box::new(writer),
    })
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

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// What peers can dial when we listen on `bound`.
fn expand(bound: SocketAddr) -> io::Result<Vec<Multiaddr>> {
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
