//! What a run of the matrix says: a table or JSON lines, and whether it is good.

use super::cell::{Late, Verdict};
use super::{CONTROL_RUNS_MAX, Proof, Row};
use serde_json::json;
use std::collections::BTreeMap;

/// A line per stack of protocols with a column per pair, the speeds, then every skip with its proof and every failure with its
/// words.
pub(super) fn table(rows: &[Row], missing: &[String]) -> String {
    let mut text = grid("checks passed", rows, |row| Some(mark(row)));
    if rows.iter().any(|row| speed(row).is_some()) {
        text += "\n";
        text += &grid("MiB/s up/down", rows, speed);
    }
    text += &section("Not offered", &not_offered(rows));
    text += &section("Fewer", &fewer(rows));
    text += &section("Passed late", &late(rows));
    text += &section("Skipped", &skips(rows));
    text += &section("Failed", &failures(rows));
    text += &section("Left out", missing);
    let count = |wanted: fn(&Verdict) -> bool| {
        rows.iter()
            .flat_map(|row| &row.outcome.verdicts)
            .filter(|(_, verdict)| wanted(verdict))
            .count()
    };
    let took: f64 = rows.iter().map(|row| row.outcome.took.as_secs_f64()).sum();
    text + &format!(
        "\ninterop: {} cells in {took:.0} s, {} checks passed, {} failed, {} skipped\n",
        rows.len(),
        count(|verdict| matches!(verdict, Verdict::Passed(_))),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
        count(|verdict| matches!(verdict, Verdict::Skipped(_))),
    )
}

/// One line per stack, one column per pair of programs, both in the order in which they ran.
fn grid(title: &str, rows: &[Row], show: impl Fn(&Row) -> Option<String>) -> String {
    let (mut stacks, mut pairs): (Vec<String>, Vec<String>) = (vec![], vec![]);
    let mut cells = BTreeMap::new();
    for row in rows {
        let Some(text) = show(row) else { continue };
        let place = (
            index(&mut stacks, row.cell.stack.to_string()),
            index(&mut pairs, row.cell.pair()),
        );
        cells.insert(place, text);
    }
    let text = |stack, pair| cells.get(&(stack, pair)).map_or("", String::as_str);
    let mut columns = vec![lines(title, stacks.iter().map(String::as_str))];
    for (at, pair) in pairs.iter().enumerate() {
        columns.push(lines(pair, (0..stacks.len()).map(|stack| text(stack, at))));
    }
    let widths = columns.iter().map(|column| {
        let longest = column.iter().map(|cell| cell.chars().count()).max();
        longest.unwrap_or_default() + 2
    });
    let widths: Vec<_> = widths.collect();
    let line = |at: usize| {
        let cells = columns.iter().zip(&widths);
        let line: String = cells
            .map(|(column, &width)| format!("{:<width$}", column[at]))
            .collect();
        format!("{}\n", line.trim_end())
    };
    (0..=stacks.len()).map(line).collect()
}

/// Where `text` stands in `known`, at whose end it is put if it is new.
fn index(known: &mut Vec<String>, text: String) -> usize {
    let found = known.iter().position(|other| *other == text);
    found.unwrap_or_else(|| {
        known.push(text);
        known.len() - 1
    })
}

fn lines<'a>(title: &'a str, rest: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    std::iter::once(title).chain(rest).collect()
}

/// How many checks passed, and whether that is all.
fn mark(row: &Row) -> String {
    let count = |wanted: fn(&Verdict) -> bool| {
        let all = row.outcome.verdicts.iter();
        all.filter(|(_, verdict)| wanted(verdict)).count()
    };
    let passed = count(|verdict| matches!(verdict, Verdict::Passed(_)));
    if row.outcome.not_offered().is_some() {
        return "–".to_owned();
    }
    match row.outcome.verdicts.len() - passed {
        0 => format!("✔ {passed}"),
        open if count(|verdict| matches!(verdict, Verdict::Failed(_))) > 0 => {
            format!("✘ {passed}/{}", passed + open)
        }
        open => format!("○ {passed}/{}", passed + open),
    }
}

/// What the bulk check says of both directions, such as `410/390`.
fn speed(row: &Row) -> Option<String> {
    let (_, Verdict::Passed(detail)) = row
        .outcome
        .verdicts
        .iter()
        .find(|(check, _)| check == "bulk")?
    else {
        return None;
    };
    let number = |after: &str| Some(detail.split_once(after)?.1.split(' ').next()?.to_owned());
    Some(format!("{}/{}", number(", up ")?, number(", down ")?))
}

/// Each reason once, with the stacks that it keeps out.
fn not_offered(rows: &[Row]) -> Vec<String> {
    grouped(rows.iter().filter_map(|row| {
        let reason = row.outcome.not_offered()?;
        Some((reason.to_owned(), row.cell.to_string()))
    }))
}

/// Where a program makes fewer connections or sends fewer bytes than the others, because its stack is slow.
fn fewer(rows: &[Row]) -> Vec<String> {
    let full = rows.iter().map(|row| row.cell.bulk_bytes).max();
    grouped(rows.iter().flat_map(|row| {
        let details = row.outcome.verdicts.iter().filter_map(|(check, verdict)| {
            let Verdict::Passed(detail) = verdict else {
                return None;
            };
            let size = detail.split(',').next().unwrap_or_default();
            let less = match check.as_str() {
                "connections" => detail != "100 connections",
                "bulk" => Some(row.cell.bulk_bytes) != full,
                _ => false,
            };
            less.then(|| (format!("{size} with {}", slow(row)), row.cell.to_string()))
        });
        details.collect::<Vec<_>>()
    }))
}

fn slow(row: &Row) -> &'static str {
    row.cell.foreign().map_or("carrick", |peer| peer.name)
}

/// Each text once, with how often, and where for the first time.
fn grouped(lines: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>)> = vec![];
    for (text, place) in lines {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, places)) => places.push(place),
            None => groups.push((text, vec![place])),
        }
    }
    let line = |(text, places): (String, Vec<String>)| match places.as_slice() {
        [only] => format!("{text} ({only})"),
        [first, rest @ ..] => format!("{text} ({first} and {} more)", rest.len()),
        [] => text,
    };
    groups.into_iter().map(line).collect()
}

/// One object per check of each cell, then one per peer that was left out.
pub(super) fn json(rows: &[Row], missing: &[String]) -> String {
    let mut text = String::new();
    for row in rows {
        let Row { cell, outcome, .. } = row;
        for (check, verdict) in &outcome.verdicts {
            let mut line = json!({
                "dialer": cell.dialer.name, "listener": cell.listener.name,
                "transport": cell.stack.transport,
                "security": cell.stack.inside.map(|inside| inside.security),
                "muxer": cell.stack.inside.map(|inside| inside.muxer),
                "key_type": cell.stack.key_type, "ip": cell.stack.ip, "check": check,
            });
            match verdict {
                Verdict::Passed(detail) => {
                    (line["ok"], line["detail"]) = (true.into(), detail.as_str().into());
                    if let Some(late) = outcome.late.iter().find(|late| late.check == *check) {
                        (line["tries"], line["before"]) =
                            (late.tries.into(), late.why.as_str().into());
                    }
                }
                Verdict::Failed(detail) => {
                    (line["ok"], line["detail"]) = (false.into(), detail.as_str().into())
                }
                Verdict::Skipped(reason) => {
                    let proof = row.proof(check);
                    let shown = matches!(proof, Some(Proof::Shown(_)));
                    (line["skip"], line["proven"]) = (reason.as_str().into(), shown.into());
                    if let Some(Proof::Known(defect)) = proof {
                        line["known"] = defect.place.to_string().into();
                    }
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

/// An error unless all that ran passed, or was skipped with proof, or for a defect whose place in the source is known.
pub(super) fn judge(rows: &[Row]) -> Result<(), String> {
    let (mut failed, mut unproven) = (0, 0);
    for row in rows {
        for (check, verdict) in &row.outcome.verdicts {
            failed += usize::from(matches!(verdict, Verdict::Failed(_)));
            unproven +=
                usize::from(matches!(verdict, Verdict::Skipped(_)) && row.proof(check).is_none());
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

/// Each known reason once, with its first proof.
fn skips(rows: &[Row]) -> Vec<String> {
    let mut groups: Vec<(String, String, usize)> = vec![];
    for row in rows
        .iter()
        .filter(|row| row.outcome.not_offered().is_none())
    {
        for (check, verdict) in &row.outcome.verdicts {
            let Verdict::Skipped(reason) = verdict else {
                continue;
            };
            // What stands in parentheses differs from run to run.
            let reason = reason.split(" (").next().unwrap_or_default();
            let proven = match row.proof(check) {
                Some(Proof::Shown(_)) => "proven",
                Some(Proof::Known(_)) => "known",
                None => "",
            };
            let group = format!("{check} {reason} {proven} {}", slow(row));
            match groups.iter_mut().find(|(known, ..)| *known == group) {
                Some((.., count)) => *count += 1,
                None => {
                    let line = format!("{} {check}: {reason} — {}", row.cell, proof(row, check));
                    groups.push((group, line, 0));
                }
            }
        }
    }
    let line = |(_, line, more): (String, String, usize)| match more {
        0 => line,
        _ => format!("{line}; and {more} more like it"),
    };
    groups.into_iter().map(line).collect()
}

/// What a defect spoiled once or twice, and not again.
fn late(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![];
    for row in rows {
        for Late { check, tries, why } in &row.outcome.late {
            lines.push(format!(
                "{} {check}: at try {tries}; before: {why}",
                row.cell
            ));
        }
    }
    lines
}

fn failures(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![];
    for row in rows {
        let before = lines.len();
        for (check, verdict) in &row.outcome.verdicts {
            if let Verdict::Failed(why) = verdict {
                lines.push(format!("{} {check}: {why}{}", row.cell, beside(row, check)));
            }
        }
        // The log of a cell in which all that failed is known for a defect helps nobody.
        if lines.len() > before {
            lines.extend(row.outcome.log.iter().map(|line| format!("  | {line}")));
        }
    }
    lines
}

/// What the foreign stack makes of a skipped check alone.
fn proof(row: &Row, check: &str) -> String {
    let name = row.cell.foreign().map_or("carrick", |peer| peer.name);
    match row.proof(check) {
        // In parentheses stands how it failed there, for the same reason.
        Some(Proof::Shown(Verdict::Skipped(reason))) => match reason.split_once(" (") {
            Some((_, why)) => format!("proven: {name} against itself also fails ({why}"),
            None => format!("proven: {name} against itself also skips it ({reason})"),
        },
        Some(Proof::Shown(Verdict::Failed(why) | Verdict::Passed(why))) => {
            format!("proven: {name} against itself also fails ({why})")
        }
        Some(Proof::Known(defect)) => format!(
            "NOT SHOWN THIS TIME: {name} against itself passed {CONTROL_RUNS_MAX} times; known from {}",
            defect.place
        ),
        None if row.control.is_some() => format!("NOT PROVEN: {name} against itself passes"),
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
