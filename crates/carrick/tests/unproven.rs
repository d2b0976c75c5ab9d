//! What somebody costs who has not proven yet who he is: heap that is held for him while he says nothing, and what is
//! allocated for each byte that he does say. The allocator counts for the whole process, so what he is here allocates nothing.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

mod common;

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use cap::Cap;
use carrick::{Config, Limit, Node};
use common::*;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn strangers_cost_little_before_they_prove_who_they_are() {
    let runtime = runtime();
    let node = runtime.block_on(server_with(TCP, config()));
    let address = socket_address(&node);
    let mut sockets = Vec::with_capacity(STRANGERS);
    let wait = |count| {
        runtime.block_on(eventually_async("they are counted", async || {
            pending(&node).await == count
        }));
    };
    wait(0);
    let tasks = runtime.metrics().num_alive_tasks();
    // Not by asking the node, whose answers are allocated, too.
    let gone = || {
        runtime.block_on(eventually_async("they are gone", async || {
            runtime.metrics().num_alive_tasks() == tasks
        }));
    };
    // The first ones bring tables to their size.
    for _ in 0..2 {
        visit(address, &mut sockets, &[]);
        wait(STRANGERS as u64);
        sockets.clear();
        wait(0);
    }
    let before = HEAP.allocated();
    visit(address, &mut sockets, &[]);
    wait(STRANGERS as u64);
    let held = (HEAP.allocated() - before) / STRANGERS;
    sockets.clear();
    wait(0);
    let detail = "heap held for each inbound connection that has said nothing";
    tell("held", held as f64, "B", 1024.0, detail);
    assert!(held <= HELD_MAX, "{held} bytes");
    let silent = cost(address, &mut sockets, &[], &gone) / STRANGERS;
    let mut worst = 0.0;
    for (name, words) in speeches() {
        let all = cost(address, &mut sockets, &words, &gone) / STRANGERS;
        wait(0);
        let factor = all as f64 / words.len() as f64;
        eprintln!(
            "{name}, {} bytes: {all} allocated, {silent} for silence",
            words.len()
        );
        if words.len() >= LONG {
            worst = f64::max(worst, factor);
        } else {
            assert!(all < FACTOR_MAX * LONG, "{name}: {all} bytes");
        }
    }
    let detail = "bytes allocated for each received before the first valid handshake message; the worst speech";
    tell("allocated", worst, "x", 4.0, detail);
    assert!(worst <= FACTOR_MAX as f64, "{worst}");
    runtime.block_on(node.close());
}

/// A line of the scorecard.
fn tell(what: &str, value: f64, unit: &str, target: f64, detail: &str) {
    let pass = value <= target;
    println!(
        "{{\"row\": 8, \"figure\": \"{what} before proof\", \"value\": {value:.2}, \"unit\": \"{unit}\", \"target\": \"<= {target}\", \"pass\": {pass}, \"stack\": \"carrick\", \"detail\": \"{detail}\"}}"
    );
}

/// Bytes allocated for so many visits, from the first connect to the last end.
fn cost(
    address: SocketAddr,
    sockets: &mut Vec<TcpStream>,
    words: &[u8],
    gone: &impl Fn(),
) -> usize {
    let before = HEAP.total_allocated();
    visit(address, sockets, words);
    for mut socket in sockets.drain(..) {
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut rest = [0; 1024];
        while socket.read(&mut rest).is_ok_and(|n| n > 0) {}
    }
    gone();
    HEAP.total_allocated() - before
}

/// Connects them all, and each says this.
fn visit(address: SocketAddr, sockets: &mut Vec<TcpStream>, words: &[u8]) {
    for _ in 0..STRANGERS {
        let mut socket = TcpStream::connect(address).unwrap();
        // It may have heard enough before the end.
        let _ = socket.write_all(words);
        sockets.push(socket);
    }
}

/// What strangers may say without having done any work.
fn speeches() -> Vec<(&'static str, Vec<u8>)> {
    let header = [&[19_u8][..], b"/multistream/1.0.0\n"].concat();
    let noise = [&header[..], &[7], b"/noise\n"].concat();
    let tls = [&header[..], &[11], b"/tls/1.0.0\n"].concat();
    let unknown = [&[3_u8][..], b"/x\n"].concat();
    vec![
        ("rubbish", vec![0xa5; 4096]),
        ("proposals", [&header[..], &unknown.repeat(60)].concat()),
        (
            "a long handshake message",
            [&noise[..], &[0xff, 0xff], &[1; 60_000]].concat(),
        ),
        (
            "a handshake message that does not end",
            [&noise[..], &[0x20, 0x00], &[1; 0x1fff]].concat(),
        ),
        (
            "a handshake message of rubbish",
            [&noise[..], &[0x20, 0x00], &[1; 0x2000]].concat(),
        ),
        (
            "a record of rubbish",
            [&tls[..], &[22, 3, 1, 0x40, 0], &[1; 0x4000]].concat(),
        ),
        (
            "a hello of rubbish, as long as one may be",
            [
                &tls[..],
                &[22, 3, 1, 0x1f, 0xfb, 1, 0, 0x1f, 0xf7, 3, 3],
                &[0; 0x1ff5],
            ]
            .concat(),
        ),
        (
            "a hello that does not end",
            [
                &tls[..],
                &[22, 3, 1, 0x1f, 0xfb, 1, 0, 0x1f, 0xf7, 3, 3],
                &[0; 0x1ff4],
            ]
            .concat(),
        ),
        (
            "a hello of rubbish",
            [
                &tls[..],
                &[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3],
                &[0; 0x3ffa],
            ]
            .concat(),
        ),
    ]
}

fn config() -> Config {
    let mut config = Config {
        watch_interval: None,
        ..Config::default()
    };
    config.session.upgrade_timeout = Duration::from_secs(600);
    config.swarm.pending_inbound_max = 2 * STRANGERS;
    config
}

async fn pending(node: &Node) -> u64 {
    let limits = node.limits().await;
    let pending = limits.get(Limit::ConnectionsPending).unwrap();
    pending.used.unwrap()
}

async fn eventually_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(DEADLINE, all).await;
    assert!(done.is_ok(), "never came true: {what}");
}

fn socket_address(node: &Node) -> SocketAddr {
    path::target(&node.address())
}

const STRANGERS: usize = 100;
/// Bytes that a silent one may hold.
const HELD_MAX: usize = 1 << 10;
/// Bytes that may be allocated for each received, of those who say this much.
const FACTOR_MAX: usize = 4;
const LONG: usize = 4 << 10;
