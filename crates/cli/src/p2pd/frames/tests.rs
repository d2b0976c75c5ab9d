//! Programs that begin a message and do not end it, on a clock that jumps.

use tokio::{
    io::{AsyncWriteExt, duplex},
    time::{advance, timeout},
};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_that_was_begun_has_a_minute() {
    let (mut ours, mut theirs) = duplex(1024);
    let mut frames = Frames::default();
    let silence = timeout(MESSAGE_TIMEOUT * 10, frames.next(&mut ours)).await;
    assert!(silence.is_err(), "nothing was begun");
    theirs.write_all(&[1, 7, 100]).await.expect("there is room");
    let whole = frames.next(&mut ours).await.expect("it is whole");
    assert_eq!(whole.as_deref(), Some(&[7][..]));
    let began = Instant::now();
    // A byte now and then does not help.
    let dribble = async {
        loop {
            advance(MESSAGE_TIMEOUT / 4).await;
            theirs.write_all(&[0]).await.expect("there is room");
        }
    };
    let slow = tokio::select! {
        () = dribble => unreachable!("it does not end"),
        slow = frames.next(&mut ours) => slow,
    };
    let slow = slow.expect_err("it is not whole");
    assert_eq!(slow.kind(), io::ErrorKind::TimedOut, "{slow}");
    assert!(began.elapsed() <= MESSAGE_TIMEOUT * 2);
}
