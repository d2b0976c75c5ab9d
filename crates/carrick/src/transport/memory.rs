//! `/memory/<n>`: pipes within one process, for users' tests. `/memory/0` listens on a free number.

use std::{
    collections::BTreeMap,
    io, iter,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::BoxFuture;
use multiaddr::{Multiaddr, Protocol};
use tokio::{io::DuplexStream, sync::mpsc};

use super::{Listener, Pipe, Transport};

/// Pipes within one process. All instances share one space of numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryTransport;

/// Who listens on which number.
static LISTENERS: LazyLock<Mutex<BTreeMap<u64, mpsc::Sender<DuplexStream>>>> =
    LazyLock::new(Mutex::default);
/// What the next listener without a wish gets.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// Pipes that wait to be accepted.
const BACKLOG: usize = 128;
/// Bytes in flight in each direction.
const PIPE_SIZE: usize = 256 << 10;

impl Transport for MemoryTransport {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        number(address).is_some()
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        Box::pin(async move {
            let number = number(&address).ok_or(io::ErrorKind::Unsupported)?;
            let listener = listeners()
                .get(&number)
                .cloned()
                .ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(PIPE_SIZE);
            listener
                .send(theirs)
                .await
                .map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Pipe::new(ours))
        })
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let wanted = number(&address).ok_or(io::ErrorKind::Unsupported)?;
            let (sender, pipes) = mpsc::channel(BACKLOG);
            let mut listeners = listeners();
            let number = match wanted {
                // Never one that was given before: whoever still knows its address would find somebody else there.
                0 => iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
                    .find(|number| *number != 0 && !listeners.contains_key(number))
                    .ok_or(io::ErrorKind::AddrInUse)?,
                taken if listeners.contains_key(&taken) => {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                free => free,
            };
            listeners.insert(number, sender);
            Ok(Box::new(MemoryAccept { number, pipes }) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct MemoryAccept {
    number: u64,
    pipes: mpsc::Receiver<DuplexStream>,
}

impl Listener for MemoryAccept {
    fn addresses(&self) -> Vec<Multiaddr> {
        vec![Multiaddr::empty().with(Protocol::Memory(self.number))]
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            let stream = self.pipes.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok((
                Pipe::new(stream),
                Multiaddr::empty().with(Protocol::Memory(0)),
            ))
        })
    }
}

impl Drop for MemoryAccept {
    fn drop(&mut self) {
        listeners().remove(&self.number);
    }
}

fn listeners() -> std::sync::MutexGuard<'static, BTreeMap<u64, mpsc::Sender<DuplexStream>>> {
    // The map is whole whatever a panicking holder did: every change to it is one call.
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(address: &Multiaddr) -> Option<u64> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()) {
        (Protocol::Memory(number), None) => Some(number),
        _ => None,
    }
}
