//! M-09: everything that windows allow is sent and nothing of it can be handled: on streams that never agree on a protocol, and on
//! echoes whose windows have grown because our answers to pings came late. The victim has 512 MiB and dies beyond. Answered by one
//! pool for all that windows grow by and that nobody reads, of which no peer gets more than a quarter of what is left.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use carrick_wire::yamux::{Flags, INITIAL_WINDOW, Kind};
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    ground,
    raw::{Frame, Raw, data, frame},
    sample::Sample,
    speaker::proposal,
};

pub(super) const ATTACK: Attack = Attack {
    id: "M-09",
    name: "windows hoarded",
    row: Some(6),
    rss_mib: 192,
    memory_mib: Some(512),
    // A gigabyte to decrypt takes its time.
    slower_max: Duration::from_millis(200),
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| {
        config.memory_max = 1 << 40;
        config.memory_per_peer_max = 1 << 40;
    }),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let before = Sample::of(scene.pid)?.rss_kib;
    // Whoever is dead has held too much.
    let grown = |sample: Sample| sample.rss_kib.saturating_sub(before);
    let held = || Sample::of(scene.pid).map_or(u64::MAX, grown);
    let streams = scene.scale(1_000, 300);
    let hoards = (0..scene.scale(8, 4)).map(|n| {
        let (scene, source) = (scene.clone(), ground::attacker_apart(n));
        tokio::spawn(async move { undecided(&scene, source, streams).await })
    });
    // Whoever is not read from is done as well.
    let hoards = timeout(Duration::from_secs(20), join_all(hoards)).await;
    let hoards = hoards.into_iter().flatten().flatten().flatten();
    let sent: u64 = hoards.sum();
    let mib = held() / 1024;
    outcome.tried += sent;
    outcome.checks.push(Check::at_most(
        &format!("MiB held of {sent} MiB that have no protocol"),
        mib,
        128,
    ));
    let grown = (0..scene.scale(8, 2)).map(|n| {
        let (scene, source) = (scene.clone(), ground::attacker_apart(100 + n));
        tokio::spawn(async move { grow(&scene, source).await })
    });
    let grown = timeout(Duration::from_secs(20), join_all(grown)).await;
    let grown = grown.into_iter().flatten().flatten().flatten();
    let largest = grown.max().unwrap_or(0);
    let mib = held() / 1024;
    outcome.checks.push(Check::at_most(
        &format!("MiB held with windows up to {} KiB", largest >> 10),
        mib,
        128,
    ));
    sleep(Duration::from_millis(200)).await;
    Ok(outcome)
}

/// Takes all places for negotiations, and sends a full window on each of so many further streams; how many MiB that were.
async fn undecided(scene: &Scene, source: IpAddr, streams: u32) -> io::Result<u64> {
    let Raw {
        mut reader,
        mut writer,
    } = Raw::connect(source, scene.tcp()).await?;
    let listening =
        tokio::spawn(async move { while matches!(reader.next().await, Ok(Some(_))) {} });
    let header = &proposal("/x")[..20];
    for at in 0..NEGOTIATIONS_MAX {
        writer.send(&data(1 + 2 * at, Flags::SYN, header)).await?;
    }
    let full = vec![b'/'; INITIAL_WINDOW as usize];
    for at in NEGOTIATIONS_MAX..streams {
        writer.send(&data(1 + 2 * at, Flags::SYN, &full)).await?;
    }
    // The kernel has them; so has the victim, a moment later.
    sleep(Duration::from_secs(1)).await;
    listening.abort();
    Ok(u64::from(streams) / 4)
}

/// Echoes of which the windows grow as they do on a long way; then no echo finds room. How large the window became.
async fn grow(scene: &Scene, source: IpAddr) -> io::Result<u32> {
    let mut raw = Raw::connect(source, scene.tcp()).await?;
    raw.ask(1, "/echo/1.0.0", &[]).await?;
    let said = proposal("/echo/1.0.0").len() as u32;
    let (mut left, mut largest) = (INITIAL_WINDOW - said, INITIAL_WINDOW);
    let until = Instant::now() + Duration::from_secs(scene.scale(8, 2).into());
    let body = vec![7; PART as usize];
    while Instant::now() < until {
        let part = left.min(PART);
        if part > 0 {
            raw.writer
                .send(&data(1, Flags::EMPTY, &body[..part as usize]))
                .await?;
            left -= part;
        }
        let wait = Duration::from_millis(if left > 0 { 1 } else { 300 });
        let mut answers = Vec::new();
        raw.until(wait, |Frame { header, .. }| {
            match header.kind {
                Kind::WindowUpdate if header.stream == 1 => {
                    left += header.length;
                    largest = largest.max(left);
                }
                // What is echoed has room again.
                Kind::Data if header.stream == 1 => {
                    answers.extend(frame(Kind::WindowUpdate, Flags::EMPTY, 1, header.length));
                }
                Kind::Ping if header.flags.contains(Flags::SYN) => {
                    answers.extend(frame(Kind::Ping, Flags::ACK, 0, header.length));
                }
                _ => {}
            }
            left > 0
        })
        .await;
        if answers.len() > 24 {
            // The way is as long as we make it.
            sleep(Duration::from_millis(2)).await;
        }
        raw.writer.send(&answers).await?;
    }
    while left > 0 {
        let part = left.min(PART);
        let last = data(1, Flags::EMPTY, &body[..part as usize]);
        let sent = raw.writer.send(&last);
        if timeout(Duration::from_secs(2), sent).await.is_err() {
            break;
        }
        left -= part;
    }
    sleep(Duration::from_millis(500)).await;
    Ok(largest)
}

const NEGOTIATIONS_MAX: u32 = 64;
const PART: u32 = 32 << 10;
