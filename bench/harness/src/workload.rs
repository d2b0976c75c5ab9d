//! The workloads, as the dialer runs and measures them. Each sets up first and starts its meter after.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, task::JoinSet};

use crate::{
    Connection, MESSAGE_LEN, Order, Over, Stack,
    bulk::bulk,
    fairness::{beside, stalled},
    meter,
    meter::Meter,
    packets::packets,
    repeat::{Dials, PingPong, Requests, Tally, insist, open, repeat, report},
};

#[derive(Args)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    /// What `serve` printed after READY
    pub(crate) address: String,
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    /// up, down, stalled: bytes over all streams together
    #[arg(long, default_value_t = 1 << 30)]
    pub(crate) bytes: u64,
    /// up, down, stalled: streams at once
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: u64,
    /// rr, pingpong, conn, beside, ask: loops at once
    #[arg(long, default_value_t = 1)]
    pub(crate) concurrency: usize,
    /// rr, pingpong, conn, beside, packets, ask: how long to measure; idle: how long to wait
    #[arg(long, default_value_t = 2.0)]
    pub(crate) secs: f64,
    /// idle: connections to hold; meet: nodes that dial
    #[arg(long, default_value_t = 1000)]
    pub(crate) connections: usize,
    /// conn: also send one request over each connection before it is closed
    #[arg(long)]
    pub(crate) request: bool,
    /// stalled, beside: the bulk comes from the server
    #[arg(long)]
    pub(crate) down: bool,
    /// up, down: also report how long the rate took to rise
    #[arg(long)]
    pub(crate) ramp: bool,
    /// Streams on the same connection that are open and silent meanwhile
    #[arg(long, default_value_t = 0)]
    idle_streams: usize,
    /// Connections of other nodes to the server that are open and silent meanwhile
    #[arg(long, default_value_t = 0)]
    idle_connections: usize,
    /// packets, ask: bytes in each
    #[arg(long, default_value_t = 1200)]
    pub(crate) packet_len: usize,
    /// The server's process id: adds its CPU time and memory to the report
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    #[command(flatten)]
    pub(crate) over: Over,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Workload {
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
    /// Bytes over many streams, without and with one more stream that nobody reads from
    Stalled,
    /// Ping-pong, without and with a stream of bulk on the same connection
    Beside,
    /// Bytes there and back, each time as a request of the stack's own; in the programs that end in `-ask`
    Ask,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Direction {
    pub(crate) const fn order(self, bytes: u64) -> Order {
        match self {
            Self::Up => Order::Upload(bytes),
            Self::Down => Order::Download(bytes),
        }
    }
}

impl Options {
    pub(crate) const fn direction(&self) -> Direction {
        if self.down {
            Direction::Down
        } else {
            Direction::Up
        }
    }
}

pub(crate) async fn run<S: Stack>(options: Options) -> Result<Value> {
    let options = &options;
    let node = S::start(None, options.over).await?;
    let first = node.dial(&options.address).await;
    let connection = Arc::new(first.context("first connection")?);
    let first = insist(&mut Requests(connection.clone())).await;
    first.context("first request")?;
    let _others = hold::<S>(options.idle_connections, options).await?;
    let _silent = hold_streams(&*connection, options.idle_streams).await?;
    let loops = 0..options.concurrency;
    let mut report = match options.workload {
        Workload::Up => bulk(&*connection, Direction::Up, options).await?,
        Workload::Down => bulk(&*connection, Direction::Down, options).await?,
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
        Workload::Stalled => stalled::<S>(options).await?,
        Workload::Beside => beside(connection.clone(), options).await?,
        Workload::Ask => bail!("this program has streams only"),
    };
    report["stack"] = S::NAME.into();
    report["workload"] = format!("{:?}", options.workload).to_lowercase().into();
    Ok(report)
}

async fn idle<S: Stack>(options: &Options) -> Result<Value> {
    let server = options.server_pid.context("idle needs --server-pid")?;
    let before_kib = meter::resident_kib(server).context("the server's memory is not readable")?;
    let started = Instant::now();
    let held = hold::<S>(options.connections, options).await?;
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

/// Connections from nodes of their own.
async fn hold<S: Stack>(count: usize, options: &Options) -> Result<Vec<(S, Arc<S::Connection>)>> {
    let mut tasks = JoinSet::new();
    for dialer in 0..DIALERS {
        let (address, over) = (options.address.clone(), options.over);
        let share = (count + dialer) / DIALERS;
        tasks.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..share {
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
    Ok(held)
}

/// Streams that have carried one message there and back.
async fn hold_streams<C: Connection>(connection: &C, count: usize) -> Result<Vec<C::Stream>> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = open(connection, Order::Echo).await?;
        stream.read_exact(&mut [0; MESSAGE_LEN]).await?;
        held.push(stream);
    }
    Ok(held)
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

/// Tasks that dial for `idle`.
const DIALERS: usize = 8;
