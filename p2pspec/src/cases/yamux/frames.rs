//! Single frames: those that must be ignored, and those that end a session.

use super::{SPEC, ends, stream, survives};
use crate::{
    bench::still,
    case::{Bench, Case, Need, Rule, Step, case, ensure},
    speak::{
        channel::Talk,
        yamux::{ACK, DATA, FIN, Frame, PING, RST, SYN, WINDOW, WINDOW_FIRST, data, head},
    },
};

const FRAMING: Rule = SPEC.must(
    "Framing",
    "a header has 12 bytes, big endian: version, type, flags, stream id, length",
);
const VERSION: Rule = SPEC.practice("Version Field", "the version is always 0");
const TYPE: Rule = SPEC.practice("Type Field", "there are four types: 0 to 3");
const IDS: Rule = SPEC.practice(
    "StreamID Field",
    "the client's ids are odd, the server's even, and 0 is the session",
);
const LATE: Rule = SPEC.practice(
    "Closing a stream",
    "frames for a stream that is gone may be on their way; they are passed over",
);
const BOUND: Rule = SPEC.practice(
    "Flow Control",
    "no frame is longer than a window, so its length can be refused before its bytes come",
);
const OVER: &str = "go-away with an error, or the connection closed";
const ON: &str = "the session goes on: a stream is served afterwards";

const EITHER: &str = "a stream is served afterwards, or the session is ended and a new one serves";
/// An id of ours that was never used.
const NOBODY: u32 = 777;

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "yamux/frames/byte-by-byte",
        "a frame may come in any pieces",
        FRAMING,
        Need::Yamux,
        ["a stream's frames, a byte a record", "the stream served"],
        |b| Box::pin(bytewise(b)),
    ),
    case(
        "yamux/frames/together",
        "many frames may come in one piece",
        FRAMING,
        Need::Yamux,
        [
            "fifty pings of the session in one record, then a stream",
            ON,
        ],
        |b| Box::pin(survives(b, vec![head(PING, SYN, 0, 1); 50])),
    ),
    case(
        "yamux/frames/version",
        "another version ends the session",
        VERSION,
        Need::Yamux,
        ["a data frame of version 1", OVER],
        |b| {
            Box::pin(ends(
                b,
                vec![Frame {
                    version: 1,
                    ..head(DATA, SYN, 101, 0)
                }],
            ))
        },
    ),
    case(
        "yamux/frames/version-ff",
        "version 255 ends the session",
        VERSION,
        Need::Yamux,
        ["a ping of version 255", OVER],
        |b| {
            Box::pin(ends(
                b,
                vec![Frame {
                    version: 255,
                    ..head(PING, SYN, 0, 0)
                }],
            ))
        },
    ),
    case(
        "yamux/frames/type-4",
        "an unknown type ends the session",
        TYPE,
        Need::Yamux,
        ["a frame of type 4", OVER],
        |b| Box::pin(ends(b, vec![head(4, 0, 0, 0)])),
    ),
    case(
        "yamux/frames/type-ff",
        "type 255 ends the session",
        TYPE,
        Need::Yamux,
        ["a frame of type 255", OVER],
        |b| Box::pin(ends(b, vec![head(255, 0, 0, 0)])),
    ),
    case(
        "yamux/frames/even-id",
        "a stream of ours with an even id ends the session",
        IDS,
        Need::Yamux,
        ["SYN on stream 1000", OVER],
        |b| Box::pin(ends(b, vec![head(WINDOW, SYN, 1000, 0)])),
    ),
    case(
        "yamux/frames/stream-0",
        "a stream with the session's id ends the session",
        IDS,
        Need::Yamux,
        ["SYN on stream 0", OVER],
        |b| Box::pin(ends(b, vec![head(WINDOW, SYN, 0, 0)])),
    ),
    case(
        "yamux/frames/opened-twice",
        "a stream that is opened twice ends the session",
        SPEC.practice("Opening a stream", "a stream is opened with a new id"),
        Need::Yamux,
        ["SYN twice on one id", OVER],
        |b| Box::pin(ends(b, vec![head(WINDOW, SYN, 101, 0); 2])),
    ),
    case(
        "yamux/frames/huge-length",
        "a length of 4 GiB ends the session or the stream before its bytes come",
        BOUND,
        Need::Yamux,
        ["the header of a data frame of 2^32-1 bytes", OVER],
        |b| {
            Box::pin(ends(
                b,
                vec![head(WINDOW, SYN, 101, 0), head(DATA, 0, 101, u32::MAX)],
            ))
        },
    ),
    case(
        "yamux/frames/first-too-long",
        "a first frame beyond the window ends the session",
        SPEC.practice(
            "Flow Control",
            "both sides assume a first window of 256 KiB",
        ),
        Need::Yamux,
        ["SYN on a data frame of 256 KiB and one byte", OVER],
        |b| {
            Box::pin(ends(
                b,
                vec![data(SYN, 101, &vec![0; WINDOW_FIRST as usize + 1])],
            ))
        },
    ),
    case(
        "yamux/frames/unknown-data",
        "data for a stream that is not there is passed over",
        LATE,
        Need::Yamux,
        ["ten bytes for a stream that was never opened", ON],
        |b| Box::pin(survives(b, vec![data(0, NOBODY, &[7; 10])])),
    ),
    case(
        "yamux/frames/unknown-window-update",
        "a window update for a stream that is not there is passed over",
        LATE,
        Need::Yamux,
        ["a window update for a stream that was never opened", ON],
        |b| Box::pin(survives(b, vec![head(WINDOW, 0, NOBODY, 1)])),
    ),
    case(
        "yamux/frames/unknown-end",
        "an end of a stream that is not there is passed over",
        LATE,
        Need::Yamux,
        ["FIN on a stream that was never opened", ON],
        |b| Box::pin(survives(b, vec![head(WINDOW, FIN, NOBODY, 0)])),
    ),
    case(
        "yamux/frames/unknown-reset",
        "a reset of a stream that is not there is passed over",
        LATE,
        Need::Yamux,
        ["RST on a stream that was never opened", ON],
        |b| Box::pin(survives(b, vec![head(WINDOW, RST, NOBODY, 0)])),
    ),
    case(
        "yamux/frames/unknown-ack",
        "an ACK of a stream that is not there is passed over",
        LATE,
        Need::Yamux,
        ["ACK on an even id that the node never opened", ON],
        |b| Box::pin(survives(b, vec![head(WINDOW, ACK, 778, 0)])),
    ),
    case(
        "yamux/frames/opened-and-reset",
        "a stream may be opened and reset by one frame",
        SPEC.practice("Flag Field", "flags may stand together"),
        Need::Yamux,
        ["SYN and RST on one frame", ON],
        |b| Box::pin(survives(b, vec![head(WINDOW, SYN | RST, 101, 0)])),
    ),
    case(
        "yamux/frames/ended-and-reset",
        "a stream may be ended and reset by one frame",
        SPEC.practice("Flag Field", "flags may stand together"),
        Need::Yamux,
        ["a stream, then FIN and RST on one frame", ON],
        |b| {
            let frames = vec![head(WINDOW, SYN, 101, 0), head(WINDOW, FIN | RST, 101, 0)];
            Box::pin(survives(b, frames))
        },
    ),
    case(
        "yamux/frames/reset-twice",
        "a second reset is passed over",
        LATE,
        Need::Yamux,
        ["a stream, then RST twice", ON],
        |b| {
            let reset = head(WINDOW, RST, 101, 0);
            Box::pin(survives(
                b,
                vec![head(WINDOW, SYN, 101, 0), reset.clone(), reset],
            ))
        },
    ),
    case(
        "yamux/frames/data-after-reset",
        "data behind a reset is passed over",
        LATE,
        Need::Yamux,
        ["a stream, RST, then ten bytes on it", ON],
        |b| {
            let (open, reset) = (head(WINDOW, SYN, 101, 0), head(WINDOW, RST, 101, 0));
            Box::pin(survives(b, vec![open, reset, data(0, 101, &[7; 10])]))
        },
    ),
    case(
        "yamux/frames/one-byte-bodies",
        "data may come in frames of one byte",
        FRAMING,
        Need::Yamux,
        [
            "4 KiB for ping, a frame for each byte",
            "4 KiB of echo, in order",
        ],
        |b| Box::pin(tiny(b)),
    ),
    case(
        "yamux/frames/opened-and-acknowledged",
        "a stream that is opened and acknowledged by one frame is one, or ends the session",
        SPEC.practice("Flag Field", "ACK answers a SYN of the other side"),
        Need::Yamux,
        ["SYN and ACK on one frame", EITHER],
        |b| Box::pin(answered(b, head(WINDOW, SYN | ACK, 101, 0))),
    ),
    case(
        "yamux/frames/unknown-flags",
        "flags that do not exist mean nothing, or end the session",
        SPEC.practice("Flag Field", "there are four flags"),
        Need::Yamux,
        ["a window update with SYN and all unknown flags", EITHER],
        |b| Box::pin(answered(b, head(WINDOW, 0xfff0 | SYN, 101, 0))),
    ),
    case(
        "yamux/frames/ping-without-flags",
        "a ping that neither asks nor answers is passed over, or ends the session",
        SPEC.practice("Type Field", "a ping asks by SYN and answers by ACK"),
        Need::Yamux,
        ["a ping without flags", EITHER],
        |b| Box::pin(answered(b, head(PING, 0, 0, 7))),
    ),
    case(
        "yamux/frames/ping-of-stream",
        "a ping with a stream's id is answered, passed over, or ends the session",
        SPEC.practice(
            "StreamID Field",
            "pings and go-aways belong to the session, id 0",
        ),
        Need::Yamux,
        ["a ping with id 101", EITHER],
        |b| Box::pin(answered(b, head(PING, SYN, 101, 7))),
    ),
    case(
        "yamux/frames/data-after-end",
        "data behind an end is not delivered",
        SPEC.must(
            "Closing a stream",
            "FIN says that the sender sends no further data",
        ),
        Need::Yamux,
        ["a stream for ping, FIN, then 32 bytes", "no echo of them"],
        |b| Box::pin(after_end(b)),
    ),
    case(
        "yamux/frames/empty-data",
        "an empty data frame means nothing",
        SPEC.must("Type Field", "data frames may have no payload"),
        Need::Yamux,
        [
            "ten empty data frames on a stream for ping, then a payload",
            "its echo",
        ],
        |b| Box::pin(empty(b)),
    ),
    case(
        "yamux/frames/cut-off",
        "half a header and the end close the connection",
        FRAMING,
        Need::Yamux,
        [
            "six bytes of a header, and the end of our side",
            "the connection closed",
        ],
        |b| Box::pin(cut_off(b)),
    ),
];

async fn bytewise(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    let payload: [u8; 32] = rand::random();
    for byte in data(0, id, &payload).encode() {
        session.channel.send(&[byte]).await?;
    }
    let echo = session.stream(id).take(32).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok("echoed".to_owned())
}

/// The session may end, the stream may be reset, or the bytes may be dropped; what counts is that they are not echoed. Afterwards
/// another stream, or the session's end, shows that the frames were taken.
async fn after_end(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    session.send_frame(&data(FIN, id, &[])).await?;
    let _ = session.send_frame(&data(0, id, &[7; 32])).await;
    let on = still(&mut session).await.is_ok();
    let echoed = session
        .streams
        .get(&id)
        .map_or(0, |inbox| inbox.input.len());
    ensure(echoed == 0, || format!("{echoed} bytes were echoed"))?;
    Ok(if on { "dropped" } else { "the session ended" }.to_owned())
}

async fn tiny(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    let payload: Vec<u8> = (0..4096).map(|_| rand::random()).collect();
    let frames: Vec<_> = payload.iter().map(|byte| data(0, id, &[*byte])).collect();
    session.send_frames(&frames).await?;
    let echo = session.stream(id).take(payload.len()).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok("echoed".to_owned())
}

/// Whatever the node makes of this frame, it does not hang, and a new session finds it well.
async fn answered(bench: Bench, frame: Frame) -> Step<String> {
    let mut session = bench.yamux().await?;
    still(&mut session).await?;
    session.send_frame(&frame).await?;
    if still(&mut session).await.is_ok() {
        return Ok("the session goes on".to_owned());
    }
    let how = session.over().await?;
    still(&mut bench.yamux().await?).await?;
    Ok(how)
}

async fn empty(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    session.send_frames(&vec![data(0, id, &[]); 10]).await?;
    crate::bench::echo(&mut session.stream(id)).await?;
    Ok("echoed".to_owned())
}

async fn cut_off(bench: Bench) -> Step<String> {
    let (mut session, _) = stream(&bench).await?;
    session.channel.send(&[0; 6]).await?;
    if let Some(secured) = session.channel.secured() {
        secured.pipe.finish().await?;
    }
    bench.stage("waiting for the connection to be closed");
    session.channel.closed().await
}
