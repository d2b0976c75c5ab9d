//! What is done over and over and timed each time: requests, ping-pong, dials.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use crate::{Connection, MESSAGE_LEN, Order, Stack, meter::Meter, workload::Options};

/// One thing to do over and over, and to time.
pub(crate) trait Operation: Send + 'static {
    fn once(&mut self) -> impl Future<Output = Result<()>> + Send;
}

pub(crate) struct Requests<C>(pub(crate) Arc<C>);

impl<C: Connection> Operation for Requests<C> {
    async fn once(&mut self) -> Result<()> {
        let mut stream = open(&*self.0, Order::Request).await?;
        let mut reply = [0; MESSAGE_LEN];
        stream.read_exact(&mut reply).await?;
        stream.shutdown().await?;
        ensure!(reply == Order::Request.encode(), "wrong reply");
        let more = stream.read(&mut reply).await?;
        ensure!(more == 0, "bytes behind the reply");
        Ok(())
    }
}

pub(crate) struct PingPong<C: Connection> {
    pub(crate) connection: Arc<C>,
    pub(crate) stream: Option<C::Stream>,
}

impl<C: Connection> Operation for PingPong<C> {
    async fn once(&mut self) -> Result<()> {
        // Gone from here until it has worked, so that an error makes the next call open another one.
        let mut stream = match self.stream.take() {
            None => open(&*self.connection, Order::Echo).await?,
            Some(mut stream) => {
                stream.write_all(&Order::Echo.encode()).await?;
                stream.flush().await?;
                stream
            }
        };
        stream.read_exact(&mut [0; MESSAGE_LEN]).await?;
        self.stream = Some(stream);
        Ok(())
    }
}

/// A node of its own for each loop: stacks share connections to a peer that they already have.
pub(crate) struct Dials<S> {
    pub(crate) node: S,
    pub(crate) address: String,
    pub(crate) request: bool,
}

impl<S: Stack> Operation for Dials<S> {
    async fn once(&mut self) -> Result<()> {
        let connection = self.node.dial(&self.address).await?;
        if !self.request {
            return connection.close().await;
        }
        let connection = Arc::new(connection);
        let result = insist(&mut Requests(connection.clone())).await;
        Arc::into_inner(connection)
            .context("the request keeps its connection")?
            .close()
            .await?;
        result
    }
}

pub(crate) async fn open<C: Connection>(connection: &C, order: Order) -> Result<C::Stream> {
    let mut stream = connection.open().await?;
    stream.write_all(&order.encode()).await?;
    stream.flush().await?;
    Ok(stream)
}

/// Once, for good: stacks that lose streams under load get more attempts.
pub(crate) async fn insist(operation: &mut impl Operation) -> Result<()> {
    for _ in 0..LOST_MAX {
        if operation.once().await.is_ok() {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    operation.once().await
}

/// Every operation in a task of its own, each time as soon as the last one is done.
pub(crate) async fn repeat<O: Operation>(
    mut operations: Vec<O>,
    options: &Options,
) -> Result<Value> {
    for operation in &mut operations {
        insist(operation).await?;
    }
    let meter = Meter::start(options.server_pid);
    let end = meter.started + Duration::from_secs_f64(options.secs);
    let mut tasks = JoinSet::new();
    for operation in operations {
        tasks.spawn(repeat_one(operation, end));
    }
    report(tasks.join_all().await, &meter)
}

pub(crate) fn report(tallies: Vec<Tally>, meter: &Meter) -> Result<Value> {
    let cpu_s = meter.cpu_s();
    let finished = tallies.iter().filter_map(|tally| tally.finished).max();
    let errors: u64 = tallies.iter().map(|tally| tally.errors).sum();
    let error = tallies.iter().find_map(|tally| tally.error.clone());
    let Some(finished) = finished else {
        anyhow::bail!("nothing worked: {}", error.unwrap_or_default())
    };
    let mut latencies: Vec<Duration> = tallies
        .into_iter()
        .flat_map(|tally| tally.latencies)
        .collect();
    latencies.sort_unstable();
    let ops = latencies.len() as f64;
    let seconds = (finished - meter.started).as_secs_f64();
    let percentile_us = |part: f64| latencies[((ops - 1.0) * part) as usize].as_secs_f64() * 1e6;
    Ok(json!({
        "ops_s": ops / seconds, "p50_us": percentile_us(0.5), "p99_us": percentile_us(0.99),
        "cpu_us_per_op": cpu_s.map(|cpu_s| cpu_s * 1e6 / ops), "ops": ops, "errors": errors, "error": error,
        "seconds": seconds,
    }))
}

async fn repeat_one(mut operation: impl Operation, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let work = async {
        let mut now = Instant::now();
        while now < end {
            let result = operation.once().await;
            let failed = result.is_err();
            now = tally.count(result, now);
            if failed {
                tokio::task::yield_now().await;
            }
        }
    };
    if tokio::time::timeout_at((end + STUCK_TIMEOUT).into(), work)
        .await
        .is_err()
    {
        tally.errors += 1;
        tally.error = Some("an operation never ended".into());
    }
    tally
}

#[derive(Default)]
pub(crate) struct Tally {
    latencies: Vec<Duration>,
    finished: Option<Instant>,
    errors: u64,
    error: Option<String>,
}

impl Tally {
    /// Notes an operation that ends now, and gives the time.
    pub(crate) fn count(&mut self, result: Result<()>, started: Instant) -> Instant {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.latencies.push(now - started);
                self.finished = Some(now);
            }
            Err(error) => {
                self.errors += 1;
                self.error = Some(format!("{error:#}"));
            }
        }
        now
    }
}

/// Attempts that a stack may lose before a run gives up.
pub(crate) const LOST_MAX: u64 = 1000;
const STUCK_TIMEOUT: Duration = Duration::from_secs(5);
