//! Peers that come, are served and go, so many a second, each from another address; and what the victim's page of figures
//! says. `look` on stdin: one JSON line.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carrick::{Config, Multiaddr, Node};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout},
    sync::Semaphore,
    time::{interval, timeout},
};

use crate::{
    ground::{self, FILES_MAX, Ground, Side},
    source::Source,
    victim,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The victim.
    address: Multiaddr,
    /// Its page of figures.
    metrics: SocketAddr,
    /// How many a second.
    per_second: u32,
}

/// They, as seen from outside.
pub(super) struct Churn {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Churn {
    /// Starts them.
    pub(super) fn start(ground: &Ground, per_second: u32, metrics: &str) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = ground.process(Side::Outside, false, FILES_MAX, &own);
        command.args(["churn", &victim::addresses()[0], metrics]);
        let mut child = victim::spawn(command.arg(per_second.to_string()))?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        Ok(Self {
            _child: child,
            stdin,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The victim's gauges, and how many peers were served.
    pub(super) async fn look(&mut self) -> Result<Value, String> {
        let written = self.stdin.write_all(b"look\n").await;
        written.map_err(|error| format!("those who come and go are gone: {error}"))?;
        let line = timeout(LOOK_TIMEOUT, self.lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            return Err(format!("those who come and go do not answer: {line:?}"));
        };
        serde_json::from_str(&line).map_err(|_| format!("those who come and go say `{line}`"))
    }
}

/// The role.
pub(crate) async fn run(args: Args) -> Result<(), String> {
    let (served, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    tokio::spawn(come_and_go(
        args.address,
        args.per_second,
        served.clone(),
        failed.clone(),
    ));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        let page = page(args.metrics).await.unwrap_or_default();
        let gauge = |name: &str| {
            let rows = page.lines().filter_map(|line| line.strip_prefix(name));
            let values = rows.filter_map(|row| row.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum::<f64>()
        };
        let tasks = gauge("carrick_tasks ");
        let connections = gauge("carrick_peers{state=\"connected\"}");
        let (served, failed) = (
            served.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed),
        );
        // A page that could not be had must not pass for one that says nothing has grown.
        let tasks = (!page.is_empty()).then_some(tasks);
        println!(
            "{}",
            json!({"tasks": tasks, "connections": connections, "served": served, "failed": failed})
        );
    }
    Ok(())
}

async fn come_and_go(
    address: Multiaddr,
    per_second: u32,
    served: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
) {
    let places = Arc::new(Semaphore::new(COMING_MAX));
    let mut ticks = interval(Duration::from_secs(1) / per_second.max(1));
    for n in 0.. {
        ticks.tick().await;
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (address, served, failed) = (address.clone(), served.clone(), failed.clone());
        tokio::spawn(async move {
            let visit = timeout(VISIT_TIMEOUT, visit(n, address)).await;
            let count = if visit.is_ok_and(|served| served) {
                served
            } else {
                failed
            };
            count.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

/// Somebody new connects, has something said back, pings and goes.
async fn visit(n: u32, address: Multiaddr) -> bool {
    let source = Source(ground::attacker(FIRST + n % SOURCES));
    let builder = Node::builder().config(Config::default()).transport(source);
    let Ok(node) = builder.spawn().await else {
        return false;
    };
    let served = async {
        let mut stream = node
            .open_stream(address.clone(), "/echo/1.0.0")
            .await
            .ok()?;
        stream.write_all(&[n as u8; 2000]).await.ok()?;
        stream.finish().await.ok()?;
        let said = stream.read_to_end(1 << 20).await.ok()?;
        node.ping(address).await.ok()?;
        (*said == [n as u8; 2000]).then_some(())
    };
    let is_served = served.await.is_some();
    node.close().await;
    is_served
}

async fn page(at: SocketAddr) -> std::io::Result<String> {
    let mut page = String::new();
    let read = async {
        let mut socket = TcpStream::connect(at).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: victim\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await?;
        socket.take(PAGE_MAX).read_to_string(&mut page).await
    };
    timeout(LOOK_TIMEOUT / 2, read).await??;
    Ok(page)
}

/// The addresses they come from, apart from those of attackers: each again after a time that leaves its pace of newcomers whole.
const FIRST: u32 = 0x00a0_0000;
const SOURCES: u32 = 16_384;
const COMING_MAX: usize = 200;
const VISIT_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
const PAGE_MAX: u64 = 4 << 20;
