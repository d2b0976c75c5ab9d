//! What a run of the matrix says: a table or JSON lines, and whether it is good.

use super::Row;
use super::cell::Verdict;
use serde_json::json;

/// A row per cell, then every skip with its proof, then every failure with its words.
pub(super) fn table(rows: &[Row], missing: &[String]) -> String {
    let mut text = format!(
        "{:<8}   {:<8} {:<8} {:<6}\n",
        "dialer", "listener", "security", "muxer"
    );
    for Row { cell, outcome, .. } in rows {
        text += &format!(
            "{:<8} → {:<8} {:<8} {:<6} {:>5.1} s  {}\n",
            cell.dialer.name,
            cell.listener.name,
            cell.security,
            cell.muxer,
            outcome.took.as_secs_f64(),
            outcome.summary()
        );
    }
    text += &section("Skipped", &skips(rows));
    text += &section("Failed", &failures(rows));
    text += &section("Left out", missing);
    let count = |wanted: fn(&Verdict) -> bool| {
        rows.iter()
            .flat_map(|row| &row.outcome.verdicts)
            .filter(|(_, verdict)| wanted(verdict))
            .count()
    };
    text + &format!(
        "\ninterop: {} cells, {} checks passed, {} failed, {} skipped\n",
        rows.len(),
        count(|verdict| matches!(verdict, Verdict::Passed(_))),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
        count(|verdict| matches!(verdict, Verdict::Skipped(_))),
    )
}

/// One object per check of each cell, then one per peer that was left out.
pub(super) fn json(rows: &[Row], missing: &[String]) -> String {
    let mut text = String::new();
    for row in rows {
        let Row { cell, outcome, .. } = row;
        for (check, verdict) in &outcome.verdicts {
            let mut line = json!({
                "dialer": cell.dialer.name, "listener": cell.listener.name,
                "security": cell.security, "muxer": cell.muxer, "check": check,
            });
            match verdict {
                Verdict::Passed(detail) => {
                    (line["ok"], line["detail"]) = (true.into(), detail.as_str().into())
                }
                Verdict::Failed(detail) => {
                    (line["ok"], line["detail"]) = (false.into(), detail.as_str().into())
                }
                Verdict::Skipped(reason) => {
                    (line["skip"], line["proven"]) =
                        (reason.as_str().into(), (!row.is_unproven(check)).into());
                }
            }
            text += &format!("{line}\n");
        }
    }
    for line in missing {
        text += &format!("{}\n", json!({ "left_out": line }));
    }
    text
}

/// An error unless all that ran passed, or was skipped with proof.
pub(super) fn judge(rows: &[Row]) -> Result<(), String> {
    let (mut failed, mut unproven) = (0, 0);
    for row in rows {
        for (check, verdict) in &row.outcome.verdicts {
            failed += usize::from(matches!(verdict, Verdict::Failed(_)));
            unproven +=
                usize::from(matches!(verdict, Verdict::Skipped(_)) && row.is_unproven(check));
        }
    }
    if failed + unproven == 0 {
        return Ok(());
    }
    Err(format!(
        "{failed} checks failed, {unproven} skips are not proven"
    ))
}

fn section(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines
        .iter()
        .map(|line| format!("  {}\n", short(line)))
        .collect();
    format!("\n{title}:\n{lines}")
}

/// A line that fits on a screen: some stacks put a whole message into an error.
fn short(line: &str) -> String {
    match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

const LINE_MAX: usize = 400;

fn skips(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![];
    for row in rows {
        for (check, verdict) in &row.outcome.verdicts {
            if let Verdict::Skipped(reason) = verdict {
                lines.push(format!(
                    "{} {check}: {reason} — {}",
                    row.cell,
                    proof(row, check)
                ));
            }
        }
    }
    lines
}

fn failures(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![];
    for row in rows {
        for (check, verdict) in &row.outcome.verdicts {
            if let Verdict::Failed(why) = verdict {
                lines.push(format!("{} {check}: {why}{}", row.cell, beside(row, check)));
            }
        }
        lines.extend(row.outcome.log.iter().map(|line| format!("  | {line}")));
    }
    lines
}

/// What the foreign stack makes of a skipped check alone.
fn proof(row: &Row, check: &str) -> String {
    let name = row.cell.foreign().map_or("carrick", |peer| peer.name);
    match row.control.as_ref().map(|control| control.verdict(check)) {
        Some(Some(Verdict::Skipped(reason))) => {
            format!("proven: {name} against itself also skips it ({reason})")
        }
        Some(Some(Verdict::Failed(why))) => {
            format!("proven: {name} against itself also fails it ({why})")
        }
        Some(Some(Verdict::Passed(_))) => format!("NOT PROVEN: {name} against itself passes it"),
        Some(None) => format!("NOT PROVEN: {name} against itself says nothing of it"),
        None => "NOT PROVEN: Carrick must not skip a check against itself".to_owned(),
    }
}

/// For a failure: whether the foreign stack fails alone too, which tells where to look.
fn beside(row: &Row, check: &str) -> String {
    let Some(peer) = row.cell.foreign() else {
        return String::new();
    };
    match row
        .control
        .as_ref()
        .and_then(|control| control.verdict(check))
    {
        Some(Verdict::Passed(_)) => format!(" ({} against itself passes)", peer.name),
        Some(Verdict::Failed(why)) => format!(" ({} against itself fails too: {why})", peer.name),
        Some(Verdict::Skipped(reason)) => {
            format!(" ({} against itself skips: {reason})", peer.name)
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
