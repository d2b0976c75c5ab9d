//! TCP connections from a chosen address of ours: bare ones, and as a transport for honest nodes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use carrick::{
    Multiaddr, Protocol,
    transport::{BoxFuture, Listener, Pipe, Transport},
};
use tokio::net::{TcpSocket, TcpStream};

/// Connects to `victim` from `source`, any port.
pub(crate) async fn connect(source: IpAddr, victim: SocketAddr) -> io::Result<TcpStream> {
    let socket = match victim {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(source, 0))?;
    let stream = socket.connect(victim).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Dials TCP from one address; does not listen.
#[derive(Debug)]
pub(crate) struct Source(pub(crate) IpAddr);

impl Transport for Source {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        socket_address(address).is_some()
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        let source = self.0;
        Box::pin(async move {
            let victim = socket_address(&address).ok_or(io::ErrorKind::Unsupported)?;
            Ok(Pipe::new(connect(source, victim).await?))
        })
    }

    fn listen(&self, _: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

/// `/ip4|ip6/…/tcp/…` and nothing behind it but a peer.
pub(crate) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None | Some(Protocol::P2p(_))) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}
