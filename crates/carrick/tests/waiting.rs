//! Streams that wait for their negotiation: what each costs, how many begin at once, when the others do, and when their time is
//! over. The allocator counts for the whole process, so these tests run one at a time.
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

mod common;

use std::{
    alloc::System,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cap::Cap;
use carrick::{Code, Config, Limit, Node, Usage};
use carrick_session::{Key, Read, StreamError};
use carrick_wire::yamux::{Flags, Header, Kind};
use common::{raw::Raw, *};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Streams on which nothing is said.
fn silent(ids: std::ops::Range<u32>) -> Vec<u8> {
    let open = |n| Header {
        kind: Kind::WindowUpdate,
        flags: Flags::SYN,
        stream: 2 * n + 1,
        length: 0,
    };
    ids.flat_map(|n| open(n).encode()).collect()
}

async fn usage(node: &Node) -> Usage {
    let limits = node.limits().await;
    *limits.get(Limit::NegotiationsPerConnection).unwrap()
}

async fn becomes(node: &Node, holds: impl Fn(&Usage) -> bool) {
    let look = async {
        while !holds(&usage(node).await) {
            tokio::task::yield_now().await;
        }
    };
    soon(look).await;
}

/// Reads until all that was echoed is there.
async fn echoed(raw: &mut Raw, key: Key, text: &[u8]) {
    while !matches!(soon(raw.read(key)).await.unwrap(), Read::Data(bytes) if bytes.ends_with(text))
    {
    }
}

#[test]
fn what_waits_costs_a_table_entry_and_what_is_over_nothing() {
    let _alone = alone();
    // One thread, so one set of spare buffers.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let test = async {
        let mut config = Config {
            negotiation_timeout: Duration::from_secs(600),
            watch_interval: None,
            ..Config::default()
        };
        config.session.inbound_streams_max = STREAMS as usize;
        let server = server_with(TCP, config).await;
        // The first ones bring tables and spare buffers to their size.
        for _ in 0..2 {
            crowd(&server, usize::MAX).await;
        }
        let empty = HEAP.allocated();
        crowd(&server, HELD_MAX).await;
        let left = || HEAP.allocated().saturating_sub(empty);
        eventually("what they held is free", || left() <= LEFT_MAX).await;
    };
    runtime.block_on(async { soon(test).await });
}

/// Comes with as many streams as may be, each of which may hold so much while it waits, and goes.
async fn crowd(server: &Node, held_max: usize) {
    let (first, others) = (silent(0..NEGOTIATING), silent(NEGOTIATING..STREAMS));
    let mut raw = Raw::connect(&server.address()).await;
    let there = back(server, raw.id).await;
    let refused = usage(server).await.refused;
    assert!(raw.send(&first).await);
    becomes(server, |usage| usage.used == Some(NEGOTIATING.into())).await;
    let before = HEAP.allocated();
    let waiting = STREAMS - NEGOTIATING;
    assert!(raw.send(&others).await);
    becomes(server, |usage| {
        usage.refused == refused + u64::from(waiting)
    })
    .await;
    assert_eq!(usage(server).await.used, Some(NEGOTIATING.into()));
    let held = || HEAP.allocated().saturating_sub(before) / waiting as usize;
    // The buffer that they came in is given back a moment later.
    eventually("they hold little", || held() <= held_max).await;
    eprintln!("{} bytes held for each that waits", held());
    drop(raw);
    eventually("all is released", || there.streams() == 0).await;
    becomes(server, |usage| usage.used == Some(0)).await;
}

#[test]
fn as_many_as_may_begin_at_once_and_one_more_waits_and_is_served_later() {
    let _alone = alone();
    run(async {
        let server = server(TCP).await;
        let mut raw = Raw::connect(&server.address()).await;
        back(&server, raw.id).await;
        let mut stalled = Vec::new();
        for _ in 1..NEGOTIATING {
            stalled.push(raw.open(HALF_A_WORD).await);
        }
        becomes(&server, |usage| usage.used == Some(63)).await;
        // The last place is as good as the first.
        let last = raw.ask(ECHO, b"at the bound").await;
        echoed(&mut raw, last, b"at the bound").await;
        assert_eq!(usage(&server).await.refused, 0);
        stalled.push(raw.open(HALF_A_WORD).await);
        becomes(&server, |usage| usage.used == Some(64)).await;
        let beyond = raw.ask(ECHO, b"beyond it").await;
        becomes(&server, |usage| usage.refused == 1).await;
        let usage = usage(&server).await;
        assert_eq!((usage.max, usage.used, usage.peak), (64, Some(64), 64));
        // Other connections have places of their own.
        soon(echo(&client().await, &server, b"as ever"))
            .await
            .unwrap();
        raw.mux.reset(stalled[0], Code::NONE);
        raw.flush().await;
        echoed(&mut raw, beyond, b"beyond it").await;
    });
}

#[test]
fn those_in_line_have_no_time_of_their_own_and_whoever_has_said_all_is_served_after_it() {
    let _alone = alone();
    run(async {
        let config = Config {
            negotiations_per_connection_max: 1,
            negotiation_timeout: Duration::from_millis(200),
            ..Config::default()
        };
        let server = server_with(TCP, config).await;
        let mut raw = Raw::connect(&server.address()).await;
        back(&server, raw.id).await;
        let mut silent = Vec::new();
        for _ in 0..LINE {
            silent.push(raw.open(HALF_A_WORD).await);
        }
        let served = raw.ask(ECHO, b"hello").await;
        let line = tokio::spawn(async move {
            for key in silent {
                let ended = raw.read(key).await.err();
                assert_eq!(ended, Some(StreamError::Reset(Code::NEGOTIATION_FAILED)));
            }
            echoed(&mut raw, served, b"hello").await;
        });
        // Each of these takes the whole time. Were it so in line, too, they could not keep up with it.
        let mut other = Raw::connect(&server.address()).await;
        let mut times = 0;
        while !line.is_finished() {
            let key = other.open(HALF_A_WORD).await;
            soon(other.read(key)).await.unwrap_err();
            times += 1;
        }
        line.await.unwrap();
        assert!(times < LINE / 2, "{times} times");
    });
}

const HALF_A_WORD: &[u8] = b"\x13/multi";
/// As many as a connection may have, less one for identify, of which the table would grow to twice its size.
const STREAMS: u32 = 1000;
const NEGOTIATING: u32 = 64;
/// For each that waits: what the muxer knows of it, its place among those who wait to read or write, its place in line.
const HELD_MAX: usize = 512;
/// What tables keep, and what the allocator's users have cached meanwhile.
const LEFT_MAX: usize = 64 << 10;
const LINE: u32 = 20;
