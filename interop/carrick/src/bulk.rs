//! The bulk check, both sides: a count and that many bytes go up; their hash, as many bytes and their hash come down.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, Digest, SHA256};
use carrick::{Connection, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Result,
    checks::{Verdict, passed, pattern},
};

pub(crate) const BULK: &str = "/interop/bulk/1.0.0";
const PIECE: usize = 256 << 10;
const HASH_LEN: usize = 32;

pub(crate) async fn serve(mut stream: Stream) -> Result {
    let count = stream.read_u64().await?;
    let mut hash = Context::new(&SHA256);
    while let Some(chunk) = stream.read_chunk().await? {
        hash.update(&chunk);
    }
    stream.write_all(hash.finish().as_ref()).await?;
    let sum = send(&mut stream, count).await?;
    stream.write_all(sum.as_ref()).await?;
    stream.finish().await?;
    Ok(())
}

pub(crate) async fn check(connection: &Connection, count: u64) -> Result<Verdict> {
    let mut stream = connection.open_stream(BULK).await?;
    let start = Instant::now();
    stream.write_u64(count).await?;
    let sum = send(&mut stream, count).await?;
    stream.finish().await?;
    let mut theirs = [0; HASH_LEN];
    stream.read_exact(&mut theirs).await?;
    if theirs != sum.as_ref() {
        return Err("the listener has another hash of what went up".into());
    }
    let up = start.elapsed();
    let start = Instant::now();
    let (mut hash, mut left) = (Context::new(&SHA256), count);
    let mut trailer = Vec::new();
    while let Some(chunk) = stream.read_chunk().await? {
        let body = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        hash.update(&chunk[..body]);
        left -= body as u64;
        trailer.extend_from_slice(&chunk[body..]);
    }
    if left > 0 {
        return Err(format!("down: an end {left} bytes too early").into());
    }
    if trailer != hash.finish().as_ref() {
        return Err("down: another hash than the listener's".into());
    }
    let mib = count >> 20;
    let speed = |took: Duration| mib as f64 / took.as_secs_f64();
    passed(format!(
        "{mib} MiB each way, up {:.0} MiB/s, down {:.0} MiB/s",
        speed(up),
        speed(start.elapsed())
    ))
}

/// Writes `left` bytes of numbered pieces, so that a lost or swapped one shows, and gives their hash.
async fn send(stream: &mut Stream, mut left: u64) -> Result<Digest> {
    let (mut hash, mut piece) = (Context::new(&SHA256), pattern(PIECE));
    for number in 0_u64.. {
        piece[..8].copy_from_slice(&number.to_be_bytes());
        let len = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
        hash.update(&piece[..len]);
        stream.write_all(&piece[..len]).await?;
        left -= len as u64;
        if left == 0 {
            break;
        }
    }
    Ok(hash.finish())
}
