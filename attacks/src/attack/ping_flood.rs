//! M-07: yamux pings without end, first unread, then with every answer read. Answered by a budget, 4,096 at once and 200 a second,
//! by reading no more from whoever does not read its answers, and by the turns that connections take.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::{Flags, Kind};

use super::{Attack, Check, Outcome, PLAIN, Scene, flood::Flood};
use crate::{raw::frame, sample::Sample, stack::Stack};

pub(super) const ATTACK: Attack = Attack {
    id: "M-07",
    name: "ping flood",
    row: Some(5),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let connections = scene.scale(100, 20);
    let time = Duration::from_secs(scene.scale(10, 1).into());
    let before = Sample::of(scene.pid)?;
    let mut outcome = Outcome::default();
    for reads in [false, true] {
        let flood = Flood {
            connections,
            time,
            reads,
            returns: true,
        };
        let flooded = flood.run(&scene, pings).await;
        let what = if reads {
            "pings, answers read"
        } else {
            "pings, answers unread"
        };
        if scene.stack == Stack::Carrick {
            flooded.must_be_cut(what, &mut outcome);
        }
        outcome.checks.push(Check::new(
            flooded.connected >= connections.into(),
            format!(
                "{what}: {} connections, {} pings, {} answers heard",
                flooded.connected, flooded.frames, flooded.pongs
            ),
        ));
        if !reads {
            let grown = Sample::of(scene.pid)?
                .rss_kib
                .saturating_sub(before.rss_kib);
            outcome.checks.push(Check::at_most(
                "KiB for each connection that does not read",
                grown / u64::from(connections),
                EACH_MAX_KIB,
            ));
        }
    }
    Ok(outcome)
}

fn pings(n: u32, out: &mut Vec<u8>) -> u64 {
    for at in 0..PINGS {
        out.extend_from_slice(&frame(
            Kind::Ping,
            Flags::SYN,
            0,
            n.wrapping_mul(PINGS) + at,
        ));
    }
    PINGS.into()
}

const PINGS: u32 = 1000;
/// Two buffers of answers, and the connection itself.
const EACH_MAX_KIB: u64 = 640;
