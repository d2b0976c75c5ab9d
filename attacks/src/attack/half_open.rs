//! C-02: connections that say a byte each second, stuck at one of six steps of the handshake. Answered by one deadline (10 s)
//! over the whole handshake, which no byte puts off, and by the limit for connections that have not shown who they are.

use std::{io, sync::Arc, time::Duration};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    held::{Held, Script},
};
use crate::{ground, speaker::proposal};

pub(super) const ATTACK: Attack = Attack {
    id: "C-02",
    name: "half-open, byte by byte",
    // The first bytes at the WebSocket port are waited for by others.
    files: 600,
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| config.session.upgrade_timeout = Duration::from_secs(60)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(5_000, 500);
    let scripts = scripts();
    let from = |n: u32| {
        let step = n as usize % scripts.len();
        let port = if step == WEBSOCKET {
            scene.ws()
        } else {
            scene.tcp()
        };
        (ground::attacker_apart(n), port, scripts[step].clone())
    };
    let held = Held::open(count, from).await;
    let left = held.settle(0, GONE + Duration::from_secs(1)).await;
    let longest = held.longest();
    Ok(Outcome {
        tried: u64::from(count),
        refused: held.refused(),
        checks: vec![
            Check::at_most("still open", left, 0),
            Check::new(
                longest <= GONE,
                format!(
                    "the longest lived {:.1} s of at most 11 s",
                    longest.as_secs_f64()
                ),
            ),
        ],
        ..Outcome::default()
    })
}

/// The steps.
fn scripts() -> [Script; 6] {
    let slow = |first: &[u8], rest: &[u8]| Script {
        first: first.to_vec(),
        drop_by_drop: rest.to_vec(),
    };
    let noise_start = [&[0, 32][..], &[9; 32]].concat();
    [
        slow(&[], &[]),
        slow(&[], &proposal("/noise")),
        slow(&proposal("/noise"), &noise_start),
        // What comes next would be the third message.
        slow(
            &[&proposal("/noise")[..], &noise_start].concat(),
            &[0, 200, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        ),
        // The start of a record that holds a ClientHello of 508 bytes.
        slow(
            &[
                &proposal("/tls/1.0.0")[..],
                &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
            ]
            .concat(),
            &[7; 20],
        ),
        slow(b"G", b"ET / HTTP/1.1\r\nHost: 9.0.0.1\r\n"),
    ]
}

/// The step that is at the other port.
const WEBSOCKET: usize = 5;
/// The deadline, and a second.
const GONE: Duration = Duration::from_secs(11);
