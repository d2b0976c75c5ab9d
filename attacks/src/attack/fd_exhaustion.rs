//! C-10: a victim that can open 256 files, while authenticated peers from many addresses and a flood of silent sockets want
//! more than that. Answered by accepting only as many as there are files for, and by pausing when there are none.

use std::{io, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::sleep;

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    held::{Held, Script},
};
use crate::{ground, sample::Sample, speaker::Speaker};

pub(super) const ATTACK: Attack = Attack {
    id: "C-10",
    name: "file exhaustion",
    files: 256,
    files_max: 256,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let peers = scene.scale(400, 300);
    let silent = scene.scale(1_000, 300);
    let mut speakers = Vec::new();
    for n in 0..peers {
        let victim = scene.tcp();
        speakers.push(tokio::spawn(async move {
            let source = ground::attacker_apart(n);
            Speaker::connect(source, victim)
                .await
                .map(|mut speaker| tokio::spawn(async move { speaker.until_closed().await }))
        }));
    }
    let from = |n| {
        (
            ground::attacker_apart(peers + n),
            scene.tcp(),
            Script::default(),
        )
    };
    let held = Held::open(silent, from).await;
    sleep(Duration::from_secs(2)).await;
    // By now everything that has a place has got it.
    let before = Sample::of(scene.pid)?;
    sleep(HOLD).await;
    let after = Sample::of(scene.pid)?;
    let busy = after.busy.saturating_sub(before.busy);
    let percent = (busy.as_millis() * 100 / HOLD.as_millis()) as u64;
    let refused = held.refused();
    drop(held);
    let speakers = join_all(speakers).await;
    let welcome = speakers.iter().filter(|each| matches!(each, Ok(Ok(_))));
    let welcome = welcome.count() as u64;
    for task in speakers.into_iter().flatten().flatten() {
        task.abort();
    }
    Ok(Outcome {
        tried: u64::from(peers + silent),
        refused: refused + u64::from(peers) - welcome,
        checks: vec![Check::at_most(
            "% of a core while nobody more fits in",
            percent,
            50,
        )],
        ..Outcome::default()
    })
}

const HOLD: Duration = Duration::from_secs(2);
