//! A thousand connections with 16 streams each, on which a gigabyte is asked for and for none of which there is room: most read
//! what comes and grant nothing, some do not even read. Answered by what a connection holds at most, and by holding nothing for
//! streams that wait for their window.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use carrick_wire::yamux::Flags;
use futures::{StreamExt, stream};
use tokio::time::sleep;

use super::{Attack, Check, Figure, Outcome, PLAIN, Scene};
use crate::{
    ground,
    raw::{Raw, data},
    sample::Sample,
    speaker::Speaker,
};

pub(super) const ATTACK: Attack = Attack {
    id: "S-06",
    name: "a stalled crowd",
    row: Some(6),
    rss_mib: 256,
    files: 1_100,
    args: &["--perf", "--max-connections", "1800"],
    only_carrick: Some("it must serve /perf/1.0.0 to 1,000 connections"),
    // 4 GiB must leave before they are stalled.
    slower_max: Duration::from_millis(200),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(1_000, 40);
    let before = Sample::of(scene.pid)?.rss_kib;
    let stalled = stream::iter(0..count).map(|n| {
        let (scene, source) = (scene.clone(), ground::attacker_apart(n));
        async move { stall(&scene, source, n % 10 != 0).await }
    });
    let there: Vec<_> = stalled.buffer_unordered(32).collect().await;
    let there: Vec<_> = there.into_iter().flatten().collect();
    sleep(Duration::from_secs(scene.scale(10, 1).into())).await;
    let grown = Sample::of(scene.pid)?.rss_kib.saturating_sub(before);
    let newcomer = Speaker::connect(ground::attacker_apart(50_000), scene.tcp()).await;
    let each = grown as f64 / there.len().max(1) as f64;
    Ok(Outcome {
        tried: count.into(),
        refused: u64::from(count) - there.len() as u64,
        checks: vec![
            Check::at_most(
                "connections that could not be stalled",
                u64::from(count) - there.len() as u64,
                u64::from(count) / 20,
            ),
            Check::new(
                newcomer.is_ok(),
                format!("a newcomer beside them is served: {}", newcomer.is_ok()),
            ),
        ],
        figures: vec![
            Figure::at_most(
                6,
                "RSS of 1,000 connections with 16 stalled streams each",
                each * 1000.0 / 1024.0,
                "MiB",
                256.0,
            ),
            Figure::at_least(
                6,
                "newcomers served beside them",
                f64::from(u8::from(newcomer.is_ok())),
                "",
                1.0,
            ),
        ],
    })
}

/// Asks for a gigabyte on each stream. What comes is thrown away, or left where it is.
async fn stall(scene: &Scene, source: IpAddr, reads: bool) -> io::Result<Raw> {
    let mut raw = Raw::connect(source, scene.tcp()).await?;
    for at in 0..STREAMS {
        let id = 1 + 2 * at;
        raw.ask(id, "/perf/1.0.0", &(1_u64 << 30).to_be_bytes())
            .await?;
        raw.writer.send(&data(id, Flags::FIN, &[])).await?;
    }
    if reads {
        raw.discard();
    }
    Ok(raw)
}

const STREAMS: u32 = 16;
