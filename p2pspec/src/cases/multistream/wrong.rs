//! What ends a negotiation. Each case shows first, on a line of its own, that the node would have agreed.

use super::{CONNECTIONS, Line, Place, SPEC};
use crate::{
    case::{Bench, Case, Document, Need, Rule, Step, Stop, case, ensure, fail},
    speak::{
        channel::Talk,
        multistream::{self, HEADER, message, raw},
    },
};

const VARINT: Document = Document("multiformats/unsigned-varint README.md");

const HEADER_FIRST: Rule = CONNECTIONS.must(
    "multistream-select",
    "anything else than the multistream id as the first message aborts the negotiation",
);
const NEWLINE: Rule = SPEC.must("Protocol, note 2", "every message ends with a newline");
const MINIMAL: Rule = VARINT.must(
    "Incompatibilities with Go varints",
    "varints are encoded in as few bytes as possible",
);
const NINE: Rule = VARINT.must(
    "Practical maximum of 9 bytes",
    "a varint has at most 9 bytes",
);
const BOUNDED: Rule = SPEC.practice(
    "Protocol, note 1",
    "lengths come from a peer, so they have a bound: 1 KiB in go, 16 KiB in rust",
);
const NOT_EMPTY: Rule = SPEC.practice(
    "Protocol, note 2",
    "a message has at least its newline, and names something",
);
const TEXT: Rule = CONNECTIONS.must("multistream-select", "messages are UTF-8");

const ABORT: &str = "the negotiation aborted: closed, without an agreement";
const ABORT_STREAM: &str = "the stream ended or reset without an agreement; the connection goes on";
const REFUSE: &str = "na, or the negotiation aborted";

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "multistream/connection/header-version",
        "another version of multistream is not spoken",
        HEADER_FIRST,
        Need::Pipe,
        ["/multistream/2.0.0, then a proposal", ABORT],
        |bench| {
            Box::pin(aborts(
                bench,
                Place::Connection,
                message("/multistream/2.0.0"),
            ))
        },
    ),
    case(
        "multistream/connection/header-case",
        "the header is matched with its case",
        HEADER_FIRST,
        Need::Pipe,
        ["/MULTISTREAM/1.0.0, then a proposal", ABORT],
        |bench| {
            Box::pin(aborts(
                bench,
                Place::Connection,
                message("/MULTISTREAM/1.0.0"),
            ))
        },
    ),
    case(
        "multistream/connection/header-longer",
        "a header with something behind it is not the header",
        HEADER_FIRST,
        Need::Pipe,
        ["/multistream/1.0.0 and a space, then a proposal", ABORT],
        |bench| {
            Box::pin(aborts(
                bench,
                Place::Connection,
                message("/multistream/1.0.0 "),
            ))
        },
    ),
    case(
        "multistream/connection/header-missing",
        "a proposal without the header is not heard",
        HEADER_FIRST,
        Need::Pipe,
        ["a proposal at once", ABORT],
        |bench| Box::pin(aborts(bench, Place::Connection, Vec::new())),
    ),
    case(
        "multistream/connection/header-na",
        "na is not a header",
        HEADER_FIRST,
        Need::Pipe,
        ["na, then a proposal", ABORT],
        |bench| Box::pin(aborts(bench, Place::Connection, message("na"))),
    ),
    case(
        "multistream/connection/header-http",
        "HTTP is not multistream",
        HEADER_FIRST,
        Need::Pipe,
        ["an HTTP request", ABORT],
        |bench| Box::pin(aborts(bench, Place::Connection, http())),
    ),
    case(
        "multistream/connection/header-zeros",
        "zeros are not multistream",
        HEADER_FIRST,
        Need::Pipe,
        ["64 zero bytes, then a proposal", ABORT],
        |bench| Box::pin(aborts(bench, Place::Connection, vec![0; 64])),
    ),
    case(
        "multistream/connection/header-no-newline",
        "a header without its newline is refused",
        NEWLINE,
        Need::Pipe,
        [
            "the header with its newline left out, and counted so",
            ABORT,
        ],
        |bench| Box::pin(aborts(bench, Place::Connection, raw(HEADER.as_bytes()))),
    ),
    case(
        "multistream/connection/proposal-no-newline",
        "a proposal without its newline is refused",
        NEWLINE,
        Need::Pipe,
        ["a proposal whose last byte is not a newline", REFUSE],
        |bench| {
            Box::pin(refuses(bench, Place::Connection, |id| {
                raw(format!("{id}x").as_bytes())
            }))
        },
    ),
    case(
        "multistream/connection/length-not-minimal",
        "a length that takes more bytes than it needs is refused",
        MINIMAL,
        Need::Pipe,
        ["the header with its length as 93 00", ABORT],
        |bench| Box::pin(aborts(bench, Place::Connection, long_length()[..].to_vec())),
    ),
    case(
        "multistream/connection/length-endless",
        "a length of ten bytes is refused",
        NINE,
        Need::Pipe,
        ["a length whose ten bytes all say that more follow", ABORT],
        |bench| {
            Box::pin(aborts(
                bench,
                Place::Connection,
                [vec![0x80; 10], vec![1]].concat(),
            ))
        },
    ),
    case(
        "multistream/connection/length-huge",
        "a length of 2^62 is refused before its bytes come",
        BOUNDED,
        Need::Pipe,
        ["a length of 2^62", ABORT],
        |bench| {
            Box::pin(aborts(
                bench,
                Place::Connection,
                crate::speak::pb::varint(1 << 62),
            ))
        },
    ),
    case(
        "multistream/connection/message-large",
        "a message of 64 KiB is refused",
        BOUNDED,
        Need::Pipe,
        ["the header, then a proposal of 64 KiB", REFUSE],
        |bench| {
            Box::pin(refuses(bench, Place::Connection, |_| {
                message(&"x".repeat(65_536))
            }))
        },
    ),
    case(
        "multistream/connection/message-empty",
        "a message without even a newline agrees to nothing",
        NOT_EMPTY,
        Need::Pipe,
        ["the header, then a length of 0", REFUSE],
        |bench| Box::pin(refuses(bench, Place::Connection, |_| vec![0])),
    ),
    case(
        "multistream/connection/message-newline",
        "an empty id agrees to nothing",
        NOT_EMPTY,
        Need::Pipe,
        ["the header, then a newline alone", REFUSE],
        |bench| Box::pin(refuses(bench, Place::Connection, |_| message(""))),
    ),
    case(
        "multistream/connection/message-not-text",
        "an id that is not UTF-8 agrees to nothing",
        TEXT,
        Need::Pipe,
        ["the header, then an id with the byte ff", REFUSE],
        |bench| Box::pin(refuses(bench, Place::Connection, not_text)),
    ),
    case(
        "multistream/muxer/header-version",
        "another version of multistream is not spoken",
        HEADER_FIRST,
        Need::Yamux,
        ["/multistream/2.0.0, then a proposal", ABORT],
        |bench| Box::pin(aborts(bench, Place::Muxer, message("/multistream/2.0.0"))),
    ),
    case(
        "multistream/muxer/header-missing",
        "a proposal without the header is not heard",
        HEADER_FIRST,
        Need::Yamux,
        ["/yamux/1.0.0 at once", ABORT],
        |bench| Box::pin(aborts(bench, Place::Muxer, Vec::new())),
    ),
    case(
        "multistream/muxer/message-large",
        "a message of 64 KiB is refused",
        BOUNDED,
        Need::Yamux,
        ["the header, then a proposal of 64 KiB", REFUSE],
        |bench| {
            Box::pin(refuses(bench, Place::Muxer, |_| {
                message(&"x".repeat(65_536))
            }))
        },
    ),
    case(
        "multistream/stream/header-version",
        "another version of multistream is not spoken",
        HEADER_FIRST,
        Need::Streams,
        ["/multistream/2.0.0, then ping", ABORT_STREAM],
        |bench| Box::pin(aborts(bench, Place::Stream, message("/multistream/2.0.0"))),
    ),
    case(
        "multistream/stream/header-missing",
        "a proposal without the header is not heard",
        HEADER_FIRST,
        Need::Streams,
        ["/ipfs/ping/1.0.0 at once", ABORT_STREAM],
        |bench| Box::pin(aborts(bench, Place::Stream, Vec::new())),
    ),
    case(
        "multistream/stream/header-no-newline",
        "a header without its newline is refused",
        NEWLINE,
        Need::Streams,
        [
            "the header with its newline left out, and counted so",
            ABORT_STREAM,
        ],
        |bench| Box::pin(aborts(bench, Place::Stream, raw(HEADER.as_bytes()))),
    ),
    case(
        "multistream/stream/length-not-minimal",
        "a length that takes more bytes than it needs is refused",
        MINIMAL,
        Need::Streams,
        ["the header with its length as 93 00", ABORT_STREAM],
        |bench| Box::pin(aborts(bench, Place::Stream, long_length())),
    ),
    case(
        "multistream/stream/length-endless",
        "a length of ten bytes is refused",
        NINE,
        Need::Streams,
        [
            "a length whose ten bytes all say that more follow",
            ABORT_STREAM,
        ],
        |bench| {
            Box::pin(aborts(
                bench,
                Place::Stream,
                [vec![0x80; 10], vec![1]].concat(),
            ))
        },
    ),
    case(
        "multistream/stream/length-huge",
        "a length of 2^62 is refused before its bytes come",
        BOUNDED,
        Need::Streams,
        ["a length of 2^62", ABORT_STREAM],
        |bench| {
            Box::pin(aborts(
                bench,
                Place::Stream,
                crate::speak::pb::varint(1 << 62),
            ))
        },
    ),
    case(
        "multistream/stream/message-large",
        "a message of 64 KiB is refused",
        BOUNDED,
        Need::Streams,
        [
            "the header, then a proposal of 64 KiB",
            "na, or the stream ended; the connection goes on",
        ],
        |bench| {
            Box::pin(refuses(bench, Place::Stream, |_| {
                message(&"x".repeat(65_536))
            }))
        },
    ),
    case(
        "multistream/stream/message-empty",
        "a message without even a newline agrees to nothing",
        NOT_EMPTY,
        Need::Streams,
        [
            "the header, then a length of 0",
            "na, or the stream ended; the connection goes on",
        ],
        |bench| Box::pin(refuses(bench, Place::Stream, |_| vec![0])),
    ),
    case(
        "multistream/stream/message-newline",
        "an empty id agrees to nothing",
        NOT_EMPTY,
        Need::Streams,
        [
            "the header, then a newline alone",
            "na, or the stream ended; the connection goes on",
        ],
        |bench| Box::pin(refuses(bench, Place::Stream, |_| message(""))),
    ),
    case(
        "multistream/stream/message-not-text",
        "an id that is not UTF-8 agrees to nothing",
        TEXT,
        Need::Streams,
        [
            "the header, then an id with the byte ff",
            "na, or the stream ended; the connection goes on",
        ],
        |bench| Box::pin(refuses(bench, Place::Stream, not_text)),
    ),
    case(
        "multistream/connection/message-64-kib",
        "an id of 64 KiB agrees to nothing",
        BOUNDED,
        Need::Pipe,
        ["the header, then an id of 64 KiB, all of it", REFUSE],
        |bench| Box::pin(refuses(bench, Place::Connection, |_| message(&endless()))),
    ),
    case(
        "multistream/stream/message-64-kib",
        "an id of 64 KiB agrees to nothing",
        BOUNDED,
        Need::Streams,
        [
            "the header, then an id of 64 KiB, all of it",
            "na, or the stream ended; the connection goes on",
        ],
        |bench| Box::pin(refuses(bench, Place::Stream, |_| message(&endless()))),
    ),
    case(
        "multistream/connection/na-proposed",
        "na is no protocol",
        SPEC.must("Protocol", "na says that a protocol is not available"),
        Need::Pipe,
        ["the header, then na", REFUSE],
        |bench| Box::pin(refuses(bench, Place::Connection, |_| message("na"))),
    ),
    case(
        "multistream/stream/na-proposed",
        "na is no protocol",
        SPEC.must("Protocol", "na says that a protocol is not available"),
        Need::Streams,
        [
            "the header, then na",
            "na, or the stream ended; the connection goes on",
        ],
        |bench| Box::pin(refuses(bench, Place::Stream, |_| message("na"))),
    ),
];

fn endless() -> String {
    format!("/{}", "x".repeat(64 * 1024))
}

fn long_length() -> Vec<u8> {
    [&[0x93, 0x00][..], format!("{HEADER}\n").as_bytes()].concat()
}

/// Longer than the 71 bytes for whose count its first letter could be taken.
fn http() -> Vec<u8> {
    let agent = "p2pspec ".repeat(20);
    format!("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\n\r\n").into_bytes()
}

fn not_text(id: &str) -> Vec<u8> {
    raw(&[id.as_bytes(), &[0xff, b'\n']].concat())
}

/// All that comes until the end, whatever kind of end that is.
pub(super) async fn drain(line: &mut Line) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < HEARD_MAX {
        match line.take(1).await {
            Ok(byte) => heard.extend(byte),
            Err(_) => break,
        }
    }
    heard
}

const HEARD_MAX: usize = 64 * 1024;

async fn control(bench: &Bench, place: Place) -> Step<()> {
    let mut line = Line::new(bench, place).await?;
    let protocol = line.protocol;
    match multistream::agree(&mut line, protocol).await {
        Err(Stop::Fail(why)) => fail(format!("even the right words: {why}")),
        other => other,
    }
}

/// `first` and then a proposal that would be agreed to.
async fn aborts(bench: Bench, place: Place, first: Vec<u8>) -> Step<String> {
    control(&bench, place).await?;
    let mut line = Line::new(&bench, place).await?;
    let proposal = message(line.protocol);
    // The node may have closed already.
    let _ = line.send(&[first, proposal.clone()].concat()).await;
    bench.stage("waiting for the negotiation to be aborted");
    let mut heard = Vec::new();
    while let Ok(byte) = line.take(1).await {
        heard.extend(byte);
        ensure(!heard.ends_with(&proposal), || {
            format!("{} was agreed to all the same", line.protocol)
        })?;
        ensure(heard.len() < HEARD_MAX, || "it goes on and on".to_owned())?;
    }
    line.survived().await?;
    Ok(format!("ended after {} bytes", heard.len()))
}

/// The header and then a proposal that cannot be agreed to.
async fn refuses(bench: Bench, place: Place, proposal: fn(&str) -> Vec<u8>) -> Step<String> {
    control(&bench, place).await?;
    let mut line = Line::new(&bench, place).await?;
    let proposal = proposal(line.protocol);
    let _ = line.send(&[message(HEADER), proposal].concat()).await;
    bench.stage("waiting for na or an end");
    let said = loop {
        match multistream::read_or_end(&mut line).await? {
            Some(said) if said == HEADER => {}
            said => break said,
        }
    };
    ensure(said.as_ref().is_none_or(|said| said == "na"), || {
        format!("the answer is {said:?}")
    })?;
    line.survived().await?;
    Ok(if said.is_none() { "ended" } else { "na" }.to_owned())
}
