//! Clients of a WebSocket who are slow, on a clock that jumps.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Duration, Instant, advance, timeout},
};

use super::*;

const TEXT: u8 = 1;
const PING: u8 = 9;
const LAST: u8 = 0x80;

/// A frame as a client sends it, its mask all zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        len @ 0..126 => vec![LAST | len as u8],
        len => [&[LAST | 126], &(len as u16).to_be_bytes()[..]].concat(),
    };
    [&[first], &length[..], &[0; 4], payload].concat()
}

#[test]
fn cut_anywhere_the_frames_end_at_the_same_places() {
    let messages = [
        frame(LAST | TEXT, b"{}"),
        frame(LAST | PING, b""),
        [
            frame(TEXT, &[b' '; 300]),
            frame(LAST | PING, b"between"),
            frame(LAST, b""),
        ]
        .concat(),
        frame(LAST | TEXT, &[b' '; 300]),
    ];
    let mut frames = Frames::default();
    for message in &messages {
        let (last, begun) = message.split_last().expect("a frame has bytes");
        for byte in begun {
            frames.follow(&[*byte]);
            assert!(frames.is_within());
        }
        assert!(frames.follow(&[*last]) && !frames.is_within());
    }
    let all = messages.concat();
    for at in 0..all.len() {
        let (head, tail) = all.split_at(at);
        let mut frames = Frames::default();
        frames.follow(head);
        assert!(frames.follow(tail) && !frames.is_within(), "cut at {at}");
    }
}

/// How long a client is heard that sends these pieces forever, a quarter of the time allowed apart.
async fn refused_after(
    reader: &mut Reader<DuplexStream>,
    theirs: &mut DuplexStream,
    piece: &[u8],
) -> Duration {
    let began = Instant::now();
    let dribble = async {
        loop {
            advance(TEXT_TIMEOUT / 4).await;
            theirs.write_all(piece).await.expect("there is room");
        }
    };
    let slow = tokio::select! {
        () = dribble => unreachable!("it does not end"),
        slow = reader.next() => slow,
    };
    assert_eq!(slow, Err(Unreadable::TooSlow));
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn whoever_begins_a_message_and_does_not_end_it_is_refused_and_whoever_is_silent_is_not() {
    let fragments = [frame(0, b""), frame(LAST | PING, b"here")].concat();
    for (begun, piece) in [
        (&[LAST | TEXT][..], &[][..]),
        (&[LAST | TEXT, LAST | 100][..], b" "),
        (&frame(TEXT, b"{")[..], &fragments),
    ] {
        let (ours, mut theirs) = duplex(1 << 16);
        let (mut reader, mut writer) = open(ours).await;
        let silence = timeout(TEXT_TIMEOUT * 10, reader.next()).await;
        assert!(silence.is_err(), "nothing was begun");
        let whole = [
            &frame(LAST | TEXT, b"{}"),
            &frame(LAST | PING, b"")[..],
            begun,
        ]
        .concat();
        theirs.write_all(&whole).await.expect("there is room");
        assert_eq!(reader.next().await, Ok(Some("{}".into())));
        let heard = refused_after(&mut reader, &mut theirs, piece).await;
        assert!(heard <= TEXT_TIMEOUT * 2, "{heard:?}");
        writer.send("told").await.expect("it can be told why");
        drop((reader, writer));
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.expect("it ends");
        assert!(answer.ends_with(b"told"));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_one_message_after_the_other_has_the_whole_time_for_each() {
    let (ours, mut theirs) = duplex(1 << 16);
    let (mut reader, _writer) = open(ours).await;
    let message = frame(LAST | TEXT, b"{}");
    let (head, tail) = message.split_at(3);
    theirs.write_all(head).await.expect("there is room");
    for _ in 0..10 {
        let early = timeout(TEXT_TIMEOUT * 3 / 4, reader.next()).await;
        assert!(early.is_err(), "it has not ended");
        // The end of one and the beginning of the next at once.
        let next = [tail, head].concat();
        theirs.write_all(&next).await.expect("there is room");
        assert_eq!(reader.next().await, Ok(Some("{}".into())));
    }
}
