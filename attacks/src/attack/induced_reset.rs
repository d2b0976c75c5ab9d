//! M-03: streams whose first words are nonsense, so that it is the victim who resets them, one after the other; the resets are
//! not read, then they are. Answered by the 64 negotiations of a connection, and by the budget for streams that come to nothing,
//! whoever resets them: 4,096 at once and 200 a second.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::Flags;

use super::{Attack, Check, Outcome, PLAIN, Scene, flood::Flood};
use crate::{raw::data, stack::Stack};

pub(super) const ATTACK: Attack = Attack {
    id: "M-03",
    name: "induced reset",
    row: Some(5),
    rss_mib: 400,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let connections = scene.scale(100, 10);
    let mut outcome = Outcome::default();
    for reads in [false, true] {
        let flood = Flood {
            connections,
            time: Duration::from_secs(scene.scale(10, 1).into()),
            reads,
            returns: true,
        };
        let flooded = flood.run(&scene, nonsense).await;
        let what = if reads {
            "nonsense, resets read"
        } else {
            "nonsense, resets unread"
        };
        if scene.stack == Stack::Carrick {
            flooded.must_be_cut(what, &mut outcome);
        }
        outcome.checks.push(Check::new(
            flooded.connected > 0,
            format!(
                "{what}: {} streams on {} connections, {} resets heard, {} connections cut",
                flooded.frames, flooded.connected, flooded.resets, flooded.cut
            ),
        ));
    }
    Ok(outcome)
}

fn nonsense(n: u32, out: &mut Vec<u8>) -> u64 {
    for at in 0..BLOCK {
        let id = 1 + 2 * (n.wrapping_mul(BLOCK) + at);
        out.extend_from_slice(&data(id, Flags::SYN, &[0xff; 12]));
    }
    BLOCK.into()
}

const BLOCK: u32 = 500;
