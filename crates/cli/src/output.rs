//! What leaves the process: results on stdout, notes on stderr. Nothing that a peer said reaches the terminal raw.

use std::{
    fmt::{Display, Write as _},
    io::{IsTerminal, Write, stderr, stdout},
};

use carrick::{Pace, misleads};

use crate::failure::Failure;

/// Prints one line of a result: JSON, or text that is [`plain`] where a peer has a word in it.
pub(crate) fn result(line: &str) -> Result<(), Failure> {
    writeln!(stdout().lock(), "{}", escaped(line)).map_err(|error| {
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

/// Whether one more line may be shown of what a peer has caused: it may cause as much as it likes, and somebody keeps what
/// is written here.
pub(crate) fn may_note() -> bool {
    static PACE: Pace = Pace::new();
    PACE.allows()
}

/// One line of text without characters that move the cursor, or hide or turn around what stands beside them: a peer's words
/// must look like what they are.
pub(crate) fn plain(text: impl Display) -> String {
    // The addresses of a failed dial stand on lines of their own.
    let text = text.to_string().replace("\n  ", " ");
    text.chars()
        .map(|c| if misleads(c) { '\u{fffd}' } else { c })
        .collect()
}

/// JSON escapes the first block of control characters alone; terminals obey the second one as well.
fn escaped(line: &str) -> String {
    line.chars().fold(String::new(), |mut line, c| {
        match c {
            // Writing to a string cannot fail.
            '\u{7f}'..='\u{9f}' => _ = write!(line, "\\u{:04x}", u32::from(c)),
            c => line.push(c),
        }
        line
    })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_a_peer_says_neither_moves_the_cursor_nor_reads_backwards() {
        for c in [
            '\n', '\u{1b}', '\u{7f}', '\u{9b}', '\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}',
        ] {
            assert_eq!(plain(format!("photo{c}gpj.exe")), "photo\u{fffd}gpj.exe");
        }
        let text = "ä日本 👍 /ip4/192.0.2.1";
        assert_eq!(plain(text), text);
    }

    #[test]
    fn json_with_control_characters_of_either_block_is_the_same_json_without_them() {
        let value = json!({"data": "\u{1b}[2J\u{7f}\u{80}\u{9b}2J\u{9f}\u{a0}ä"});
        let line = escaped(&value.to_string());
        assert!(!line.contains(char::is_control), "{line:?}");
        assert_eq!(
            serde_json::from_str::<Value>(&line).expect("it is JSON"),
            value
        );
        let colours = "\u{1b}[32mok\u{1b}[0m";
        assert_eq!(escaped(colours), colours);
    }
}
