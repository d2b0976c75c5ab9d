//! A transport around TCP and memory that counts, freezes and limits what goes over its pipes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use carrick::{
    Multiaddr,
    transport::{BoxFuture, Listener, MemoryTransport, Pipe, PipeRead, TcpTransport, Transport},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Clones share everything. A pipe's `in` is what its node reads, `out` what it writes.
#[derive(Clone, Debug, Default)]
pub struct Spy(Arc<State>);

#[derive(Debug, Default)]
struct State {
    in_frozen: AtomicBool,
    out_frozen: AtomicBool,
    in_limit: Mutex<Option<usize>>,
    in_bytes: AtomicUsize,
    out_limit: Mutex<Option<usize>>,
    writes: Mutex<Vec<usize>>,
    pipes: AtomicUsize,
    live: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Spy {
    /// What the other side says does not arrive any more.
    pub fn freeze_in(&self) {
        self.0.in_frozen.store(true, Ordering::SeqCst);
    }

    /// What we say does not leave any more.
    pub fn freeze_out(&self) {
        self.0.out_frozen.store(true, Ordering::SeqCst);
    }

    pub fn thaw(&self) {
        self.0.in_frozen.store(false, Ordering::SeqCst);
        self.0.out_frozen.store(false, Ordering::SeqCst);
        let wakers = std::mem::take(&mut *self.0.wakers.lock().unwrap());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// After `bytes` in all, nothing more arrives.
    pub fn limit_in(&self, bytes: usize) {
        *self.0.in_limit.lock().unwrap() = Some(bytes);
    }

    /// After `bytes` more, nothing leaves.
    pub fn limit_out(&self, bytes: usize) {
        *self.0.out_limit.lock().unwrap() = Some(bytes);
    }

    /// Bytes that arrived.
    pub fn in_bytes(&self) -> usize {
        self.0.in_bytes.load(Ordering::SeqCst)
    }

    /// The size of each write since the last call.
    pub fn take_writes(&self) -> Vec<usize> {
        std::mem::take(&mut *self.0.writes.lock().unwrap())
    }

    pub fn writes(&self) -> usize {
        self.0.writes.lock().unwrap().len()
    }

    /// Pipes made so far, dialed and accepted.
    pub fn pipes(&self) -> usize {
        self.0.pipes.load(Ordering::SeqCst)
    }

    /// Halves of pipes that live.
    pub fn live(&self) -> usize {
        self.0.live.load(Ordering::SeqCst)
    }

    fn wrap(&self, pipe: Pipe) -> Pipe {
        self.0.pipes.fetch_add(1, Ordering::SeqCst);
        self.0.live.fetch_add(2, Ordering::SeqCst);
        Pipe {
            reader: Box::new(SpyRead(pipe.reader, self.0.clone())),
            writer: Box::new(SpyWrite(pipe.writer, self.0.clone())),
        }
    }
}

fn inner(address: &Multiaddr) -> Box<dyn Transport> {
    if MemoryTransport.can_handle(address) {
        Box::new(MemoryTransport)
    } else {
        Box::new(TcpTransport)
    }
}

impl Transport for Spy {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        inner(address).can_handle(address)
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        let spy = self.clone();
        Box::pin(async move { Ok(spy.wrap(inner(&address).dial(address).await?)) })
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let spy = self.clone();
        Box::pin(async move {
            let listener = inner(&address).listen(address).await?;
            Ok(Box::new(SpyListener(listener, spy)) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct SpyListener(Box<dyn Listener>, Spy);

impl Listener for SpyListener {
    fn addresses(&self) -> Vec<Multiaddr> {
        self.0.addresses()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Pipe, Multiaddr)>> {
        Box::pin(async move {
            let (pipe, remote) = self.0.accept().await?;
            Ok((self.1.wrap(pipe), remote))
        })
    }
}

struct SpyRead(Box<dyn PipeRead>, Arc<State>);

impl PipeRead for SpyRead {}

impl AsyncRead for SpyRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = self.1.clone();
        let limit = state.in_limit.lock().unwrap().unwrap_or(usize::MAX);
        let room = limit
            .saturating_sub(state.in_bytes.load(Ordering::SeqCst))
            .min(buf.remaining());
        state.wakers.lock().unwrap().push(cx.waker().clone());
        if state.in_frozen.load(Ordering::SeqCst) || room == 0 {
            return Poll::Pending;
        }
        let mut part = vec![0; room];
        let mut part = ReadBuf::new(&mut part);
        let read = Pin::new(&mut *self.0).poll_read(cx, &mut part);
        state
            .in_bytes
            .fetch_add(part.filled().len(), Ordering::SeqCst);
        buf.put_slice(part.filled());
        read
    }
}

impl Drop for SpyRead {
    fn drop(&mut self) {
        self.1.live.fetch_sub(1, Ordering::SeqCst);
    }
}

struct SpyWrite(Box<dyn AsyncWrite + Send + Unpin>, Arc<State>);

impl AsyncWrite for SpyWrite {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let state = self.1.clone();
        state.wakers.lock().unwrap().push(cx.waker().clone());
        let mut limit = state.out_limit.lock().unwrap();
        let room = limit.unwrap_or(usize::MAX).min(data.len());
        if state.out_frozen.load(Ordering::SeqCst) || room == 0 {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.0).poll_write(cx, &data[..room]);
        if let Poll::Ready(Ok(n)) = &written {
            state.writes.lock().unwrap().push(*n);
            limit.iter_mut().for_each(|limit| *limit -= n);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Drop for SpyWrite {
    fn drop(&mut self) {
        self.1.live.fetch_sub(1, Ordering::SeqCst);
    }
}
