//! M-04: echoes are asked for and never given room, or a byte at a time. Answered by windows, which bound what a stream holds:
//! 256 KiB that nobody has read, and what waits to be sent.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::{Flags, INITIAL_WINDOW, Kind};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    ground,
    raw::{Raw, data, frame},
    sample::Sample,
    speaker::proposal,
};

pub(super) const ATTACK: Attack = Attack {
    id: "M-04",
    name: "no room for answers",
    row: Some(5),
    rss_mib: 512,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let connections = scene.scale(100, 10);
    let time = Duration::from_secs(scene.scale(15, 2).into());
    let before = Sample::of(scene.pid)?.rss_kib;
    let stalls = (0..connections).map(|n| {
        let scene = scene.clone();
        tokio::spawn(async move { stall(&scene, n, time).await })
    });
    let stalls = join_all(stalls);
    let look = async {
        // All have said what they can by then, and nobody is gone.
        sleep(time * 3 / 4).await;
        Sample::of(scene.pid).map(|sample| sample.rss_kib.saturating_sub(before))
    };
    let (stalls, grown) = tokio::join!(stalls, look);
    let stalls: Vec<_> = stalls.into_iter().flatten().flatten().collect();
    let alive = stalls.iter().filter(|stalled| stalled.answers).count();
    let taken = stalls.iter().map(|stalled| stalled.taken).max();
    let streams = u64::from(connections * STREAMS);
    Ok(Outcome {
        tried: streams,
        checks: vec![
            Check::new(
                alive > 0,
                format!("{alive} of {connections} connections answer a ping all the while"),
            ),
            Check::at_most(
                "KiB for each stalled stream",
                grown? / streams,
                EACH_MAX_KIB,
            ),
            Check::at_most(
                "KiB taken of a stream whose echo has no room",
                u64::from(taken.unwrap_or_default() >> 10),
                TAKEN_MAX_KIB,
            ),
        ],
        ..Outcome::default()
    })
}

/// What came of one connection.
struct Stalled {
    /// Whether it still answers pings.
    answers: bool,
    /// Bytes of the stream of which most were taken.
    taken: u32,
}

/// Fills the echoes of a connection, then gives them a byte of room now and then, or none; longer than `time` while the
/// victim takes more, unless that is too much already.
async fn stall(scene: &Scene, n: u32, time: Duration) -> io::Result<Stalled> {
    let mut raw = Raw::connect(ground::attacker_apart(n), scene.tcp()).await?;
    let until = Instant::now() + time;
    let mut left = vec![0; STREAMS as usize];
    let (mut taken, mut grants) = (left.clone(), true);
    let words = vec![7; INITIAL_WINDOW as usize - proposal("/echo/1.0.0").len()];
    for at in 0..STREAMS {
        raw.ask(1 + 2 * at, "/echo/1.0.0", &words).await?;
        taken[at as usize] = INITIAL_WINDOW;
    }
    let most = |taken: &[u32]| taken.iter().copied().max().unwrap_or_default();
    while Instant::now() < until
        || grants
            && u64::from(most(&taken) >> 10) <= TAKEN_MAX_KIB
            && Instant::now() < until + PATIENCE
    {
        grants = false;
        // What it grants is used at once.
        raw.until(Duration::from_millis(200), |frame| {
            let (at, header) = (frame.header.stream as usize / 2, frame.header);
            if header.kind == Kind::WindowUpdate && at < left.len() {
                left[at] += header.length;
                taken[at] += header.length;
                grants = true;
            }
            false
        })
        .await;
        for at in 0..STREAMS {
            let more = std::mem::take(&mut left[at as usize]);
            let mut out = Vec::new();
            if more > 0 {
                out.extend(data(1 + 2 * at, Flags::EMPTY, &vec![7; more as usize]));
            }
            if n.is_multiple_of(2) {
                out.extend(frame(Kind::WindowUpdate, Flags::EMPTY, 1 + 2 * at, 1));
            }
            raw.writer.send(&out).await?;
        }
    }
    Ok(Stalled {
        answers: raw.answers(Duration::from_secs(2)).await,
        taken: most(&taken),
    })
}

const STREAMS: u32 = 8;
/// A window that nobody reads, as much again where the allocator rounds, and a chunk on its way back.
const EACH_MAX_KIB: u64 = 640;
/// What waits at the victim to be read, what fills our window, and a window that has grown meanwhile.
const TAKEN_MAX_KIB: u64 = 1024;
/// For a victim that goes on taking while it is slow.
const PATIENCE: Duration = Duration::from_secs(20);
