//! P-02: a peer that pushes a new description of itself a thousand times. Answered by the pace at which pushes are read:
//! ten at once, then one in 5 s; the others are refused unread.

use std::{io, sync::Arc, time::Instant};

use carrick::Keypair;
use carrick_wire::identify::Message;

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    identified::{introduce, part},
};
use crate::ground;

pub(super) const ATTACK: Attack = Attack {
    id: "P-02",
    name: "identify push flood",
    rss_mib: 8,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let said = |n: u32| {
        part(&Message {
            agent_version: Some(format!("agent {n}")),
            ..Message::default()
        })
    };
    let keypair = Keypair::generate_ed25519();
    let mut speaker = introduce(&scene, ground::attacker(1), &keypair, &said(0)).await?;
    let since = Instant::now();
    let (mut heard, count) = (0, scene.scale(1_000, 1_000));
    for n in 1..=count {
        let Ok(key) = speaker.ask("/ipfs/id/push/1.0.0", &said(n)).await else {
            break;
        };
        let _ = speaker.finish(key).await;
        heard += u64::from(speaker.read_to_end(key).await.1);
    }
    let max = BURST + since.elapsed().as_secs() / 5 + 1;
    Ok(Outcome {
        tried: count.into(),
        refused: u64::from(count) - heard,
        checks: vec![
            Check::at_most("pushes read", heard, max),
            Check::new(heard > 0, "some are read"),
        ],
        ..Outcome::default()
    })
}

const BURST: u64 = 10;
