//! Throughput by `/perf/1.0.0` (perf/perf.md): uploads and downloads of any size over one stream, which no buffer holds.
//!
//! Serving lets strangers use our bandwidth, so a node does it only when it is told to. What is said is decided in
//! `carrick-protocols`; here are the stream and the clock.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use carrick::{Node, perf};
//!
//! let server = Node::builder()
//!     .handle(perf::PROTOCOL, perf::serve)
//!     .listen("/ip4/127.0.0.1/tcp/0")?
//!     .spawn()
//!     .await?;
//! let client = Node::spawn().await?;
//! let report = perf::run(&client, server.address(), 1 << 20, 1 << 20).await?;
//! println!("{:.0} MB/s up, {:.0} MB/s down", report.upload_rate() / 1e6, report.download_rate() / 1e6);
//! # Ok(())
//! # }
//! ```

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use carrick_protocols::perf::{Client, Server};
use tokio::time::timeout;

pub use carrick_protocols::perf::Header;

use crate::{IntoTarget, Node, OpenError, Stream, StreamError};

/// `/perf/1.0.0`
pub const PROTOCOL: &str = "/perf/1.0.0";

/// What a measurement found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Bytes sent, without the header.
    pub upload_bytes: u64,
    /// Bytes received.
    pub download_bytes: u64,
    /// From the open stream to the first byte of the answer, or to its end if nothing was asked for: all bytes have
    /// arrived by then. Half a round trip of it is the answer's. Zero when nothing was uploaded.
    pub upload_time: Duration,
    /// From the first byte of the answer, or from the open stream when nothing was uploaded, to the end. Zero when
    /// nothing was downloaded.
    pub download_time: Duration,
    /// From the open stream to the end.
    pub time: Duration,
}

impl Report {
    /// Bytes a second that went up; 0 when none did.
    pub fn upload_rate(&self) -> f64 {
        rate(self.upload_bytes, self.upload_time)
    }

    /// Bytes a second that came down; 0 when none did.
    pub fn download_rate(&self) -> f64 {
        rate(self.download_bytes, self.download_time)
    }
}

fn rate(bytes: u64, time: Duration) -> f64 {
    if bytes == 0 {
        return 0.0;
    }
    // A clock may be too coarse for a few bytes.
    bytes as f64 / time.max(Duration::from_nanos(1)).as_secs_f64()
}

/// How far a measurement is, for whoever watches it from another task.
#[derive(Debug, Default)]
pub struct Progress {
    uploaded: AtomicU64,
    downloaded: AtomicU64,
}

impl Progress {
    /// Bytes that the connection has taken so far.
    pub fn uploaded(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
    }

    /// Bytes that have arrived so far.
    pub fn downloaded(&self) -> u64 {
        self.downloaded.load(Ordering::Relaxed)
    }
}

/// Why a measurement failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PerfError {
    /// There is no perf stream to the peer.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The stream failed.
    #[error("the perf stream failed: {0}")]
    Stream(#[from] StreamError),
    /// The other side did not keep to the protocol, or has another header.
    #[error(transparent)]
    Protocol(#[from] carrick_protocols::perf::PerfError),
    /// Not a byte went either way for a minute.
    #[error("nothing moved for {} s", STALL_TIMEOUT.as_secs())]
    Stalled,
}

/// Uploads and downloads so many bytes, with the specification's header; dials if there is no connection. Dialing and
/// opening the stream are not in the times.
///
/// # Errors
/// See [`PerfError`].
pub async fn run(
    node: &Node,
    target: impl IntoTarget,
    upload: u64,
    download: u64,
) -> Result<Report, PerfError> {
    let mut stream = node.open_stream(target, PROTOCOL).await?;
    // A refusal must not look like a slow upload.
    stream.confirm().await?;
    let progress = Progress::default();
    run_on(stream, Header::Spec, upload, download, &progress).await
}

/// As [`run`], on a stream that was opened for [`PROTOCOL`], with any header, and with news of how far it is. Dropping
/// the future resets the stream, which is how a download of `u64::MAX` bytes ends.
///
/// # Errors
/// See [`PerfError`].
pub async fn run_on(
    mut stream: Stream,
    header: Header,
    upload: u64,
    download: u64,
    progress: &Progress,
) -> Result<Report, PerfError> {
    let begun = Instant::now();
    moving(stream.write_all(&header.encode(upload, download))).await?;
    send(&mut stream, upload, &progress.uploaded).await?;
    let mut client = Client::new(download);
    let mut answered = None;
    while let Some(bytes) = moving(stream.read_chunk()).await? {
        answered.get_or_insert_with(Instant::now);
        client.recv(&bytes)?;
        add(&progress.downloaded, bytes.len());
    }
    let ended = Instant::now();
    client.finish()?;
    let answered = answered.unwrap_or(ended);
    let downloading = if upload == 0 { begun } else { answered };
    Ok(Report {
        upload_bytes: upload,
        download_bytes: download,
        upload_time: elapsed(upload, begun, answered),
        download_time: elapsed(download, downloading, ended),
        time: ended - begun,
    })
}

fn elapsed(bytes: u64, from: Instant, to: Instant) -> Duration {
    if bytes == 0 {
        return Duration::ZERO;
    }
    to - from
}

/// Serves one stream, with the specification's header: a handler for [`Builder::handle`](crate::Builder::handle).
/// No more is buffered than the connection's own flow control allows; nothing is sent before the upload's end.
///
/// # Errors
/// See [`PerfError`]. The stream is reset then.
pub async fn serve(stream: Stream) -> Result<(), PerfError> {
    serve_with(stream, Header::Spec).await
}

/// As [`serve`], for clients with this header.
///
/// # Errors
/// See [`PerfError`].
pub async fn serve_with(mut stream: Stream, header: Header) -> Result<(), PerfError> {
    let mut server = Server::new(header);
    while let Some(bytes) = moving(stream.read_chunk()).await? {
        if server.recv(&bytes)? {
            break;
        }
    }
    send(&mut stream, server.finish()?, &AtomicU64::new(0)).await
}

/// Sends so many bytes, all from one block, and finishes.
async fn send(stream: &mut Stream, mut bytes: u64, sent: &AtomicU64) -> Result<(), PerfError> {
    while bytes > 0 {
        let len = usize::try_from(bytes).map_or(BLOCK.len(), |bytes| bytes.min(BLOCK.len()));
        moving(stream.write_all(&BLOCK[..len])).await?;
        bytes -= len as u64;
        add(sent, len);
    }
    moving(stream.finish()).await
}

fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// One step of a transfer, which must not take forever.
async fn moving<T>(step: impl Future<Output = Result<T, StreamError>>) -> Result<T, PerfError> {
    let step = timeout(STALL_TIMEOUT, step).await;
    Ok(step.map_err(|_| PerfError::Stalled)??)
}

/// What is sent, over and over; large enough that the calls do not count.
static BLOCK: [u8; 128 * 1024] = [0; 128 * 1024];
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
