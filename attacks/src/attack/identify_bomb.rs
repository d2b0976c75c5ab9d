//! P-01: peers that say far too much of themselves, in every way there is. Answered by the limits on a message (8 KiB), on its
//! parts (10) and on what is kept of them: 64 addresses, 256 protocols, 256 bytes of a name.

use std::{io, sync::Arc, time::Duration};

use carrick::Keypair;
use carrick_wire::{identify::Message, varint};
use tokio::time::timeout;

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    identified::{introduce, part},
};
use crate::{ground, speaker::delimited};

pub(super) const ATTACK: Attack = Attack {
    id: "P-01",
    name: "identify bombs",
    // 200 peers with 80 KiB each would be as much.
    rss_mib: 16,
    files: 400,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let bombs = bombs();
    let count = scene.scale(200, 60);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..count {
        let (scene, bomb) = (scene.clone(), bombs[n as usize % bombs.len()].clone());
        tasks.spawn(async move {
            let (source, keypair) = (ground::attacker_apart(n), Keypair::generate_ed25519());
            let introduced = introduce(&scene, source, &keypair, &bomb);
            // All of them are there at once.
            let mut speaker = timeout(PATIENCE, introduced).await.ok()?.ok()?;
            timeout(Duration::from_secs(1), speaker.until_closed())
                .await
                .err()
        });
    }
    let (mut outcome, mut stayed) = (Outcome::default(), 0);
    while let Some(task) = tasks.join_next().await {
        outcome.tried += 1;
        stayed += u64::from(matches!(task, Ok(Some(_))));
    }
    outcome.refused = outcome.tried - stayed;
    outcome
        .checks
        .push(Check::new(stayed > 0, format!("{stayed} bombs went off")));
    Ok(outcome)
}

fn bombs() -> Vec<Vec<u8>> {
    let address = |n: u16| {
        [
            &[4, 11][..],
            &n.to_be_bytes(),
            &[1, 6],
            &4001_u16.to_be_bytes(),
        ]
        .concat()
    };
    let long = |n: u8| {
        let name = vec![b'a' + n; 1000];
        // /dns4 and a name of that length.
        [&[54, 0xe8, 0x07][..], &name, &[6, 15, 161]].concat()
    };
    let mut addresses = Vec::new();
    for first in (0..10_000).step_by(500) {
        let listen_addrs = (first..first + 500).map(address).collect();
        addresses.extend(part(&Message {
            listen_addrs,
            ..Message::default()
        }));
    }
    let mut longs = Vec::new();
    for first in 0..3 {
        let listen_addrs = (8 * first..8 * first + 8).map(long).collect();
        longs.extend(part(&Message {
            listen_addrs,
            ..Message::default()
        }));
    }
    let mut protocols = Vec::new();
    for first in (0..50_000).step_by(1000) {
        let protocols_of = (first..first + 1000).map(|n| format!("/{n}")).collect();
        protocols.extend(part(&Message {
            protocols: protocols_of,
            ..Message::default()
        }));
    }
    let agent = Message {
        agent_version: Some("x".repeat(1 << 20)),
        ..Message::default()
    };
    let agent_that_fits = Message {
        agent_version: Some("\u{1b}[31m\n".repeat(1000)),
        ..Message::default()
    };
    let mut endless = Vec::new();
    varint::encode(u64::MAX >> 1, &mut endless);
    endless.resize(64 << 10, 0);
    // Field 6, two bytes that are not UTF-8.
    let not_text = delimited(&[0x32, 2, 0xff, 0xfe]);
    vec![
        addresses,
        longs,
        protocols,
        part(&agent),
        part(&agent_that_fits),
        endless,
        not_text,
    ]
}

const PATIENCE: Duration = Duration::from_secs(5);
