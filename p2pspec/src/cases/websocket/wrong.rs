//! Frames that end a connection: RFC 6455.

use super::{FRAGMENTS, RFC, SPEC, fails, part};
use crate::{
    case::{Case, Need, Rule, case},
    speak::websocket::{Frame, frame, opcode},
};

const FRAMING: Rule = RFC.must(
    "5.2. Base Framing Protocol",
    "reserved bits and opcodes that were not negotiated fail the connection",
);
const CONTROL: Rule = RFC.must(
    "5.5. Control Frames",
    "control frames have at most 125 bytes and are not fragmented",
);
const FAILED: &str = "the connection closed";

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "websocket/wrong/unmasked",
        "a frame without a mask fails the connection",
        RFC.must(
            "5.1. Overview",
            "a server closes the connection on a frame that is not masked",
        ),
        Need::WebSocket,
        ["a binary frame without a mask", FAILED],
        |b| {
            Box::pin(fails(
                b,
                Frame {
                    first: 0x82,
                    masked: false,
                    body: b"unmasked",
                }
                .encode(),
            ))
        },
    ),
    case(
        "websocket/wrong/reserved-bit",
        "a reserved bit fails the connection",
        FRAMING,
        Need::WebSocket,
        ["a binary frame with RSV1", FAILED],
        |b| {
            Box::pin(fails(
                b,
                Frame {
                    first: 0xc2,
                    masked: true,
                    body: b"reserved",
                }
                .encode(),
            ))
        },
    ),
    case(
        "websocket/wrong/opcode-3",
        "a reserved opcode fails the connection",
        FRAMING,
        Need::WebSocket,
        ["a frame of opcode 3", FAILED],
        |b| Box::pin(fails(b, frame(3, b"reserved"))),
    ),
    case(
        "websocket/wrong/opcode-11",
        "a reserved control opcode fails the connection",
        FRAMING,
        Need::WebSocket,
        ["a frame of opcode 11", FAILED],
        |b| Box::pin(fails(b, frame(11, b"reserved"))),
    ),
    case(
        "websocket/wrong/ping-too-long",
        "a ping of 126 bytes fails the connection",
        CONTROL,
        Need::WebSocket,
        ["a ping of 126 bytes", FAILED],
        |b| Box::pin(fails(b, frame(opcode::PING, &[7; 126]))),
    ),
    case(
        "websocket/wrong/ping-fragment",
        "a ping without FIN fails the connection",
        CONTROL,
        Need::WebSocket,
        ["a ping without FIN", FAILED],
        |b| Box::pin(fails(b, part(opcode::PING, b"more"))),
    ),
    case(
        "websocket/wrong/continuation",
        "a continuation of nothing fails the connection",
        FRAGMENTS,
        Need::WebSocket,
        ["a continuation without a beginning", FAILED],
        |b| Box::pin(fails(b, frame(opcode::CONTINUATION, b"of what"))),
    ),
    case(
        "websocket/wrong/begun-twice",
        "a message within a message fails the connection",
        FRAGMENTS,
        Need::WebSocket,
        ["two binary frames, the first without FIN", FAILED],
        |b| {
            Box::pin(fails(
                b,
                [part(opcode::BINARY, b"one"), frame(opcode::BINARY, b"two")].concat(),
            ))
        },
    ),
    case(
        "websocket/wrong/text",
        "a message of text fails the connection",
        SPEC.practice("Encoding", "the byte stream is carried by binary messages"),
        Need::WebSocket,
        ["a text message of letters", FAILED],
        |b| Box::pin(fails(b, frame(opcode::TEXT, b"text"))),
    ),
    case(
        "websocket/wrong/close-one-byte",
        "a close frame with half a code ends the connection",
        RFC.must(
            "5.5.1. Close",
            "a body begins with a code of two bytes; a close is answered and the connection closed",
        ),
        Need::WebSocket,
        ["a close frame of one byte", FAILED],
        |b| Box::pin(fails(b, frame(opcode::CLOSE, &[3]))),
    ),
    case(
        "websocket/wrong/length-not-minimal",
        "a length that takes more bytes than it needs fails the connection",
        RFC.practice(
            "5.2. Base Framing Protocol",
            "lengths are encoded in as few bytes as possible; few receivers look",
        ),
        Need::WebSocket,
        ["a ping whose length of 4 is written in two bytes", FAILED],
        |b| Box::pin(fails(b, not_minimal())),
    ),
    case(
        "websocket/wrong/huge",
        "a message of 2^62 bytes is refused before its bytes come",
        RFC.practice(
            "10.4. Implementation-Specific Limits",
            "frames have limits of size",
        ),
        Need::WebSocket,
        [
            "the header of a frame of 2^62 bytes, and 1 KiB of it",
            FAILED,
        ],
        |b| Box::pin(fails(b, huge())),
    ),
];

/// Control frames have no longer form of length at all.
fn not_minimal() -> Vec<u8> {
    [&[0x89, 0xfe, 0, 4][..], &[0; 4], b"ping"].concat()
}

fn huge() -> Vec<u8> {
    [
        &[0x82, 0xff][..],
        &(1u64 << 62).to_be_bytes(),
        &[0; 4],
        &[7; 1024],
    ]
    .concat()
}
