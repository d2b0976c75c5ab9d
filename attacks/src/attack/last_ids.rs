//! M-11: streams with the last ids that there are, and then the first ones again. Answered by ids that are looked up and never
//! counted on. That our own ids end without beginning anew is a test of the session's.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::{Flags, Kind};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    scripted::{Found, say},
};
use crate::{
    ground,
    raw::{Raw, data},
    speaker::proposal,
};

pub(super) const ATTACK: Attack = Attack {
    id: "M-11",
    name: "the last stream ids",
    rss_mib: 8,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut raw = Raw::connect(ground::attacker(1), scene.tcp()).await?;
    let mut outcome = Outcome::default();
    for id in [u32::MAX - 2, u32::MAX, 1, 3] {
        raw.ask(id, PING, &[id as u8; 32]).await?;
        let mut heard = Vec::new();
        raw.until(PATIENCE, |frame| {
            if frame.header.stream == id && frame.header.kind == Kind::Data {
                heard.extend_from_slice(&frame.body);
            }
            heard.len() >= proposal(PING).len() + 32
        })
        .await;
        let echoed = heard.ends_with(&[id as u8; 32]);
        outcome
            .checks
            .push(Check::new(echoed, format!("stream {id} is served")));
        outcome.tried += 1;
        // As many ping streams as a peer may have.
        if id == u32::MAX {
            let ends = [u32::MAX - 2, u32::MAX].map(|id| data(id, Flags::FIN, &[]));
            raw.writer.send(&ends.concat()).await?;
            let mut ended = 0;
            raw.until(PATIENCE, |frame| {
                ended += u32::from(frame.header.flags.contains(Flags::FIN));
                ended == 2
            })
            .await;
        }
    }
    let lives = raw.answers(PATIENCE).await;
    outcome.checks.push(Check::new(
        lives,
        format!("the connection lives after them: {lives}"),
    ));
    let found = say(raw, &data(1, Flags::SYN, &[])).await;
    let ended = matches!(found, Found::Accused | Found::Closed);
    outcome.refused = u64::from(ended);
    outcome.checks.push(Check::new(
        ended,
        format!("an id that is in use, again: {found:?}"),
    ));
    Ok(outcome)
}

const PING: &str = "/ipfs/ping/1.0.0";
const PATIENCE: Duration = Duration::from_secs(3);
