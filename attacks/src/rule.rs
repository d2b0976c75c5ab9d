//! The pass rule: nothing panics, memory and files stay within the attack's budget, honest peers notice little, and half a
//! minute later nothing is left of it.

use std::time::Duration;

use crate::{
    attack::{Attack, Check},
    honest::Pings,
    sample::Sample,
};

/// What the judge has seen of one attack.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) before: Sample,
    pub(crate) peak: Sample,
    pub(crate) after: Sample,
    pub(crate) pings: [Pings; 3],
    pub(crate) panics: u64,
    /// What the attacker tried.
    pub(crate) tried: u64,
    /// Lines that the victim has written to stderr.
    pub(crate) lines: u64,
    /// Those of them that a peer's words have broken.
    pub(crate) raw: u64,
    /// The longest of them, bytes.
    pub(crate) longest: u64,
    /// How long all this took.
    pub(crate) took: Duration,
    pub(crate) lived: bool,
    /// When the files were again what they had been; `None`: not in time.
    pub(crate) recovered: Option<Duration>,
    /// Whether somebody new was served afterwards.
    pub(crate) newcomer: bool,
    /// How the victim stopped.
    pub(crate) stopped: Result<Duration, String>,
}

impl Seen {
    /// Before the attack, at its worst, and after it.
    pub(crate) fn samples(&self) -> [&Sample; 3] {
        [&self.before, &self.peak, &self.after]
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            before: Sample::default(),
            peak: Sample::default(),
            after: Sample::default(),
            pings: Default::default(),
            panics: 0,
            tried: 0,
            lines: 0,
            raw: 0,
            longest: 0,
            took: Duration::ZERO,
            lived: false,
            recovered: None,
            newcomer: false,
            stopped: Err("not asked to stop".to_owned()),
        }
    }
}

/// How long the victim has to get back to what it was.
pub(crate) const RECOVERY: Duration = Duration::from_secs(30);

/// Every criterion with what was found.
pub(crate) fn judge(attack: &Attack, seen: &Seen) -> Vec<Check> {
    let [before, during, after] = &seen.pings;
    let p99_max = p99_max(attack, before);
    let grown = |sample: &Sample| sample.rss_kib.saturating_sub(seen.before.rss_kib) / 1024;
    let opened = seen.peak.files.saturating_sub(seen.before.files);
    let is_asked_to_log = attack.args.contains(&"-vv");
    let of_attacker = if is_asked_to_log {
        LINES_EACH * seen.tried
    } else {
        0
    };
    let lines_max = 10 * (seen.took.as_secs() + 2) + of_attacker;
    let recovered = seen.recovered.map_or_else(
        || format!("not within {} s", RECOVERY.as_secs()),
        |time| format!("after {:.1} s", time.as_secs_f64()),
    );
    vec![
        Check::new(
            seen.panics == 0 && seen.lived,
            format!("{} panics, alive: {}", seen.panics, seen.lived),
        ),
        Check::at_most("RSS grown by MiB", grown(&seen.peak), attack.rss_mib),
        Check::at_most("RSS left behind, MiB", grown(&seen.after), attack.rss_mib),
        Check::at_most("files opened", opened, attack.files),
        Check::new(
            during.count > 0 && during.p99 <= p99_max,
            format!(
                "honest p99 {:.1} ms of at most {:.1} ms",
                millis(during.p99),
                millis(p99_max)
            ),
        ),
        Check::at_most("honest peers lost", after.lost, attack.lost_max),
        Check::new(
            seen.recovered.is_some(),
            format!("files as before: {recovered}"),
        ),
        Check::at_most("lines logged", seen.lines, lines_max),
        Check::at_most("lines with control characters", seen.raw, 0),
        Check::at_most("longest line, bytes", seen.longest, LINE_MAX),
        Check::new(
            seen.newcomer,
            format!("a newcomer is served afterwards: {}", seen.newcomer),
        ),
        Check::new(
            seen.stopped.is_ok(),
            match &seen.stopped {
                Ok(took) => format!("stops in {:.1} s", took.as_secs_f64()),
                Err(why) => why.clone(),
            },
        ),
    ]
}

/// How slow honest peers may be that were as fast as `before`.
pub(crate) fn p99_max(attack: &Attack, before: &Pings) -> Duration {
    (2 * before.p99).max(before.p99 + attack.slower_max)
}

/// What one thing that an attacker tries may be worth to a log that is to tell everything.
const LINES_EACH: u64 = 4;

/// Longer than a log line with an address and an error of ours in it.
const LINE_MAX: u64 = 2048;

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;
