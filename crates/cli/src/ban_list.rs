//! `--ban-list FILE`: whom a node does not talk to, one subject a line.

use std::{fs, path::Path};

use carrick::Subject;

use crate::failure::Failure;

/// A subject, and why it is banned.
pub(crate) type Entry = (Subject, String);

/// Reads a list: peer ids, IP addresses and networks; behind `#` stands the reason, or, alone in its line, a comment.
pub(crate) fn load(file: &Path) -> Result<Vec<Entry>, Failure> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        let cause = format!("cannot read the ban list {name}: {error}");
        Failure::new(cause, "name a text file that this user may read")
    })?;
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (subject, reason) = line.split_once('#').unwrap_or((line, ""));
        let subject = subject.trim();
        if subject.is_empty() {
            continue;
        }
        let subject = subject.parse().map_err(|error| {
            let cause = format!("{name}:{number}: {error}");
            Failure::new(cause, "correct the line, or put a # before it")
        })?;
        let reason = match reason.trim() {
            "" => format!("in {name}"),
            reason => reason.to_owned(),
        };
        entries.push((subject, reason));
    }
    Ok(entries)
}
