//! The user's say in who is let in: a function that the control task asks at each stage.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use carrick_swarm::{Stage, Verdict};
use tracing::error;

use crate::pace::Pace;

/// What the user says to who wants in.
pub(crate) type Judge = Arc<dyn Fn(Stage<'_>) -> Verdict + Send + Sync>;

/// Characters of a stage in a log line.
const STAGE_MAX: usize = 200;

/// Asks; whoever cannot be judged is not let in.
pub(crate) fn ask(judge: &Judge, stage: Stage<'_>) -> Verdict {
    let asked = catch_unwind(AssertUnwindSafe(|| judge(stage)));
    asked.unwrap_or_else(|_| {
        static PACE: Pace = Pace::new();
        if PACE.allows() {
            // It may hold a peer's words: escaped, and not all of them.
            let stage: String = format!("{stage:?}").chars().take(STAGE_MAX).collect();
            error!(stage, "the function that admits peers panicked");
        }
        Verdict::reject("the function that admits peers panicked")
    })
}
