//! Which cases run: patterns over ids, and levels.

use crate::case::{Case, Level};

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
        let named = |pattern: &String| {
            let whole = pattern.contains('*');
            let prefix = || case.id.strip_prefix(pattern.trim_end_matches('/'));
            matches(pattern, case.id) || !whole && prefix().is_some_and(|r| r.starts_with('/'))
        };
        case.rule.level <= self.level && (self.only.is_empty() || self.only.iter().any(named))
    }
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
    fn a_star_stands_for_anything() {
        assert!(matches("yamux/*", "yamux/frames/version"));
        assert!(matches("*ping*", "quic/ping/echo"));
        assert!(matches("*/echo", "quic/ping/echo"));
        assert!(!matches("yamux/*/echo", "yamux/echo"));
        assert!(!matches("yamux", "yamux/echo"));
    }
}
