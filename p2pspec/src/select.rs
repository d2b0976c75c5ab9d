//! Which cases run: patterns over ids, and levels.

use crate::{
    case::{Case, Level},
    cases,
};

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Patterns with `*`; a pattern without one also means all that begins with it. Empty: every id.
    pub only: Vec<String>,
    /// The least binding level.
    pub level: Level,
}

impl Selection {
    /// Whether this case is wanted.
    pub fn wants(&self, case: &Case) -> bool {
        let mut only = self.only.iter();
        case.rule.level <= self.level && (self.only.is_empty() || only.any(|p| names(p, case.id)))
    }

    /// A pattern that is no case's.
    pub fn unknown(&self) -> Option<&str> {
        let unknown = |pattern: &&String| !cases::all().any(|case| names(pattern, case.id));
        self.only.iter().find(unknown).map(String::as_str)
    }
}

/// Whether the pattern is this id's, or without a star that of a group that it is in.
fn names(pattern: &str, id: &str) -> bool {
    let rest = || id.strip_prefix(pattern.trim_end_matches('/'));
    matches(pattern, id) || !pattern.contains('*') && rest().is_some_and(|r| r.starts_with('/'))
}

/// Whether `text` is what `pattern` says, `*` being anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(tail) = text.strip_prefix(start) else {
                return false;
            };
            let mut cuts = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            cuts.any(|at| matches(rest, &tail[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_is_no_case_s_is_found() {
        let unknown = |only: &[&str]| {
            let only = only.iter().map(|only| (*only).to_owned()).collect();
            let level = Level::Must;
            let selection = Selection { only, level };
            selection.unknown().map(str::to_owned)
        };
        assert_eq!(unknown(&["ping", "*signature*", "yamux/frames/"]), None);
        assert_eq!(unknown(&["ping", "pong"]), Some("pong".to_owned()));
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("yamux/*", "yamux/frames/version"));
        assert!(matches("*ping*", "quic/ping/echo"));
        assert!(matches("*/echo", "quic/ping/echo"));
        assert!(!matches("yamux/*/echo", "yamux/echo"));
        assert!(!matches("yamux", "yamux/echo"));
    }
}
