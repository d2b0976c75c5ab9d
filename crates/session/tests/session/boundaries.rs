//! Every integer that a peer puts into a muxer's frame, at the edges of what it can hold; then a month goes by. Sums and
//! differences are checked in tests, so one that does not hold panics.

use std::time::Duration;

use bytes::Bytes;
use carrick_session::Config;
use carrick_wire::ProtocolId;

use crate::pair::{DIALER, MPLEX, Pair, YAMUX};

const EDGES: [u64; 11] = [
    0,
    1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 31) + 1,
    (1 << 32) - 1,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX,
];
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The keep-alive rings this often at least.
const HEARTBEATS: usize = 200;

/// Two ends with a stream between them, which has carried something each way. The listener gets `frame` as if the peer
/// had sent it; whatever it makes of that, both go on for as long as they can.
fn survives(muxer: &ProtocolId, frame: Vec<u8>) {
    let mut pair = Pair::new(muxer, &Config::default());
    let (ours, theirs) = pair.stream(b"x");
    pair.listener().write_all(theirs, b"y");
    pair.pump();
    assert_eq!(pair.read(DIALER, ours).0, b"y");
    let now = pair.now;
    let mut taken = pair.listener().mux.recv(now, Bytes::from(frame));
    for _ in 0..HEARTBEATS {
        let listener = pair.listener();
        listener.drain_events();
        listener.discard();
        if taken.is_err() {
            listener.mux.lose();
        }
        let Some(next) = listener.mux.poll_timeout() else {
            break;
        };
        pair.now = next.max(pair.now + MONTH / 200);
        let now = pair.now;
        let rung = pair.listener().mux.handle_timeout(now);
        taken = taken.and(rung);
    }
    let now = pair.now + MONTH;
    let listener = pair.listener();
    let _ = listener.mux.read(now, theirs);
    let _ = listener.mux.write(theirs, b"", b"z");
    let _ = listener.mux.finish(theirs);
    listener.mux.release(now, theirs);
    let _ = listener.mux.handle_timeout(now);
    listener.drain_events();
    listener.discard();
}

#[test]
fn yamux_bears_every_edge_in_every_field() {
    // Stream 1 is the dialer's first, which is open.
    for kind in 0..=4 {
        for flags in [0_u16, 1, 2, 4, 8, 15, u16::MAX] {
            let header = |stream: u32, length: u32| {
                let mut frame = vec![0, kind];
                frame.extend(flags.to_be_bytes());
                frame.extend(stream.to_be_bytes());
                frame.extend(length.to_be_bytes());
                frame
            };
            for edge in EDGES {
                let Ok(edge) = u32::try_from(edge) else {
                    continue;
                };
                survives(&YAMUX, header(1, edge));
                survives(&YAMUX, header(edge, 1));
                survives(&YAMUX, header(edge, edge));
                // Twice what fits once.
                survives(&YAMUX, [header(1, edge), header(1, edge)].concat());
            }
        }
    }
}

#[test]
fn mplex_bears_every_edge_in_every_field() {
    for tag in 0..8 {
        for edge in EDGES {
            let with_tag = (edge & !7) | tag;
            for (head, len) in [(with_tag, 1), (tag, edge), (with_tag, edge)] {
                let mut frame = Vec::new();
                push_varint(head, &mut frame);
                push_varint(len, &mut frame);
                frame.push(b'x');
                survives(&MPLEX, frame);
            }
        }
    }
}

/// As a peer may send it: also what is more than the spec's 63 bits.
fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
