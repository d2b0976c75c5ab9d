//! What is to happen, and when: a line each, such as `at 3s blackhole 10s`, `rebind` or `loss 5%`.

use std::time::Duration;

use crate::faults::{Faults, duration};

/// A thing to do to the path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Everything vanishes for this time: both ways, or what this side sends.
    BlackHole { time: Duration, way: Option<usize> },
    /// Side A's NAT forgets; `address`: and gets another address.
    Rebind { address: bool },
    /// Another value of a fault.
    Set { name: String, value: String },
    /// The summary so far.
    Report,
}

/// When, since the start; nothing: at once. An empty line or a comment is nothing at all.
pub(crate) type Line = (Option<Duration>, Command);

pub(crate) fn parse(line: &str) -> Result<Option<Line>, String> {
    let text = line.split('#').next().unwrap_or_default();
    let words: Vec<_> = text.split_whitespace().collect();
    let (at, words) = match words.as_slice() {
        [] => return Ok(None),
        ["at", time, rest @ ..] => (Some(duration(time)?), rest),
        rest => (None, rest),
    };
    let command = match words {
        ["blackhole", time] => black_hole(time, None)?,
        ["blackhole", time, "a"] => black_hole(time, Some(0))?,
        ["blackhole", time, "b"] => black_hole(time, Some(1))?,
        ["rebind"] => Command::Rebind { address: false },
        ["rebind", "address"] => Command::Rebind { address: true },
        ["report"] => Command::Report,
        [name, value] => {
            // What cannot be done is said now, not when its time has come.
            Faults::default().set(name, value)?;
            let (name, value) = ((*name).to_owned(), (*value).to_owned());
            Command::Set { name, value }
        }
        _ => return Err(format!("`{}` is no command", text.trim())),
    };
    Ok(Some((at, command)))
}

fn black_hole(time: &str, way: Option<usize>) -> Result<Command, String> {
    let time = duration(time)?;
    Ok(Command::BlackHole { time, way })
}

#[cfg(test)]
mod tests;
