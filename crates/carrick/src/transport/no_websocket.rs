//! Stands in for WebSocket in a build without it: no address is for it.

use std::{io, net::SocketAddr};

use futures::future::BoxFuture;
use multiaddr::Multiaddr;

use super::{
    Listener, Pipe, Transport,
    port::{Kind, Port},
};

#[derive(Debug)]
pub(crate) struct WebSocketTransport;

impl WebSocketTransport {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(super) fn listen_at(
        &self,
        _: &Multiaddr,
        _: impl FnOnce(SocketAddr, Kind) -> io::Result<Port>,
    ) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Transport for WebSocketTransport {
    fn can_handle(&self, _: &Multiaddr) -> bool {
        false
    }

    fn dial(&self, _: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn listen(&self, _: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}
