//! What foreign stacks are known to get wrong, whoever is on the other side. A check that fails for it counts as skipped if the
//! stack fails against itself, too.

use super::cell::Cell;

/// The defect that explains why this check fails in this cell.
pub(super) fn known(cell: &Cell, check: &str) -> Option<&'static str> {
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
    DEFECTS.iter().find(fits).map(|defect| defect.what)
}

struct Defect {
    stack: &'static str,
    role: Role,
    checks: &'static [&'static str],
    /// Where it shows; everywhere if absent.
    transport: Option<&'static str>,
    what: &'static str,
}

enum Role {
    Listener,
    Either,
}

const DEFECTS: [Defect; 3] = [
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
        checks: &["concurrent", "half-close", "connections", "bulk"],
        transport: Some("quic-v1"),
        what: "py-libp2p may read the end of a QUIC stream before its last bytes",
    },
];

#[cfg(test)]
mod tests;
