//! TCP: `/ip4/…/tcp/…` and `/ip6/…/tcp/…`. Wildcards are expanded to the addresses of the interfaces.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use multiaddr::{Multiaddr, Protocol};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    Listener, Pipe, PipeRead, Transport,
    port::{self, Kind, Port},
};

pub(crate) use self::reuse::ReusingTcp;

mod reuse;

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
        let listening = listen(&address, |address, _| Port::bind(address, false));
        Box::pin(async move { listening })
    }
}

/// Listens for bare TCP at the port that `bind` gives.
pub(super) fn listen(
    address: &Multiaddr,
    bind: impl FnOnce(SocketAddr, Kind) -> io::Result<Port>,
) -> io::Result<Box<dyn Listener>> {
    let address = socket_address(address).ok_or(io::ErrorKind::Unsupported)?;
    let port = bind(address, Kind::Multistream)?;
    let addresses = expand(port.address()?)?;
    Ok(Box::new(TcpAccept { port, addresses }))
}

#[derive(Debug)]
struct TcpAccept {
    port: Port,
    addresses: Vec<Multiaddr>,
}

impl Listener for TcpAccept {
    fn addresses(&self) -> Vec<Multiaddr> {
        let now = self.port.address().and_then(expand);
        now.unwrap_or_else(|_| self.addresses.clone())
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            let (stream, remote) = self.port.accept().await;
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

    fn local_ip(&self) -> Option<IpAddr> {
        Some(self.0.local_addr().ok()?.ip().to_canonical())
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

/// The writing half. Unless it was shut down, the peer reads the end when the socket is closed with the reading half: a
/// system call less.
struct TcpWrite(Option<OwnedWriteHalf>);

impl TcpWrite {
    /// There is one until the drop.
    fn half(&mut self) -> io::Result<Pin<&mut OwnedWriteHalf>> {
        let half = self.0.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(half))
    }
}

impl AsyncWrite for TcpWrite {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.half()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half()?.poll_shutdown(cx)
    }
}

impl Drop for TcpWrite {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(OwnedWriteHalf::forget);
    }
}

fn pipe(stream: TcpStream) -> Pipe {
    let (reader, writer) = stream.into_split();
    Pipe {
        reader: Box::new(TcpRead(reader)),
        writer: Box::new(TcpWrite(Some(writer))),
    }
}

/// Dials, as [`port::tune`] has it.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    port::tune(SockRef::from(&stream))?;
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
    let mut ips: Vec<_> = machine_ips()?.into_iter().collect();
    // A link-local address means nothing without its interface, which a multiaddr of ours does not name.
    ips.retain(|ip| {
        ip.is_ipv4() == bound.is_ipv4() && !matches!(ip, IpAddr::V6(ip) if is_link_local(*ip))
    });
    ips.sort_by_key(|ip| (ip.is_loopback(), *ip));
    Ok(ips
        .into_iter()
        .map(|ip| multiaddr(SocketAddr::new(ip, bound.port())))
        .collect())
}

/// The addresses of the interfaces that are up, and of loopback.
pub(crate) fn machine_ips() -> io::Result<BTreeSet<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?.into_iter();
    let up = interfaces.filter(|interface| interface.is_oper_up() || interface.is_loopback());
    Ok(up.map(|interface| interface.ip()).collect())
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests;
