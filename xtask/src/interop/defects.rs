//! What foreign stacks are known to get wrong, whoever is on the other side. A check that fails for it counts as skipped if the
//! same defect shows between two nodes of the stack, in this check or another that it spoils.

use super::cell::Cell;

/// The defect that explains why this check fails in this cell.
pub(super) fn known(cell: &Cell, check: &str) -> Option<&'static Defect> {
    let fits = |defect: &&Defect| {
        let roles = match defect.role {
            Role::Listener => [cell.listener.name, cell.listener.name],
            Role::Either => [cell.dialer.name, cell.listener.name],
        };
        defect.checks.contains(&check)
            && roles.contains(&defect.stack)
            && defect
                .transport
                .is_none_or(|only| only == cell.stack.transport)
    };
    DEFECTS.iter().find(fits)
}

pub(super) struct Defect {
    stack: &'static str,
    role: Role,
    /// What it spoils; the quicker checks first, which alone are to prove it.
    checks: &'static [&'static str],
    /// Where it shows; everywhere if absent.
    transport: Option<&'static str>,
    pub(super) what: &'static str,
}

impl Defect {
    /// The checks that show it soonest.
    pub(super) fn proofs(&self) -> &'static [&'static str] {
        &self.checks[..self.checks.len().min(PROOFS_MAX)]
    }
}

const PROOFS_MAX: usize = 2;

enum Role {
    Listener,
    Either,
}

static DEFECTS: [Defect; 3] = [
    Defect {
        stack: "rust",
        role: Role::Listener,
        checks: &["concurrent"],
        transport: None,
        what: "libp2p-stream drops inbound streams while its queue, which has room for one, is full",
    },
    Defect {
        stack: "rust",
        role: Role::Listener,
        checks: &["reset"],
        transport: Some("quic-v1"),
        what: "rust-libp2p has no call to reset a QUIC stream, and one that is dropped ends cleanly",
    },
    Defect {
        stack: "py",
        role: Role::Either,
        checks: &["half-close", "concurrent", "connections", "bulk"],
        transport: Some("quic-v1"),
        what: "py-libp2p may read the end of a QUIC stream before its last bytes",
    },
];

#[cfg(test)]
mod tests;
