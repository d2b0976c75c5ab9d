//! M-02: streams that are reset as soon as they are opened. Answered by a budget: 4,096 such resets at once and 200 a second,
//! then the connection ends as a protocol error does.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::{Flags, Kind};

use super::{Attack, Check, Outcome, PLAIN, Scene, flood::Flood};
use crate::raw::frame;

pub(super) const ATTACK: Attack = Attack {
    id: "M-02",
    name: "rapid reset",
    row: Some(5),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    for reads in [false, true] {
        let flood = Flood {
            connections: scene.scale(100, 4),
            time: Duration::from_secs(scene.scale(12, 1).into()),
            reads,
            returns: true,
        };
        let flooded = flood.run(&scene, resets).await;
        if reads {
            flooded.must_be_cut("rapid reset", &mut outcome);
            continue;
        }
        // Refusals that nobody reads are the end of it before the budget is: nothing more is read.
        outcome.tried += flooded.frames;
        outcome.checks.push(Check::new(
            flooded.frames > 0,
            format!(
                "unread: {} resets, {} connections cut off",
                flooded.frames, flooded.cut
            ),
        ));
    }
    Ok(outcome)
}

fn resets(n: u32, out: &mut Vec<u8>) -> u64 {
    for at in 0..BLOCK {
        let id = 1 + 2 * (n.wrapping_mul(BLOCK) + at);
        out.extend_from_slice(&frame(Kind::WindowUpdate, Flags::SYN, id, 0));
        out.extend_from_slice(&frame(Kind::WindowUpdate, Flags::RST, id, 0));
    }
    BLOCK.into()
}

const BLOCK: u32 = 500;
