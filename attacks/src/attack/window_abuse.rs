//! M-05: windows that overflow, at once or little by little; data beyond a window by one byte; a million grants of one byte.
//! Answered by checked sums: what breaks a window ends the connection, what is merely foolish costs its sender most.

use std::{io, sync::Arc, time::Duration};

use carrick_wire::yamux::{Flags, INITIAL_WINDOW, Kind};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    scripted::{Case, End, Found, say},
};
use crate::{
    ground,
    raw::{Raw, data, frame},
    speaker::proposal,
};

pub(super) const ATTACK: Attack = Attack {
    id: "M-05",
    name: "window abuse",
    row: Some(5),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    for (n, case) in cases(&scene).iter().enumerate() {
        let check = case.check(&scene, ground::attacker_apart(n as u32));
        outcome.checks.push(check.await?);
    }
    outcome.checks.push(beyond_by_one(&scene).await?);
    outcome.tried = outcome.checks.len() as u64;
    Ok(outcome)
}

fn cases(scene: &Scene) -> Vec<Case> {
    let grant = |flags, bytes| frame(Kind::WindowUpdate, flags, 1, bytes);
    let (none, syn) = (Flags::EMPTY, Flags::SYN);
    let open = data(1, syn, &proposal("/x")[..20]);
    let window = INITIAL_WINDOW as usize;
    let drops = scene.scale(1_000_000, 100_000) as usize;
    vec![
        Case::new(
            "a grant that overflows",
            End::Cut,
            &[&open, &grant(none, u32::MAX)],
        ),
        Case::new(
            "grants that overflow together",
            End::Cut,
            &[&open, &grant(none, 1 << 31).repeat(2)],
        ),
        Case::new(
            "a first frame that overflows",
            End::Cut,
            &[&grant(syn, u32::MAX)],
        ),
        Case::new(
            "a grant that overflows after our end",
            End::Either,
            &[&open, &data(1, Flags::FIN, &[]), &grant(none, u32::MAX)],
        ),
        Case::new(
            "a grant after a reset",
            End::Lives,
            &[&open, &grant(Flags::RST, 0), &grant(none, 5)],
        ),
        Case::new("a grant for nobody", End::Lives, &[&grant(none, u32::MAX)]),
        Case::new(
            "a full window at once",
            End::Lives,
            &[&data(1, syn, &vec![0xff; window])],
        ),
        Case::new(
            "a first frame with a byte too much",
            End::Cut,
            &[&data(1, syn, &vec![0xff; window + 1])],
        ),
        Case::new(
            "2,000 grants of nothing",
            End::Cut,
            &[&open, &grant(none, 0).repeat(2000)],
        ),
        Case::new(
            "grants of one byte",
            End::Lives,
            &[&open, &grant(none, 1).repeat(drops)],
        ),
    ]
}

/// All that the windows of an echo allow, whose answers are not granted room; then a byte more.
async fn beyond_by_one(scene: &Scene) -> io::Result<Check> {
    let mut raw = Raw::connect(ground::attacker_apart(1000), scene.tcp()).await?;
    raw.ask(1, "/echo/1.0.0", &[]).await?;
    let said = proposal("/echo/1.0.0").len() as u32;
    let (mut granted, mut left) = (INITIAL_WINDOW, INITIAL_WINDOW - said);
    while left > 0 {
        raw.writer
            .send(&data(1, Flags::EMPTY, &vec![7; left as usize]))
            .await?;
        let before = granted;
        raw.until(QUIET, |frame| {
            if frame.header.kind == Kind::WindowUpdate {
                granted += frame.header.length;
            }
            false
        })
        .await;
        left = granted - before;
        // A victim that takes everything is another matter.
        if granted > 64 * INITIAL_WINDOW {
            return Ok(Check::new(
                false,
                "an echo whose answers have no room takes all",
            ));
        }
    }
    let found = say(raw, &data(1, Flags::EMPTY, &[7])).await;
    let ended = matches!(found, Found::Accused | Found::Closed);
    Ok(Check::new(
        ended,
        format!("a byte beyond {granted} that were granted: {found:?}"),
    ))
}

/// Longer than it takes to grant what has been read.
const QUIET: Duration = Duration::from_millis(500);
