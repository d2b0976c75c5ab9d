//! Many half-honest peers, each somebody new, that stay until they are sent away.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::speaker::Speaker;

/// The peers; dropping this takes them away.
pub(super) struct Crowd {
    staying: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Lets `count` of them in: the n-th connects from `from(n).0` to `from(n).1`.
    pub(super) async fn join(count: u32, from: impl Fn(u32) -> (IpAddr, SocketAddr)) -> Self {
        let staying = Arc::<AtomicU64>::default();
        let places = Arc::new(Semaphore::new(CONNECTING_MAX));
        let mut tasks = JoinSet::new();
        for n in 0..count {
            let (source, victim) = from(n);
            let (places, staying) = (places.clone(), staying.clone());
            tasks.spawn(async move {
                let place = places.acquire_owned().await;
                let connected = Speaker::connect(source, victim).await;
                drop(place);
                if let Ok(mut speaker) = connected {
                    staying.fetch_add(1, Ordering::Relaxed);
                    speaker.until_closed().await;
                    staying.fetch_sub(1, Ordering::Relaxed);
                }
            });
        }
        Self { staying, tasks }
    }

    /// How many are in, once all have tried and the victim has had a second to send them away again.
    pub(super) async fn settled(&self) -> u64 {
        let mut before = u64::MAX;
        loop {
            let now = self.staying();
            if now == before {
                return now;
            }
            before = now;
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// How many are in now.
    pub(super) fn staying(&self) -> u64 {
        self.staying.load(Ordering::Relaxed)
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.tasks.len() as u64
    }
}

const CONNECTING_MAX: usize = 64;
