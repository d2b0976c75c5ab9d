//! `p2pspec/DIFFERENCES.md`: the cases that not every stack passes, with what was seen of those that do not.

use super::record::{Record, Results};
use std::fmt::Write as _;
use std::fs;

const PATH: &str = "p2pspec/DIFFERENCES.md";
const STACKS: [&str; 5] = ["carrick", "go", "rust", "js", "py"];
const SEEN_MAX: usize = 140;

/// Writes the table from what is on record.
pub(super) fn write() -> Result<(), String> {
    let mut records = Vec::new();
    for stack in STACKS {
        if let Some(record) = Record::read(stack)? {
            records.push((stack, record));
        }
    }
    let text = table(&records);
    fs::write(PATH, text).map_err(|error| format!("cannot write {PATH}: {error}"))
}

fn table(records: &[(&str, Record)]) -> String {
    let mut text = String::from(
        "# Where the stacks differ\n\nWritten by `cargo xtask p2pspec --bless`. Each stack's listener on loopback, every case of `p2pspec`; a case that failed ran \
         once more before it counted. `–` is a skip: the stack does not offer what the case is about. `†` is the number of cases that, \
         alone with a listener, ended its process: they have failed, whatever else was seen; those of other stacks are counted there and \
         nowhere else, since their maintainers are to hear of them first.\n\n\
         | stack | calls itself | MUST passed / failed / skipped | SHOULD | practice | † |\n|---|---|---|---|---|---|\n",
    );
    for (stack, Record(results)) in records {
        let of = |level: &str| {
            ["pass", "fail", "skip"]
                .map(|outcome| results.count(level, outcome).to_string())
                .join(" / ")
        };
        let _ = writeln!(
            text,
            "| {stack} | `{}` | {} | {} | {} | {} |",
            results.agent,
            of("must"),
            of("should"),
            of("practice"),
            results.ended
        );
    }
    for (level, heading) in [
        ("must", "MUST"),
        ("should", "SHOULD"),
        ("practice", "Deployed practice"),
    ] {
        failures(&mut text, records, level, heading);
    }
    text
}

/// The cases of a level that somebody fails.
fn failures(text: &mut String, records: &[(&str, Record)], level: &str, heading: &str) {
    let Some((_, first)) = records.first() else {
        return;
    };
    let ids = first.order().iter();
    let ids = ids.filter(|id| first.0.cases[*id].level == level);
    let fails = |id: &&String| records.iter().any(|(_, r)| outcome(&r.0, id) == "fail");
    let ids: Vec<_> = ids.filter(fails).collect();
    let names: Vec<_> = records.iter().map(|(stack, _)| *stack).collect();
    let _ = writeln!(
        text,
        "\n## {heading}: {} cases that somebody fails\n\n| case | {} | seen |\n|---|{}---|",
        ids.len(),
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for id in ids {
        let mark = |(_, record): &(&str, Record)| match outcome(&record.0, id) {
            "pass" => "✓",
            "fail" => "**✗**",
            _ => "–",
        };
        let marks: Vec<_> = records.iter().map(mark).collect();
        let title = &first.0.cases[id].title;
        let _ = writeln!(
            text,
            "| `{id}`: {title} | {} | {} |",
            marks.join(" | "),
            seen(records, id)
        );
    }
}

fn outcome<'a>(results: &'a Results, id: &str) -> &'a str {
    results
        .cases
        .get(id)
        .map_or("skip", |verdict| &verdict.outcome)
}

/// What was seen of those that fail, the same words once.
fn seen(records: &[(&str, Record)], id: &str) -> String {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (stack, record) in records
        .iter()
        .filter(|(_, record)| outcome(&record.0, id) == "fail")
    {
        let words: String = record.0.cases[id].seen.chars().take(SEEN_MAX).collect();
        let words = words.replace(['|', '\n'], " ");
        match groups.iter_mut().find(|(said, _)| *said == words) {
            Some((_, stacks)) => stacks.push(stack),
            None => groups.push((words, vec![stack])),
        }
    }
    let parts: Vec<_> = groups
        .iter()
        .map(|(words, stacks)| format!("{}: {words}", stacks.join(", ")))
        .collect();
    parts.join("; ")
}
