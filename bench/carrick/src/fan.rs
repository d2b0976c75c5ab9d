//! One message to many peers, encoded once or once for each of them. The server sends; `run` has all the peers, counts what
//! arrives at them, and reports the CPU time of the server alone.

mod config;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bench_harness::{Over, cpu_s, raise_file_limit};
use carrick::{
    Node, Requests,
    actors::{MailboxOptions, Policy, mailbox},
    codec::Cbor,
    messages::{Encoded, Form, Inbound, Message, Messages, MessagesBuilder, Switcher},
};
use clap::{Parser, ValueEnum};
use futures::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(about = "One message to many peers")]
enum Cli {
    /// Start the node that sends, print `READY <address>` and serve until killed
    Serve {
        #[command(flatten)]
        over: Over,
    },
    /// Be all the peers, have messages sent, and print one JSON line
    #[command(args_override_self = true)]
    Run {
        address: String,
        how: How,
        /// Peers that each message goes to
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        /// Messages
        #[arg(long, default_value_t = 30)]
        streams: u32,
        /// The server's process id
        #[arg(long)]
        server_pid: u32,
        #[command(flatten)]
        over: Over,
        /// Not used
        #[arg(long)]
        bytes: Option<u64>,
        /// Not used
        #[arg(long)]
        secs: Option<f64>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
enum How {
    /// One encoding, whose bytes all peers share
    Once,
    /// An encoding for every peer
    Each,
}

/// What the server is asked to do, and what failed meanwhile.
type Order = Requests<(How, u32), u64, Cbor>;

fn order() -> Order {
    Requests::new("/bench/fan/1.0.0").timeout(PATIENCE)
}

/// What a chain would spread: about 4 KiB.
#[derive(Clone, Serialize, Deserialize)]
struct Block {
    number: u64,
    parent: String,
    transactions: Vec<Transaction>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Transaction {
    from: String,
    to: String,
    amount: u64,
    fee: u64,
}

impl Message for Block {
    const CODE: u16 = 1;
    type Reply = ();
    type Codec = Cbor;
}

fn block() -> Block {
    let name = |salt: u64| format!("{:016x}{:016x}", salt.wrapping_mul(0x9e37_79b9), salt);
    let transaction = |number| Transaction {
        from: name(number),
        to: name(number + 1),
        amount: number * 1_000_003,
        fee: number,
    };
    Block {
        number: 1,
        parent: name(0),
        transactions: (0..40).map(transaction).collect(),
    }
}

fn messages() -> MessagesBuilder {
    Messages::builder("/bench/blocks/1.0.0")
        .form(Form::Multiplexed)
        .timeout(PATIENCE)
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    raise_file_limit();
    match cli {
        Cli::Serve { over } => {
            let _node = serve(over).await?;
            std::future::pending().await
        }
        Cli::Run {
            address,
            how,
            connections,
            streams,
            server_pid,
            over,
            ..
        } => {
            let run = run(&address, how, connections, streams, server_pid, over);
            println!("{}", run.await?);
            std::process::exit(0)
        }
    }
}

async fn serve(over: Over) -> Result<Node> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let builder = config::builder(over)?.listen(over.multiaddr(listen))?;
    let node = builder.spawn().await?;
    let messages = messages().start(&node)?;
    let sender = node.downgrade();
    node.serve(&order(), move |_, (how, rounds)| {
        let (node, messages) = (sender.clone(), messages.clone());
        async move {
            let mut failed = 0;
            for _ in 0..rounds {
                failed += spread(&node, &messages, how).await;
            }
            Ok(failed)
        }
    })?;
    println!("READY {}", node.address());
    Ok(node)
}

/// To how many peers it failed.
async fn spread(node: &Node, messages: &Messages, how: How) -> u64 {
    let block = block();
    let encoded = Encoded::new(&block).expect("a block has a form");
    let (block, encoded) = (&block, &encoded);
    let tell = |peer| async move {
        match how {
            How::Once => messages.notify_encoded(peer, encoded).await,
            How::Each => messages.notify(peer, block).await,
        }
    };
    let mut all: FuturesUnordered<_> = node.peers().into_iter().map(tell).collect();
    let mut failed = 0;
    while let Some(told) = all.next().await {
        failed += u64::from(told.is_err());
    }
    failed
}

async fn run(
    address: &str,
    how: How,
    peers: usize,
    rounds: u32,
    server: u32,
    over: Over,
) -> Result<Value> {
    let arrived = Arc::new(AtomicU64::new(0));
    let mut nodes = Vec::new();
    for _ in 0..peers {
        let node = config::builder(over)?.spawn().await?;
        let (sender, mut inbox) = mailbox::<Inbound<Block>>(MailboxOptions::new(64, Policy::Wait));
        let arrived = arrived.clone();
        tokio::spawn(async move {
            while let Some(block) = inbox.recv().await {
                drop(block);
                arrived.fetch_add(1, Relaxed);
            }
        });
        let switcher = Switcher::new().route::<Block, _>(sender);
        messages().switcher(switcher).start(&node)?;
        nodes.push((node.dial(address).await?, node));
    }
    let (connection, node) = nodes.first().context("no peers")?;
    // The streams are opened first.
    ask(node, connection, (how, 1), &arrived, peers as u64).await?;
    let before = cpu_s(server).context("the server's CPU time is not readable")?;
    let started = Instant::now();
    let count = peers as u64 * u64::from(rounds);
    let errors = ask(node, connection, (how, rounds), &arrived, count).await?;
    let seconds = started.elapsed().as_secs_f64();
    let spent = cpu_s(server).context("the server's CPU time is not readable")? - before;
    Ok(json!({
        "cpu_us_per_op": spent * 1e6 / count as f64,
        "ops_s": count as f64 / seconds,
        "payload": Encoded::new(&block())?.payload().len(),
        "errors": errors,
        "seconds": seconds,
    }))
}

/// Has messages sent and waits until they are here.
async fn ask(
    node: &Node,
    connection: &carrick::Connection,
    what: (How, u32),
    arrived: &AtomicU64,
    count: u64,
) -> Result<u64> {
    let all = arrived.load(Relaxed) + count;
    let errors = node.request(connection.peer(), &order(), &what).await?;
    let started = Instant::now();
    while arrived.load(Relaxed) + errors < all {
        ensure!(started.elapsed() < PATIENCE, "messages are missing");
        tokio::time::sleep(LOOK).await;
    }
    Ok(errors)
}

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(1);
