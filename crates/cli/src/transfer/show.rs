//! What people and programs see of a transfer: a bar on a terminal, or JSON objects on stdout; neither holds it up.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{failure::Failure, output};

/// How a command shows what it does.
#[derive(Clone, Debug)]
pub(crate) struct Show {
    json: bool,
    bars: Option<MultiProgress>,
}

/// How far something is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    pub(crate) done: u64,
    /// Part of `done` that was there before, and says nothing of the rate.
    pub(crate) before: u64,
    pub(crate) total: u64,
}

impl Show {
    pub(crate) fn new(json: bool) -> Self {
        let is_watched = !json && stderr().is_terminal();
        Self {
            json,
            bars: is_watched.then(MultiProgress::new),
        }
    }

    /// One object on stdout, for programs.
    pub(crate) fn event(&self, event: &Value) -> Result<(), Failure> {
        if self.json {
            output::result(&event.to_string())
        } else {
            Ok(())
        }
    }

    /// One line on stderr, for people, above the bars.
    pub(crate) fn note(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| output::note(line)),
            None if self.json => {}
            None => output::note(line),
        }
    }

    /// Runs `work` and shows how far it is. `label` says what it is, or which way it goes.
    pub(crate) async fn watch<T>(
        &self,
        label: &str,
        position: impl Fn() -> Position,
        work: impl Future<Output = T>,
    ) -> T {
        let bar = self.bars.as_ref().map(|bars| bars.add(bar(label)));
        let pace = match bar {
            Some(_) => Duration::from_millis(100),
            None => Duration::from_secs(1),
        };
        let mut looks = interval_at(Instant::now() + pace, pace);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = looks.tick() => self.look(bar.as_ref(), label, position()),
            }
        };
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        outcome
    }

    fn look(&self, bar: Option<&ProgressBar>, label: &str, position: Position) {
        let Position {
            done,
            before,
            total,
        } = position;
        if total == 0 {
            // Nobody has said yet what is to come.
            return;
        }
        if let Some(bar) = bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
            }
            if bar.position() < before {
                bar.set_position(before);
                bar.reset_eta();
            }
            bar.set_position(done);
        }
        // Whoever reads it may have gone; what is transferred goes on.
        let _ =
            self.event(&json!({"event": "progress", "of": label, "bytes": done, "total": total}));
    }
}

fn bar(label: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:28} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left  {msg}",
    );
    let bar = ProgressBar::new(0).with_message(output::plain(label));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A number of files for people.
pub(crate) fn counted(files: usize) -> String {
    format!("{files} file{}", if files == 1 { "" } else { "s" })
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
