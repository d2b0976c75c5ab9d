//! The workloads, as the dialer runs and measures them. Each sets up first and starts its meter after.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use crate::{
    Connection, MESSAGE_LEN, Order, Over, Stack, Stream, discard, meter, meter::Meter, produce,
    signal,
};

#[derive(Args)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    /// What `serve` printed after READY
    address: String,
    #[arg(value_enum)]
    workload: Workload,
    /// up, down: bytes over all streams together
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
    /// up, down: streams at once
    #[arg(long, default_value_t = 1)]
    streams: u64,
    /// rr, pingpong, conn: loops at once
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// rr, pingpong, conn, packets: how long to measure; idle: how long to wait
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// idle: connections to hold; meet: nodes that dial
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// conn: also send one request over each connection before it is closed
    #[arg(long)]
    request: bool,
    /// packets: bytes in each
    #[arg(long, default_value_t = 1200)]
    packet_len: usize,
    /// The server's process id: adds its CPU time and memory to the report
    #[arg(long)]
    server_pid: Option<u32>,
    #[command(flatten)]
    over: Over,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Workload {
    /// Bytes to the server
    Up,
    /// Bytes from the server
    Down,
    /// 64 bytes there and back, each on a fresh stream
    Rr,
    /// 64 bytes there and back, over and over on persistent streams
    Pingpong,
    /// Dial and close
    Conn,
    /// Dial and close, each time from a node that has not met the server: no session is resumed
    Meet,
    /// Hold connections from distinct identities and weigh the server
    Idle,
    /// Packets to the server, as many as can be sent
    Packets,
}

pub(crate) async fn run<S: Stack>(options: &Options) -> Result<Value> {
    let node = S::start(None, options.over).await?;
    let first = node.dial(&options.address).await;
    let connection = Arc::new(first.context("first connection")?);
    let first = insist(&mut Requests(connection.clone())).await;
    first.context("first request")?;
    let loops = 0..options.concurrency;
    let mut report = match options.workload {
        Workload::Up | Workload::Down => bulk(&*connection, options).await?,
        Workload::Rr => {
            let requests = loops.map(|_| Requests(connection.clone()));
            repeat(requests.collect(), options).await?
        }
        Workload::Pingpong => {
            let streams = loops.map(|_| PingPong {
                connection: connection.clone(),
                stream: None,
            });
            repeat(streams.collect(), options).await?
        }
        Workload::Conn => {
            let mut dialers = Vec::new();
            for _ in loops {
                let node = S::start(None, options.over).await?;
                dialers.push(Dials {
                    node,
                    address: options.address.clone(),
                    request: options.request,
                });
            }
            repeat(dialers, options).await?
        }
        Workload::Meet => meet::<S>(options).await?,
        Workload::Idle => idle::<S>(options).await?,
        Workload::Packets => packets(&*connection, options).await?,
    };
    report["stack"] = S::NAME.into();
    report["workload"] = format!("{:?}", options.workload).to_lowercase().into();
    Ok(report)
}

async fn bulk<C: Connection>(connection: &C, options: &Options) -> Result<Value> {
    let bytes = options.bytes / options.streams;
    let up = options.workload == Workload::Up;
    let order = if up {
        Order::Upload(bytes)
    } else {
        Order::Download(bytes)
    };
    let mut streams = Vec::new();
    let mut lost = 0;
    while (streams.len() as u64) < options.streams {
        match begin(connection, order).await {
            Ok(stream) => streams.push(stream),
            Err(error) if lost == LOST_MAX => return Err(error),
            Err(_) => lost += 1,
        }
    }
    let meter = Meter::start(options.server_pid);
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(transfer(stream, order));
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    let seconds = meter.started.elapsed().as_secs_f64();
    let bytes = (bytes * options.streams) as f64;
    Ok(json!({
        "mb_s": bytes / 1e6 / seconds,
        "cpu_s_per_gib": meter.cpu_s().map(|cpu_s| cpu_s * GIB / bytes),
        "errors": lost,
        "seconds": seconds,
    }))
}

/// The server's signal proves that the stream arrived.
async fn begin<C: Connection>(connection: &C, order: Order) -> Result<C::Stream> {
    let mut stream = open(connection, order).await?;
    stream.read_u8().await?;
    Ok(stream)
}

async fn transfer<T: Stream>(mut stream: T, order: Order) -> Result<()> {
    match order {
        Order::Upload(bytes) => {
            produce(&mut stream, bytes).await?;
            stream.read_u8().await?;
        }
        Order::Download(bytes) => {
            signal(&mut stream).await?;
            discard(&mut stream, bytes).await?;
        }
        Order::Request | Order::Echo | Order::Count(_) => {}
    }
    Ok(stream.shutdown().await?)
}

async fn idle<S: Stack>(options: &Options) -> Result<Value> {
    let server = options.server_pid.context("idle needs --server-pid")?;
    let before_kib = meter::resident_kib(server).context("the server's memory is not readable")?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for dialer in 0..DIALERS {
        let (address, over) = (options.address.clone(), options.over);
        let count = (options.connections + dialer) / DIALERS;
        tasks.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..count {
                let node = S::start(None, over).await?;
                let connection = Arc::new(node.dial(&address).await?);
                held.push((node, connection));
            }
            anyhow::Ok(held)
        });
    }
    let mut held = Vec::new();
    while let Some(result) = tasks.join_next().await {
        held.extend(result??);
    }
    let setup_s = started.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs_f64(options.secs)).await;
    let after_kib = meter::resident_kib(server).context("the server's memory is not readable")?;
    let mut dead = 0;
    for (_, connection) in &held {
        dead += u64::from(insist(&mut Requests(connection.clone())).await.is_err());
    }
    let kib_per_connection = (after_kib as f64 - before_kib as f64) / held.len() as f64;
    Ok(json!({ "kib_per_connection": kib_per_connection, "setup_s": setup_s, "errors": dead }))
}

/// As `conn`, but the nodes are made before the clock starts, and each dials once.
async fn meet<S: Stack>(options: &Options) -> Result<Value> {
    let mut queues = Vec::new();
    for dialer in 0..options.concurrency {
        let mut nodes = Vec::new();
        for _ in 0..(options.connections + dialer) / options.concurrency {
            nodes.push(S::start(None, options.over).await?);
        }
        queues.push(nodes);
    }
    let meter = Meter::start(options.server_pid);
    let mut tasks = JoinSet::new();
    for nodes in queues {
        let address = options.address.clone();
        tasks.spawn(async move {
            let mut tally = Tally::default();
            for node in &nodes {
                let started = Instant::now();
                let met = async { node.dial(&address).await?.close().await };
                tally.count(met.await, started);
            }
            // Taking nodes down is not measured.
            (tally, nodes)
        });
    }
    let (tallies, _nodes): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().unzip();
    report(tallies, &meter)
}

/// Counted where they arrive. Those on the way when time is up are few beside all others.
async fn packets<C: Connection>(connection: &C, options: &Options) -> Result<Value> {
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

/// One thing to do over and over, and to time.
trait Operation: Send + 'static {
    fn once(&mut self) -> impl Future<Output = Result<()>> + Send;
}

struct Requests<C>(Arc<C>);

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

struct PingPong<C: Connection> {
    connection: Arc<C>,
    stream: Option<C::Stream>,
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
struct Dials<S> {
    node: S,
    address: String,
    request: bool,
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

async fn open<C: Connection>(connection: &C, order: Order) -> Result<C::Stream> {
    let mut stream = connection.open().await?;
    stream.write_all(&order.encode()).await?;
    stream.flush().await?;
    Ok(stream)
}

/// Once, for good: stacks that lose streams under load get more attempts.
async fn insist(operation: &mut impl Operation) -> Result<()> {
    for _ in 0..LOST_MAX {
        if operation.once().await.is_ok() {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    operation.once().await
}

/// Every operation in a task of its own, each time as soon as the last one is done.
async fn repeat<O: Operation>(mut operations: Vec<O>, options: &Options) -> Result<Value> {
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

fn report(tallies: Vec<Tally>, meter: &Meter) -> Result<Value> {
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
struct Tally {
    latencies: Vec<Duration>,
    finished: Option<Instant>,
    errors: u64,
    error: Option<String>,
}

impl Tally {
    /// Notes an operation that ends now, and gives the time.
    fn count(&mut self, result: Result<()>, started: Instant) -> Instant {
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

const GIB: f64 = (1u64 << 30) as f64;
/// Attempts that a stack may lose before a run gives up.
const LOST_MAX: u64 = 1000;
/// Tasks that dial for `idle`.
const DIALERS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(300);
const SETTLING: Duration = Duration::from_millis(50);
const STUCK_TIMEOUT: Duration = Duration::from_secs(5);
