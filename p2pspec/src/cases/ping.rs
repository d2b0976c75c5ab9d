//! `libp2p/specs ping/ping.md`.

use crate::{
    bench::{PING, echo, ping},
    case::{Bench, Case, Document, Need, Rule, Step, case, ensure, fail},
    speak::{channel::Talk, connection::Connection, multistream},
};

const SPEC: Document = Document("libp2p/specs ping/ping.md");

const ECHO: Rule = SPEC.must(
    "Protocol",
    "the listener sends back the same 32 bytes that it received",
);
const LOOP: Rule = SPEC.should(
    "Protocol",
    "the listener loops and echoes the next payload on the same stream",
);
const END: Rule = SPEC.should(
    "Protocol",
    "when the dialer ends its side, the listener finishes the echo, leaves the loop and closes",
);
const TWO: Rule = SPEC.should(
    "Protocol",
    "a listener accepts at most two streams per peer",
);
const ID: Rule = SPEC.must("Protocol", "the protocol id is /ipfs/ping/1.0.0");

pub(super) const CASES: &[Case] = &[
    case(
        "ping/id",
        "ping is served under its id",
        ID,
        Need::Streams,
        ["/ipfs/ping/1.0.0", "agreement"],
        |bench| Box::pin(agreed(bench)),
    ),
    case(
        "ping/echo",
        "32 bytes come back as they were sent",
        ECHO,
        Need::Streams,
        ["32 random bytes", "the same 32 bytes"],
        |bench| Box::pin(rounds(bench, 1)),
    ),
    case(
        "ping/zeros",
        "the payload may be anything",
        ECHO,
        Need::Streams,
        ["32 zero bytes", "32 zero bytes"],
        |bench| Box::pin(payload(bench, [0; 32])),
    ),
    case(
        "ping/newlines",
        "the payload is not taken for a negotiation",
        ECHO,
        Need::Streams,
        [
            "32 bytes that begin like multistream's na",
            "the same 32 bytes",
        ],
        |bench| {
            Box::pin(async {
                let mut bytes = [b'\n'; 32];
                bytes[..4].copy_from_slice(b"\x03na\n");
                payload(bench, bytes).await
            })
        },
    ),
    case(
        "ping/loop",
        "one stream serves many pings",
        LOOP,
        Need::Streams,
        [
            "ten payloads, each after the echo of the one before",
            "ten echoes",
        ],
        |bench| Box::pin(rounds(bench, 10)),
    ),
    case(
        "ping/pieces",
        "a payload may come in any pieces",
        ECHO,
        Need::Streams,
        ["32 bytes, one a frame", "the same 32 bytes"],
        |bench| Box::pin(pieces(bench)),
    ),
    case(
        "ping/pipelined",
        "payloads that come together are echoed in order",
        SPEC.practice(
            "Protocol",
            "the stream carries payloads one behind the other",
        ),
        Need::Streams,
        ["four payloads in one frame", "the same 128 bytes"],
        |bench| Box::pin(pipelined(bench)),
    ),
    case(
        "ping/nothing-more",
        "an echo is 32 bytes and not one more",
        ECHO,
        Need::Streams,
        ["a payload and the end", "32 bytes and then the end"],
        |bench| Box::pin(exactly(bench)),
    ),
    case(
        "ping/end",
        "the listener closes when the dialer has ended its side",
        END,
        Need::Streams,
        [
            "a payload, and after its echo the end",
            "the end of the other side",
        ],
        |bench| Box::pin(end(bench)),
    ),
    case(
        "ping/end-at-once",
        "an end without a payload closes the stream",
        END,
        Need::Streams,
        [
            "the end right after the negotiation",
            "the end or a reset, without a byte",
        ],
        |bench| Box::pin(half(bench, 0)),
    ),
    case(
        "ping/half-payload",
        "half a payload and the end are not echoed",
        SPEC.practice("Protocol", "a payload has 32 bytes"),
        Need::Streams,
        [
            "16 bytes and the end",
            "the end or a reset, and the connection goes on",
        ],
        |bench| Box::pin(half(bench, 16)),
    ),
    case(
        "ping/33-bytes",
        "a byte behind a payload, and the end, are not echoed",
        SPEC.practice("Protocol", "a payload has 32 bytes"),
        Need::Streams,
        [
            "33 bytes and the end",
            "at most 32 bytes and the end or a reset, and the connection goes on",
        ],
        |bench| Box::pin(too_long(bench)),
    ),
    case(
        "ping/second-stream",
        "a second stream is served beside the first",
        TWO,
        Need::Streams,
        ["two streams with a payload each", "both echoes"],
        |bench| Box::pin(two(bench)),
    ),
    case(
        "ping/again",
        "a stream that has ended makes room for another",
        TWO,
        Need::Streams,
        ["five times: a stream, a payload, the end", "five echoes"],
        |bench| Box::pin(again(bench)),
    ),
    case(
        "ping/reset",
        "a reset in the middle of a payload harms nothing else",
        SPEC.practice("Protocol", "streams are independent"),
        Need::Streams,
        [
            "16 bytes and a reset, then a new stream",
            "the new stream's echo",
        ],
        |bench| Box::pin(reset(bench)),
    ),
    case(
        "ping/not-first",
        "the listener waits for the payload",
        SPEC.must("Protocol", "the dialer sends first"),
        Need::Streams,
        [
            "nothing on one stream, a payload on another",
            "nothing on the first",
        ],
        |bench| Box::pin(waits(bench)),
    ),
];

/// A connection with a stream on which ping was agreed.
pub(super) async fn stream(bench: &Bench) -> Step<(Connection, u32)> {
    let mut connection = bench.connection().await?;
    let id = connection.open().await?;
    multistream::agree(&mut connection.stream(id), PING).await?;
    Ok((connection, id))
}

async fn agreed(bench: Bench) -> Step<String> {
    stream(&bench).await?;
    Ok("agreed".to_owned())
}

pub(super) async fn rounds(bench: Bench, count: usize) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    for _ in 0..count {
        echo(&mut connection.stream(id)).await?;
    }
    Ok(format!("{count} echoed"))
}

async fn payload(bench: Bench, payload: [u8; 32]) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    let mut stream = connection.stream(id);
    stream.send(&payload).await?;
    let echo = stream.take(32).await?;
    ensure(echo == payload, || format!("{echo:02x?}"))?;
    Ok("echoed".to_owned())
}

async fn pieces(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    let payload: [u8; 32] = rand::random();
    for byte in payload {
        connection.stream(id).send(&[byte]).await?;
    }
    let echo = connection.stream(id).take(32).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok("echoed".to_owned())
}

async fn pipelined(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    let payloads: Vec<u8> = (0..128).map(|_| rand::random()).collect();
    connection.stream(id).send(&payloads).await?;
    let echo = connection.stream(id).take(128).await?;
    ensure(echo == payloads, || "the echoes differ".to_owned())?;
    Ok("echoed".to_owned())
}

async fn exactly(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    let payload: [u8; 32] = rand::random();
    connection.stream(id).send(&payload).await?;
    connection.finish(id).await?;
    let (heard, _) = connection.read_to_end(id).await?;
    ensure(heard == payload, || format!("{} bytes came", heard.len()))?;
    Ok("32 bytes".to_owned())
}

pub(super) async fn end(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    echo(&mut connection.stream(id)).await?;
    connection.finish(id).await?;
    bench.stage("waiting for the listener to end its side");
    let (rest, clean) = connection.read_to_end(id).await?;
    ensure(rest.is_empty(), || format!("{} bytes more", rest.len()))?;
    ensure(clean, || "the stream was reset instead of ended".to_owned())?;
    Ok("ended".to_owned())
}

async fn half(bench: Bench, count: usize) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    connection.stream(id).send(&vec![7; count]).await?;
    connection.finish(id).await?;
    bench.stage("waiting for the listener to end its side");
    let (rest, clean) = connection.read_to_end(id).await?;
    ensure(rest.is_empty(), || {
        format!("{} bytes were echoed", rest.len())
    })?;
    ping(&mut connection).await?;
    Ok(if clean { "ended" } else { "reset" }.to_owned())
}

/// A reset may overtake the echo.
async fn too_long(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    let bytes: [u8; 33] = [7; 33];
    connection.stream(id).send(&bytes).await?;
    connection.finish(id).await?;
    bench.stage("waiting for the listener to end its side");
    let (heard, clean) = connection.read_to_end(id).await?;
    ensure(heard.len() <= 32, || format!("{} bytes came", heard.len()))?;
    ping(&mut connection).await?;
    Ok(if clean { "ended" } else { "reset" }.to_owned())
}

async fn two(bench: Bench) -> Step<String> {
    let (mut connection, first) = stream(&bench).await?;
    echo(&mut connection.stream(first)).await?;
    ping(&mut connection).await?;
    echo(&mut connection.stream(first)).await?;
    Ok("both echoed".to_owned())
}

async fn again(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    for _ in 0..5 {
        let id = connection.open().await?;
        multistream::agree(&mut connection.stream(id), PING).await?;
        echo(&mut connection.stream(id)).await?;
        connection.finish(id).await?;
        connection.read_to_end(id).await?;
    }
    Ok("five echoed".to_owned())
}

pub(super) async fn reset(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    connection.stream(id).send(&[7; 16]).await?;
    connection.reset(id).await?;
    ping(&mut connection).await?;
    Ok("another stream echoes".to_owned())
}

/// What the first stream would have said has had the time of a round trip to come.
async fn waits(bench: Bench) -> Step<String> {
    let (mut connection, silent) = stream(&bench).await?;
    ping(&mut connection).await?;
    let payload: [u8; 32] = rand::random();
    connection.stream(silent).send(&payload).await?;
    let echo = connection.stream(silent).take(32).await?;
    if echo != payload {
        return fail("the listener spoke first");
    }
    Ok("nothing came before the payload".to_owned())
}
