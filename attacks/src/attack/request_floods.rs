//! P-11: more ping streams than a peer may have, half pings, pings whose echoes nobody reads; and, where it is the victim who
//! asks (`carrick call`), answers that never end or come when nobody waits for them any more. Answered by two ping streams for a
//! peer, by a bound on what an answer may hold, and by the deadline of a question.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use carrick::{Node, Stream};
use carrick_wire::yamux::{Flags, Kind};
use tokio::{process::Command, time::sleep};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{ground, raw::Raw, sample::Sample, speaker::proposal, stack::Stack};

pub(super) const ATTACK: Attack = Attack {
    id: "P-11",
    name: "pings and requests",
    rss_mib: 64,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    many_streams(&scene, &mut outcome).await?;
    unread(&scene, &mut outcome).await?;
    if scene.stack == Stack::Carrick {
        answers(&scene, &mut outcome).await?;
    }
    Ok(outcome)
}

/// How many of a hundred ping streams are served at once.
async fn many_streams(scene: &Scene, outcome: &mut Outcome) -> io::Result<()> {
    let mut raw = Raw::connect(ground::attacker(1), scene.tcp()).await?;
    for at in 0..STREAMS {
        raw.ask(1 + 2 * at, PING, &[at as u8; 32]).await?;
    }
    let (mut heard, mut reset) = (vec![0; STREAMS as usize], 0);
    raw.until(Duration::from_secs(2), |frame| {
        let header = frame.header;
        reset += u32::from(header.flags.contains(Flags::RST));
        // Those with even ids are the victim's own.
        if header.kind == Kind::Data
            && header.stream % 2 == 1
            && let Some(heard) = heard.get_mut(header.stream as usize / 2)
        {
            *heard += frame.body.len();
        }
        reset >= STREAMS
    })
    .await;
    // The words of the negotiation, and the echo.
    let echoed = heard
        .iter()
        .filter(|heard| **heard >= proposal(PING).len() + 32);
    let echoed = echoed.count() as u64;
    outcome.tried += u64::from(STREAMS);
    outcome.refused += u64::from(reset);
    if scene.stack == Stack::Carrick {
        let what = format!("of {STREAMS} ping streams served, {reset} reset");
        outcome
            .checks
            .push(Check::at_most(&what, echoed, PING_STREAMS_MAX));
    }
    Ok(())
}

/// Pings on a stream until nothing moves any more, on many connections, and half a ping.
async fn unread(scene: &Scene, outcome: &mut Outcome) -> io::Result<()> {
    let before = Sample::of(scene.pid)?.rss_kib;
    let count = scene.scale(100, 10);
    let mut there = Vec::new();
    for n in 0..count {
        let mut raw = Raw::connect(ground::attacker_apart(10 + n), scene.tcp()).await?;
        raw.ask(1, PING, &vec![9; 200 << 10]).await?;
        raw.ask(3, PING, &[9; 16]).await?;
        there.push(raw);
    }
    sleep(Duration::from_secs(1)).await;
    let grown = Sample::of(scene.pid)?.rss_kib.saturating_sub(before);
    outcome.tried += u64::from(count);
    outcome.checks.push(Check::at_most(
        "KiB for each connection with echoes unread",
        grown / u64::from(count),
        640,
    ));
    Ok(())
}

/// The victim asks, and hears too much, nothing, or that too late.
async fn answers(scene: &Scene, outcome: &mut Outcome) -> io::Result<()> {
    let node = Node::builder()
        .handle("/endless/1", |mut stream: Stream| async move {
            let part = vec![7; 64 << 10];
            while stream.write_all(&part).await.is_ok() {}
        })
        .handle("/silent/1", |stream: Stream| async move {
            sleep(Duration::from_secs(30)).await;
            drop(stream);
        })
        .handle("/late/1", |mut stream: Stream| async move {
            sleep(Duration::from_millis(1500)).await;
            let _ = stream.write_all(b"late").await;
        })
        .spawn()
        .await
        .map_err(io::Error::other)?;
    let listening = node.listen("/ip4/9.0.0.2/tcp/0").await;
    listening.map_err(io::Error::other)?;
    let there = node.address().to_string();
    for (protocol, words) in [
        ("/endless/1", "at most"),
        ("/silent/1", "no answer"),
        ("/late/1", "no answer"),
    ] {
        let since = Instant::now();
        let asked = Command::new("ip")
            .args(["netns", "exec", &scene.namespace])
            .arg(&scene.carrick)
            .args(["call", &there, protocol, "hello", "--timeout-ms", "1000"])
            .kill_on_drop(true)
            .output()
            .await?;
        let took = since.elapsed();
        let why = String::from_utf8_lossy(&asked.stderr);
        let why = why.lines().next().unwrap_or_default();
        outcome.tried += 1;
        outcome.refused += u64::from(!asked.status.success());
        outcome.checks.push(Check::new(
            !asked.status.success() && took < ASKED_MAX,
            format!(
                "{protocol} fails within its time ({words}): {:.1} s, {why}",
                took.as_secs_f64()
            ),
        ));
    }
    node.close().await;
    Ok(())
}

const PING: &str = "/ipfs/ping/1.0.0";
const STREAMS: u32 = 100;
const PING_STREAMS_MAX: u64 = 2;
/// A second for the answer, the rest for a process on a busy machine.
const ASKED_MAX: Duration = Duration::from_secs(5);
