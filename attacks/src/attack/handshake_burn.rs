//! C-03: handshakes that are begun to make the victim calculate: a first message and nothing more, nonsense, and somebody
//! else's messages again, while nine of ten connections are of this kind. Answered by the pace at which one address may begin
//! handshakes, by the limit for those that are under way, and by one deadline over all of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{interval, timeout},
};

use super::{Attack, Check, Figure, Outcome, PLAIN, Scene};
use crate::{
    ground,
    sample::Sample,
    source,
    speaker::{Speaker, proposal},
};

pub(super) const ATTACK: Attack = Attack {
    id: "C-03",
    name: "handshake burn",
    row: Some(4),
    files: 600,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

/// What is said instead of a handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The first message, and nothing more for as long as the victim waits.
    Stop,
    /// A first message that is none.
    Nonsense,
    /// A first message that was seen elsewhere, and a third one that does not fit.
    Replay,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Stop, "a first message and no more"),
    (Kind::Nonsense, "nonsense"),
    (Kind::Replay, "a replay"),
];

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let time = Duration::from_secs(scene.scale(12, 1).into());
    let mut outcome = Outcome::default();
    let alone = offer(&scene, time, 0, 0).await;
    for (at, (kind, what)) in KINDS.into_iter().enumerate() {
        let first = 20_000 + 2_000 * at as u32;
        let cost = cost(&scene, kind, first, scene.scale(300, 60)).await?;
        outcome.tried += u64::from(scene.scale(300, 60));
        outcome.checks.push(Check::at_most(
            &format!("microseconds of processor for {what}"),
            cost,
            COST_MAX_US,
        ));
    }
    let loaded = offer(&scene, time, 9, 2_000).await;
    let percent = 100.0 * loaded as f64 / alone.max(1) as f64;
    outcome.tried += 10 * u64::from(HONEST_PER_SECOND) * time.as_secs();
    outcome.checks.push(Check::new(
        percent >= 50.0,
        format!("{loaded} honest handshakes while nine of ten are not, {alone} without them"),
    ));
    outcome.figures.push(Figure::at_least(
        4,
        "honest handshakes when 90 % of connections are garbage, of those without it",
        percent,
        "%",
        50.0,
    ));
    Ok(outcome)
}

/// How many honest newcomers are let in while `garbage` others come for each of them. The first comes from the address `first`.
async fn offer(scene: &Arc<Scene>, time: Duration, garbage: u32, first: u32) -> u64 {
    let served = Arc::<AtomicU64>::default();
    let mut tasks = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / HONEST_PER_SECOND);
    let until = Instant::now() + time;
    let mut n = first;
    while Instant::now() < until {
        ticks.tick().await;
        for at in 0..garbage {
            let (kind, _) = KINDS[at as usize % KINDS.len()];
            tasks.spawn(waste(ground::attacker_apart(n), scene.tcp(), kind));
            n += 1;
        }
        let (source, victim, served) = (ground::attacker_apart(n), scene.tcp(), served.clone());
        tasks.spawn(async move {
            if Speaker::connect(source, victim).await.is_ok() {
                served.fetch_add(1, Relaxed);
            }
        });
        n += 1;
    }
    // Those who came last have a moment; those who hold on are let go.
    tokio::time::sleep(Duration::from_millis(500)).await;
    served.load(Relaxed)
}

/// Processor time of the victim for each attempt, in microseconds.
async fn cost(scene: &Scene, kind: Kind, first: u32, count: u32) -> io::Result<u64> {
    let before = Sample::of(scene.pid)?.busy;
    for n in 0..count {
        let work = waste(ground::attacker_apart(first + n), scene.tcp(), kind);
        // What is held open is let go as soon as it is answered.
        let _ = timeout(Duration::from_millis(2), work).await;
    }
    let busy = Sample::of(scene.pid)?.busy.saturating_sub(before);
    Ok(busy.as_micros() as u64 / u64::from(count))
}

async fn waste(source: IpAddr, victim: SocketAddr, kind: Kind) {
    let Ok(mut socket) = source::connect(source, victim).await else {
        return;
    };
    let first = [&[0, 32][..], &[9; 32]].concat();
    let words = match kind {
        Kind::Stop => first,
        Kind::Nonsense => [&[0, 31][..], &[0xff; 31]].concat(),
        Kind::Replay => [&first[..], &[0, 200], &[5; 200]].concat(),
    };
    let all = [&proposal("/noise")[..], &words].concat();
    if socket.write_all(&all).await.is_ok() {
        let mut part = [0; 512];
        while matches!(socket.read(&mut part).await, Ok(n) if n > 0) {}
    }
}

const HONEST_PER_SECOND: u32 = 40;
/// Two multiplications on a curve, a signature and a socket.
const COST_MAX_US: u64 = 3_000;
