//! What was seen, as a table for people or as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    attack::{Attack, Check, Figure, Outcome},
    rule::{Seen, millis, p99_max},
    stack::Stack,
};

/// One attack and its verdict.
pub(crate) struct Row {
    pub(crate) attack: &'static Attack,
    pub(crate) stack: Stack,
    pub(crate) seen: Seen,
    pub(crate) outcome: Outcome,
    pub(crate) checks: Vec<Check>,
}

impl Row {
    /// Whether every criterion holds.
    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// Before, in and after the attack: MiB, files, and milliseconds of the honest peers' 99th percentile.
    fn stages(&self) -> [String; 3] {
        let samples = self.seen.samples();
        let rss = samples.map(|sample| format!("{:.1}", sample.rss_kib as f64 / 1024.0));
        let files = samples.map(|sample| sample.files.to_string());
        let p99 = self
            .seen
            .pings
            .map(|pings| format!("{:.1}", millis(pings.p99)));
        [rss.join("/"), files.join("/"), p99.join("/")]
    }

    /// What it says for the scorecard: what the attacker has measured, and what was seen of the victim and the honest peers.
    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.outcome.figures.clone();
        if let Some(row) = self.attack.row {
            let [before, during, after] = &self.seen.pings;
            let name = |what| format!("{} {}: {what}", self.attack.id, self.attack.name);
            let ratio = millis(during.p99) / millis(before.p99).max(0.001);
            let grown = self
                .seen
                .peak
                .rss_kib
                .saturating_sub(self.seen.before.rss_kib);
            let (lost_max, rss_max) = (self.attack.lost_max as f64, self.attack.rss_mib as f64);
            let lost = after.lost as f64;
            figures.extend([
                Figure {
                    target: format!("<= 2, or {} ms more", self.attack.slower_max.as_millis()),
                    pass: during.count > 0 && during.p99 <= p99_max(self.attack, before),
                    ..Figure::at_most(row, &name("honest p99, in/before"), ratio, "x", 2.0)
                },
                Figure::at_most(row, &name("honest peers lost"), lost, "peers", lost_max),
                Figure::at_most(
                    row,
                    &name("RSS grown"),
                    grown as f64 / 1024.0,
                    "MiB",
                    rss_max,
                ),
            ]);
        }
        figures
    }
}

/// A line for each attack, and below it the criteria.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<5} {:<28} {:<11} {:>19} {:>14} {:>17} {:>4} {:>13} {:>6}  {}\n{:<46} {:>19} {:>14} {:>17} {:>4} {:>13}\n",
        "",
        "attack",
        "stack",
        "RSS MiB",
        "files",
        "honest p99 ms",
        "lost",
        "refused",
        "s",
        "verdict",
        "",
        "before/in/after",
        "before/in/aft",
        "before/in/after",
        "",
        "of tried"
    );
    for row in rows {
        let [rss, files, p99] = row.stages();
        let _ = writeln!(
            text,
            "{:<5} {:<28} {:<11} {:>19} {:>14} {:>17} {:>4} {:>13} {:>6.1}  {}",
            row.attack.id,
            row.attack.name,
            row.stack.name(),
            rss,
            files,
            p99,
            row.seen.pings[2].lost,
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

/// A line for each, for documents; of the criteria only those that do not hold.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = "| Attack | Stack | RSS MiB | files | honest p99 ms | lost | alive | serves | refused | verdict |\n\
        |---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let yes = |is| if is { "yes" } else { "**no**" };
    for row in rows {
        let [rss, files, p99] = row.stages();
        let broken = row.checks.iter().filter(|check| !check.holds);
        let broken = broken.map(|check| check.what.as_str()).collect::<Vec<_>>();
        let _ = writeln!(
            text,
            "| {} {} | {} | {rss} | {files} | {p99} | {} | {} | {} | {}/{} | {} |",
            row.attack.id,
            row.attack.name,
            row.stack.name(),
            row.seen.pings[2].lost,
            yes(row.seen.lived),
            yes(row.seen.newcomer),
            row.outcome.refused,
            row.outcome.tried,
            if broken.is_empty() {
                "ok".to_owned()
            } else {
                broken.join("; ")
            },
        );
    }
    text
}

/// A line for each attack, and one for each figure of the scorecard.
pub(crate) fn json(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let (samples, pings) = (row.seen.samples(), &row.seen.pings);
        let object = json!({
            "attack": row.attack.id,
            "name": row.attack.name,
            "stack": row.stack.name(),
            "rss_kib": samples.map(|sample| sample.rss_kib),
            "files": samples.map(|sample| sample.files),
            "honest_p50_us": pings.map(|pings| pings.p50.as_micros() as u64),
            "honest_p99_us": pings.map(|pings| pings.p99.as_micros() as u64),
            "honest_longest_us": pings.map(|pings| pings.longest.as_micros() as u64),
            "honest_lost": pings[2].lost,
            "alive": row.seen.lived,
            "tried": row.outcome.tried,
            "refused": row.outcome.refused,
            "seconds": row.seen.took.as_secs_f64(),
            "holds": row.holds(),
            "checks": row.checks.iter().map(|check| json!({"what": check.what, "holds": check.holds})).collect::<Vec<_>>(),
        });
        let _ = writeln!(text, "{object}");
        for figure in row.figures() {
            let mut object = json!(figure);
            object["stack"] = Value::from(row.stack.name());
            let _ = writeln!(text, "{object}");
        }
    }
    text
}

fn verdict(holds: bool) -> &'static str {
    if holds { "ok  " } else { "FAIL" }
}
