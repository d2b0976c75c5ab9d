//! M-01: streams opened without end and without a word on them, first while nothing is read, then with every refusal read.
//! Answered by the 1,024 streams of a connection, beyond which each is reset, by the 64 that may negotiate at once, and by the
//! 5 s that they have for it.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::{Flags, Kind};

use tokio::time::sleep;

use super::{Attack, Check, Outcome, PLAIN, Scene, flood::Flood};
use crate::{
    ground,
    raw::{Raw, frame},
    sample::Sample,
    stack::Stack,
};

pub(super) const ATTACK: Attack = Attack {
    id: "M-01",
    name: "stream flood",
    row: Some(5),
    rss_mib: 400,
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| {
        config.session.inbound_streams_max = usize::MAX;
        config.negotiation_timeout = Duration::from_secs(60);
        config.negotiations_max = usize::MAX;
        config.negotiations_per_connection_max = usize::MAX;
    }),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let connections = scene.scale(100, 10);
    let time = Duration::from_secs(scene.scale(10, 1).into());
    let mut outcome = Outcome::default();
    // How many streams a connection may have is every stack's own number.
    if scene.stack == Stack::Carrick {
        // Before there is memory that was in use once.
        outcome.checks.push(held(&scene).await?);
        outcome.checks.extend(alone(&scene).await?);
    }
    for reads in [false, true] {
        let flood = Flood {
            connections,
            time,
            reads,
            returns: true,
        };
        let flooded = flood.run(&scene, streams).await;
        outcome.tried += flooded.frames;
        outcome.refused += flooded.resets;
    }
    Ok(outcome)
}

/// What streams cost that wait for those before them.
async fn held(scene: &Scene) -> io::Result<Check> {
    let before = Sample::of(scene.pid)?.rss_kib;
    let (mut there, mut opened) = (Vec::new(), 0);
    for n in 0..CROWD {
        let mut raw = Raw::connect(ground::attacker_apart(61_000 + n), scene.tcp()).await?;
        let mut out = Vec::new();
        opened += streams(0, &mut out);
        raw.writer.send(&out).await?;
        there.push(raw);
    }
    sleep(Duration::from_secs(1)).await;
    let grown = Sample::of(scene.pid)?.rss_kib.saturating_sub(before);
    let what = format!("bytes for each of {opened} streams without a word");
    Ok(Check::at_most(&what, (grown << 10) / opened, HELD_MAX))
}

/// One connection that opens twice as many as it may.
async fn alone(scene: &Scene) -> io::Result<Vec<Check>> {
    let mut raw = Raw::connect(ground::attacker_apart(60_000), scene.tcp()).await?;
    let mut out = Vec::new();
    let opened = streams(0, &mut out) + streams(1, &mut out);
    raw.writer.send(&out).await?;
    let mut resets = 0;
    let mut until = async |time, all| {
        let found = raw.until(time, |frame| {
            resets += u64::from(frame.header.flags.contains(Flags::RST));
            resets >= all
        });
        found.await;
        resets
    };
    let at_once = until(Duration::from_secs(1), opened - STREAMS_MAX).await;
    let mut checks = vec![Check::new(
        at_once >= opened - STREAMS_MAX,
        format!("of {opened} streams {at_once} are refused at once"),
    )];
    if !scene.quick {
        let in_time = until(Duration::from_secs(6), opened).await;
        checks.push(Check::new(
            in_time >= opened,
            format!("after the time to negotiate {in_time} are gone"),
        ));
    }
    Ok(checks)
}

fn streams(n: u32, out: &mut Vec<u8>) -> u64 {
    for at in 0..BLOCK {
        let id = 1 + 2 * (n.wrapping_mul(BLOCK) + at);
        out.extend_from_slice(&frame(Kind::WindowUpdate, Flags::SYN, id, 0));
    }
    BLOCK.into()
}

const BLOCK: u32 = 1000;
const STREAMS_MAX: u64 = 1024;
const CROWD: u32 = 20;
/// With its part of a connection.
const HELD_MAX: u64 = 1536;
