//! TCP ports to listen at: a listener's own, or one that a node's listeners share, told apart by a socket's first byte.
//!
//! The byte is only looked at, never taken. Who waits for it does so in tasks that are bounded in number and time. A shared
//! port is free again when the last of its listeners is gone.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::{places::Places, shortage::Shortage};

/// Connections that the kernel queues for us between two accepts.
const BACKLOG: i32 = 1024;
/// How long a socket at a shared port may take to say its first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);
/// Sockets at a shared port that have not said it; for a further one the oldest makes room once it has had a fair time.
const SILENT_MAX: usize = 256;
/// Sockets that wait for their listener at a shared port; further ones are closed.
const QUEUE_MAX: usize = 128;

/// Where a listener's sockets come from.
#[derive(Debug)]
pub(super) enum Port {
    Own(TcpListener),
    Shared(Place),
}

impl Port {
    /// Listens, alone; on a port that dials may leave from, if it is to be reused.
    pub(super) fn bind(address: SocketAddr, reused: bool) -> io::Result<Self> {
        bind(address, reused).map(Self::Own)
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Own(listener) => listener.local_addr(),
            Self::Shared(place) => place.shared.listener.local_addr(),
        }
    }

    /// The next socket, without Nagle's delay. Cancel-safe.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let mut shortage = Shortage::default();
        loop {
            let accepted = match self {
                Self::Own(listener) => listener.accept().await,
                Self::Shared(place) => tokio::select! {
                    biased;
                    Some(sorted) = place.queue.recv() => return sorted,
                    accepted = place.shared.listener.accept() => accepted,
                },
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    shortage.wait(&error).await;
                    continue;
                }
            };
            shortage.over();
            match self {
                _ if tune((&stream).into()).is_err() => {}
                Self::Own(_) => return (stream, remote),
                Self::Shared(place) => place.shared.sort(stream, remote),
            }
        }
    }
}

/// Sends without Nagle's delay. And the system finds out within a minute that the other machine is gone: yamux does so
/// itself, sooner, but mplex has no word to ask with, and who only reads would wait for ever.
pub(super) fn tune(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keep_alive)
}

/// What a socket speaks, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// multistream-select: the length of its header's line.
    Multistream,
    /// A TLS record of the handshake.
    Tls,
    /// An HTTP request to get something.
    Http,
}

impl Kind {
    fn of(first: u8) -> Option<Self> {
        match first {
            0x13 => Some(Self::Multistream),
            0x16 => Some(Self::Tls),
            b'G' => Some(Self::Http),
            _ => None,
        }
    }
}

/// The ports that a node's listeners share.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<BTreeMap<SocketAddr, Weak<Shared>>>);

impl Ports {
    /// Listens for one kind; joins the listeners for other kinds that are there.
    pub(super) fn listen(&self, address: SocketAddr, kind: Kind, reused: bool) -> io::Result<Port> {
        let mut ports = lock(&self.0);
        ports.retain(|_, shared| shared.strong_count() > 0);
        let shared = match ports.get(&address).and_then(Weak::upgrade) {
            Some(shared) => shared,
            None => {
                let listener = bind(address, reused)?;
                let address = listener.local_addr()?;
                let shared = Arc::new(Shared {
                    listener,
                    queues: Arc::default(),
                    silent: Mutex::new(Places::new(SILENT_MAX)),
                });
                ports.insert(address, Arc::downgrade(&shared));
                shared
            }
        };
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let mut queues = lock(&shared.queues);
        if queues.contains_key(&kind) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        queues.insert(kind, sender);
        drop(queues);
        Ok(Port::Shared(Place {
            shared,
            kind,
            queue,
        }))
    }
}

/// A listener's place at a shared port.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    kind: Kind,
    queue: mpsc::Receiver<(TcpStream, SocketAddr)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.shared.queues).remove(&self.kind);
    }
}

type Queues = Mutex<BTreeMap<Kind, mpsc::Sender<(TcpStream, SocketAddr)>>>;

#[derive(Debug)]
struct Shared {
    listener: TcpListener,
    queues: Arc<Queues>,
    silent: Mutex<Places<()>>,
}

impl Shared {
    /// Waits for the first byte and passes the socket on, in a task that ends with the port.
    fn sort(&self, stream: TcpStream, remote: SocketAddr) {
        let mut silent = lock(&self.silent);
        while silent.try_join_next().is_some() {}
        let queues = self.queues.clone();
        let sorting = async move {
            let mut first = [0];
            let Ok(Ok(1)) = timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut first)).await else {
                return;
            };
            let queue = Kind::of(first[0]).and_then(|kind| lock(&queues).get(&kind).cloned());
            if let Some(queue) = queue {
                // Full, or gone meanwhile: the socket is closed.
                let _ = queue.try_send((stream, remote));
            }
        };
        silent.spawn(Instant::now(), sorting);
    }
}

fn bind(address: SocketAddr, reused: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // `[::]` next to `0.0.0.0` on one port, as people expect who give both.
        socket.set_only_v6(true)?;
    }
    // Elsewhere it would let others take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if reused {
        allow_reuse(&socket)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Lets several sockets of this user have one port; all of them must say so.
pub(super) fn allow_reuse(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks that leaves what they guard half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
