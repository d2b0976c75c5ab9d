//! Nothing is left over: after any mixture of opening, resetting, cancelling and closing, no task, stream, pipe or file
//! descriptor remains. A program of its own, one test at a time, since descriptors are counted for the whole process.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

mod common;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use carrick::{Code, Config, Keypair, Node, Stream};
use common::*;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn nothing_is_left_after_random_scenarios() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for listen in every_link() {
        // The first runtime leaves things behind that belong to the process.
        round(listen, 0);
        let before = descriptors();
        for seed in 1..8 {
            eprintln!("over {listen}, seed {seed}");
            round(listen, seed);
            assert_eq!(descriptors(), before);
        }
    }
}

#[test]
fn nothing_is_left_of_a_node_that_is_dropped() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for listen in every_link() {
        let runtime = runtime();
        runtime.block_on(async {
            let weak = {
                let token = Arc::new(());
                let (server, client) = (server(listen).await, client().await);
                let kept = token.clone();
                let handler = move |mut stream: Stream| {
                    let _kept = kept.clone();
                    async move { stream.echo().await }
                };
                server.handle("/kept/1.0.0", handler).expect("free");
                let stream = agreed(&client, server.address(), "/kept/1.0.0").await;
                soon(stream.connection().ping()).await.expect("ping");
                soon(echo_on(stream, b"x")).await.expect("echo");
                Arc::downgrade(&token)
            };
            // Both nodes close themselves; with them goes the handler, and with it what it holds.
            eventually("the handler is gone", || weak.strong_count() == 0).await;
        });
        nothing_lives(&runtime);
    }
}

#[cfg(feature = "quic")]
#[test]
fn a_flood_of_first_packets_costs_no_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let server = server(QUIC).await;
        let packets = quic::first_packets(1500).await;
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket
            .connect(path::target(&server.address()))
            .await
            .unwrap();
        let before = resident();
        for packet in &packets {
            socket.send(packet).await.unwrap();
            tokio::task::yield_now().await;
        }
        for _ in 0..5 {
            soon(echo(&client().await, &server, b"as ever"))
                .await
                .unwrap();
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes more");
    });
}

#[test]
fn a_reader_that_stalls_holds_its_window_and_holds_up_nobody() {
    const STREAMS: usize = 99;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let server = server(TCP).await;
        let stall = |stream: Stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        };
        server.handle("/stall/1.0.0", stall).expect("free");
        let count = |mut stream: Stream| async move {
            let mut len = 0;
            while let Some(chunk) = stream.read_chunk().await? {
                len += chunk.len() as u64;
            }
            stream.write_all(&len.to_be_bytes()).await?;
            stream.finish().await
        };
        server.handle("/count/1.0.0", count).expect("free");
        let client = client().await;
        let before = resident();
        let mut stalled = agreed(&client, server.address(), "/stall/1.0.0").await;
        let stuck = tokio::spawn(async move { stalled.write_all(&vec![0; 64 << 20]).await });
        let mut others = tokio::task::JoinSet::new();
        for _ in 0..STREAMS {
            let mut stream = agreed(&client, server.address(), "/count/1.0.0").await;
            others.spawn(async move {
                for _ in 0..16 {
                    stream.write_all(&[7; 64 << 10]).await?;
                }
                stream.finish().await?;
                stream.read_to_end(8).await
            });
        }
        while let Some(counted) = soon(others.join_next()).await {
            assert_eq!(counted.unwrap().unwrap()[..], (1_u64 << 20).to_be_bytes());
        }
        assert!(!stuck.is_finished());
        // Its own 64 MiB, for each other stream a window, and the buffers of both nodes.
        let grown = resident().saturating_sub(before);
        let most = (64 << 20) + STREAMS * (256 << 10) + (48 << 20);
        assert!(grown < most, "{grown} bytes more");
        stuck.abort();
    });
}

/// Bytes of memory that the process occupies.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|n| n.parse().ok());
    pages.unwrap_or(0) * 4096
}

fn round(listen: &str, seed: u64) {
    let runtime = runtime();
    runtime.block_on(async {
        tokio::time::timeout(DEADLINE, scenario(listen, seed))
            .await
            .expect("the scenario hangs");
    });
    nothing_lives(&runtime);
}

fn nothing_lives(runtime: &tokio::runtime::Runtime) {
    let metrics = runtime.metrics();
    runtime.block_on(eventually("no task lives", || {
        metrics.num_alive_tasks() == 0
    }));
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

async fn scenario(listen: &str, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let config = Config {
        idle_timeout: Some(Duration::from_millis(20)),
        drain_timeout: Duration::from_millis(100),
        ..Config::default()
    };
    let spies = [Spy::default(), Spy::default()];
    let mut nodes = Vec::new();
    for spy in &spies {
        let builder = Node::builder()
            .identity(Keypair::generate_ed25519())
            .config(config.clone())
            .transport(spy.clone())
            .handle(
                ECHO,
                |mut stream: Stream| async move { stream.echo().await },
            )
            .listen(listen)
            .expect("an address");
        nodes.push(builder.spawn().await.expect("spawn"));
    }
    let mut incoming = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..150 {
        let (here, there) = if rng.random() {
            (&nodes[0], &nodes[1])
        } else {
            (&nodes[1], &nodes[0])
        };
        let deed = rng.random_range(0..11);
        let (node, target, size) = (here.clone(), there.address(), rng.random_range(0..100_000));
        match deed {
            8 if rng.random_range(0..4) == 0 => drop(incoming.pop()),
            8 => incoming.extend(here.accept("/queue/1.0.0")),
            9 => {
                let pause = Duration::from_micros(rng.random_range(0..30_000));
                loses_a_peer(here, pause).await;
            }
            _ => tasks.push(tokio::spawn(deal(node, target, deed, size))),
        }
        if rng.random_range(0..4) == 0 && !tasks.is_empty() {
            // Cancelled wherever it is.
            tasks.swap_remove(rng.random_range(0..tasks.len())).abort();
        }
        tokio::task::yield_now().await;
    }
    if rng.random() {
        for task in &tasks {
            task.abort();
        }
    }
    let (a, b) = (&nodes[0], &nodes[1]);
    match rng.random_range(0..3) {
        0 => drop(tokio::join!(a.close(), b.close())),
        1 => {
            a.close().await;
            b.close().await;
        }
        _ => {}
    }
    drop(nodes);
    for task in tasks {
        let _ = task.await;
    }
    drop(incoming);
    let live = || spies.iter().map(Spy::live).sum::<usize>();
    eventually("every pipe is released", || live() == 0).await;
}

/// One thing that a user might do; whatever comes of it is fine, as long as it ends.
async fn deal(node: Node, target: carrick::Multiaddr, deed: u32, size: usize) {
    if deed == 0 {
        if let Ok(connection) = soon(node.dial(target)).await {
            soon(connection.close()).await;
        }
        return;
    }
    if deed == 1 {
        drop(soon(node.ping(target)).await);
        return;
    }
    let protocol = if deed.is_multiple_of(3) {
        "/queue/1.0.0"
    } else {
        ECHO
    };
    let Ok(mut stream) = soon(node.open_stream(target, protocol)).await else {
        return;
    };
    let data = vec![deed as u8; size];
    match deed {
        2 => drop(stream),
        3 => stream.reset(Code(size as u32)),
        4 => drop(soon(stream.write_all(&data)).await),
        5 | 6 => {
            let _ = soon(stream.write_all(&data)).await;
            let _ = soon(stream.finish()).await;
        }
        7 => {
            let connection = stream.connection();
            let _ = soon(stream.write_all(&data)).await;
            soon(connection.close()).await;
        }
        _ => {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let write = async {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut writer, &data).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut writer).await;
            };
            let mut all = Vec::new();
            let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut all);
            let _ = soon(async { tokio::join!(write, read) }).await;
        }
    }
}
