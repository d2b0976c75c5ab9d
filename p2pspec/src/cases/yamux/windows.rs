//! Flow control: what each side may send, and what happens when it sends more.

use super::{SPEC, agreed, ends, stream, survives};
use crate::{
    bench::{PING, still},
    case::{Bench, Case, Need, Rule, Step, case, ensure, fail},
    speak::{
        channel::Talk,
        multistream,
        yamux::{self, ACK, Frame, SYN, WINDOW, WINDOW_FIRST, Yamux, data, head},
    },
};

const FIRST: Rule = SPEC.must(
    "Flow Control",
    "each stream starts with a window of 256 KiB",
);
const COUNTED: Rule = SPEC.must(
    "Flow Control",
    "the bytes of data frames are counted, and no more are sent than the window has",
);
const UPDATES: Rule = SPEC.should(
    "Flow Control",
    "window updates are sent regularly, so that streams do not stall",
);
const DELTA: Rule = SPEC.must(
    "Length Field",
    "a window update's length is added to the window",
);

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "yamux/windows/first",
        "256 KiB may be sent without asking",
        FIRST,
        Need::Yamux,
        [
            "256 KiB on a stream for ping, without waiting",
            "256 KiB of echo",
        ],
        |b| Box::pin(first(b)),
    ),
    case(
        "yamux/windows/updates",
        "a window that is used up is filled again",
        UPDATES,
        Need::Yamux,
        [
            "1 MiB on a stream for ping, as the window allows",
            "1 MiB of echo",
        ],
        |b| Box::pin(megabyte(b)),
    ),
    case(
        "yamux/windows/overflow",
        "more than the window is a violation",
        COUNTED,
        Need::Yamux,
        [
            "to a listener whose echo is not let through: all that the window allows, then 256 KiB more",
            "go-away with an error, the connection closed, or the stream reset",
        ],
        |b| Box::pin(overflow(b)),
    ),
    case(
        "yamux/windows/respected",
        "the node sends no more than our window",
        COUNTED,
        Need::Yamux,
        ["pings whose echo is never granted anew", "256 KiB at most"],
        |b| Box::pin(respected(b)),
    ),
    case(
        "yamux/windows/resumed",
        "the node goes on when its window grows, as far as it grows",
        DELTA,
        Need::Yamux,
        [
            "pings whose echo used the window up, then an update of 1000",
            "1000 bytes more",
        ],
        |b| Box::pin(resumed(b)),
    ),
    case(
        "yamux/windows/several-updates",
        "updates add up",
        DELTA,
        Need::Yamux,
        [
            "pings whose echo used the window up, then ten updates of 100",
            "1000 bytes more",
        ],
        |b| Box::pin(resumed_by(b, &[100; 10])),
    ),
    case(
        "yamux/windows/with-opening",
        "a window update that opens a stream enlarges its window",
        SPEC.must(
            "Flow Control",
            "an update with SYN or ACK may say at once that the window is larger",
        ),
        Need::Yamux,
        [
            "SYN on a window update of 256 KiB, and 320 KiB for ping",
            "320 KiB of echo",
        ],
        |b| Box::pin(enlarged(b)),
    ),
    case(
        "yamux/windows/zero",
        "an update of 0 is one",
        SPEC.practice("Length Field", "a delta may be 0"),
        Need::Yamux,
        ["a hundred updates of 0 on a stream", "the session goes on"],
        |b| {
            let mut frames = vec![head(WINDOW, SYN, 101, 0)];
            frames.extend(vec![head(WINDOW, 0, 101, 0); 100]);
            Box::pin(survives(b, frames))
        },
    ),
    case(
        "yamux/windows/beyond-32-bits",
        "updates beyond 2^32 are a violation, or as good as 2^32",
        SPEC.practice(
            "Length Field",
            "a window that cannot be counted is nobody's",
        ),
        Need::Yamux,
        [
            "three updates of 2^32-1 on a stream",
            "the session or the stream ended, or it goes on",
        ],
        |b| Box::pin(beyond(b)),
    ),
    case(
        "yamux/windows/huge",
        "a window of almost 2^32 is one",
        SPEC.practice("Length Field", "a length has 32 bits"),
        Need::Yamux,
        ["SYN with an update of 2^31, then a ping", "its echo"],
        |b| Box::pin(huge(b)),
    ),
    case(
        "yamux/windows/independent",
        "a stream whose window is used up does not hold up others",
        SPEC.must("Flow Control", "there is no window of the session"),
        Need::Yamux,
        [
            "a stream whose echo is stuck, then another",
            "the other's echo",
        ],
        |b| Box::pin(independent(b)),
    ),
    case(
        "yamux/windows/pings-not-counted",
        "pings do not use a window up",
        SPEC.must("Flow Control", "only data frames are counted"),
        Need::Yamux,
        [
            "a stuck stream, and a ping of the session",
            "the ping's answer",
        ],
        |b| Box::pin(pings(b)),
    ),
    case(
        "yamux/windows/for-session",
        "a window update of the session is no opening",
        SPEC.practice("StreamID Field", "id 0 is the session, which has no window"),
        Need::Yamux,
        [
            "a window update of 1 on stream 0",
            "the session goes on, or ends",
        ],
        |b| Box::pin(for_session(b)),
    ),
    case(
        "yamux/windows/beyond-by-opening",
        "the window that opening grants us is not ours to exceed",
        SPEC.practice(
            "Flow Control",
            "what the opener grants is for the other direction",
        ),
        Need::Yamux,
        [
            "SYN with an update of 1 MiB, then 256 KiB and one byte in one frame",
            "go-away with an error, or the connection closed",
        ],
        |b| {
            let body = vec![0; WINDOW_FIRST as usize + 1];
            Box::pin(ends(
                b,
                vec![head(WINDOW, SYN, 101, 1 << 20), data(0, 101, &body)],
            ))
        },
    ),
];

/// All frames up to the answer of a ping have been heard.
async fn barrier(session: &mut Yamux, value: u32) -> Step<()> {
    session
        .send_frame(&head(yamux::PING, SYN, 0, value))
        .await?;
    let is = |frame: &Frame| frame.kind == yamux::PING && frame.has(ACK) && frame.length == value;
    session.wait("answer to a ping", is).await.map(drop)
}

async fn first(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let proposal = multistream::propose(&[PING]);
    let id = session.open(&proposal).await?;
    let whole = (WINDOW_FIRST as usize - proposal.len()) / 32 * 32;
    let payload = vec![7; whole];
    let frames: Vec<_> = payload
        .chunks(16 * 1024)
        .map(|piece| data(0, id, piece))
        .collect();
    session.send_frames(&frames).await?;
    agreed(&mut session, id).await?;
    let echo = session.stream(id).take(whole).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok(format!("{whole} bytes"))
}

async fn megabyte(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    let piece = vec![7; 128 * 1024];
    for _ in 0..8 {
        session.stream(id).send(&piece).await?;
        let echo = session.stream(id).take(piece.len()).await?;
        ensure(echo == piece, || "the echo differs".to_owned())?;
    }
    Ok("1 MiB".to_owned())
}

/// A stream for ping whose echo is never granted anew, with 512 KiB sent as the windows allow.
async fn stuck(bench: &Bench) -> Step<(Yamux, u32)> {
    let (mut session, id) = stream(bench).await?;
    bench.stage("filling a stream whose echo is not let through");
    if let Some(inbox) = session.streams.get_mut(&id) {
        inbox.generous = false;
    }
    let (mut left, mut value) = (2 * WINDOW_FIRST as usize, 1);
    let mut idle = 0;
    while left > 0 && idle < ROUNDS {
        value += 1;
        barrier(&mut session, value).await?;
        let credit = session.streams[&id].credit as usize;
        let now = left.min(credit).min(32 * 1024) / 32 * 32;
        idle = if now == 0 { idle + 1 } else { 0 };
        if now > 0 {
            session.write(id, &vec![7; now]).await?;
            left -= now;
        }
    }
    for _ in 0..ROUNDS {
        value += 1;
        barrier(&mut session, value).await?;
    }
    Ok((session, id))
}

/// Round trips in which nothing changed before a stream counts as stuck.
const ROUNDS: usize = 20;

async fn overflow(bench: Bench) -> Step<String> {
    let (mut session, id) = stuck(&bench).await?;
    bench.stage("waiting for a go-away, a close or a reset");
    let credit = session.streams[&id].credit as usize;
    let more = vec![7; credit + WINDOW_FIRST as usize];
    let frames: Vec<_> = more
        .chunks(16 * 1024)
        .map(|piece| data(0, id, piece))
        .collect();
    // The node may close before all was sent.
    let _ = session.send_frames(&frames).await;
    loop {
        if let Some(code @ 1..) = session.gone {
            return Ok(format!("go-away with code {code}"));
        }
        if session.streams[&id].reset {
            return Ok("the stream was reset".to_owned());
        }
        if let Err(error) = session.step().await {
            return Ok(error.to_string());
        }
    }
}

async fn respected(bench: Bench) -> Step<String> {
    let (session, id) = stuck(&bench).await?;
    let heard = session.streams[&id].heard;
    ensure(heard <= WINDOW_FIRST as usize, || {
        format!("{heard} bytes came")
    })?;
    ensure(heard > WINDOW_FIRST as usize / 2, || {
        format!("only {heard} bytes came")
    })?;
    Ok(format!("{heard} bytes"))
}

async fn resumed(bench: Bench) -> Step<String> {
    resumed_by(bench, &[1000]).await
}

async fn resumed_by(bench: Bench, updates: &'static [u32]) -> Step<String> {
    let (mut session, id) = stuck(&bench).await?;
    let before = session.streams[&id].heard;
    let total: u32 = updates.iter().sum();
    let frames: Vec<_> = updates.iter().map(|by| head(WINDOW, 0, id, *by)).collect();
    session.send_frames(&frames).await?;
    let limit = WINDOW_FIRST as usize + total as usize;
    bench.stage("waiting for as many bytes as were granted");
    while session.streams[&id].heard < limit {
        session.step().await?;
    }
    barrier(&mut session, 9_999).await?;
    barrier(&mut session, 10_000).await?;
    let heard = session.streams[&id].heard;
    ensure(heard == limit, || {
        format!("{heard} bytes where {limit} were granted")
    })?;
    Ok(format!("{} bytes more", heard - before))
}

async fn enlarged(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let id = session.fresh();
    if let Some(inbox) = session.streams.get_mut(&id) {
        inbox.generous = false;
    }
    session
        .send_frame(&head(WINDOW, SYN, id, WINDOW_FIRST))
        .await?;
    session.write(id, &multistream::propose(&[PING])).await?;
    agreed(&mut session, id).await?;
    let piece = vec![7; 32 * 1024];
    for _ in 0..10 {
        session.stream(id).send(&piece).await?;
    }
    let echo = session.stream(id).take(10 * piece.len()).await?;
    ensure(echo == piece.repeat(10), || "the echo differs".to_owned())?;
    Ok("320 KiB".to_owned())
}

async fn beyond(bench: Bench) -> Step<String> {
    let (mut session, id) = stream(&bench).await?;
    session
        .send_frames(&vec![head(WINDOW, 0, id, u32::MAX); 3])
        .await?;
    Ok(match still(&mut session).await {
        Ok(()) if session.streams[&id].reset => "the stream was reset",
        Ok(()) => "it goes on",
        Err(_) => "the session ended",
    }
    .to_owned())
}

async fn huge(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let id = session.fresh();
    session.send_frame(&head(WINDOW, SYN, id, 1 << 31)).await?;
    session.write(id, &multistream::propose(&[PING])).await?;
    agreed(&mut session, id).await?;
    crate::bench::echo(&mut session.stream(id)).await?;
    Ok("echoed".to_owned())
}

async fn independent(bench: Bench) -> Step<String> {
    let (mut session, _) = stuck(&bench).await?;
    still(&mut session).await?;
    Ok("another stream was served".to_owned())
}

async fn pings(bench: Bench) -> Step<String> {
    let (mut session, id) = stuck(&bench).await?;
    barrier(&mut session, 77_777).await?;
    if session.streams[&id].heard < WINDOW_FIRST as usize / 2 {
        return fail("the stream was not stuck");
    }
    Ok("answered".to_owned())
}

async fn for_session(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    still(&mut session).await?;
    session.send_frame(&head(WINDOW, 0, 0, 1)).await?;
    let on = still(&mut session).await.is_ok();
    Ok(if on { "it goes on" } else { "it ended" }.to_owned())
}
