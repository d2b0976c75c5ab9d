//! The table: a list of cases per specification.

use crate::case::Case;

pub(crate) mod identify;
mod mplex;
mod multistream;
mod noise;
mod ping;
mod quic;
mod tls;
mod websocket;
mod yamux;

/// Every case, in order.
pub fn all() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

const TABLES: [&[Case]; 22] = [
    multistream::CASES,
    multistream::WRONG,
    noise::CASES,
    noise::PAYLOAD,
    noise::IDENTITY,
    noise::MUXERS,
    noise::RECORDS,
    tls::CASES,
    tls::PAPERS,
    yamux::CASES,
    yamux::FRAMES,
    yamux::WINDOWS,
    mplex::CASES,
    ping::CASES,
    identify::CASES,
    identify::RECORD,
    identify::PUSH,
    websocket::CASES,
    websocket::WRONG,
    quic::CASES,
    quic::LIMITS,
    tls::QUIC_PAPERS,
];
