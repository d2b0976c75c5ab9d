//! Twenty honest peers, each from an address of its own, that ping the victim 50 times a second; and newcomers on request.
//!
//! `cut` on stdin: what the pings took since the last cut. `newcomer`: one more peer connects and pings. One JSON line each.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use carrick::{Config, Connection, Multiaddr, Node};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::{MissedTickBehavior, interval, timeout},
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
    /// Keep a stream of an application's open: some stacks end a connection that has only pings.
    #[arg(long)]
    talk: bool,
}

/// How many they are.
pub(crate) const PEERS: u8 = 20;
/// The pause between two pings of one peer.
const PACE: Duration = Duration::from_millis(20);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// What they notice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pings {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
    /// Pings answered.
    pub(crate) count: u64,
    /// Peers that have lost their connection, since the start.
    pub(crate) lost: u64,
}

/// The honest peers as seen from outside.
pub(crate) struct Honest {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Honest {
    /// Starts them; they are connected when it returns, and each has a stream open if they are to `talk`: pings alone keep no
    /// connection for longer than a minute.
    pub(crate) async fn start(ground: &Ground, talk: bool) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = ground.process(Side::Outside, false, FILES_MAX, &own);
        command.args(["honest", &victim::addresses()[0]]);
        if talk {
            command.arg("--talk");
        }
        let mut child = victim::spawn(&mut command)?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut honest = Self {
            _child: child,
            stdin,
            lines: BufReader::new(stdout).lines(),
        };
        honest.answer().await?;
        Ok(honest)
    }

    /// What they noticed since the last time.
    pub(crate) async fn cut(&mut self) -> Result<Pings, String> {
        let answer = self.ask("cut\n").await?;
        let number = |name: &str| answer[name].as_u64().unwrap_or_default();
        let time = |name| Duration::from_micros(number(name));
        Ok(Pings {
            p50: time("p50"),
            p99: time("p99"),
            longest: time("longest"),
            count: number("count"),
            lost: number("lost"),
        })
    }

    /// Whether somebody new is served.
    pub(crate) async fn newcomer(&mut self) -> Result<bool, String> {
        let answer = self.ask("newcomer\n").await?;
        Ok(answer["served"].as_bool().unwrap_or_default())
    }

    async fn ask(&mut self, question: &str) -> Result<Value, String> {
        let written = self.stdin.write_all(question.as_bytes()).await;
        written.map_err(|error| format!("the honest peers are gone: {error}"))?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Value, String> {
        let line = timeout(ANSWER_TIMEOUT, self.lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            return Err(format!("the honest peers do not answer: {line:?}"));
        };
        serde_json::from_str(&line).map_err(|_| format!("the honest peers say `{line}`"))
    }
}

#[derive(Default)]
struct Noticed {
    pings: Vec<Duration>,
    lost: u64,
}

/// The role.
pub(crate) async fn run(args: &Args) -> Result<(), String> {
    let noticed = Arc::<Mutex<Noticed>>::default();
    let mut kept = Vec::new();
    for n in 0..PEERS {
        let (node, connection) = join(n, &args.address).await?;
        let stream = match args.talk {
            true => Some(connection.open_stream("/echo/1.0.0").await),
            false => None,
        };
        let stream = stream.transpose().map_err(|error| error.to_string())?;
        kept.push((node, stream));
        tokio::spawn(ping(connection, noticed.clone()));
    }
    println!("{}", json!({"connected": PEERS}));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut newcomers = PEERS;
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "newcomer" {
            newcomers = newcomers.wrapping_add(1).max(PEERS);
            let served = match join(newcomers, &args.address).await {
                Ok((_node, connection)) => connection.ping().await.is_ok(),
                Err(_) => false,
            };
            println!("{}", json!({ "served": served }));
        } else {
            println!("{}", cut(&noticed));
        }
    }
    Ok(())
}

async fn join(n: u8, address: &Multiaddr) -> Result<(Node, Connection), String> {
    let config = Config {
        idle_timeout: None,
        ..Config::default()
    };
    let builder = Node::builder().config(config);
    let builder = builder.transport(Source(ground::honest(n)));
    let node = builder.spawn().await.map_err(|error| error.to_string())?;
    let connection = node.dial(address.clone()).await;
    Ok((node, connection.map_err(|error| error.to_string())?))
}

async fn ping(connection: Connection, noticed: Arc<Mutex<Noticed>>) {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let since = Instant::now();
        let answered = connection.ping().await.is_ok();
        let mut took = since.elapsed();
        let mut noticed = noticed.lock().unwrap_or_else(PoisonError::into_inner);
        // A ping that is not answered is slow; only an end of the connection is a loss.
        if !answered && connection.lost().is_some() {
            noticed.lost += 1;
            return;
        }
        noticed.pings.push(took);
        // Those that would have been sent while this one waited would have waited, too.
        while took > PACE {
            took -= PACE;
            noticed.pings.push(took);
        }
    }
}

fn cut(noticed: &Mutex<Noticed>) -> Value {
    let mut noticed = noticed.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pings = std::mem::take(&mut noticed.pings);
    pings.sort_unstable();
    let at = |percent: usize| {
        let place = (pings.len() * percent / 100).min(pings.len().saturating_sub(1));
        pings.get(place).map_or(0, |took| took.as_micros() as u64)
    };
    json!({"p50": at(50), "p99": at(99), "longest": at(100), "count": pings.len(), "lost": noticed.lost})
}
