//! A million ways to begin and not to end: after any number of accepted, refused, cancelled and timed out dials, streams,
//! requests and messages, every gauge is where it was, and the heap too. `CARRICK_CYCLES` says how many.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

mod common;

use std::{
    alloc::System,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use cap::Cap;
use carrick::{
    Code, Config, DialOptions, Fault, Limit, Multiaddr, Node, Requests, Stream, Verdict,
    actors::{Mailbox, MailboxOptions, mailbox},
    codec::Raw,
    messages::{Encoded, Form, Inbound, Messages, Switcher},
    transport::{MemoryTransport, Transport},
};
use common::*;
use futures::StreamExt;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{io::AsyncWriteExt, runtime::Runtime, time::timeout};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn any_number_of_cycles_ends_where_it_began() {
    let cycles = std::env::var("CARRICK_CYCLES").ok();
    let cycles: u64 = cycles.map_or(4_000, |text| text.parse().expect("a number"));
    let runtime = runtime();
    let ground = runtime.block_on(Ground::new());
    let fresh = runtime.block_on(ground.gauges(&runtime));
    // What grows to the size that so many at once need, and stays: pools of buffers, and tables.
    runtime.block_on(fill(&ground));
    runtime.block_on(turn(&ground, 0..2_000));
    let heap = runtime.block_on(rest(&ground, &runtime, &fresh, usize::MAX));
    let begun = Instant::now();
    let mut rests = vec![heap as i64];
    for part in 0..PARTS {
        let at = |part| 2_000 + cycles * part / PARTS;
        runtime.block_on(turn(&ground, at(part)..at(part + 1)));
        let last = part + 1 == PARTS;
        let max = if last { heap + GROWN_MAX } else { usize::MAX };
        rests.push(runtime.block_on(rest(&ground, &runtime, &fresh, max)) as i64);
    }
    let took = begun.elapsed();
    let grown = rests.last().map_or(0, |after| after - heap as i64);
    // Pools may have shrunk meanwhile and hide what grows slowly; but they do not grow in most parts.
    let mut growth: Vec<_> = rests.windows(2).map(|rests| rests[1] - rests[0]).collect();
    eprintln!("growth of the heap, part by part: {growth:?}");
    growth.sort_unstable();
    let steady = growth[growth.len() / 2];
    let pass = steady <= STEADY_MAX && cycles >= 1_000_000;
    println!(
        "{{\"row\": 20, \"figure\": \"heap grown by cycles\", \"value\": {grown}, \"unit\": \"B\", \"target\": \"<= {GROWN_MAX}, after 1,000,000\", \"pass\": {pass}, \"stack\": \"carrick\", \"detail\": \"{cycles} cycles; {fresh:?} before and after, {took:.1?}, by outcome {:?}, {steady} B in the middle one of {PARTS} parts\"}}",
        ground.outcomes
    );
    assert!(
        steady <= STEADY_MAX,
        "it grows by {steady} bytes again and again"
    );
    runtime.block_on(ground.close());
    let metrics = runtime.metrics();
    runtime.block_on(eventually("no task lives", || {
        metrics.num_alive_tasks() == 0
    }));
}

/// What is in use when nothing happens.
#[derive(Debug, PartialEq, Eq)]
struct Gauges {
    tasks: usize,
    descriptors: usize,
    used: u64,
    connections: usize,
}

/// Waits until nothing happens any more, all gauges are as they were, and the heap holds no more than this; gives the least
/// that it held.
async fn rest(ground: &Ground, runtime: &Runtime, fresh: &Gauges, heap_max: usize) -> usize {
    let mut least = usize::MAX;
    let calm = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let mut lasted = 0;
        while lasted < CALM_LOOKS {
            looks.tick().await;
            let heap = HEAP.allocated();
            let is_calm = ground.gauges(runtime).await == *fresh && heap <= heap_max;
            lasted = if is_calm { lasted + 1 } else { 0 };
            least = least.min(heap);
        }
    };
    if timeout(PATIENCE, calm).await.is_err() {
        let gauges = ground.gauges(runtime).await;
        let heap = HEAP.allocated();
        panic!("{gauges:?} with {heap} bytes; at first {fresh:?}, and at most {heap_max}");
    }
    least
}

/// As many connections at once as there ever are, each with as much on its way as fills buffers.
async fn fill(ground: &Ground) {
    for _ in 0..4 {
        let one = async || {
            let anew = DialOptions {
                force_new: true,
                ..DialOptions::default()
            };
            let dialed = ground.client.dial_with(ground.server.address(), anew).await;
            // Some are one too many.
            let Ok(connection) = dialed else { return };
            if let Ok(stream) = connection.open_stream(ECHO).await {
                let _ = soon(echo_on(stream, &[7; 200_000])).await;
            }
        };
        futures::future::join_all((0..AT_ONCE).map(|_| one())).await;
    }
}

/// So many cycles, some of them at once.
async fn turn(ground: &Ground, cycles: std::ops::Range<u64>) {
    let all = futures::stream::iter(cycles).map(|seed| cycle(ground, seed));
    let mut all = pin!(all.buffer_unordered(AT_ONCE));
    while all.next().await.is_some() {}
}

/// Nodes to begin with.
struct Ground {
    client: Node,
    server: Node,
    /// Lets nobody in.
    closed: Node,
    /// Has no patience with anybody.
    hasty: Node,
    /// Where nobody ever says a word.
    silent: Multiaddr,
    slow: Requests<Vec<u8>, Vec<u8>, Raw>,
    streams: Messages,
    one: Messages,
    /// Cycles that did what they set out to do, and those that came to another end.
    outcomes: [AtomicU64; 2],
    listening: tokio::task::JoinHandle<()>,
}

impl Ground {
    async fn new() -> Self {
        let server = node("/memory/0", config()).await;
        let closed = Node::builder().config(config()).admit({
            let asked = AtomicU64::new(0);
            // Some at their address, and some when they have shown who they are.
            move |stage| match stage {
                carrick::Stage::Address { .. } if asked.fetch_add(1, Relaxed).is_multiple_of(2) => {
                    Verdict::Accept
                }
                _ => Verdict::reject("closed"),
            }
        });
        let closed = closed.listen("/memory/0").unwrap().spawn().await.unwrap();
        let mut hasty = config();
        hasty.session.upgrade_timeout = Duration::from_millis(5);
        hasty.negotiation_timeout = Duration::from_millis(5);
        let hasty = node("/memory/0", hasty).await;
        let client = node("/memory/0", config()).await;
        let slow = Requests::new("/slow/1").timeout(Duration::from_millis(2));
        server
            .serve(&slow, |_, _| std::future::pending::<Result<_, Fault>>())
            .unwrap();
        let (to, inbox) = mailbox(MailboxOptions::default());
        tokio::spawn(answer(inbox));
        let switcher = Switcher::new().route::<Word, _>(to);
        let messages = || Messages::builder("/words/1").timeout(Duration::from_millis(50));
        messages().switcher(switcher).start(&server).unwrap();
        let streams = messages().start(&client).unwrap();
        let one = messages()
            .form(Form::Multiplexed)
            .idle_timeout(Duration::from_millis(50));
        let one = one.start(&client).unwrap();
        let (silent, listening) = silence().await;
        Self {
            client,
            server,
            closed,
            hasty,
            silent,
            slow,
            streams,
            one,
            outcomes: Default::default(),
            listening,
        }
    }

    fn nodes(&self) -> [&Node; 4] {
        [&self.client, &self.server, &self.closed, &self.hasty]
    }

    async fn gauges(&self, runtime: &Runtime) -> Gauges {
        let (mut used, mut connections) = (0, 0);
        for node in self.nodes() {
            let limits = node.limits().await;
            let held = limits.iter().filter(|usage| HELD.contains(&usage.limit));
            used += held.filter_map(|usage| usage.used).sum::<u64>();
            connections += node.connections().await.len();
        }
        Gauges {
            tasks: runtime.metrics().num_alive_tasks(),
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            used,
            connections,
        }
    }

    async fn close(self) {
        for node in self.nodes() {
            soon(node.close()).await;
        }
        self.listening.abort();
    }
}

fn config() -> Config {
    let mut config = Config {
        idle_timeout: Some(Duration::from_millis(40)),
        ..Config::default()
    };
    config.session.linger = Duration::from_millis(20);
    config.swarm.connections_per_peer_max = AT_ONCE;
    config.swarm.duplicate_idle_timeout = Duration::from_millis(20);
    config
}

async fn node(listen: &str, config: Config) -> Node {
    let server = server_with(listen, config).await;
    let reset = |stream: Stream| async move { stream.reset(Code(7)) };
    server.handle("/reset/1.0.0", reset).unwrap();
    server
}

/// Takes pipes, holds a few and never says a word.
async fn silence() -> (Multiaddr, tokio::task::JoinHandle<()>) {
    let listener = MemoryTransport.listen("/memory/0".parse().unwrap()).await;
    let mut listener = listener.unwrap();
    let address = listener.addresses()[0].clone();
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((pipe, _)) = listener.accept().await {
            held.push(pipe);
            if held.len() == 4 {
                held.clear();
            }
        }
    });
    (address, holding)
}

/// One beginning; whatever comes of it is fine, as long as it ends.
async fn cycle(ground: &Ground, seed: u64) {
    let mut dice = SmallRng::seed_from_u64(seed);
    let patience = dice.random_range(0..20);
    let deed = deed(ground, dice.random_range(0..DEEDS), dice);
    let done = if seed.is_multiple_of(3) {
        // Dropped wherever it is.
        unless_bored(deed, patience).await.unwrap_or(false)
    } else {
        soon(deed).await
    };
    ground.outcomes[usize::from(!done)].fetch_add(1, Relaxed);
}

/// Gives up after so many looks.
async fn unless_bored<T>(work: impl Future<Output = T>, looks: u32) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..looks {
        if let std::task::Poll::Ready(done) = futures::poll!(&mut work) {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Whether it came to the end that it has when nothing disturbs it.
async fn deed(ground: &Ground, deed: u32, mut dice: SmallRng) -> bool {
    let (client, server) = (&ground.client, ground.server.address());
    let anew = DialOptions {
        force_new: true,
        ..DialOptions::default()
    };
    match deed {
        0 => client.dial(nowhere()).await.is_err(),
        1 => ground.hasty.dial(ground.silent.clone()).await.is_err(),
        2 => knocks(ground, dice).await,
        3 => client.dial(ground.closed.address()).await.is_err(),
        4 => {
            let another = format!("{}/p2p/{}", bare(&server), ground.closed.id());
            client
                .dial(another.parse::<Multiaddr>().unwrap())
                .await
                .is_err()
        }
        5 => match client.dial_with(server, anew).await {
            Ok(connection) => {
                connection.close().await;
                true
            }
            Err(_) => false,
        },
        6 => client.open_stream(server, "/unheard/1").await.is_err(),
        7 => match client.open_stream(server, "/reset/1.0.0").await {
            Ok(mut stream) => stream.read_chunk().await.is_err(),
            Err(_) => false,
        },
        8 => match client.open_stream(server, ECHO).await {
            Ok(mut stream) => {
                let written = stream
                    .write_all(&vec![1; dice.random_range(0..10_000)])
                    .await;
                stream.reset(Code(3));
                written.is_ok()
            }
            Err(_) => false,
        },
        9 => match ground.hasty.open_stream(server, ECHO).await {
            Ok(stream) => echo_on(stream, b"as ever").await.is_ok(),
            Err(_) => false,
        },
        _ => asks(ground, deed).await,
    }
}

/// Requests and messages.
async fn asks(ground: &Ground, deed: u32) -> bool {
    let (client, server) = (&ground.client, ground.server.address());
    match deed {
        10 => client
            .request(server, &ground.slow, &vec![1; 100])
            .await
            .is_err(),
        11 => {
            let words = ground.streams.with_timeout(Duration::from_millis(2));
            words
                .request(server, &Word(b"slow".to_vec()))
                .await
                .is_err()
        }
        12 => {
            let words = ground.one.with_timeout(Duration::from_millis(2));
            words
                .request(server, &Word(b"slow".to_vec()))
                .await
                .is_err()
        }
        13 => {
            let encoded = Encoded::new(&Word(vec![2; 3_000])).unwrap();
            ground.one.notify_encoded(server, &encoded).await.is_ok()
        }
        14 => ground
            .one
            .request(server, &Word(vec![4; 300]))
            .await
            .is_ok(),
        _ => ground
            .streams
            .request(server, &Word(vec![5; 300]))
            .await
            .is_ok(),
    }
}

/// Comes in without a handshake: silent, or with rubbish, and stays for a while or not.
async fn knocks(ground: &Ground, mut dice: SmallRng) -> bool {
    let bare = bare(&ground.hasty.address());
    let Ok(mut pipe) = MemoryTransport.dial(bare).await else {
        return false;
    };
    if dice.random() {
        let _ = pipe.writer.write_all(&vec![dice.random(); 500]).await;
        let _ = pipe.writer.flush().await;
    }
    if dice.random() {
        let mut end = [0; 1_000];
        while tokio::io::AsyncReadExt::read(&mut pipe.reader, &mut end)
            .await
            .is_ok_and(|n| n > 0)
        {}
    }
    true
}

fn bare(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .filter(|part| !matches!(part, carrick::Protocol::P2p(_)))
        .collect()
}

/// Answers, but what is slow.
async fn answer(mut inbox: Mailbox<Inbound<Word>>) {
    while let Some(asked) = inbox.recv().await {
        if asked.message().0 == b"slow" {
            let slow = async move {
                std::future::pending::<()>().await;
                drop(asked);
            };
            tokio::spawn(timeout(Duration::from_millis(20), slow));
        } else if asked.wants_reply() {
            asked.reply(b"done".to_vec());
        }
    }
}

/// What a peer uses up as long as it is there.
const HELD: [Limit; 16] = [
    Limit::ConnectionsInbound,
    Limit::ConnectionsOutbound,
    Limit::ConnectionsPending,
    Limit::ConnectionsPerPeer,
    Limit::Dials,
    Limit::DialAttempts,
    Limit::FileDescriptors,
    Limit::Memory,
    Limit::MemoryPerPeer,
    Limit::StreamsInbound,
    Limit::StreamsInboundPerPeer,
    Limit::StreamsInboundPerProtocol,
    Limit::Negotiations,
    Limit::NegotiationsPerConnection,
    Limit::RequestsInboundPerPeer,
    Limit::RequestsOutboundPerPeer,
];
/// Looks between which nothing may happen.
const CALM_LOOKS: u32 = 20;
const DEEDS: u32 = 16;
const AT_ONCE: usize = 32;
/// Bytes that may be left over.
const GROWN_MAX: usize = 64 << 10;
/// Between which everything comes to rest, and what the heap may grow by in the middle one of them.
const PARTS: u64 = 9;
const STEADY_MAX: i64 = 8 << 10;
/// Longer than anything takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(50);
