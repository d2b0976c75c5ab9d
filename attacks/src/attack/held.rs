//! Many sockets held open, each by a task that says what its script tells it, until the other side closes.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use crate::source;

/// The sockets; dropping this closes them.
pub(super) struct Held {
    seen: Arc<Seen>,
    tasks: JoinSet<()>,
}

/// What one socket does.
#[derive(Clone, Default)]
pub(super) struct Script {
    /// Said at once.
    pub(super) first: Vec<u8>,
    /// Said afterwards, a byte each second.
    pub(super) drop_by_drop: Vec<u8>,
}

#[derive(Default)]
struct Seen {
    tried: AtomicU64,
    refused: AtomicU64,
    longest_ms: AtomicU64,
}

impl Held {
    /// Opens `count` of them: the n-th from `from(n).0` to `from(n).1`, with the script `from(n).2`.
    pub(super) async fn open(
        count: u32,
        from: impl Fn(u32) -> (IpAddr, SocketAddr, Script),
    ) -> Self {
        let seen = Arc::<Seen>::default();
        let places = Arc::new(Semaphore::new(CONNECTING_MAX));
        let mut tasks = JoinSet::new();
        for n in 0..count {
            let (source, victim, script) = from(n);
            let (places, seen) = (places.clone(), seen.clone());
            tasks.spawn(async move {
                let place = places.acquire_owned().await;
                let connected = timeout(CONNECT_TIMEOUT, source::connect(source, victim)).await;
                drop(place);
                let since = Instant::now();
                seen.tried.fetch_add(1, Ordering::Relaxed);
                if let Ok(Ok(socket)) = connected {
                    hold(socket, script).await;
                    let held = since.elapsed().as_millis() as u64;
                    seen.longest_ms.fetch_max(held, Ordering::Relaxed);
                }
                seen.refused.fetch_add(1, Ordering::Relaxed);
            });
        }
        Self { seen, tasks }
    }

    /// How many were refused, or closed later.
    pub(super) fn refused(&self) -> u64 {
        self.seen.refused.load(Ordering::Relaxed)
    }

    /// How long the one lived that lived longest, of those that are closed.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_millis(self.seen.longest_ms.load(Ordering::Relaxed))
    }

    /// Waits until all but `max` have been refused, at most for `time` once all have tried; how many have not.
    pub(super) async fn settle(&self, max: u64, time: Duration) -> u64 {
        let all = self.tasks.len() as u64;
        let mut since = Instant::now();
        loop {
            let left = all - self.refused();
            if self.seen.tried.load(Ordering::Relaxed) < all {
                since = Instant::now();
            }
            if left <= max || since.elapsed() > time {
                return left;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Until the other side closes.
async fn hold(socket: tokio::net::TcpStream, script: Script) {
    let (mut reader, mut writer) = socket.into_split();
    let speak = async {
        if writer.write_all(&script.first).await.is_err() {
            return;
        }
        let mut ticks = interval(Duration::from_secs(1));
        for byte in script.drop_by_drop {
            ticks.tick().await;
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let listen = async {
        let mut part = [0; 512];
        while matches!(reader.read(&mut part).await, Ok(n) if n > 0) {}
    };
    tokio::select! {
        () = speak => {}
        () = listen => {}
    }
}

const CONNECTING_MAX: usize = 512;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
