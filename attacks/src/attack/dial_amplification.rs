//! P-05: peers whose addresses are other people's: a web server, the victim itself, its private network, a cloud's metadata.
//! Answered by contacting nobody whom the user did not name.

use std::{io, sync::Arc, time::Duration};

use carrick::Keypair;
use carrick_wire::identify::Message;
use tokio::time::sleep;

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    identified::{ask, introduce, part},
};
use crate::{ground, sample};

pub(super) const ATTACK: Attack = Attack {
    id: "P-05",
    name: "other people's addresses",
    rss_mib: 16,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(200, 30);
    let said = part(&Message {
        listen_addrs: TARGETS.iter().map(|target| target.to_vec()).collect(),
        ..Message::default()
    });
    let before = sample::dialed(scene.pid)?;
    let mut outcome = Outcome::default();
    for n in 0..count {
        let keypair = Keypair::generate_ed25519();
        outcome.tried += 1;
        let Ok(mut speaker) = introduce(&scene, ground::attacker_apart(n), &keypair, &said).await
        else {
            outcome.refused += 1;
            continue;
        };
        ask(&mut speaker).await?;
    }
    sleep(Duration::from_secs(1)).await;
    let dialed = sample::dialed(scene.pid)? - before;
    outcome.checks.push(Check::at_most(
        "connections that the victim tried to open",
        dialed,
        0,
    ));
    Ok(outcome)
}

/// TCP addresses: 66.1.1.1:22, 127.0.0.1:4001, 169.254.169.254:80, 10.0.0.1:80, 192.168.1.1:80, 224.0.0.1:80, 0.0.0.0:80,
/// our own, and ::ffff:10.0.0.1.
const TARGETS: [&[u8]; 9] = [
    &[4, 66, 1, 1, 1, 6, 0, 22],
    &[4, 127, 0, 0, 1, 6, 15, 161],
    &[4, 169, 254, 169, 254, 6, 0, 80],
    &[4, 10, 0, 0, 1, 6, 0, 80],
    &[4, 192, 168, 1, 1, 6, 0, 80],
    &[4, 224, 0, 0, 1, 6, 0, 80],
    &[4, 0, 0, 0, 0, 6, 0, 80],
    &[4, 9, 0, 0, 1, 6, 15, 161],
    &[
        41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1, 6, 0, 80,
    ],
];
