//! A path between one dialer and one listener, UDP or TCP, that can be slow, cut and moved, and that counts round trips.
//!
//! Round trips are counted, not timed: what a side sends is marked with the longest chain of messages that can have led to
//! it. Everything takes a while on its way, so that what was sent at once also arrives at once.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use carrick::{Multiaddr, Protocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// Tasks end with it.
pub struct Path {
    /// What to dial.
    pub address: Multiaddr,
    wire: Arc<Wire>,
    target: SocketAddr,
    back: Arc<Mutex<Arc<UdpSocket>>>,
    to_dialer: Sender,
    tasks: JoinSet<()>,
}

/// What both directions share.
#[derive(Default)]
struct Wire {
    delay: Duration,
    /// The longest chain that has reached either side.
    reached: [AtomicUsize; 2],
    cut: AtomicBool,
}

const DIALER: usize = 0;
const LISTENER: usize = 1;
/// More than a test has on its way.
const UNDER_WAY_MAX: usize = 1 << 16;

struct Sent {
    arrival: Instant,
    chain: usize,
    bytes: Vec<u8>,
}

type Sender = mpsc::Sender<Sent>;

impl Wire {
    fn new(delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            delay,
            ..Self::default()
        })
    }

    async fn leave(&self, from: usize, queue: &Sender, bytes: &[u8]) {
        let sent = Sent {
            arrival: Instant::now() + self.delay,
            chain: self.reached[from].load(Ordering::SeqCst) + usize::from(from == DIALER),
            bytes: bytes.to_vec(),
        };
        let _ = queue.send(sent).await;
    }

    /// Tells whether it arrives.
    async fn arrive(&self, to: usize, sent: &Sent) -> bool {
        let _ = timeout_at(sent.arrival, pending::<()>()).await;
        let arrives = !self.cut.load(Ordering::SeqCst);
        if arrives {
            self.reached[to].fetch_max(sent.chain, Ordering::SeqCst);
        }
        arrives
    }
}

impl Path {
    pub async fn udp(listener: &Multiaddr, delay: Duration) -> Self {
        let wire = Wire::new(delay);
        let front = Arc::new(udp_socket().await);
        let port = front.local_addr().expect("bound").port();
        let (to_listener, mut forth) = mpsc::channel::<Sent>(UNDER_WAY_MAX);
        let (to_dialer, mut from_listener) = mpsc::channel::<Sent>(UNDER_WAY_MAX);
        let mut path = Self {
            address: replaced(listener, &format!("/ip4/127.0.0.1/udp/{port}/quic-v1")),
            wire: wire.clone(),
            target: target(listener),
            back: Arc::new(Mutex::new(Arc::new(udp_socket().await))),
            to_dialer,
            tasks: JoinSet::new(),
        };
        path.relocate().await;
        let (dialer, told) = (front.clone(), Arc::new(Mutex::new(None)));
        let (who, there) = (told.clone(), wire.clone());
        path.tasks.spawn(async move {
            let mut part = vec![0; 65_536];
            while let Ok((n, from)) = dialer.recv_from(&mut part).await {
                *who.lock().unwrap() = Some(from);
                there.leave(DIALER, &to_listener, &part[..n]).await;
            }
        });
        let (back, there) = (path.back.clone(), wire.clone());
        path.tasks.spawn(async move {
            while let Some(sent) = forth.recv().await {
                let socket = back.lock().unwrap().clone();
                if there.arrive(LISTENER, &sent).await {
                    let _ = socket.send(&sent.bytes).await;
                }
            }
        });
        path.tasks.spawn(async move {
            while let Some(sent) = from_listener.recv().await {
                let arrives = wire.arrive(DIALER, &sent).await;
                let dialer: Option<SocketAddr> = *told.lock().unwrap();
                if let Some(dialer) = dialer.filter(|_| arrives) {
                    let _ = front.send_to(&sent.bytes, dialer).await;
                }
            }
        });
        path
    }

    pub async fn tcp(listener: &Multiaddr, delay: Duration) -> Self {
        let wire = Wire::new(delay);
        let front = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = front.local_addr().expect("bound").port();
        let (to_dialer, _) = mpsc::channel(1);
        let mut path = Self {
            address: replaced(listener, &format!("/ip4/127.0.0.1/tcp/{port}")),
            wire: wire.clone(),
            target: target(listener),
            back: Arc::new(Mutex::new(Arc::new(udp_socket().await))),
            to_dialer,
            tasks: JoinSet::new(),
        };
        let target = path.target;
        path.tasks.spawn(async move {
            let (dialer, _) = front.accept().await.expect("accept");
            let listener = TcpStream::connect(target).await.expect("connect");
            dialer.set_nodelay(true).expect("nodelay");
            listener.set_nodelay(true).expect("nodelay");
            let (dialer_read, dialer_write) = dialer.into_split();
            let (listener_read, listener_write) = listener.into_split();
            tokio::join!(
                carry(&wire, DIALER, dialer_read, LISTENER, listener_write),
                carry(&wire, LISTENER, listener_read, DIALER, dialer_write),
            );
        });
        path
    }

    /// Round trips that the dialer has seen, each of which had to wait for the one before.
    pub fn round_trips(&self) -> usize {
        self.wire.reached[DIALER].load(Ordering::SeqCst)
    }

    /// Sends this to both sides, from where the other one is.
    pub async fn inject(&self, datagram: &[u8]) {
        let socket = self.back.lock().unwrap().clone();
        let _ = socket.send(datagram).await;
        self.wire.leave(LISTENER, &self.to_dialer, datagram).await;
    }

    /// From now on what is on its way is lost.
    pub fn cut(&self) {
        self.wire.cut.store(true, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.wire.cut.store(false, Ordering::SeqCst);
    }

    /// From now on the listener sees the dialer at another address, as behind a NAT that has forgotten it.
    pub async fn relocate(&mut self) {
        let socket = Arc::new(udp_socket().await);
        socket.connect(self.target).await.expect("connect");
        *self.back.lock().unwrap() = socket.clone();
        let (wire, to_dialer) = (self.wire.clone(), self.to_dialer.clone());
        self.tasks.spawn(async move {
            let mut part = vec![0; 65_536];
            // A refusal concerns one datagram.
            loop {
                if let Ok(n) = socket.recv(&mut part).await {
                    wire.leave(LISTENER, &to_dialer, &part[..n]).await;
                }
            }
        });
    }
}

async fn carry(
    wire: &Wire,
    from: usize,
    mut read: tokio::net::tcp::OwnedReadHalf,
    to: usize,
    mut write: tokio::net::tcp::OwnedWriteHalf,
) {
    let (queue, mut arriving) = mpsc::channel::<Sent>(UNDER_WAY_MAX);
    let leave = async move {
        let mut part = vec![0; 65_536];
        while let Ok(n @ 1..) = read.read(&mut part).await {
            wire.leave(from, &queue, &part[..n]).await;
        }
    };
    let arrive = async move {
        while let Some(sent) = arriving.recv().await {
            wire.arrive(to, &sent).await;
            let _ = write.write_all(&sent.bytes).await;
        }
    };
    tokio::join!(leave, arrive);
}

async fn udp_socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.expect("bind")
}

/// The socket behind an address on this machine.
pub fn target(address: &Multiaddr) -> SocketAddr {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    ([127, 0, 0, 1], port.expect("a port")).into()
}

/// Another address for the same peer.
fn replaced(address: &Multiaddr, by: &str) -> Multiaddr {
    let replaced: Multiaddr = by.parse().expect("an address");
    match address.iter().last() {
        Some(peer @ Protocol::P2p(_)) => replaced.with(peer),
        _ => replaced,
    }
}
