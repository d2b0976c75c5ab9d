//! yamux: `libp2p/specs yamux/README.md`, which is HashiCorp's specification with its sections.

mod frames;
mod windows;

use std::time::Duration;

use crate::{
    bench::{PING, echo, still},
    case::{Bench, Case, Document, Need, Rule, Step, Stop, case, ensure, fail},
    speak::{
        channel::Talk,
        multistream,
        yamux::{ACK, FIN, Frame, GO_AWAY, RST, SYN, WINDOW, Yamux, data, head},
    },
};

pub(super) use frames::CASES as FRAMES;
pub(super) use windows::CASES as WINDOWS;

const SPEC: Document = Document("libp2p/specs yamux/README.md");

const OPEN: Rule = SPEC.must(
    "Opening a stream",
    "a data or window update frame with SYN opens a stream; an ACK or RST answers it",
);
const CLOSE: Rule = SPEC.must(
    "Closing a stream",
    "a data or window update frame with FIN ends one direction, and the other goes on",
);
const RESET: Rule = SPEC.must(
    "Closing a stream",
    "RST closes a stream at once, and no other",
);
const PINGS: Rule = SPEC.must("Length Field", "a ping's value is opaque, and echoed back");
const BACKLOG: Rule = SPEC.practice(
    "ACK backlog & backpressure",
    "streams that wait for their ACK are kept or reset; their number is bounded",
);

pub(super) const CASES: &[Case] = &[
    case(
        "yamux/session",
        "a session serves streams",
        SPEC.must("Specification", "the protocol id is /yamux/1.0.0"),
        Need::Yamux,
        ["a stream for ping", "its echo"],
        |b| Box::pin(session(b)),
    ),
    case(
        "yamux/open/by-data",
        "a data frame opens a stream",
        OPEN,
        Need::Yamux,
        [
            "SYN on a data frame with the negotiation",
            "the negotiation answered",
        ],
        |b| Box::pin(session(b)),
    ),
    case(
        "yamux/open/by-window-update",
        "a window update opens a stream",
        OPEN,
        Need::Yamux,
        [
            "SYN on a window update of 0, then the negotiation",
            "the negotiation answered",
        ],
        |b| Box::pin(opened(b, head(WINDOW, SYN, 1, 0), 1)),
    ),
    case(
        "yamux/open/acknowledged",
        "an ACK accepts a stream",
        OPEN,
        Need::Yamux,
        [
            "a stream for ping",
            "ACK on the first frame that comes back on it",
        ],
        |b| Box::pin(acknowledged(b)),
    ),
    case(
        "yamux/open/ids-with-gaps",
        "ids may be left out",
        SPEC.practice("StreamID Field", "ids are odd for the client, and new"),
        Need::Yamux,
        [
            "streams 1, 101 and 100001 for an unknown protocol",
            "three times na",
        ],
        |b| Box::pin(gaps(b)),
    ),
    case(
        "yamux/open/largest-id",
        "the largest id is an id",
        SPEC.practice("StreamID Field", "ids have 32 bits"),
        Need::Yamux,
        ["stream ffffffff", "it is served"],
        |b| Box::pin(opened(b, head(WINDOW, SYN, u32::MAX, 0), u32::MAX)),
    ),
    case(
        "yamux/open/own-ids-even",
        "the server's own streams have even ids",
        SPEC.must(
            "StreamID Field",
            "the client's ids are odd, the server's even",
        ),
        Need::Yamux,
        [
            "a ping, while the node may open streams of its own",
            "no odd id among these",
        ],
        |b| Box::pin(even(b)),
    ),
    case(
        "yamux/open/with-end",
        "a stream may be opened and ended by one frame",
        SPEC.practice("Flag Field", "flags may stand together"),
        Need::Yamux,
        [
            "SYN and FIN on a data frame with negotiation and a ping",
            "the ping's echo",
        ],
        |b| Box::pin(open_and_end(b)),
    ),
    case(
        "yamux/close/by-data",
        "FIN on an empty data frame ends our side alone",
        CLOSE,
        Need::Yamux,
        [
            "a ping and FIN on an empty data frame",
            "the echo, then FIN",
        ],
        |b| Box::pin(closed(b, |id| data(FIN, id, &[]))),
    ),
    case(
        "yamux/close/by-window-update",
        "FIN on a window update ends our side alone",
        CLOSE,
        Need::Yamux,
        ["a ping and FIN on a window update", "the echo, then FIN"],
        |b| Box::pin(closed(b, |id| head(WINDOW, FIN, id, 0))),
    ),
    case(
        "yamux/close/with-last-data",
        "FIN may stand on the last data",
        CLOSE,
        Need::Yamux,
        ["32 bytes for ping with FIN on them", "the echo, then FIN"],
        |b| Box::pin(last(b)),
    ),
    case(
        "yamux/close/reset",
        "a reset ends one stream and no other",
        RESET,
        Need::Yamux,
        ["two streams, RST on one", "the other is served"],
        |b| Box::pin(reset(b, WINDOW)),
    ),
    case(
        "yamux/close/reset-by-data",
        "RST on a data frame is a reset, too",
        RESET,
        Need::Yamux,
        [
            "two streams, RST on one by a data frame",
            "the other is served",
        ],
        |b| Box::pin(reset(b, crate::speak::yamux::DATA)),
    ),
    case(
        "yamux/ping/answered",
        "a ping is answered",
        PINGS,
        Need::Yamux,
        ["a ping with the value 12345678", "ACK with the same value"],
        |b| Box::pin(pinged(b, &[0x1234_5678])),
    ),
    case(
        "yamux/ping/any-value",
        "a ping's value may be anything",
        PINGS,
        Need::Yamux,
        ["pings with 0 and ffffffff", "ACKs with the same values"],
        |b| Box::pin(pinged(b, &[0, u32::MAX])),
    ),
    case(
        "yamux/ping/several",
        "pings that come together are all answered",
        PINGS,
        Need::Yamux,
        ["eight pings in one piece", "eight answers, in order"],
        |b| Box::pin(pinged(b, &[1, 2, 3, 4, 5, 6, 7, 8])),
    ),
    case(
        "yamux/ping/answer-unasked",
        "an answer that nobody asked for is ignored",
        SPEC.practice(
            "Type Field",
            "pings measure; an answer too many measures nothing",
        ),
        Need::Yamux,
        [
            "a ping's ACK without its SYN, then a stream",
            "the stream served",
        ],
        |b| {
            Box::pin(survives(
                b,
                vec![head(crate::speak::yamux::PING, ACK, 0, 77)],
            ))
        },
    ),
    case(
        "yamux/go-away/open-streams",
        "streams outlive a go-away without an error",
        SPEC.practice(
            "Session termination",
            "go-away with 0 says that no more streams come",
        ),
        Need::Yamux,
        [
            "a stream for ping, go-away with 0, then a payload",
            "its echo",
        ],
        |b| Box::pin(going(b)),
    ),
    case(
        "yamux/go-away/unknown-code",
        "an unknown code is a go-away all the same",
        SPEC.practice("Session termination", "the codes 0, 1 and 2 are defined"),
        Need::Yamux,
        [
            "go-away with 99, and the end of our side",
            "the connection closed",
        ],
        |b| Box::pin(leaving(b, 99)),
    ),
    case(
        "yamux/go-away/then-end",
        "a session that has ended is closed",
        SPEC.practice("Session termination", "go-away comes before the end"),
        Need::Yamux,
        [
            "go-away with 0, and the end of our side",
            "the connection closed",
        ],
        |b| Box::pin(leaving(b, 0)),
    ),
    case(
        "yamux/streams/forty",
        "forty streams are served at once",
        BACKLOG,
        Need::Yamux,
        [
            "forty streams, each with an unknown protocol",
            "forty times na",
        ],
        |b| Box::pin(many(b, 40)),
    ),
    case(
        "yamux/streams/silent-hundred",
        "a hundred silent streams do not hold up another",
        BACKLOG,
        Need::Yamux,
        [
            "a hundred streams without a word, and one for ping",
            "the ping's echo",
        ],
        |b| Box::pin(silent(b, 100)),
    ),
    case(
        "yamux/streams/silent-thousand",
        "a thousand silent streams are kept or reset, and the session goes on",
        BACKLOG,
        Need::Yamux,
        [
            "a thousand streams without a word; all are reset, then one for ping",
            "the ping's echo",
        ],
        |b| Box::pin(thousand(b)),
    ),
    case(
        "yamux/streams/reused",
        "a hundred streams one after another are served",
        CLOSE,
        Need::Yamux,
        ["a hundred times: a stream, a ping, FIN", "a hundred echoes"],
        |b| Box::pin(reused(b)),
    ),
];

/// A session with a stream on which ping was agreed.
async fn stream(bench: &Bench) -> Step<(Yamux, u32)> {
    let mut session = bench.yamux().await?;
    let id = session.open(&multistream::propose(&[PING])).await?;
    agreed(&mut session, id).await?;
    Ok((session, id))
}

async fn agreed(session: &mut Yamux, id: u32) -> Step<()> {
    let mut stream = session.stream(id);
    multistream::read_header(&mut stream).await?;
    multistream::expect(&mut stream, PING).await
}

async fn session(bench: Bench) -> Step<String> {
    still(&mut bench.yamux().await?).await?;
    Ok("served".to_owned())
}

async fn opened(bench: Bench, opening: Frame, id: u32) -> Step<String> {
    let mut session = bench.yamux().await?;
    session.track(id);
    session.send_frame(&opening).await?;
    session.write(id, &multistream::propose(&[PING])).await?;
    agreed(&mut session, id).await?;
    echo(&mut session.stream(id)).await?;
    Ok("served".to_owned())
}

async fn acknowledged(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let id = session.open(&multistream::propose(&[PING])).await?;
    let first = session
        .wait("frame on the stream", |frame| frame.stream == id)
        .await?;
    ensure(first.has(ACK), || format!("the first frame is {first:?}"))?;
    Ok(format!("type {}, flags {}", first.kind, first.flags))
}

async fn gaps(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    for id in [1, 101, 100_001] {
        session.track(id);
        let first = multistream::propose(&["/p2pspec/nobody/1.0.0"]);
        session.send_frame(&data(SYN, id, &first)).await?;
        let mut stream = session.stream(id);
        multistream::read_header(&mut stream).await?;
        multistream::expect(&mut stream, "na").await?;
    }
    Ok("three answered".to_owned())
}

async fn even(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    // When it opens one, if ever, is its own affair: many ask who we are, and some let a moment pass first.
    for _ in 0..50 {
        still(&mut session).await?;
        if !session.incoming.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let theirs = session.incoming;
    if theirs.is_empty() {
        return Err(Stop::Skip("the node opened no stream".to_owned()));
    }
    ensure(theirs.iter().all(|id| id.is_multiple_of(2)), || {
        format!("{theirs:?}")
    })?;
    Ok(format!("{theirs:?}"))
}

async fn open_and_end(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let payload: [u8; 32] = rand::random();
    let id = session.fresh();
    let first = [&multistream::propose(&[PING])[..], &payload].concat();
    session.send_frame(&data(SYN | FIN, id, &first)).await?;
    agreed(&mut session, id).await?;
    let echo = session.stream(id).take(32).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok("echoed".to_owned())
}

async fn closed(bench: Bench, end: fn(u32) -> Frame) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    echo(&mut session.stream(id)).await?;
    session.send_frame(&end(id)).await?;
    let (rest, clean) = session.read_to_end(id).await?;
    ensure(rest.is_empty() && clean, || {
        format!("{} bytes, clean: {clean}", rest.len())
    })?;
    still(&mut session).await?;
    Ok("ended".to_owned())
}

async fn last(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    let payload: [u8; 32] = rand::random();
    session.send_frame(&data(FIN, id, &payload)).await?;
    let (rest, clean) = session.read_to_end(id).await?;
    ensure(rest == payload, || {
        format!("{} bytes came back", rest.len())
    })?;
    ensure(clean, || "the stream was reset".to_owned())?;
    Ok("echoed and ended".to_owned())
}

async fn reset(bench: Bench, kind: u8) -> Step<String> {
    let (mut session, first) = stream(&bench).await?;
    let second = session.open(&multistream::propose(&[PING])).await?;
    agreed(&mut session, second).await?;
    session.send_frame(&head(kind, RST, first, 0)).await?;
    echo(&mut session.stream(second)).await?;
    still(&mut session).await?;
    Ok("the other goes on".to_owned())
}

async fn pinged(bench: Bench, values: &'static [u32]) -> Step<String> {
    let mut session = bench.yamux().await?;
    let pings = values
        .iter()
        .map(|value| head(crate::speak::yamux::PING, SYN, 0, *value));
    session.send_frames(&pings.collect::<Vec<_>>()).await?;
    for value in values {
        let is = |frame: &Frame| frame.kind == crate::speak::yamux::PING && frame.has(ACK);
        let answer = session.wait("answer to a ping", is).await?;
        ensure(answer.length == *value && answer.stream == 0, || {
            format!("{answer:?}")
        })?;
    }
    Ok(format!("{} answered", values.len()))
}

/// These frames must not harm the session, which has worked before.
async fn survives(bench: Bench, frames: Vec<Frame>) -> Step<String> {
    let mut session = bench.yamux().await?;
    still(&mut session).await?;
    session.send_frames(&frames).await?;
    still(&mut session).await?;
    Ok("a stream was served afterwards".to_owned())
}

/// These frames must end the session, which has worked before.
async fn ends(bench: Bench, frames: Vec<Frame>) -> Step<String> {
    let mut session = bench.yamux().await?;
    still(&mut session).await?;
    session.send_frames(&frames).await?;
    bench.stage("waiting for a go-away or a close");
    session.over().await
}

async fn going(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    session.send_frame(&head(GO_AWAY, 0, 0, 0)).await?;
    echo(&mut session.stream(id)).await?;
    Ok("echoed".to_owned())
}

async fn leaving(bench: Bench, code: u32) -> Step<String> {
    let mut session = bench.yamux().await?;
    still(&mut session).await?;
    session.send_frame(&head(GO_AWAY, 0, 0, code)).await?;
    if let Some(secured) = session.channel.secured() {
        secured.pipe.finish().await?;
    }
    bench.stage("waiting for the connection to be closed");
    session.channel.closed().await
}

async fn many(bench: Bench, count: usize) -> Step<String> {
    let mut session = bench.yamux().await?;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(
            session
                .open(&multistream::propose(&["/p2pspec/nobody/1.0.0"]))
                .await?,
        );
    }
    for id in ids {
        let mut stream = session.stream(id);
        multistream::read_header(&mut stream).await?;
        multistream::expect(&mut stream, "na").await?;
    }
    Ok(format!("{count} answered"))
}

async fn silent(bench: Bench, count: usize) -> Step<String> {
    let mut session = bench.yamux().await?;
    let frames: Vec<_> = (0..count)
        .map(|_| head(WINDOW, SYN, session.fresh(), 0))
        .collect();
    session.send_frames(&frames).await?;
    still(&mut session).await?;
    Ok(format!("a ping beside {count}"))
}

async fn thousand(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let ids: Vec<u32> = (0..1000).map(|_| session.fresh()).collect();
    let open: Vec<_> = ids.iter().map(|id| head(WINDOW, SYN, *id, 0)).collect();
    session.send_frames(&open).await?;
    let close: Vec<_> = ids.iter().map(|id| head(WINDOW, RST, *id, 0)).collect();
    session.send_frames(&close).await?;
    match still(&mut session).await {
        Ok(()) => {
            let reset = ids.iter().filter(|id| session.streams[id].reset).count();
            Ok(format!("{reset} of 1000 were refused by a reset"))
        }
        Err(Stop::Fail(why)) => fail(format!("the session did not go on: {why}")),
        Err(other) => Err(other),
    }
}

async fn reused(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    for _ in 0..100 {
        let id = session.open(&multistream::propose(&[PING])).await?;
        agreed(&mut session, id).await?;
        echo(&mut session.stream(id)).await?;
        session.send_frame(&data(FIN, id, &[])).await?;
    }
    Ok("a hundred".to_owned())
}
