//! What is idle, and what it costs the victim: connections without a stream, and streams on which nothing is said.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::Kind;
use futures::future::join_all;
use tokio::time::sleep;

use super::{Attack, Check, Figure, Outcome, PLAIN, Scene, crowd::Crowd};
use crate::{ground, raw::Raw, sample::Sample};

pub(super) const ATTACK: Attack = Attack {
    id: "S-07",
    name: "an idle crowd",
    row: Some(7),
    rss_mib: 128,
    files: 2_100,
    args: &["--max-connections", "3600"],
    only_carrick: Some("it must take 2,000 connections with 200 streams each of some"),
    slower_max: Duration::from_millis(200),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let rss = || Sample::of(scene.pid).map(|sample| sample.rss_kib);
    let (connections, streams) = (scene.scale(2_000, 200), scene.scale(500, 100));
    let before = rss()?;
    let from = |n| (ground::attacker_apart(n), scene.tcp());
    let crowd = Crowd::join(connections, from).await;
    let joined = crowd.settled().await;
    // Identify has given up by then.
    sleep(Duration::from_secs(scene.scale(12, 1).into())).await;
    let with_connections = rss()?;
    let most = scene.scale(40, 5);
    let opened = (0..most).map(|n| {
        let (scene, source) = (scene.clone(), ground::attacker_apart(connections + n));
        async move {
            let mut raw = Raw::connect(source, scene.tcp()).await?;
            let opened = open(&mut raw, streams).await?;
            Ok::<_, io::Error>((raw, opened))
        }
    });
    let held: Vec<_> = join_all(opened).await.into_iter().flatten().collect();
    let opened: u64 = held.iter().map(|(_, opened)| opened).sum();
    let with_streams = rss()?;
    let each =
        |less: u64, more: u64, count: u64| more.saturating_sub(less) as f64 / count.max(1) as f64;
    let connection = each(before, with_connections, joined);
    let of_stream = each(with_connections, with_streams, opened);
    let missing = u64::from(connections) - joined;
    Ok(Outcome {
        tried: u64::from(connections) + u64::from(most * streams),
        refused: missing + u64::from(most * streams) - opened,
        checks: vec![
            Check::at_most("connections not made", missing, u64::from(connections) / 20),
            Check::new(opened > 0, format!("{opened} streams")),
        ],
        figures: vec![
            Figure::at_most(7, "RSS of an idle TCP connection", connection, "KiB", 32.0),
            Figure::at_most(7, "RSS of an idle stream", of_stream, "KiB", 1.0),
        ],
    })
}

/// Opens so many echoes, and waits until they are served; how many are.
async fn open(raw: &mut Raw, count: u32) -> io::Result<u64> {
    let mut served = 0;
    for first in (0..count).step_by(BATCH) {
        let batch = BATCH.min((count - first) as usize) as u64;
        for at in first..first + batch as u32 {
            raw.ask(1 + 2 * at, "/echo/1.0.0", &[]).await?;
        }
        let mut answered = 0;
        raw.until(Duration::from_secs(5), |frame| {
            let header = frame.header;
            answered += u64::from(header.kind == Kind::Data && header.stream % 2 == 1);
            answered >= batch
        })
        .await;
        served += answered;
    }
    Ok(served)
}

/// Fewer than negotiate at once.
const BATCH: usize = 50;
