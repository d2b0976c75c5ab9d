//! Connections that say yamux frames as fast as they can, again from somewhere else when they are cut off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use carrick_wire::yamux::{Flags, Kind};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout, timeout_at},
};

use super::{Check, Figure, Outcome, Scene};
use crate::{
    ground,
    raw::{Raw, RawReader},
};

/// How it is done.
pub(super) struct Flood {
    /// At once.
    pub(super) connections: u32,
    /// Altogether.
    pub(super) time: Duration,
    /// Whether what the victim says is read.
    pub(super) reads: bool,
    /// Whether whoever is cut off comes again as somebody else.
    pub(super) returns: bool,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Flooded {
    /// Connections made.
    pub(super) connected: u64,
    /// Connections that were not let in.
    pub(super) refused: u64,
    /// Frames that left.
    pub(super) frames: u64,
    /// Connections that the victim ended.
    pub(super) cut: u64,
    /// How long the longest connection lasted, whether or not it was ended.
    pub(super) longest: Duration,
    /// Connections that were told of a protocol error.
    pub(super) accused: u64,
    /// Resets heard.
    pub(super) resets: u64,
    /// Answers to pings heard.
    pub(super) pongs: u64,
}

impl Flooded {
    /// For frames that end the connection: who says them is cut off in time; why, gets lost on the way to those who do not stop.
    pub(super) fn must_be_cut(&self, what: &str, outcome: &mut Outcome) {
        outcome.tried += self.connected + self.refused;
        outcome.refused += self.cut + self.refused;
        let seconds = self.longest.as_secs_f64();
        let text = format!(
            "{what}: of {} connections {} were cut off, the longest lasted {seconds:.1} s of at most 5 s; {} were told why",
            self.connected, self.cut, self.accused
        );
        // Those that come last may not have had the time for it.
        let all = self.cut > 0 && self.longest <= CUT_MAX;
        outcome.checks.push(Check::new(all, text));
        let name = format!("{what}: until an attacker is cut off");
        outcome.figures.push(Figure::at_most(
            5,
            &name,
            if self.cut > 0 { seconds } else { NEVER_S },
            "s",
            CUT_MAX.as_secs_f64(),
        ));
    }
}

#[derive(Default)]
struct Count {
    connected: AtomicU64,
    refused: AtomicU64,
    frames: AtomicU64,
    cut: AtomicU64,
    longest_ms: AtomicU64,
    accused: AtomicU64,
    resets: AtomicU64,
    pongs: AtomicU64,
    next: AtomicU32,
}

impl Flood {
    /// Floods: `block(n, out)` puts the n-th block of a connection's frames into `out`, and says how many they are; none: that was all.
    pub(super) async fn run<F>(self, scene: &Arc<Scene>, block: F) -> Flooded
    where
        F: Fn(u32, &mut Vec<u8>) -> u64 + Copy + Send + Sync + 'static,
    {
        let count = Arc::<Count>::default();
        let end = Instant::now() + self.time;
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let (scene, count) = (scene.clone(), count.clone());
            tasks.spawn(async move {
                loop {
                    let n = count.next.fetch_add(1, Relaxed);
                    let source = ground::attacker_apart(n);
                    match Raw::connect(source, scene.tcp()).await {
                        Ok(raw) => {
                            count.connected.fetch_add(1, Relaxed);
                            one(raw, end, self.reads, &count, block).await;
                        }
                        Err(_) => {
                            count.refused.fetch_add(1, Relaxed);
                            sleep(Duration::from_millis(50)).await;
                        }
                    }
                    if !self.returns || Instant::now() >= end {
                        return;
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Flooded {
            connected: read(&count.connected),
            refused: read(&count.refused),
            frames: read(&count.frames),
            cut: read(&count.cut),
            longest: Duration::from_millis(read(&count.longest_ms)),
            accused: read(&count.accused),
            resets: read(&count.resets),
            pongs: read(&count.pongs),
        }
    }
}

/// One connection until the end, or its own.
async fn one<F>(raw: Raw, end: Instant, reads: bool, count: &Arc<Count>, block: F)
where
    F: Fn(u32, &mut Vec<u8>) -> u64,
{
    let Raw {
        mut reader,
        mut writer,
    } = raw;
    let since = Instant::now();
    let speak = async {
        let mut out = Vec::new();
        for n in 0.. {
            let frames = block(n, &mut out);
            if frames == 0 {
                std::future::pending::<()>().await;
            }
            if writer.send(&out).await.is_err() {
                return;
            }
            count.frames.fetch_add(frames, Relaxed);
            out.clear();
            // Others of us have their turn.
            tokio::task::yield_now().await;
        }
    };
    let cut = if reads {
        let both = async {
            tokio::select! {
                () = listen(&mut reader, count) => {}
                // What it still has to say is heard below.
                () = speak => {}
            }
        };
        timeout_at(end.into(), both).await.is_ok()
    } else {
        timeout_at(end.into(), speak).await.is_ok()
    };
    let lasted = since.elapsed().as_millis() as u64;
    count.longest_ms.fetch_max(lasted, Relaxed);
    if cut {
        count.cut.fetch_add(1, Relaxed);
        let _ = timeout(LAST_WORDS, listen(&mut reader, count)).await;
    }
}

/// Until the other side closes.
async fn listen(reader: &mut RawReader, count: &Count) {
    while let Ok(Some(frame)) = reader.next().await {
        match frame.header.kind {
            Kind::GoAway => {
                let accused = frame.header.length == PROTOCOL_ERROR;
                count.accused.fetch_add(u64::from(accused), Relaxed);
            }
            Kind::Ping if frame.header.flags.contains(Flags::ACK) => {
                count.pongs.fetch_add(1, Relaxed);
            }
            _ if frame.header.flags.contains(Flags::RST) => {
                count.resets.fetch_add(1, Relaxed);
            }
            _ => {}
        }
    }
}

/// Whoever breaks the protocol has no longer.
const CUT_MAX: Duration = Duration::from_secs(5);
/// For nobody was.
const NEVER_S: f64 = 999.0;
const PROTOCOL_ERROR: u32 = 1;
const LAST_WORDS: Duration = Duration::from_millis(500);
