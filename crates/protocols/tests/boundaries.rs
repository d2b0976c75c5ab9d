//! Every integer that a peer puts into what protocols say, at the edges of what it can hold; then a month goes by. Sums and
//! differences are checked in tests, so one that does not hold panics.

use std::time::{Duration, Instant};

use bytes::Bytes;
use carrick_protocols::{
    messages::{Answerer, Ask, Asker, Limits},
    packets::{self, Flows},
    perf,
};
use carrick_wire::{
    messages::{Header, Kind, Priority, Refusal},
    packets as codec,
};

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
const TAG: u32 = 7;

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

/// What fits of an edge into 32 bits.
fn low(edge: u64) -> u32 {
    u32::try_from(edge & u64::from(u32::MAX)).expect("it was cut")
}

fn headers() -> impl Iterator<Item = Header> {
    let kinds = [
        Kind::Request,
        Kind::Reply,
        Kind::OneWay,
        Kind::Error,
        Kind::Cancel,
    ];
    let fields = |kind| {
        EDGES.into_iter().flat_map(move |edge| {
            [
                (low(edge), 1, TAG),
                (1, edge, TAG),
                (1, 1, low(edge)),
                (low(edge), edge, TAG),
            ]
            .map(|(id, nonce, tag)| Header {
                kind,
                more: false,
                priority: Priority::Normal,
                code: 1,
                id: if kind == Kind::OneWay { 0 } else { id },
                nonce,
                tag,
            })
        })
    };
    kinds.into_iter().flat_map(fields)
}

fn frame(header: Header, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    header.encode(payload.len(), &mut bytes);
    bytes.extend_from_slice(payload);
    bytes.into()
}

#[test]
fn messages_bear_every_edge_in_every_field() {
    for header in headers() {
        for millis in EDGES.map(low) {
            let busy = [&[1][..], &millis.to_be_bytes()].concat();
            assert!(Refusal::decode(&busy).is_ok());
            let payload = if header.kind == Kind::Cancel {
                vec![]
            } else {
                busy
            };
            let mut answerer = Answerer::new(TAG, &Limits::default());
            // Twice: the second is out of order, and its id may be in use.
            for _ in 0..2 {
                answerer.recv(frame(header, &payload));
                while let Ok(Some(_)) = answerer.poll_event() {}
            }
            let _ = answerer.reply(header.id, Bytes::new(), true);
            answerer.refuse(header.id, &Refusal::Complete);
            while answerer.poll_transmit().is_some() {}

            let mut asker = Asker::new(TAG, &Limits::default());
            let deadline = start() + MONTH;
            let ask = Ask {
                code: 1,
                priority: Priority::Normal,
                payload: Bytes::new(),
            };
            let asked = asker.request(deadline, true, ask);
            assert!(asked.is_ok());
            while asker.poll_transmit().is_some() {}
            for _ in 0..2 {
                asker.recv(frame(header, &payload));
                while let Ok(Some(_)) = asker.poll_event() {}
            }
            while asker.handle_timeout(deadline + MONTH).is_some() {}
            assert_eq!(asker.poll_timeout(), None);
            while asker.poll_transmit().is_some() {}
        }
    }
}

#[test]
fn what_claims_any_length_is_refused_or_waited_for() {
    for edge in EDGES {
        let mut claim = Vec::new();
        push_varint(edge, &mut claim);
        claim.extend([1; 64]);
        let mut answerer = Answerer::new(TAG, &Limits::default());
        answerer.recv(claim.clone().into());
        while let Ok(Some(_)) = answerer.poll_event() {}
        let _ = answerer.finish();
        let _ = codec::decode_on_stream(&claim);
        let _ = codec::decode_opening(&claim);
    }
}

#[test]
fn packets_bear_every_edge_as_the_id_of_a_flow() {
    for dialed in [true, false] {
        for edge in EDGES {
            for streams in EDGES {
                let mut flows = Flows::new(packets::Limits::default(), dialed);
                flows.allow_streams(streams);
                let now = start();
                for id in [edge, edge & codec::ID_MAX, (edge & codec::ID_MAX) & !3] {
                    // An id that has no encoding is sent by nobody, and what is decoded has one.
                    let datagram = Bytes::from(codec::encode(id & codec::ID_MAX, b"x"));
                    let _ = flows.recv(now, || MONTH, &datagram);
                    let _ = flows.open(now + MONTH * 2, id);
                    let _ = flows.recv(now + MONTH * 2, || MONTH, &datagram);
                    let _ = flows.send(id & codec::ID_MAX, b"y", |_| false);
                    while flows.poll_transmit().is_some() {}
                    flows.unsend(id);
                    flows.close(id);
                }
            }
            let raw = Bytes::copy_from_slice(&edge.to_be_bytes());
            let _ = Flows::new(packets::Limits::default(), dialed).recv(start(), || MONTH, &raw);
        }
    }
}

#[test]
fn perf_bears_every_edge_as_a_size() {
    for up in EDGES {
        for down in EDGES {
            for header in [perf::Header::Spec, perf::Header::Sixteen] {
                let mut server = perf::Server::new(header);
                let _ = server.recv(&header.encode(up, down));
                let _ = server.recv(&[0; 100]);
                let _ = server.finish();
                let mut client = perf::Client::new(down);
                let _ = client.recv(&[0; 100]);
                let _ = client.finish();
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
