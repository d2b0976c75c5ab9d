//! TCP whose dials leave from a port that the node listens on: peers then see the port at which we can be reached, and a
//! NAT keeps one mapping for both directions.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use multiaddr::Multiaddr;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use super::{
    super::{
        Listener, Pipe, Transport,
        port::{Kind, Port, allow_reuse, tune},
    },
    connect, listen, pipe, socket_address,
};

/// TCP that dials from its listening ports.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReusingTcp(Ports);

impl Transport for ReusingTcp {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        socket_address(address).is_some()
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        let ports = self.0.clone();
        Box::pin(async move {
            let remote = socket_address(&address).ok_or(io::ErrorKind::Unsupported)?;
            let Some(local) = ports.towards(remote) else {
                return Ok(pipe(connect(remote).await?));
            };
            let stream = match connect_from(local, remote).await {
                // There is a connection between these two ports already, or was a moment ago.
                Err(error) if is_taken(&error) => connect(remote).await?,
                connected => connected?,
            };
            Ok(pipe(stream))
        })
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listening = self.listen_at(&address, |address, _| Port::bind(address, true));
        Box::pin(async move { listening })
    }
}

impl ReusingTcp {
    /// Listens at the port that `bind` gives, which must be one that can be reused.
    pub(in crate::transport) fn listen_at(
        &self,
        address: &Multiaddr,
        bind: impl FnOnce(SocketAddr, Kind) -> io::Result<Port>,
    ) -> io::Result<Box<dyn Listener>> {
        let mut bound = None;
        let listener = listen(address, |address, kind| {
            let port = bind(address, kind)?;
            bound = Some(port.address()?);
            Ok(port)
        })?;
        let bound = bound.ok_or(io::ErrorKind::NotConnected)?;
        self.0.bound().push(bound);
        Ok(Box::new(Reused {
            listener,
            bound,
            ports: self.0.clone(),
        }))
    }
}

/// Where the node listens.
#[derive(Clone, Debug, Default)]
struct Ports(Arc<Mutex<Vec<SocketAddr>>>);

impl Ports {
    fn bound(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        // The list is whole whatever a panicking holder did: every change to it is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address to dial `remote` from: of its family, and one from which packets can get there. A wildcard can reach
    /// everybody; loopback reaches loopback only, and nothing else does.
    fn towards(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let loopback = remote.ip().is_loopback();
        let fits = |local: &SocketAddr| {
            local.is_ipv4() == remote.is_ipv4()
                && (local.ip().is_unspecified() || local.ip().is_loopback() == loopback)
                // A port that dials itself would talk to itself.
                && (local.port() != remote.port() || !loopback && local.ip() != remote.ip())
        };
        self.bound().iter().copied().find(fits)
    }
}

#[derive(Debug)]
struct Reused {
    listener: Box<dyn Listener>,
    bound: SocketAddr,
    ports: Ports,
}

impl Listener for Reused {
    fn addresses(&self) -> Vec<Multiaddr> {
        self.listener.addresses()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        self.listener.accept()
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        let mut bound = self.ports.bound();
        if let Some(at) = bound.iter().position(|bound| *bound == self.bound) {
            bound.swap_remove(at);
        }
    }
}

async fn connect_from(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, None)?;
    allow_reuse(&socket)?;
    socket.set_nonblocking(true)?;
    tune((&socket).into())?;
    socket.bind(&local.into())?;
    TcpSocket::from_std_stream(socket.into())
        .connect(remote)
        .await
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
    )
}

#[cfg(test)]
mod tests;
