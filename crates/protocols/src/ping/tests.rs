//! Rows 168 and 169: what is echoed, what is not, and how many streams there may be.

use super::*;

const PAYLOAD: [u8; PAYLOAD_LEN] = *b"0123456789abcdef0123456789ABCDEF";

fn started() -> (Pinger, Instant) {
    let now = start();
    let mut pinger = Pinger::default();
    assert_eq!(pinger.start(now, PAYLOAD), PAYLOAD);
    (pinger, now)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn the_echo_gives_the_round_trip_time_in_any_chunking() {
    let rtt = Duration::from_millis(7);
    for size in 1..=PAYLOAD_LEN {
        let (mut pinger, now) = started();
        let results: Vec<_> = PAYLOAD
            .chunks(size)
            .map(|chunk| pinger.recv(now + rtt, chunk).unwrap())
            .collect();
        assert_eq!(*results.last().unwrap(), Some(rtt));
        assert_eq!(results.iter().flatten().count(), 1);
        assert_eq!(pinger.poll_timeout(), None);
        assert_eq!(pinger.finish(), Ok(()));
        pinger.start(now, PAYLOAD);
    }
}

#[test]
fn another_payload_than_the_ping_is_a_failure() {
    for position in 0..PAYLOAD_LEN {
        let (mut pinger, now) = started();
        let mut echo = PAYLOAD;
        echo[position] ^= 1;
        assert_eq!(pinger.recv(now, &echo), Err(PingError::Mismatch));
        assert_eq!(pinger.recv(now, &PAYLOAD), Err(PingError::Mismatch));
    }
}

#[test]
fn bytes_that_nobody_asked_for_are_a_failure() {
    let (mut pinger, now) = started();
    let long = [PAYLOAD.as_slice(), b"x"].concat();
    assert_eq!(pinger.recv(now, &long), Err(PingError::Unsolicited));
    let mut pinger = Pinger::default();
    assert_eq!(pinger.recv(now, b""), Ok(None));
    assert_eq!(pinger.recv(now, b"x"), Err(PingError::Unsolicited));
}

#[test]
fn an_echo_that_ends_after_31_bytes_is_an_error() {
    let (mut pinger, now) = started();
    assert_eq!(pinger.recv(now, &PAYLOAD[..31]), Ok(None));
    assert_eq!(pinger.finish(), Err(PingError::Truncated { received: 31 }));
}

#[test]
fn an_echo_is_overdue_after_ten_seconds_and_not_before() {
    let (mut pinger, now) = started();
    assert_eq!(pinger.poll_timeout(), Some(now + TIMEOUT));
    assert_eq!(
        pinger.handle_timeout(now + TIMEOUT - Duration::from_nanos(1)),
        Ok(())
    );
    assert_eq!(
        pinger.handle_timeout(now + TIMEOUT),
        Err(PingError::Timeout)
    );
    assert_eq!(pinger.poll_timeout(), None);
}

#[test]
fn pipelined_pings_are_each_echoed_in_any_chunking() {
    let pings: Vec<u8> = (0..PAYLOAD_LEN as u8 * 5).collect();
    for size in 1..=pings.len() {
        let (mut responder, mut out) = (Responder::default(), Vec::new());
        for chunk in pings.chunks(size) {
            responder.recv(chunk, &mut out);
            assert_eq!(out.len() % PAYLOAD_LEN, 0, "only whole pings");
        }
        assert_eq!(out, pings);
        assert_eq!(responder.finish(), Ok(()));
    }
}

#[test]
fn a_stream_that_closes_after_31_bytes_is_an_error_and_nothing_is_echoed() {
    let (mut responder, mut out) = (Responder::default(), Vec::new());
    responder.recv(&PAYLOAD[..31], &mut out);
    assert!(out.is_empty());
    assert_eq!(
        responder.finish(),
        Err(PingError::Truncated { received: 31 })
    );
}
