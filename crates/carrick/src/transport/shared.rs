//! TCP, WebSocket and WSS at one port: listeners of a node that name the same port share it.

use std::io;

use futures::future::BoxFuture;
use multiaddr::Multiaddr;

use super::{
    Listener, Pipe, Transport,
    port::Ports,
    tcp::{self, ReusingTcp, TcpTransport},
    websocket::WebSocketTransport,
};

/// Stands for TCP and WebSocket both.
#[derive(Debug)]
pub(crate) struct SharedTransport {
    /// Where dials leave from the shared ports.
    reusing: Option<ReusingTcp>,
    websocket: WebSocketTransport,
    ports: Ports,
}

impl SharedTransport {
    pub(crate) fn new(reusing: Option<ReusingTcp>, websocket: WebSocketTransport) -> Self {
        Self {
            reusing,
            websocket,
            ports: Ports::default(),
        }
    }
}

impl Transport for SharedTransport {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        TcpTransport.can_handle(address) || self.websocket.can_handle(address)
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        match &self.reusing {
            _ if self.websocket.can_handle(&address) => self.websocket.dial(address),
            Some(reusing) => reusing.dial(address),
            None => TcpTransport.dial(address),
        }
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let bind = |socket, kind| self.ports.listen(socket, kind, self.reusing.is_some());
        let listening = match &self.reusing {
            _ if self.websocket.can_handle(&address) => self.websocket.listen_at(&address, bind),
            Some(reusing) => reusing.listen_at(&address, bind),
            None => tcp::listen(&address, bind),
        };
        Box::pin(async move { listening })
    }
}
