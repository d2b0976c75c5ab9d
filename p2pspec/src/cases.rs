//! The table: a list of cases per specification.

use crate::case::Case;

mod mplex;
mod multistream;
mod noise;
mod ping;
mod tls;
mod yamux;

/// Every case, in order.
pub fn all() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

const TABLES: [&[Case]; 14] = [
    multistream::CASES,
    multistream::WRONG,
    noise::CASES,
    noise::PAYLOAD,
    noise::MUXERS,
    noise::RECORDS,
    tls::CASES,
    tls::PAPERS,
    tls::QUIC_PAPERS,
    yamux::CASES,
    yamux::FRAMES,
    yamux::WINDOWS,
    mplex::CASES,
    ping::CASES,
];
