//! C-01: thousands of TCP connections at once that say nothing, first from one address, then each from another one.
//! Answered by the limit for one address (8) and by the one for connections that have not shown who they are (128): what is
//! beyond them is closed unread.

use std::{io, sync::Arc, time::Duration};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    held::{Held, Script},
};
use crate::ground;

pub(super) const ATTACK: Attack = Attack {
    id: "C-01",
    name: "TCP connection flood",
    // Twice the pending ones: those of one round may not be gone when the next ones come.
    files: 300,
    row: Some(2),
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| {
        let swarm = &mut config.swarm;
        swarm.pending_inbound_max = usize::MAX;
        swarm.connections_inbound_max = usize::MAX;
        swarm.connections_per_ip_max = usize::MAX;
    }),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(10_000, 1_000);
    let mut outcome = Outcome::default();
    let rounds = [
        ("left open, of one address", 0, PER_ADDRESS_MAX),
        ("left open, of many addresses", 1, PENDING_MAX),
    ];
    for (what, spread, max) in rounds {
        let from = |n| {
            (
                ground::attacker_apart(n * spread),
                scene.tcp(),
                Script::default(),
            )
        };
        let held = Held::open(count, from).await;
        // Before the deadline of the handshake ends them all.
        let left = held.settle(max, SETTLE).await;
        outcome.checks.push(Check::at_most(what, left, max));
        outcome.tried += u64::from(count);
        outcome.refused += held.refused();
    }
    Ok(outcome)
}

const PER_ADDRESS_MAX: u64 = 8;
const PENDING_MAX: u64 = 128;
const SETTLE: Duration = Duration::from_secs(8);
