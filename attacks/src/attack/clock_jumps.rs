//! O-01: the victim's wall clock jumps by seconds and by years, both ways, and to before 1970; the process is stopped for a
//! while, as when a machine is suspended; its monotonic clock is ten years ahead from the start. Answered by counting time
//! by the monotonic clock only, and by arithmetic that cannot overflow.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{process::Command, time::sleep};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    clocks::{AHEAD_S, shift},
    ground,
    speaker::Speaker,
    victim::signal,
};

pub(super) const ATTACK: Attack = Attack {
    id: "O-01",
    name: "clock jumps and suspension",
    rss_mib: 8,
    // What is asked of a stopped process is answered afterwards.
    slower_max: Duration::from_secs(SUSPENDED_S as u64 + 5),
    clocks: true,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let file = scene.shift.as_deref().ok_or(io::ErrorKind::NotFound)?;
    let mut outcome = Outcome::default();
    let offsets = std::fs::read_to_string(format!("/proc/{}/timens_offsets", scene.pid))?;
    outcome.checks = vec![
        Check::new(
            offsets.contains(&AHEAD_S.to_string()),
            "the victim's monotonic clock is ten years ahead",
        ),
        Check::new(
            wall_moves(&scene, file).await?,
            "the victim's wall clock moves",
        ),
    ];
    let mut served = 0;
    for jump in JUMPS_S {
        shift(file, jump)?;
        sleep(Duration::from_millis(300)).await;
        outcome.tried += 1;
        let source = ground::attacker_apart(outcome.tried as u32);
        served += u64::from(Speaker::connect(source, scene.tcp()).await.is_ok());
    }
    shift(file, 0)?;
    let suspended = scene.scale(SUSPENDED_S, 2);
    signal(scene.pid, "STOP").await.map_err(io::Error::other)?;
    sleep(Duration::from_secs(suspended.into())).await;
    signal(scene.pid, "CONT").await.map_err(io::Error::other)?;
    sleep(Duration::from_millis(500)).await;
    outcome.refused = outcome.tried - served;
    let unserved = outcome.refused;
    outcome
        .checks
        .push(Check::at_most("not served after a jump", unserved, 0));
    Ok(outcome)
}

/// Whether the library does what it should, seen with another program that looks at the same file.
async fn wall_moves(scene: &Scene, file: &Path) -> io::Result<bool> {
    let environment = std::fs::read(format!("/proc/{}/environ", scene.pid))?;
    let preload = environment
        .split(|byte| *byte == 0)
        .find(|variable| variable.starts_with(b"LD_PRELOAD="));
    let preload = String::from_utf8_lossy(preload.unwrap_or_default()).into_owned();
    shift(file, YEAR_S)?;
    let shifted = Command::new("env")
        .args([preload, format!("WALL_SHIFT={}", file.display())])
        .args(["date", "+%s"])
        .output()
        .await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let shifted = String::from_utf8_lossy(&shifted.stdout)
        .trim()
        .parse::<u64>();
    let now = now.map_err(io::Error::other)?.as_secs();
    Ok(shifted.is_ok_and(|shifted| shifted.abs_diff(now) > YEAR_S as u64 / 2))
}

const YEAR_S: i64 = 365 * 24 * 3600;
/// From what it should be: each is a jump from the one before it.
const JUMPS_S: [i64; 6] = [1, -1, YEAR_S, -YEAR_S, -60 * YEAR_S, 200 * YEAR_S];
/// Shorter than the 40 s after which honest peers give up somebody silent.
const SUSPENDED_S: u32 = 25;
