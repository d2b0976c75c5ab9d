//! P-03: thousands of names, each with as many addresses as one message holds, a signed record of somebody else, and one of
//! its own with the highest sequence number there is; then they go. Answered by the limits of the peer store, and by taking a
//! record only from the peer that it is about.

use std::{io, sync::Arc, time::Duration};

use carrick::{Keypair, Multiaddr};
use carrick_wire::{identify::Message, peer_record::PeerRecord};
use tokio::{task::JoinSet, time::timeout};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    identified::{introduce, part},
};
use crate::ground;

pub(super) const ATTACK: Attack = Attack {
    id: "P-03",
    name: "poisoned peer store",
    // The store's own limit is 64 MiB, which as many names as here do not reach.
    rss_mib: 80,
    files: 200,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(2_000, 300);
    let third_party = record(&Keypair::generate_ed25519())?;
    let mut tasks = JoinSet::new();
    let (mut outcome, mut served) = (Outcome::default(), 0);
    for n in 0..count {
        if tasks.len() >= AT_ONCE {
            served += u64::from(matches!(tasks.join_next().await, Some(Ok(true))));
        }
        let (scene, third_party) = (scene.clone(), third_party.clone());
        tasks.spawn(async move {
            let told = tell(&scene, n, third_party);
            matches!(timeout(Duration::from_secs(5), told).await, Ok(Ok(())))
        });
    }
    while let Some(task) = tasks.join_next().await {
        served += u64::from(matches!(task, Ok(true)));
    }
    outcome.tried = count.into();
    outcome.refused = outcome.tried - served;
    outcome
        .checks
        .push(Check::new(served > 0, format!("{served} told their lies")));
    Ok(outcome)
}

async fn tell(scene: &Scene, n: u32, third_party: Vec<u8>) -> io::Result<()> {
    let keypair = Keypair::generate_ed25519();
    let address = |port: u16| {
        let [a, b, c, d] = n.to_be_bytes();
        [&[4, 66 + a, b, c, d, 6][..], &port.to_be_bytes()].concat()
    };
    let own = if n.is_multiple_of(2) {
        record(&keypair)?
    } else {
        third_party
    };
    let lie = Message {
        listen_addrs: (1..500).map(address).collect(),
        signed_peer_record: Some(own),
        ..Message::default()
    };
    let mut speaker = introduce(scene, ground::attacker_apart(n), &keypair, &part(&lie)).await?;
    // By the time that this is answered, the lie has been heard.
    super::identified::ask(&mut speaker).await?;
    Ok(())
}

/// A signed record that no later one can outdo.
fn record(keypair: &Keypair) -> io::Result<Vec<u8>> {
    let address: Multiaddr = "/ip4/66.1.1.1/tcp/4001".parse().map_err(io::Error::other)?;
    let record = PeerRecord {
        peer: keypair.public().to_peer_id(),
        seq: u64::MAX,
        addresses: vec![address],
    };
    record.seal(keypair).map_err(io::Error::other)
}

const AT_ONCE: usize = 64;
