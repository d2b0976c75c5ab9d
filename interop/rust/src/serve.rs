//! The listener's protocols; identify and ping are behaviours of the swarm.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures::{AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{Stream, StreamProtocol};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::timeout};

use crate::{CHECK_TIMEOUT, inbound::Inbound, transport::Options};

pub const ECHO: StreamProtocol = StreamProtocol::new("/echo/1.0.0");
pub const HASH: StreamProtocol = StreamProtocol::new("/interop/hash/1.0.0");
pub const SOURCE: StreamProtocol = StreamProtocol::new("/interop/source/1.0.0");
pub const LAST_SOURCE: StreamProtocol = StreamProtocol::new("/interop/last-source/1.0.0");
pub const OBSERVE: StreamProtocol = StreamProtocol::new("/interop/observe/1.0.0");
pub const LAST_OBSERVE: StreamProtocol = StreamProtocol::new("/interop/last/1.0.0");
pub const RESET: StreamProtocol = StreamProtocol::new("/interop/reset/1.0.0");
pub const BULK: StreamProtocol = StreamProtocol::new("/interop/bulk/1.0.0");
/// Served by nobody.
pub const NOTHING: StreamProtocol = StreamProtocol::new("/interop/nothing/1.0.0");

const SOURCE_LEN: usize = 64 << 10;
const BULK_PIECE: usize = 256 << 10;
/// Ends what the dialer has long given up on.
const STREAM_TIMEOUT: Duration = Duration::from_secs(3600);

/// What /interop/source sends.
pub fn source_bytes() -> Vec<u8> {
    (0..SOURCE_LEN).map(|i| (i % 251) as u8).collect()
}

pub fn serve(inbound: &mut Inbound, options: &Options) {
    let quic = options.is_quic();
    let (observed, sourced) = (LastResult::new(), LastResult::new());
    echoes(inbound);
    handle(inbound, HASH, hash);
    let last = sourced.clone();
    handle(inbound, SOURCE, move |stream| source(stream, last.clone()));
    let last = observed.clone();
    handle(inbound, OBSERVE, move |stream| {
        observe(stream, last.clone(), quic)
    });
    handle(inbound, LAST_SOURCE, move |stream| {
        sourced.clone().answer(stream)
    });
    handle(inbound, LAST_OBSERVE, move |stream| {
        observed.clone().answer(stream)
    });
    handle(inbound, BULK, bulk);
    handle(inbound, RESET, |mut stream| async move {
        stream.read_exact(&mut [0]).await
    });
}

pub fn echoes(inbound: &mut Inbound) {
    handle(inbound, ECHO, echo);
}

/// One task per stream. An unfinished stream that is dropped is reset, so handlers close what they finish.
fn handle<F>(
    inbound: &mut Inbound,
    protocol: StreamProtocol,
    f: impl Fn(Stream) -> F + Send + 'static,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut incoming = inbound.accept(protocol);
    tokio::spawn(async move {
        while let Some(stream) = incoming.next().await {
            tokio::spawn(timeout(STREAM_TIMEOUT, f(stream)));
        }
    });
}

async fn echo(mut stream: Stream) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return stream.close().await;
        }
        stream.write_all(&buffer[..n]).await?;
        stream.flush().await?;
    }
}

async fn hash(mut stream: Stream) -> io::Result<()> {
    let mut data = Vec::new();
    stream.read_to_end(&mut data).await?;
    stream.write_all(&Sha256::digest(&data)).await?;
    stream.close().await
}

/// Reads a count and that many bytes, answers with their hash, and sends as many bytes and their hash.
async fn bulk(mut stream: Stream) -> io::Result<()> {
    let mut count = [0; 8];
    stream.read_exact(&mut count).await?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; BULK_PIECE]);
    loop {
        match stream.read(&mut piece).await? {
            0 => break,
            n => hash.update(&piece[..n]),
        }
    }
    stream.write_all(&hash.finalize()).await?;
    let sum = send_bulk(&mut stream, u64::from_be_bytes(count)).await?;
    stream.write_all(&sum).await?;
    stream.close().await
}

/// Writes `left` bytes of numbered pieces, so that a lost or swapped one shows, and gives their hash.
pub async fn send_bulk(to: &mut (impl AsyncWrite + Unpin), mut left: u64) -> io::Result<Vec<u8>> {
    let mut hash = Sha256::new();
    let mut piece: Vec<u8> = (0..BULK_PIECE).map(|i| (i % 251) as u8).collect();
    for number in 0_u64.. {
        piece[..8].copy_from_slice(&number.to_be_bytes());
        let len = BULK_PIECE.min(usize::try_from(left).unwrap_or(BULK_PIECE));
        hash.update(&piece[..len]);
        to.write_all(&piece[..len]).await?;
        left -= len as u64;
        if left == 0 {
            break;
        }
    }
    to.flush().await?;
    Ok(hash.finalize().to_vec())
}

async fn source(mut stream: Stream, last: LastResult) -> io::Result<()> {
    last.clear();
    stream.write_all(&source_bytes()).await?;
    stream.close().await?;
    let n = futures::io::copy(&mut stream, &mut futures::io::sink()).await;
    last.set(n.map_or_else(|e| e.to_string(), |n| n.to_string()));
    Ok(())
}

async fn observe(mut stream: Stream, last: LastResult, quic: bool) -> io::Result<()> {
    last.clear();
    let n = futures::io::copy(&mut stream, &mut futures::io::sink()).await;
    last.set(match n {
        Err(_) => "reset".to_owned(),
        Ok(_) if was_reset(&mut stream, quic).await => "reset".to_owned(),
        Ok(n) => format!("eof {n}"),
    });
    stream.close().await
}

/// rust-libp2p reads a reset as an end, with yamux and with mplex. But after an end one may still write, after a reset not.
/// A QUIC stream tells them apart, and there a failing write means nothing: dropping a stream ends it, and stops the other side.
pub async fn was_reset(stream: &mut Stream, quic: bool) -> bool {
    !quic && stream.write_all(&[0]).await.is_err()
}

/// One stream's result, until another stream asks for it. The question may overtake the result.
#[derive(Clone)]
struct LastResult(Arc<watch::Sender<Option<String>>>);

impl LastResult {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    fn clear(&self) {
        self.0.send_replace(None);
    }

    fn set(&self, result: String) {
        self.0.send_replace(Some(result));
    }

    async fn answer(self, mut stream: Stream) -> io::Result<()> {
        let mut results = self.0.subscribe();
        let answer = match timeout(CHECK_TIMEOUT / 2, results.wait_for(Option::is_some)).await {
            Ok(Ok(result)) => result.clone().unwrap_or_default(),
            _ => "none".to_owned(),
        };
        self.clear();
        stream.write_all(answer.as_bytes()).await?;
        stream.close().await
    }
}
