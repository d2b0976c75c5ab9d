//! What foreign stacks are known to get wrong, whoever is on the other side, and where in their source. A check that fails for
//! it, in the way in which the defect shows, is tried again, and counts as skipped if it never passes. The stack against itself
//! is to show the defect, too; but some depend on luck, so the source's place stands for one that it does not show this time.

use super::cell::Cell;
use std::fmt;

/// The defect that may spoil this check in this cell.
pub(super) fn known(cell: &Cell, check: &str) -> Option<&'static Defect> {
    let fits = |defect: &&Defect| {
        defect.checks.contains(&check)
            && defect.listener == cell.listener.name
            && defect
                .transport
                .is_none_or(|only| only == cell.stack.transport)
    };
    DEFECTS.iter().find(fits)
}

pub(super) struct Defect {
    /// The stack that has it; all that are known spoil what it is asked as a listener.
    listener: &'static str,
    /// What it spoils; the quicker checks first, which alone are to prove it.
    checks: &'static [&'static str],
    /// Where it shows; everywhere if absent.
    transport: Option<&'static str>,
    /// What the dialer of a spoiled check says, in part: whatever else it says is another's fault.
    symptom: &'static str,
    pub(super) what: &'static str,
    pub(super) place: Place,
}

/// Where a defect is. A test compares the version with the one that the peer is built with.
pub(super) struct Place {
    package: &'static str,
    version: &'static str,
    file: &'static str,
    function: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            package,
            version,
            file,
            function,
        } = self;
        write!(f, "{package} {version}, {file}, {function}")
    }
}

impl Defect {
    /// The checks that show it soonest.
    pub(super) fn proofs(&self) -> &'static [&'static str] {
        &self.checks[..self.checks.len().min(PROOFS_MAX)]
    }

    /// Whether a failure with these words may come of it.
    pub(super) fn explains(&self, why: &str) -> bool {
        why.contains(self.symptom)
    }
}

const PROOFS_MAX: usize = 2;

static DEFECTS: [Defect; 1] = [Defect {
    listener: "rust",
    checks: &["reset"],
    transport: Some("quic-v1"),
    symptom: "the listener's reset looks like Ok(None)",
    what: "rust-libp2p has no call to reset a QUIC stream, and one that is dropped ends cleanly",
    place: Place {
        package: "libp2p-quic",
        version: "0.14.0",
        file: "src/connection/stream.rs",
        function: "impl AsyncWrite for Stream",
    },
}];

#[cfg(test)]
mod tests;
