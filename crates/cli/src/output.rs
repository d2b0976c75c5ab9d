//! What leaves the process: results on stdout, notes on stderr. Nothing that a peer said reaches the terminal raw.

use std::{
    fmt::Display,
    io::{IsTerminal, Write, stderr, stdout},
};

use crate::failure::Failure;

/// Prints one line of a result.
pub(crate) fn result(line: &str) -> Result<(), Failure> {
    writeln!(stdout().lock(), "{line}").map_err(|error| {
        Failure::new(
            format!("cannot write to stdout: {error}"),
            "whoever reads it has gone",
        )
    })
}

/// Prints one line for the person who watches; stderr may be closed.
pub(crate) fn note(line: &str) {
    let _ = writeln!(stderr().lock(), "{}", plain(line));
}

/// One line of text without control characters: a peer's words must not move the cursor.
pub(crate) fn plain(text: impl Display) -> String {
    // The addresses of a failed dial stand on lines of their own.
    let text = text.to_string().replace("\n  ", " ");
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The texts of a list, for JSON.
pub(crate) fn texts<T: Display>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Colours, when stdout is a terminal and nobody has asked for none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn new() -> Self {
        Self(stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()))
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap(text, "32")
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap(text, "31")
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.wrap(text, "2")
    }

    fn wrap(self, text: &str, code: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
