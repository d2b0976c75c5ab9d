//! C-12: peers with ever new names connect and connect again, to crowd out those who have been here for long. Answered by
//! refusing newcomers when all places are taken, and by trimming those who are worth least. It lasts, unless in haste, until
//! the honest peers' time of grace is over while the newcomers' is not.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{Attack, Check, Outcome, PLAIN, Scene, crowd::Crowd};
use crate::ground;

pub(super) const ATTACK: Attack = Attack {
    id: "C-12",
    name: "crowding out",
    files: 200,
    only_carrick: Some("it sets the number of places by `--max-connections`"),
    // 64 of them are for those who dial us; above 56 some are trimmed.
    args: &["--max-connections", "96"],
    lost_max: 4,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(700, 200);
    let time = Duration::from_secs(scene.scale(45, 3).into());
    let since = Instant::now();
    let mut outcome = Outcome::default();
    let mut most = 0;
    while since.elapsed() < time {
        let first = outcome.tried as u32;
        let from = |n| (ground::attacker_apart(first + n), scene.tcp());
        let crowd = Crowd::join(count, from).await;
        // Some are in, some are sent away; then they all come anew.
        for _ in 0..5 {
            sleep(Duration::from_millis(200)).await;
            most = most.max(crowd.staying());
        }
        outcome.tried += crowd.count();
        outcome.refused += crowd.count() - crowd.staying();
    }
    outcome.checks.push(Check::new(
        most > 0,
        format!("at most {most} were in at once"),
    ));
    Ok(outcome)
}
