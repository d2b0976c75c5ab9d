//! Two nodes dial each other at the same moment, again and again: one connection is left, the same for both, and no stream is
//! lost on the way. `CARRICK_RACES=10000` makes it as many rounds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use carrick::{Config, ConnectionId, Direction, Node, NodeEvent, Stream};
use futures::{StreamExt, stream};
use tokio::time::{Instant, interval, interval_at};

use crate::common::*;

const CHAT: &str = "/chat/1.0.0";
/// Rounds at the same time.
const AT_ONCE: usize = 50;

/// A node and the connections that it has.
struct Racer {
    node: Node,
    open: Arc<Mutex<BTreeMap<ConnectionId, Direction>>>,
    opened: Arc<AtomicUsize>,
}

impl Racer {
    async fn new(listen: &str) -> Self {
        let mut config = Config::default();
        // Shorter than by default, and longer than a stream is on its way on a busy machine.
        config.swarm.duplicate_idle_timeout = Duration::from_secs(2);
        let node = server_with(listen, config).await;
        let mut events = node.events();
        let racer = Self {
            node,
            open: Arc::default(),
            opened: Arc::default(),
        };
        let (open, opened) = (racer.open.clone(), racer.opened.clone());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let mut open = open.lock().unwrap();
                match event {
                    NodeEvent::ConnectionOpened {
                        connection,
                        direction,
                        ..
                    } => {
                        open.insert(connection, direction);
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                    NodeEvent::ConnectionClosed { connection, .. } => {
                        open.remove(&connection);
                    }
                    NodeEvent::Missed { count } => panic!("{count} events missed"),
                    _ => {}
                }
            }
        });
        racer
    }

    fn open(&self) -> Vec<Direction> {
        self.open.lock().unwrap().values().copied().collect()
    }
}

/// Dials after a while, and opens a stream that lives on.
async fn opens(here: &Racer, there: &Racer, after: Duration) -> Stream {
    // So that the dials cross at all points of each other.
    let mut begins = interval_at(Instant::now() + after, after.max(Duration::from_millis(1)));
    begins.tick().await;
    agreed(&here.node, there.node.address(), CHAT).await
}

async fn says(from: &mut Stream, to: &mut Stream, n: u32) {
    from.write_all(&n.to_be_bytes()).await.unwrap();
    let mut read = [0; 4];
    soon(to.read_exact(&mut read)).await.unwrap();
    assert_eq!(u32::from_be_bytes(read), n);
}

/// Tells whether there were two connections.
async fn race(listen: &str, round: usize) -> bool {
    let (a, b) = (Racer::new(listen).await, Racer::new(listen).await);
    let (mut in_a, mut in_b) = (a.node.accept(CHAT).unwrap(), b.node.accept(CHAT).unwrap());
    // Up to 5 ms apart.
    let [first, second] =
        [round % 11, round / 11 % 11].map(|n| Duration::from_micros(500 * n as u64));
    let (mut from_a, mut from_b) = tokio::join!(opens(&a, &b, first), opens(&b, &a, second));
    let mut at_b = soon(in_b.next()).await.unwrap();
    let mut at_a = soon(in_a.next()).await.unwrap();
    // Streams live and others come and go, long enough for the superfluous one to be looked at.
    let mut pace = interval(Duration::from_millis(100));
    for n in 0..12 {
        says(&mut from_a, &mut at_b, n).await;
        says(&mut at_b, &mut from_a, n).await;
        says(&mut from_b, &mut at_a, n).await;
        says(&mut at_a, &mut from_b, n).await;
        soon(echo(&a.node, &b.node, b"there")).await.unwrap();
        soon(echo(&b.node, &a.node, b"back")).await.unwrap();
        pace.tick().await;
    }
    for stream in [&mut from_a, &mut at_b, &mut from_b, &mut at_a] {
        stream.finish().await.unwrap();
    }
    for stream in [&mut from_a, &mut at_b, &mut from_b, &mut at_a] {
        assert_eq!(soon(stream.read_chunk()).await, Ok(None), "a clean end");
    }
    drop((from_a, at_b, from_b, at_a));
    eventually("one is left", || a.open().len() == 1 && b.open().len() == 1).await;
    let two = a
        .opened
        .load(Ordering::Relaxed)
        .max(b.opened.load(Ordering::Relaxed))
        > 1;
    let [small, large] = if a.node.id().to_bytes() < b.node.id().to_bytes() {
        [&a, &b]
    } else {
        [&b, &a]
    };
    if two {
        assert_eq!(
            small.open(),
            [Direction::Outbound],
            "the smaller id's dial stays"
        );
        assert_eq!(large.open(), [Direction::Inbound]);
    }
    soon(echo(&a.node, &b.node, b"and works")).await.unwrap();
    soon(echo(&b.node, &a.node, b"and works")).await.unwrap();
    assert_eq!(a.open().len(), 1, "nothing was dialed again");
    tokio::join!(a.node.close(), b.node.close());
    two
}

fn races(listen: &'static str) {
    let rounds = std::env::var("CARRICK_RACES").map_or(100, |n| n.parse().unwrap());
    let runtime = runtime();
    let two = runtime.block_on(async {
        let races = stream::iter((0..rounds).map(|round| race(listen, round)));
        let races = races.buffer_unordered(AT_ONCE);
        races.filter(|two| std::future::ready(*two)).count().await
    });
    eprintln!("{rounds} rounds over {listen}: two connections in {two}, one in the end in all");
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert!(two * 10 > rounds, "they do meet: {two} of {rounds}");
}

#[test]
fn mutual_dials_over_tcp_end_in_one_connection_and_no_stream_is_lost() {
    races(TCP);
}

#[cfg(feature = "quic")]
#[test]
fn mutual_dials_over_quic_end_in_one_connection_and_no_stream_is_lost() {
    races(QUIC);
}
