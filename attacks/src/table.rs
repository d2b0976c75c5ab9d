//! What was seen, as a table for people or as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    attack::{Attack, Check, Outcome},
    rule::{Seen, millis},
};

/// One attack and its verdict.
pub(crate) struct Row {
    pub(crate) attack: &'static Attack,
    pub(crate) seen: Seen,
    pub(crate) outcome: Outcome,
    pub(crate) checks: Vec<Check>,
}

impl Row {
    /// Whether every criterion holds.
    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }
}

/// A line for each attack, and below it the criteria.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<5} {:<28} {:>17} {:>14} {:>17} {:>12} {:>7}  {}\n{:<34} {:>17} {:>14} {:>17} {:>12}\n",
        "",
        "attack",
        "RSS MiB",
        "files",
        "honest p99 ms",
        "refused",
        "s",
        "verdict",
        "",
        "before/in/after",
        "before/in/aft",
        "before/in/after",
        "of tried"
    );
    for row in rows {
        let Seen {
            before,
            peak,
            after,
            pings,
            ..
        } = &row.seen;
        let rss =
            [before, peak, after].map(|sample| format!("{:.1}", sample.rss_kib as f64 / 1024.0));
        let files = [before, peak, after].map(|sample| sample.files.to_string());
        let p99 = pings.map(|pings| format!("{:.1}", millis(pings.p99)));
        let _ = writeln!(
            text,
            "{:<5} {:<28} {:>17} {:>14} {:>17} {:>12} {:>7.1}  {}",
            row.attack.id,
            row.attack.name,
            rss.join("/"),
            files.join("/"),
            p99.join("/"),
            format!("{}/{}", row.outcome.refused, row.outcome.tried),
            row.seen.took.as_secs_f64(),
            verdict(row.holds()),
        );
        for check in &row.checks {
            let _ = writeln!(text, "        {}  {}", verdict(check.holds), check.what);
        }
    }
    text
}

/// The same.
pub(crate) fn json(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        let Seen { before, peak, after, pings, .. } = &row.seen;
        let samples = [before, peak, after];
        json!({
            "id": row.attack.id,
            "name": row.attack.name,
            "rss_kib": samples.map(|sample| sample.rss_kib),
            "files": samples.map(|sample| sample.files),
            "honest_p50_us": pings.map(|pings| pings.p50.as_micros() as u64),
            "honest_p99_us": pings.map(|pings| pings.p99.as_micros() as u64),
            "honest_longest_us": pings.map(|pings| pings.longest.as_micros() as u64),
            "tried": row.outcome.tried,
            "refused": row.outcome.refused,
            "seconds": row.seen.took.as_secs_f64(),
            "holds": row.holds(),
            "checks": row.checks.iter().map(|check| json!({"what": check.what, "holds": check.holds})).collect::<Vec<_>>(),
        })
    });
    json!({ "attacks": rows.collect::<Vec<_>>() })
}

fn verdict(holds: bool) -> &'static str {
    if holds { "ok  " } else { "FAIL" }
}
