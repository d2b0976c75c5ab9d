//! The perf suite: uploads, downloads and round trips in turn over one connection, each over a stream of its own.
//!
//! Both headers of /perf/1.0.0 are spoken, because the suite's programs disagree: a listener tells them apart, a dialer
//! tries.

use std::time::Duration;

pub(crate) use carrick::perf::PROTOCOL;
use carrick::{
    Connection, Stream,
    perf::{self, Header, Progress, Report},
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{Error, Result, address, environment, node, statistics::Statistics};

pub(crate) async fn dial(
    plan: &environment::Plan,
    sizes: environment::Perf,
    deadline: Instant,
) -> Result<String> {
    let node = node::dialer(plan.stack).await?;
    let listener = address::find(plan, deadline).await?;
    let connection = timeout_at(deadline, node.dial(listener.as_str())).await??;
    let header = header(&connection).await?;
    let (up, down) = (sizes.upload_bytes, sizes.download_bytes);
    let mut blocks = Vec::new();
    for (name, up, down, iterations) in [
        ("upload", up, 0, sizes.upload_iterations),
        ("download", 0, down, sizes.download_iterations),
        ("latency", 1, 1, sizes.latency_iterations),
    ] {
        eprintln!("{name}: {iterations} times");
        let mut samples = Vec::new();
        for _ in 0..iterations {
            let time = measure(&connection, header, up, down).await?.as_secs_f64();
            samples.push(match name {
                "latency" => time * 1e3,
                _ => up.max(down) as f64 * 8.0 / time / 1e9,
            });
        }
        let (unit, decimals) = if name == "latency" {
            ("ms", 3)
        } else {
            ("Gbps", 2)
        };
        if let Some(statistics) = Statistics::of(samples) {
            blocks.push(statistics.block(name, unit, decimals));
        }
    }
    node.close().await;
    Ok(blocks.join("\n"))
}

/// The header that the listener understands: a byte each way with the specification's fails at once elsewhere.
async fn header(connection: &Connection) -> Result<Header> {
    for header in [Header::Spec, Header::Sixteen] {
        let tried = timeout(TRIAL_TIMEOUT, measure(connection, header, 1, 1)).await;
        match tried {
            Ok(Ok(_)) => return Ok(header),
            Ok(Err(error)) => eprintln!("{header:?} header: {error}"),
            Err(_) => eprintln!("{header:?} header: no answer"),
        }
    }
    Err("the listener speaks /perf/1.0.0 with neither header".into())
}

/// From the wish for a stream to the last byte.
async fn measure(connection: &Connection, header: Header, up: u64, down: u64) -> Result<Duration> {
    let begun = Instant::now();
    let stream = connection.open_stream(PROTOCOL).await?;
    let _: Report = perf::run_on(stream, header, up, down, &Progress::default()).await?;
    Ok(begun.elapsed())
}

/// Serves one stream, with whichever header its client has. Sixteen bytes are told from eight by their first number,
/// which is then the bytes behind them.
pub(crate) async fn serve(mut stream: Stream) -> Result {
    let (mut head, mut received) = (Vec::with_capacity(16), 0_u64);
    while let Some(bytes) = timeout(STALL_TIMEOUT, stream.read_chunk()).await?? {
        received += bytes.len() as u64;
        head.extend(bytes.iter().take(16 - head.len()));
    }
    let number = |at: usize| head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    let first = number(0).map(u64::from_be_bytes).ok_or("no header")?;
    let mut rest = match number(8).map(u64::from_be_bytes) {
        Some(second) if first == received - 16 => second,
        _ => first,
    };
    while rest > 0 {
        let len = usize::try_from(rest).map_or(BLOCK.len(), |rest| rest.min(BLOCK.len()));
        timeout(STALL_TIMEOUT, stream.write_all(&BLOCK[..len])).await??;
        rest -= len as u64;
    }
    Ok::<_, Error>(stream.finish().await?)
}

static BLOCK: [u8; 128 << 10] = [0; 128 << 10];
const TRIAL_TIMEOUT: Duration = Duration::from_secs(5);
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
