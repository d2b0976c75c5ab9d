//! Bytes one way over streams that all begin at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, task::JoinSet};

use crate::{
    Connection, Order, Stream, discard,
    meter::Meter,
    produce,
    repeat::{LOST_MAX, open},
    signal,
    workload::{Direction, Options},
};

pub(crate) async fn bulk<C: Connection>(
    connection: &C,
    direction: Direction,
    options: &Options,
) -> Result<Value> {
    let share = options.bytes / options.streams;
    let (streams, lost) = begin_all(connection, direction.order(share), options.streams).await?;
    let moved = Arc::new(AtomicU64::new(0));
    let watch = options
        .ramp
        .then(|| tokio::spawn(watch(moved.clone(), share * options.streams)));
    let meter = Meter::start(options.server_pid);
    let times = transfer_all(streams, direction.order(share), &moved).await?;
    let seconds = meter.started.elapsed().as_secs_f64();
    let (cpu_s, faults) = (meter.cpu_s(), meter.page_faults());
    let bytes = (share * options.streams) as f64;
    let mib = bytes / MIB;
    let mut report = json!({
        "mb_s": bytes / 1e6 / seconds,
        "cpu_s_per_gib": cpu_s.map(|cpu_s| cpu_s * GIB / bytes),
        "client_faults_per_mib": faults.map(|[client, _]| client / mib),
        "server_faults_per_mib": faults.map(|[_, server]| server / mib),
        "mib": mib,
        "errors": lost,
        "seconds": seconds,
    });
    if options.streams > 1 {
        report["slowest_part"] = slowest_part(&times).into();
    }
    if let Some(watch) = watch {
        report["ramp_ms"] = ramp_ms(&watch.await?).into();
    }
    Ok(report)
}

/// Streams that are lost on the way are counted and replaced.
pub(crate) async fn begin_all<C: Connection>(
    connection: &C,
    order: Order,
    count: u64,
) -> Result<(Vec<C::Stream>, u64)> {
    let (mut streams, mut lost) = (Vec::new(), 0);
    while (streams.len() as u64) < count {
        match begin(connection, order).await {
            Ok(stream) => streams.push(stream),
            Err(error) if lost == LOST_MAX => return Err(error),
            Err(_) => lost += 1,
        }
    }
    Ok((streams, lost))
}

/// The server's signal proves that the stream arrived.
pub(crate) async fn begin<C: Connection>(connection: &C, order: Order) -> Result<C::Stream> {
    let mut stream = open(connection, order).await?;
    stream.read_u8().await?;
    Ok(stream)
}

/// How long each stream took.
pub(crate) async fn transfer_all<T: Stream>(
    streams: Vec<T>,
    order: Order,
    moved: &Arc<AtomicU64>,
) -> Result<Vec<Duration>> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in streams {
        let moved = moved.clone();
        tasks.spawn(async move {
            transfer(stream, order, &moved).await?;
            anyhow::Ok(started.elapsed())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

pub(crate) async fn transfer<T: Stream>(
    mut stream: T,
    order: Order,
    moved: &AtomicU64,
) -> Result<()> {
    let moved = |bytes| {
        moved.fetch_add(bytes, Relaxed);
    };
    match order {
        Order::Upload(bytes) => {
            produce(&mut stream, bytes, moved).await?;
            stream.read_u8().await?;
        }
        Order::Download(bytes) => {
            signal(&mut stream).await?;
            discard(&mut stream, bytes, moved).await?;
        }
        Order::Stall => produce(&mut stream, u64::MAX, moved).await?,
        Order::Request | Order::Echo | Order::Count(_) => {}
    }
    Ok(stream.shutdown().await?)
}

/// The rate of the slowest stream as a part of the fastest one's: all have the same to carry.
fn slowest_part(times: &[Duration]) -> Option<f64> {
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    Some(first.as_secs_f64() / last.as_secs_f64())
}

/// Looks at what has been moved, again and again, until it is `all`.
async fn watch(moved: Arc<AtomicU64>, all: u64) -> Vec<(Duration, u64)> {
    let started = Instant::now();
    let mut log = vec![(Duration::ZERO, 0)];
    let mut clock = tokio::time::interval(LOOK);
    loop {
        clock.tick().await;
        let now = moved.load(Relaxed);
        log.push((started.elapsed(), now));
        if now >= all {
            return log;
        }
    }
}

/// When the rate first stood at nine tenths of that of the later half.
fn ramp_ms(log: &[(Duration, u64)]) -> Option<f64> {
    let rate = |from: (Duration, u64), to: (Duration, u64)| {
        (to.1 - from.1) as f64 / (to.0 - from.0).as_secs_f64()
    };
    let last = *log.last()?;
    let half = *log.iter().find(|(_, moved)| *moved >= last.1 / 2)?;
    let enough = 0.9 * rate(half, last);
    let mut looks = log.iter().zip(log.iter().skip(LOOKS));
    let (from, _) = looks.find(|&(from, to)| rate(*from, *to) >= enough)?;
    Some(from.0.as_secs_f64() * 1e3)
}

const GIB: f64 = (1u64 << 30) as f64;
const MIB: f64 = (1u64 << 20) as f64;
const LOOK: Duration = Duration::from_millis(10);
/// The rate at a time is that of so many looks.
const LOOKS: usize = 10;

#[cfg(test)]
mod tests;
