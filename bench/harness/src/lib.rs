//! What every benchmark binary shares: the two small traits a stack implements, the command line, and
//! the protocol that `serve` speaks. `run` drives it from the other side: `workload.rs` picks what to measure,
//! `repeat.rs` has what is done over and over, `bulk.rs` bytes, `fairness.rs` streams that may hinder each other.
//!
//! ```text
//! bench-X serve [--listen 127.0.0.1:0]           prints `READY <address>`
//! bench-X run ADDRESS WORKLOAD [options]         prints one JSON line
//! ```
//!
//! Where a stack has requests of its own, a second binary of it measures those: `ask.rs`.

mod ask;
mod bulk;
mod fairness;
mod meter;
mod over;
mod packets;
mod repeat;
mod workload;

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
pub use ask::{Asked, Asker, main_asked};
use clap::Parser;
pub use meter::cpu_s;
pub use over::{Form, Over, Security, Transport};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The protocol name that every stack negotiates for its streams.
pub const PROTOCOL: &str = "/bench/1.0.0";

/// A node of the stack under test.
pub trait Stack: Sized + Send + Sync + 'static {
    /// How the stack is called in reports.
    const NAME: &'static str;
    /// See [`Connection`].
    type Connection: Connection;

    /// Starts a node with a fresh identity. With `listen` it accepts connections there, gives every inbound
    /// stream to [`serve`], in a task of its own, and tells [`count_packet`] of every packet.
    /// A stack that lacks what `over` asks for returns an error.
    fn start(listen: Option<SocketAddr>, over: Over) -> impl Future<Output = Result<Self>> + Send;

    /// What others dial to reach this node; only asked of a node that listens.
    fn address(&self) -> String;

    /// A new connection, ready for streams: secured and multiplexed. Called once at a time per node, and
    /// never while an earlier connection of the node is open.
    fn dial(&self, address: &str) -> impl Future<Output = Result<Self::Connection>> + Send;
}

/// A connection that [`Stack::dial`] made. It stays open while the value lives.
pub trait Connection: Send + Sync + 'static {
    /// A negotiated stream.
    type Stream: Stream;

    /// Opens a stream for [`PROTOCOL`].
    fn open(&self) -> impl Future<Output = Result<Self::Stream>> + Send;

    /// Closes the connection; done when the node could dial again.
    fn close(self) -> impl Future<Output = Result<()>> + Send;

    /// Sends `payload` in packets, as fast as the stack takes them, until `end`; says how many.
    fn flood(&self, _payload: &[u8], _end: Instant) -> impl Future<Output = Result<u64>> + Send {
        async { bail!("this stack has no packets") }
    }
}

/// Bytes both ways. `shutdown` finishes the write side only.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// The whole of a benchmark binary's `main`.
pub fn main<S: Stack>() -> Result<()> {
    command(
        async |listen, over| S::start(Some(listen), over).await,
        S::address,
        workload::run::<S>,
    )
}

/// Reads the command line and does one of its two halves: `start` a node that others find at `address`, or `run`.
fn command<N>(
    start: impl AsyncFnOnce(SocketAddr, Over) -> Result<N>,
    address: impl FnOnce(&N) -> String,
    run: impl AsyncFnOnce(workload::Options) -> Result<Value>,
) -> Result<()> {
    let cli = Cli::parse();
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match cli {
                Cli::Serve { listen, over } => {
                    let start = tokio::time::timeout(START_TIMEOUT, start(listen, over));
                    let node = start.await.context("starting the node took too long")??;
                    println!("READY {}", address(&node));
                    std::future::pending::<()>().await;
                    drop(node);
                }
                Cli::Run(options) => {
                    let run = tokio::time::timeout(RUN_TIMEOUT, run(options));
                    println!("{}", run.await.context("the run took too long")??);
                    // Taking down a thousand nodes one by one would only cost time.
                    std::process::exit(0)
                }
            }
            Ok(())
        })
}

/// Does what the dialer asks for in the first message of a stream, until both sides have finished.
pub async fn serve<T: Stream>(mut stream: T) {
    // A stream that breaks is noticed, and counted, by the dialer.
    let _: io::Result<()> = obey(&mut stream).await;
}

/// A server calls this for every packet that arrives.
pub fn count_packet() {
    PACKETS.fetch_add(1, Relaxed);
}

/// Of all connections: a benchmark has one.
static PACKETS: AtomicU64 = AtomicU64::new(0);

async fn obey<T: Stream>(stream: &mut T) -> io::Result<()> {
    let mut message = [0; MESSAGE_LEN];
    stream.read_exact(&mut message).await?;
    match Order::decode(&message).ok_or(io::ErrorKind::InvalidData)? {
        Order::Request => stream.write_all(&message).await?,
        Order::Echo => loop {
            stream.write_all(&message).await?;
            stream.flush().await?;
            if stream.read_exact(&mut message).await.is_err() {
                break;
            }
        },
        Order::Upload(bytes) => {
            signal(stream).await?;
            discard(stream, bytes, |_| {}).await?;
            signal(stream).await?;
        }
        Order::Download(bytes) => {
            signal(stream).await?;
            stream.read_u8().await?;
            produce(stream, bytes, |_| {}).await?;
        }
        Order::Stall => {
            signal(stream).await?;
            return std::future::pending().await;
        }
        Order::Count(_) => {
            let count = Order::Count(PACKETS.load(Relaxed));
            stream.write_all(&count.encode()).await?;
        }
    }
    stream.shutdown().await?;
    // Staying until the dialer has finished: some stacks reset what they drop.
    while stream.read(&mut message).await? > 0 {}
    Ok(())
}

/// The first message of every stream.
#[derive(Clone, Copy)]
enum Order {
    /// Answer this one message with itself and finish.
    Request,
    /// Answer every message with itself until the dialer finishes.
    Echo,
    /// Signal, take so many bytes, signal.
    Upload(u64),
    /// Signal, wait for a signal, send so many bytes.
    Download(u64),
    /// Signal and read nothing more.
    Stall,
    /// Say how many packets have arrived; the answer holds the number.
    Count(u64),
}

impl Order {
    fn encode(self) -> [u8; MESSAGE_LEN] {
        let (kind, bytes) = match self {
            Self::Request => (b'r', 0),
            Self::Echo => (b'e', 0),
            Self::Upload(bytes) => (b'u', bytes),
            Self::Download(bytes) => (b'd', bytes),
            Self::Stall => (b's', 0),
            Self::Count(packets) => (b'c', packets),
        };
        let mut message = [kind; MESSAGE_LEN];
        message[1..9].copy_from_slice(&bytes.to_be_bytes());
        message
    }

    fn decode(message: &[u8; MESSAGE_LEN]) -> Option<Self> {
        let bytes = u64::from_be_bytes(message[1..9].try_into().ok()?);
        match message[0] {
            b'r' => Some(Self::Request),
            b'e' => Some(Self::Echo),
            b'u' => Some(Self::Upload(bytes)),
            b'd' => Some(Self::Download(bytes)),
            b's' => Some(Self::Stall),
            b'c' => Some(Self::Count(bytes)),
            _ => None,
        }
    }
}

async fn signal<T: Stream>(stream: &mut T) -> io::Result<()> {
    stream.write_all(&[1]).await?;
    stream.flush().await
}

/// Tells `moved` of all bytes that the stack took.
async fn produce<T: Stream>(stream: &mut T, bytes: u64, moved: impl Fn(u64)) -> io::Result<()> {
    let chunk = vec![0xa5; CHUNK_LEN];
    let mut left = bytes;
    while left > 0 {
        let len = left.min(CHUNK_LEN as u64);
        stream.write_all(&chunk[..len as usize]).await?;
        moved(len);
        left -= len;
    }
    stream.flush().await
}

/// Tells `moved` of all bytes that arrived.
async fn discard<T: Stream>(stream: &mut T, bytes: u64, moved: impl Fn(u64)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(CHUNK_LEN, stream.take(bytes));
    let mut left = bytes;
    while left > 0 {
        let len = reader.fill_buf().await?.len();
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reader.consume(len);
        moved(len as u64);
        left -= len as u64;
    }
    Ok(())
}

/// Thousands of connections need more than the usual 1,024 descriptors.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("open files stay limited: {error}");
    }
}

#[derive(Parser)]
#[command(about = "One stack of the benchmark: its server and its measuring client")]
enum Cli {
    /// Start a node, print `READY <address>` and serve until killed
    #[command(args_override_self = true)]
    Serve {
        /// Socket address; port 0 picks a free one
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[command(flatten)]
        over: Over,
    },
    /// Run one workload against a server and print one JSON line
    Run(workload::Options),
}

const MESSAGE_LEN: usize = 64;
/// What an application writes and reads at once.
const CHUNK_LEN: usize = 64 << 10;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const RUN_TIMEOUT: Duration = Duration::from_secs(120);
