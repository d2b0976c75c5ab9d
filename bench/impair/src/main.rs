//! A long, thin or fat path on one machine: a TCP relay that lets bytes through at a rate and holds each for a time.
//! Both ways alike. It holds at most what such a path would hold, plus a short queue, and then stops reading.
//!
//! TCP itself sees only loopback on either side, so its own slow start is not part of the path. What remains
//! is what a muxer's windows make of the round trip.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};

/// Prints `READY ip:port` and relays every connection to the given address
#[derive(Parser)]
struct Options {
    /// Where the server listens
    to: SocketAddr,
    /// Time on the way, in milliseconds, each way
    #[arg(long, default_value_t = 30)]
    delay_ms: u64,
    /// Millions of bits per second, each way
    #[arg(long, default_value_t = 1000)]
    rate_mbit: u64,
}

/// One way of the path.
#[derive(Clone, Copy)]
struct Path {
    delay: Duration,
    bytes_s: f64,
}

impl Path {
    const fn time(self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as f64 / self.bytes_s * 1e9) as u64)
    }

    /// Bytes that are on the way when the path is full, and in the queue before it.
    fn capacity(self) -> usize {
        ((self.delay + QUEUE).as_secs_f64() * self.bytes_s) as usize + CHUNK_LEN
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let path = Path {
        delay: Duration::from_millis(options.delay_ms),
        bytes_s: options.rate_mbit as f64 * 1e6 / 8.0,
    };
    let listener = socket()?;
    listener.bind("127.0.0.1:0".parse()?)?;
    let listener: TcpListener = listener.listen(1024)?;
    println!("READY {}", listener.local_addr()?);
    loop {
        let (near, _) = listener.accept().await?;
        tokio::spawn(join(near, options.to, path));
    }
}

/// Short buffers: what waits should wait where it came from.
fn socket() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    Ok(socket)
}

async fn join(near: TcpStream, to: SocketAddr, path: Path) -> Result<()> {
    let far = timeout(CONNECT_TIMEOUT, socket()?.connect(to)).await??;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::spawn(carry(near_in, far_out, path));
    tokio::spawn(carry(far_in, near_out, path));
    Ok(())
}

/// Bytes on the way, when they arrive, and the room they take until then.
type Held = (Instant, Bytes, OwnedSemaphorePermit);

async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, path: Path) -> Result<()> {
    let room = Arc::new(Semaphore::new(path.capacity()));
    // As many pieces as the room could hold if all were short; the room bounds their bytes.
    let (held, arriving) = mpsc::channel(PIECES_MAX);
    tokio::spawn(deliver(arriving, to));
    let mut buffer = vec![0; CHUNK_LEN];
    let mut free = Instant::now();
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        let piece = Bytes::copy_from_slice(&buffer[..len]);
        let permit = room.clone().acquire_many_owned(len as u32).await?;
        // The first bit leaves when the path is free, the last one by its length later.
        free = free.max(Instant::now()) + path.time(len);
        held.send((free + path.delay, piece, permit)).await?;
        wait_until(free - QUEUE).await;
    }
}

async fn deliver(mut arriving: mpsc::Receiver<Held>, mut to: OwnedWriteHalf) -> Result<()> {
    while let Some((at, piece, permit)) = arriving.recv().await {
        wait_until(at).await;
        to.write_all(&piece).await?;
        drop(permit);
    }
    Ok(to.shutdown().await?)
}

/// The timer ticks once a millisecond, and would wait for its next tick even for what is past.
async fn wait_until(at: Instant) {
    if at > Instant::now() {
        sleep_until(at).await;
    }
}

const CHUNK_LEN: usize = 64 << 10;
const SOCKET_BUFFER: u32 = 256 << 10;
const PIECES_MAX: usize = 64 << 10;
/// What the link takes before it is free.
const QUEUE: Duration = Duration::from_millis(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
