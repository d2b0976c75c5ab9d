//! A UDP link between one dialer and one listener that a test can break: what it does not let through is gone.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use carrick::{Multiaddr, Node, PeerId, Protocol};
use tokio::{net::UdpSocket, task::AbortHandle};

/// Forwards until it is dropped.
pub struct UdpLink {
    /// The listener's address, by way of the link.
    pub address: Multiaddr,
    /// While it is set, nothing gets from the dialer to the listener.
    pub stalled: Arc<AtomicBool>,
    task: AbortHandle,
}

impl UdpLink {
    /// A link to a node that listens on QUIC.
    pub async fn to(node: &Node) -> Self {
        let (there, peer) = udp_address(&node.address());
        let near = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let far = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        far.connect(there).await.expect("connect");
        let here = near.local_addr().expect("bound");
        let text = format!("/ip4/127.0.0.1/udp/{}/quic-v1/p2p/{peer}", here.port());
        let stalled = Arc::new(AtomicBool::new(false));
        let forward = forward(near, far, stalled.clone());
        Self {
            address: text.parse().expect("an address"),
            stalled,
            task: tokio::spawn(forward).abort_handle(),
        }
    }
}

impl Drop for UdpLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(near: UdpSocket, far: UdpSocket, stalled: Arc<AtomicBool>) {
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    let mut dialer = None;
    loop {
        tokio::select! {
            came = near.recv_from(&mut up) => {
                let (len, from) = came.expect("loopback");
                dialer = Some(from);
                if !stalled.load(Ordering::Relaxed) {
                    // A socket that is gone refuses; that is a loss as any other.
                    let _ = far.send(&up[..len]).await;
                }
            }
            came = far.recv(&mut down) => {
                if let (Ok(len), Some(dialer)) = (came, dialer) {
                    let _ = near.send_to(&down[..len], dialer).await;
                }
            }
        }
    }
}

/// Where a QUIC address leads, and to whom.
pub fn udp_address(address: &Multiaddr) -> (SocketAddr, PeerId) {
    let mut ip = None;
    let (mut port, mut peer) = (None, None);
    for part in address {
        match part {
            Protocol::Ip4(it) => ip = Some(it),
            Protocol::Udp(it) => port = Some(it),
            Protocol::P2p(it) => peer = Some(it),
            _ => {}
        }
    }
    let socket = SocketAddr::from((ip.expect("an IPv4 address"), port.expect("a port")));
    (socket, peer.expect("a peer"))
}
