//! M-06: data frames without data, and a million with one byte each. Answered by a budget for empty ones, 1,000 at once and 100
//! a second, and by gathering short pieces in one buffer, which the stream's window bounds.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::Flags;

use super::{Attack, Check, Outcome, PLAIN, Scene, flood::Flood};
use crate::{raw::data, speaker::proposal};

pub(super) const ATTACK: Attack = Attack {
    id: "M-06",
    name: "tiny and empty frames",
    row: Some(5),
    rss_mib: 128,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let flood = |connections, reads, returns| Flood {
        connections,
        time: Duration::from_secs(scene.scale(10, 1).into()),
        reads,
        returns,
    };
    let mut outcome = Outcome::default();
    let empty = flood(scene.scale(100, 10), true, true);
    let flooded = empty.run(&scene, empty_frames).await;
    flooded.must_be_cut("empty", &mut outcome);
    // The echo is not read: what comes stays where it is once the window is used up.
    let single = flood(scene.scale(10, 4), false, false);
    let flooded = single.run(&scene, single_bytes).await;
    outcome.tried += flooded.frames;
    outcome.checks.push(Check::new(
        flooded.frames > 0,
        format!("{} frames of one byte", flooded.frames),
    ));
    Ok(outcome)
}

fn empty_frames(n: u32, out: &mut Vec<u8>) -> u64 {
    if n == 0 {
        out.extend_from_slice(&data(1, Flags::SYN, &proposal("/x")[..20]));
    }
    for _ in 0..BLOCK {
        out.extend_from_slice(&data(1, Flags::EMPTY, &[]));
    }
    BLOCK.into()
}

/// As many as one stream's window takes, then the next stream; a million for each connection, then no more.
fn single_bytes(n: u32, out: &mut Vec<u8>) -> u64 {
    let (stream, block) = (1 + 2 * (n / BLOCKS_EACH), n % BLOCKS_EACH);
    if n >= 4 * BLOCKS_EACH {
        return 0;
    }
    if block == 0 {
        out.extend_from_slice(&data(stream, Flags::SYN, &proposal("/echo/1.0.0")));
    }
    for _ in 0..BLOCK {
        out.extend_from_slice(&data(stream, Flags::EMPTY, b"x"));
    }
    BLOCK.into()
}

const BLOCK: u32 = 1000;
const BLOCKS_EACH: u32 = 250;
