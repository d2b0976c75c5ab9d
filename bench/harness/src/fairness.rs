//! What one stream does to others: a reader that has stopped, and bytes beside small messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Connection, Order, Stack,
    bulk::{begin, begin_all, transfer, transfer_all},
    repeat::{PingPong, repeat},
    signal,
    workload::{Direction, Options},
};

/// The same transfer over two connections in turn. One of them also holds a stream that nobody reads from
/// and that is as full as the stack lets it become.
pub(crate) async fn stalled<S: Stack>(options: &Options) -> Result<Value> {
    let direction = options.direction();
    let (free_node, held_node) = (
        S::start(None, options.over).await?,
        S::start(None, options.over).await?,
    );
    let free = free_node.dial(&options.address).await?;
    let held = held_node.dial(&options.address).await?;
    let stuck = stall(&held, direction).await?;
    let order = direction.order(options.bytes / options.streams / TURNS);
    let nothing = Arc::new(AtomicU64::new(0));
    let (mut times, mut errors) = ([Vec::new(), Vec::new()], 0);
    for _ in 0..TURNS {
        for (connection, times) in [&free, &held].into_iter().zip(&mut times) {
            let (streams, lost) = begin_all(connection, order, options.streams).await?;
            errors += lost;
            let started = Instant::now();
            transfer_all(streams, order, &nothing).await?;
            times.push(started.elapsed().as_secs_f64());
        }
    }
    drop(stuck);
    let mut parts: Vec<f64> = times[0]
        .iter()
        .zip(&times[1])
        .map(|(free, held)| free / held)
        .collect();
    parts.sort_by(f64::total_cmp);
    let bytes = (options.bytes / options.streams / TURNS * options.streams * TURNS) as f64;
    let mb_s = |times: &[f64]| bytes / 1e6 / times.iter().sum::<f64>();
    Ok(json!({
        "stalled_part": f64::midpoint(parts[(parts.len() - 1) / 2], parts[parts.len() / 2]),
        "mb_s": mb_s(&times[1]),
        "alone_mb_s": mb_s(&times[0]),
        "errors": errors,
    }))
}

/// A stream that is full; it stays so while the value lives.
async fn stall<C: Connection>(connection: &C, direction: Direction) -> Result<Box<dyn Send>> {
    if direction == Direction::Down {
        let mut stream = begin(connection, Order::Download(u64::MAX)).await?;
        signal(&mut stream).await?;
        tokio::time::sleep(FILLING).await;
        return Ok(Box::new(stream));
    }
    let stream = begin(connection, Order::Stall).await?;
    let moved = Arc::new(AtomicU64::new(0));
    let count = moved.clone();
    let writer = tokio::spawn(async move { transfer(stream, Order::Stall, &count).await });
    let mut before = 0;
    loop {
        tokio::time::sleep(FILLING).await;
        match moved.load(Relaxed) {
            same if same == before => return Ok(Box::new(writer)),
            more => before = more,
        }
    }
}

/// Ping-pong alone, then beside a stream that is never out of bytes.
pub(crate) async fn beside<C: Connection>(connection: Arc<C>, options: &Options) -> Result<Value> {
    let loops = || {
        let one = |_| PingPong {
            connection: connection.clone(),
            stream: None,
        };
        (0..options.concurrency).map(one).collect::<Vec<_>>()
    };
    let alone = repeat(loops(), options).await?;
    let order = options.direction().order(u64::MAX);
    let stream = begin(&*connection, order).await?;
    let moved = Arc::new(AtomicU64::new(0));
    let count = moved.clone();
    let bulk = tokio::spawn(async move { transfer(stream, order, &count).await });
    tokio::time::sleep(FILLING).await;
    let (before, started) = (moved.load(Relaxed), Instant::now());
    let mut report = repeat(loops(), options).await?;
    let bytes = (moved.load(Relaxed) - before) as f64;
    report["bulk_mb_s"] = (bytes / 1e6 / started.elapsed().as_secs_f64()).into();
    ensure!(!bulk.is_finished(), "the bulk stream ended early");
    bulk.abort();
    for part in ["p50", "p99"] {
        let us = |report: &Value| report[format!("{part}_us")].as_f64().context("no latency");
        let (own, other) = (us(&report)?, us(&alone)?);
        report[format!("{part}_alone_us")] = other.into();
        report[format!("{part}_times")] = (own / other).into();
    }
    Ok(report)
}

/// Of each of the two connections.
const TURNS: u64 = 6;
/// Long enough for windows and socket buffers of this machine to fill.
const FILLING: Duration = Duration::from_millis(200);
