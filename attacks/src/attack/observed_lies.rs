//! P-04: a thousand names from three networks swear that the victim has another address. Answered by believing an address
//! only when observers from at least four networks say so.

use std::{io, sync::Arc, time::Duration};

use carrick::Keypair;
use carrick_wire::identify::Message;
use tokio::{task::JoinSet, time::sleep};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    identified::{ask, introduce, part},
};
use crate::ground;

pub(super) const ATTACK: Attack = Attack {
    id: "P-04",
    name: "lies about our address",
    rss_mib: 16,
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| config.swarm.observers_min = 1),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let rounds = scene.scale(42, 3);
    let lie = part(&Message {
        observed_addr: Some(LIE.to_vec()),
        ..Message::default()
    });
    let mut outcome = Outcome::default();
    let mut advertised = false;
    for _ in 0..rounds {
        let mut tasks = JoinSet::new();
        for n in 0..24 {
            let (scene, lie) = (scene.clone(), lie.clone());
            tasks.spawn(async move {
                let (source, keypair) =
                    (ground::attacker_apart(n % 3), Keypair::generate_ed25519());
                let mut speaker = introduce(&scene, source, &keypair, &lie).await?;
                // It is answered after the lie was read.
                ask(&mut speaker).await?;
                Ok::<_, io::Error>(speaker)
            });
        }
        let mut liars = Vec::new();
        while let Some(task) = tasks.join_next().await {
            outcome.tried += 1;
            match task {
                Ok(Ok(liar)) => liars.push(liar),
                _ => outcome.refused += 1,
            }
        }
        // All of them are there, and what they said has been heard.
        sleep(Duration::from_millis(100)).await;
        if let Some(liar) = liars.first_mut() {
            let said = ask(liar).await?;
            advertised |= said.listen_addrs.iter().any(|each| each == LIE);
        }
    }
    let heard = outcome.tried - outcome.refused;
    outcome.checks = vec![
        Check::new(heard >= 20, format!("{heard} lies were told")),
        Check::new(
            !advertised,
            format!("the victim repeats the lie: {advertised}"),
        ),
    ];
    Ok(outcome)
}

/// /ip4/66.66.66.66/tcp/4001
const LIE: &[u8] = &[4, 66, 66, 66, 66, 6, 15, 161];
