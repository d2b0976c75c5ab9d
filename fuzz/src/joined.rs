//! Two muxers joined and used at random, against the tests' reference: every stream is two byte queues, whoever waits is
//! woken, and in the end nothing remains.

use std::time::Duration;

use carrick_session::Config;
use carrick_wire::ProtocolId;

use crate::{
    model::Model,
    pair::{MPLEX, Pair, YAMUX},
    source::Source,
    target::Target,
};

/// Every target of this file.
pub const TARGETS: [Target; 2] = [("joined_yamux", yamux), ("joined_mplex", mplex)];

/// Two ends of yamux.
pub fn yamux(data: &[u8]) {
    run(&YAMUX, data);
}

/// Two ends of mplex.
pub fn mplex(data: &[u8]) {
    run(&MPLEX, data);
}

fn run(muxer: &ProtocolId, data: &[u8]) {
    let mut source = Source::new(data);
    let config = Config {
        outbound_streams_max: source.one(&[8, 1, 2, 32]),
        send_buffer_max: source.one(&[500, 64, 4096, 256 << 10]),
        stream_window_max: source.one(&[64 << 20, 256 << 10, 300_000, 1 << 20]),
        window_budget: source.one(&[64 << 20, 0, 100_000, 1 << 20]),
        mplex_buffer_max: source.one(&[1 << 20, 1000, 5000]),
        ..Config::default()
    };
    let mut pair = Pair::new(muxer, &config);
    pair.latency = Duration::from_millis(source.one(&[0, 1, 80, 500]));
    let chunk = source.one(&[65519, 1, 7, 13, 1000]);
    let mut model = Model::new(pair, chunk);
    // Not so long that somebody loses patience: keep-alive pings, and mplex with slow readers.
    let mut time = Duration::from_secs(if *muxer == YAMUX { 25 } else { 4 });
    // Small pieces cost more.
    let mut work: usize = if chunk < 1000 { 4_000 } else { 300_000 };
    for _ in 0..OPS_MAX {
        if source.is_empty() || work == 0 {
            break;
        }
        let (op, which) = (source.u8(), source.u8());
        let len = usize::from(source.u16()) % 5000 * source.one(&[1, 1, 1, 14]);
        work = work.saturating_sub(len + 100);
        if op % 17 < 16 {
            model.apply(usize::from(op >> 7), op % 17, usize::from(which), len);
        } else {
            let pass = Duration::from_millis(len as u64 / 14).min(time);
            time -= pass;
            model.pass(pass);
        }
    }
    model.close();
}

const OPS_MAX: usize = 150;
