//! C-04: authenticated peers open streams and never agree on a protocol: the header and then nothing, half a proposal, lists,
//! answers instead of proposals, a thousand proposals. Answered by the deadline of a negotiation and by its 64 proposals.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use carrick_session::{Key, Read};
use tokio::{task::JoinSet, time::timeout};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    ground,
    speaker::{Speaker, proposal},
};

pub(super) const ATTACK: Attack = Attack {
    id: "C-04",
    name: "stalled negotiations",
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| config.negotiation_timeout = Duration::from_secs(60)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let streams = scene.scale(100, 20);
    let mut tasks = JoinSet::new();
    for (n, (what, words, refusals_max)) in words().into_iter().enumerate() {
        let (source, victim) = (ground::attacker_apart(n as u32), scene.tcp());
        tasks.spawn(async move {
            let mut speaker = Speaker::connect(source, victim).await?;
            let mut keys = Vec::new();
            let since = Instant::now();
            for _ in 0..streams {
                // It may be refused in the middle of its words.
                keys.push(speaker.open(&words).await?);
            }
            let (ended, refusals) = until_ended(&mut speaker, keys, since + STALL_MAX).await;
            Ok::<_, io::Error>((what, ended, refusals, refusals_max))
        });
    }
    let mut outcome = Outcome::default();
    while let Some(task) = tasks.join_next().await {
        let (what, ended, refusals, refusals_max) = task.map_err(io::Error::other)??;
        let left = u64::from(streams) - ended;
        outcome.tried += u64::from(streams);
        outcome.refused += ended;
        let text = format!("{what}: streams left after {} s", STALL_MAX.as_secs());
        outcome.checks.push(Check::at_most(&text, left, 0));
        let text = format!("{what}: most refusals sent on one stream");
        outcome
            .checks
            .push(Check::at_most(&text, refusals, refusals_max));
    }
    outcome.checks.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(outcome)
}

/// How many of the streams end by then, and the most refusals that one of them heard.
async fn until_ended(speaker: &mut Speaker, mut keys: Vec<Key>, by: Instant) -> (u64, u64) {
    let all = keys.len();
    let mut heard = std::collections::BTreeMap::<Key, u64>::new();
    loop {
        keys.retain(|key| {
            loop {
                match speaker.read(*key) {
                    Ok(Read::Data(bytes)) => {
                        let refusals = bytes.windows(REFUSAL.len()).filter(|part| *part == REFUSAL);
                        *heard.entry(*key).or_default() += refusals.count() as u64;
                    }
                    Ok(Read::Blocked) => return true,
                    Ok(Read::End) | Err(_) => return false,
                }
            }
        });
        let left = by.saturating_duration_since(Instant::now());
        if keys.is_empty() || left.is_zero() {
            break;
        }
        match timeout(left, speaker.recv()).await {
            Ok(Ok(true)) => {}
            // The whole connection is gone, and the streams with it.
            Ok(Ok(false) | Err(_)) => keys.clear(),
            Err(_) => {}
        }
    }
    let most = heard.values().copied().max().unwrap_or_default();
    ((all - keys.len()) as u64, most)
}

/// What is said on each stream, and how often that may be refused.
fn words() -> [(&'static str, Vec<u8>, u64); 5] {
    let header = &proposal("/x")[..20];
    let then = |rest: &[u8]| [header, rest].concat();
    [
        ("the header", then(&[]), 0),
        ("half a proposal", then(b"\x10/ipfs/i"), 0),
        ("lists", then(&b"\x03ls\n".repeat(20)), 0),
        ("refusals", then(&REFUSAL.repeat(100)), 0),
        (
            "1,000 proposals",
            then(&b"\x03/x\n".repeat(1000)),
            PROPOSALS_MAX,
        ),
    ]
}

const REFUSAL: &[u8] = b"\x03na\n";
const PROPOSALS_MAX: u64 = 64;
/// The deadline of 5 s, and a second.
const STALL_MAX: Duration = Duration::from_secs(6);
