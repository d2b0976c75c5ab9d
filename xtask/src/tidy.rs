//! The house rules that no compiler checks. Each rule reads the whole tree and gives its findings.
//!
//! `xtask/tests/tidy.rs` runs every rule over this repository, and over a bad sample of its own.

mod cycles;
mod layers;
mod papers;
mod shape;
mod words;

pub use cycles::no_module_cycles;
pub use layers::{crates_point_left, no_runtime_left_of_the_shell};
pub use papers::{
    fences_stand, lints_are_inherited, named_paths_exist, no_process, no_registry_hosts,
    unsafe_is_forbidden,
};
pub use shape::{files_are_short, files_open_with_a_map, public_types_have_no_type_parameters};
pub use words::{no_panicking_shortcuts, no_sleep_in_tests, no_unwrap, one_vocabulary};

use crate::source::File;
use std::fmt;

/// A place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path from the repository's root.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do instead.
    pub what: String,
}

impl Finding {
    fn new(file: &File, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A rule over the whole tree.
pub type Rule = fn(&[File]) -> Vec<Finding>;

/// A place where a rule may be broken, and why.
#[derive(Debug)]
pub struct Exception {
    /// The rule's name.
    pub rule: &'static str,
    /// Path from the repository's root.
    pub path: &'static str,
    /// A part of the finding's text.
    pub what: &'static str,
    /// Why the rule does not fit here.
    pub reason: &'static str,
}

/// Splits what the rule called `name` found into what stands and the exceptions that nothing uses any more.
pub fn judge<'a>(
    name: &str,
    found: Vec<Finding>,
    exceptions: &'a [Exception],
) -> (Vec<Finding>, Vec<&'a Exception>) {
    let covers = |e: &&Exception, f: &Finding| f.path == e.path && f.what.contains(e.what);
    let (used, stale): (Vec<&Exception>, _) = exceptions
        .iter()
        .filter(|e| e.rule == name)
        .partition(|e| found.iter().any(|f| covers(e, f)));
    let stands = found
        .into_iter()
        .filter(|f| !used.iter().any(|e| covers(e, f)))
        .collect();
    (stands, stale)
}
