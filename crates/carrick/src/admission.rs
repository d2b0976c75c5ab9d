//! The user's say in who is let in: a function that the control task asks at each stage.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use carrick_swarm::{Stage, Verdict};
use tracing::error;

/// What the user says to who wants in.
pub(crate) type Judge = Arc<dyn Fn(Stage<'_>) -> Verdict + Send + Sync>;

/// Asks; whoever cannot be judged is not let in.
pub(crate) fn ask(judge: &Judge, stage: Stage<'_>) -> Verdict {
    let asked = catch_unwind(AssertUnwindSafe(|| judge(stage)));
    asked.unwrap_or_else(|_| {
        error!(?stage, "the function that admits peers panicked");
        Verdict::reject("the function that admits peers panicked")
    })
}
