//! The table: a list of cases per specification.

use crate::case::Case;

mod multistream;
mod ping;

/// Every case, in order.
pub fn all() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

const TABLES: [&[Case]; 3] = [multistream::CASES, multistream::WRONG, ping::CASES];
