//! Packets one way, as many as can be sent.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Connection, MESSAGE_LEN, Order, meter::Meter, repeat::open, workload::Options};

/// Counted where they arrive. Those on the way when time is up are few beside all others.
pub(crate) async fn packets<C: Connection>(connection: &C, options: &Options) -> Result<Value> {
    let payload = vec![0xa5; options.packet_len];
    // The path is explored and the congestion window opened first.
    connection.flood(&payload, Instant::now() + WARM_UP).await?;
    let before = settled(connection).await?;
    let meter = Meter::start(options.server_pid);
    let end = meter.started + Duration::from_secs_f64(options.secs);
    let sent = connection.flood(&payload, end).await?;
    let seconds = meter.started.elapsed().as_secs_f64();
    let received = (settled(connection).await? - before) as f64;
    ensure!(received > 0.0, "of {sent} packets none arrived");
    Ok(json!({
        "packets_s": received / seconds,
        "cpu_us_per_packet": meter.cpu_s().map(|cpu_s| cpu_s * 1e6 / received),
        "lost_percent": 100.0 * (1.0 - received / sent as f64),
        "sent": sent,
        "seconds": seconds,
    }))
}

/// The count of packets once it stands still: the last one has arrived or is lost.
async fn settled<C: Connection>(connection: &C) -> Result<u64> {
    let mut count = arrived(connection).await?;
    loop {
        tokio::time::sleep(SETTLING).await;
        match arrived(connection).await? {
            same if same == count => return Ok(count),
            more => count = more,
        }
    }
}

/// The packets that the server has seen, by its own count.
async fn arrived<C: Connection>(connection: &C) -> Result<u64> {
    let mut stream = open(connection, Order::Count(0)).await?;
    let mut reply = [0; MESSAGE_LEN];
    stream.read_exact(&mut reply).await?;
    stream.shutdown().await?;
    match Order::decode(&reply) {
        Some(Order::Count(packets)) => Ok(packets),
        _ => anyhow::bail!("wrong reply"),
    }
}

const WARM_UP: Duration = Duration::from_millis(300);
const SETTLING: Duration = Duration::from_millis(50);
