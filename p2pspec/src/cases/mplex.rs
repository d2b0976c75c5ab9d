//! `libp2p/specs mplex/README.md`, where a node still offers it.

use crate::{
    bench::{PING, echo, ping},
    case::{Bench, Case, Document, Need, Rule, Step, case, ensure},
    speak::{
        channel::Talk,
        connection::Connection,
        mplex::{CLOSE_INITIATOR, MESSAGE_INITIATOR, Mplex, NEW, RESET_INITIATOR, message},
        multistream, pb,
    },
};

const SPEC: Document = Document("libp2p/specs mplex/README.md");

const FORMAT: Rule = SPEC.must(
    "Message format",
    "a message is a varint of id and flag, a varint of the length, and as many bytes",
);
const NEW_STREAM: Rule = SPEC.must(
    "Opening a new stream",
    "names are for people: they may be empty, and the same for all",
);
const HALF: Rule = SPEC.must(
    "Closing a stream",
    "close ends one direction; the other goes on",
);
const RESET: Rule = SPEC.must(
    "Resetting a stream",
    "a reset ends both directions of one stream",
);
const FLAGS: Rule = SPEC.practice("Flag Values", "the flags are 0 to 6");
const LATE: Rule = SPEC.practice(
    "Resetting a stream",
    "messages for a stream that is gone may be on their way; they are passed over",
);
const LENGTH: Rule = SPEC.practice("Writing to a stream", "a message has at most 1 MiB of data");
const OVER: &str = "the connection closed";
const ON: &str = "the session goes on: a stream is served afterwards";

pub(super) const CASES: &[Case] = &[
    case(
        "mplex/session",
        "a session serves streams",
        FORMAT,
        Need::Mplex,
        ["a stream for ping", "its echo"],
        |b| Box::pin(session(b)),
    ),
    case(
        "mplex/name/empty",
        "a stream's name may be empty",
        NEW_STREAM,
        Need::Mplex,
        ["a stream without a name", "it is served"],
        |b| Box::pin(named(b, b"")),
    ),
    case(
        "mplex/name/any",
        "a stream's name may be anything",
        NEW_STREAM,
        Need::Mplex,
        ["a stream whose name is 100 letters", "it is served"],
        |b| Box::pin(named(b, &[b'x'; 100])),
    ),
    case(
        "mplex/name/same",
        "streams may have the same name",
        NEW_STREAM,
        Need::Mplex,
        ["two streams of one name", "both are served"],
        |b| Box::pin(same(b)),
    ),
    case(
        "mplex/id/large",
        "ids may be large",
        SPEC.practice("Message format", "an id has up to 60 bits"),
        Need::Mplex,
        ["stream 4294967295", "it is served"],
        |b| Box::pin(large(b)),
    ),
    case(
        "mplex/frames/byte-by-byte",
        "a message may come in any pieces",
        FORMAT,
        Need::Mplex,
        ["a stream's messages, a byte a record", "the echo"],
        |b| Box::pin(bytewise(b)),
    ),
    case(
        "mplex/frames/together",
        "messages may come in one piece",
        FORMAT,
        Need::Mplex,
        [
            "a stream, its negotiation and a payload in one record",
            "the echo",
        ],
        |b| Box::pin(together(b)),
    ),
    case(
        "mplex/frames/empty",
        "an empty message means nothing",
        FORMAT,
        Need::Mplex,
        [
            "ten empty messages on a stream for ping, then a payload",
            "its echo",
        ],
        |b| Box::pin(empty(b)),
    ),
    case(
        "mplex/frames/flag-7",
        "an unknown flag ends the session",
        FLAGS,
        Need::Mplex,
        ["a message with flag 7", OVER],
        |b| Box::pin(ends(b, message(900, 7, &[]))),
    ),
    case(
        "mplex/frames/endless-header",
        "a header of more than nine bytes ends the session",
        SPEC.must("Message format", "the header has at most 9 bytes"),
        Need::Mplex,
        ["a header whose ten bytes all say that more follow", OVER],
        |b| Box::pin(ends(b, vec![0x80; 12])),
    ),
    case(
        "mplex/frames/too-long",
        "a message of 16 MiB ends the session before its bytes come",
        LENGTH,
        Need::Mplex,
        ["the header of a message of 16 MiB", OVER],
        |b| {
            let head = [
                pb::varint(900 << 3 | MESSAGE_INITIATOR),
                pb::varint(16 << 20),
            ]
            .concat();
            Box::pin(ends(b, [message(900, NEW, b"x"), head].concat()))
        },
    ),
    case(
        "mplex/frames/opened-twice",
        "a stream that is opened twice ends the session",
        SPEC.practice(
            "Opening a new stream",
            "a stream is opened with a newly allocated id",
        ),
        Need::Mplex,
        ["NewStream twice for one id", OVER],
        |b| Box::pin(ends(b, message(900, NEW, b"x").repeat(2))),
    ),
    case(
        "mplex/frames/unknown-data",
        "data for a stream that is not there is passed over",
        LATE,
        Need::Mplex,
        ["data for a stream that was never opened", ON],
        |b| Box::pin(survives(b, message(900, MESSAGE_INITIATOR, b"data"))),
    ),
    case(
        "mplex/frames/unknown-close",
        "the close of a stream that is not there is passed over",
        LATE,
        Need::Mplex,
        ["close for a stream that was never opened", ON],
        |b| Box::pin(survives(b, message(900, CLOSE_INITIATOR, &[]))),
    ),
    case(
        "mplex/frames/unknown-reset",
        "the reset of a stream that is not there is passed over",
        LATE,
        Need::Mplex,
        ["reset for a stream that was never opened", ON],
        |b| Box::pin(survives(b, message(900, RESET_INITIATOR, &[]))),
    ),
    case(
        "mplex/close/half",
        "our close leaves the other direction open",
        HALF,
        Need::Mplex,
        ["a payload and close", "its echo, then close"],
        |b| Box::pin(half(b)),
    ),
    case(
        "mplex/close/reset",
        "a reset ends one stream and no other",
        RESET,
        Need::Mplex,
        ["two streams, a reset of one", "the other is served"],
        |b| Box::pin(reset(b)),
    ),
    case(
        "mplex/streams/twenty",
        "twenty streams are served on one session",
        FORMAT,
        Need::Mplex,
        ["twenty times: a stream, a ping, close", "twenty echoes"],
        |b| Box::pin(twenty(b)),
    ),
];

async fn stream(bench: &Bench) -> Step<(Connection, u32)> {
    let mut connection = Connection::Mplex(Box::new(bench.mplex().await?));
    let id = connection.open().await?;
    multistream::agree(&mut connection.stream(id), PING).await?;
    Ok((connection, id))
}

async fn session(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    echo(&mut connection.stream(id)).await?;
    Ok("served".to_owned())
}

async fn serve(mut session: Mplex, id: u32) -> Step<Connection> {
    session.write(id, &multistream::propose(&[PING])).await?;
    let mut connection = Connection::Mplex(Box::new(session));
    let mut stream = connection.stream(id);
    multistream::read_header(&mut stream).await?;
    multistream::expect(&mut stream, PING).await?;
    echo(&mut stream).await?;
    Ok(connection)
}

async fn named(bench: Bench, name: &'static [u8]) -> Step<String> {
    let mut session = bench.mplex().await?;
    let id = session.fresh();
    session.send_message(u64::from(id), NEW, name).await?;
    serve(session, id).await?;
    Ok("served".to_owned())
}

async fn same(bench: Bench) -> Step<String> {
    let mut session = bench.mplex().await?;
    let ids = [session.fresh(), session.fresh()];
    for id in ids {
        session.send_message(u64::from(id), NEW, b"name").await?;
    }
    let Connection::Mplex(session) = serve(session, ids[0]).await? else {
        return Ok(String::new());
    };
    serve(*session, ids[1]).await?;
    Ok("both served".to_owned())
}

async fn large(bench: Bench) -> Step<String> {
    let mut session = bench.mplex().await?;
    session.streams.insert(u32::MAX, Default::default());
    session.send_message(u64::from(u32::MAX), NEW, b"x").await?;
    serve(session, u32::MAX).await?;
    Ok("served".to_owned())
}

async fn bytewise(bench: Bench) -> Step<String> {
    let mut session = bench.mplex().await?;
    let id = session.fresh();
    let payload: [u8; 32] = rand::random();
    let first = [&multistream::propose(&[PING])[..], &payload].concat();
    let open = message(u64::from(id), NEW, b"x");
    for byte in [open, message(u64::from(id), MESSAGE_INITIATOR, &first)].concat() {
        session.channel.send(&[byte]).await?;
    }
    heard(session, id, &payload).await
}

async fn together(bench: Bench) -> Step<String> {
    let mut session = bench.mplex().await?;
    let id = session.fresh();
    let payload: [u8; 32] = rand::random();
    let all = [
        message(u64::from(id), NEW, b"x"),
        message(
            u64::from(id),
            MESSAGE_INITIATOR,
            &multistream::propose(&[PING]),
        ),
        message(u64::from(id), MESSAGE_INITIATOR, &payload),
    ];
    session.channel.send(&all.concat()).await?;
    heard(session, id, &payload).await
}

async fn heard(session: Mplex, id: u32, payload: &[u8]) -> Step<String> {
    let mut connection = Connection::Mplex(Box::new(session));
    let mut stream = connection.stream(id);
    multistream::read_header(&mut stream).await?;
    multistream::expect(&mut stream, PING).await?;
    let echo = stream.take(32).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok("echoed".to_owned())
}

async fn empty(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    for _ in 0..10 {
        connection.stream(id).send(&[]).await?;
    }
    echo(&mut connection.stream(id)).await?;
    Ok("echoed".to_owned())
}

/// These bytes must end the session, which has worked before.
async fn ends(bench: Bench, bytes: Vec<u8>) -> Step<String> {
    let mut connection = Connection::Mplex(Box::new(bench.mplex().await?));
    ping(&mut connection).await?;
    let Connection::Mplex(mut session) = connection else {
        return Ok(String::new());
    };
    session.channel.send(&bytes).await?;
    bench.stage("waiting for the connection to be closed");
    session.channel.closed().await
}

/// These bytes must not harm the session, which has worked before.
async fn survives(bench: Bench, bytes: Vec<u8>) -> Step<String> {
    let mut connection = Connection::Mplex(Box::new(bench.mplex().await?));
    ping(&mut connection).await?;
    if let Connection::Mplex(session) = &mut connection {
        session.channel.send(&bytes).await?;
    }
    ping(&mut connection).await?;
    Ok("a stream was served afterwards".to_owned())
}

async fn half(bench: Bench) -> Step<String> {
    let (mut connection, id) = stream(&bench).await?;
    let payload: [u8; 32] = rand::random();
    connection.stream(id).send(&payload).await?;
    connection.finish(id).await?;
    let (heard, clean) = connection.read_to_end(id).await?;
    ensure(heard == payload, || format!("{} bytes came", heard.len()))?;
    ensure(clean, || "the stream was reset".to_owned())?;
    Ok("echoed and closed".to_owned())
}

async fn reset(bench: Bench) -> Step<String> {
    let (mut connection, first) = stream(&bench).await?;
    let second = connection.open().await?;
    multistream::agree(&mut connection.stream(second), PING).await?;
    connection.reset(first).await?;
    echo(&mut connection.stream(second)).await?;
    Ok("the other goes on".to_owned())
}

async fn twenty(bench: Bench) -> Step<String> {
    let (mut connection, first) = stream(&bench).await?;
    connection.finish(first).await?;
    for _ in 0..20 {
        let id = connection.open().await?;
        multistream::agree(&mut connection.stream(id), PING).await?;
        echo(&mut connection.stream(id)).await?;
        connection.finish(id).await?;
    }
    Ok("twenty".to_owned())
}
