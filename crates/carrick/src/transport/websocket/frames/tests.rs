//! Frames, well-formed and not, in every cut.

use proptest::prelude::*;

use super::*;

/// A frame as a client or a server sends it.
fn frame(from: End, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut mask = begin(from, OpCode::Data(Data::Binary), payload.len(), &mut out);
    out[0] = first;
    push_masked(&mut mask, payload, &mut out);
    out
}

/// The payload of all of these bytes, received in parts of `size`.
fn recv(end: End, bytes: &[u8], size: usize) -> Result<(Vec<u8>, Option<Request>), Violation> {
    let (mut decoder, mut all, mut request) = (Decoder::new(end), Vec::new(), None);
    for part in bytes.chunks(size) {
        let mut part = part.to_vec();
        let kept = decoder.recv(&mut part, &mut request)?;
        all.extend_from_slice(&part[..kept]);
    }
    Ok((all, request))
}

fn other(end: End) -> End {
    match end {
        End::Client => End::Server,
        End::Server => End::Client,
    }
}

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

#[test]
fn payload_of_any_length_comes_through() {
    for from in [End::Client, End::Server] {
        for length in [0, 1, 2, 125, 126, 127, 65535, 65536, 70_001, 1 << 20] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let (all, _) = recv(other(from), &frame(from, BINARY, &payload), usize::MAX).unwrap();
            assert_eq!(all, payload, "{length}");
        }
    }
}

proptest! {
    #[test]
    fn fragments_pings_and_empty_frames_in_any_cut_are_the_same_bytes(
        parts in prop::collection::vec((0usize..300, any::<bool>(), any::<bool>()), 1..20),
        size in 1usize..400,
    ) {
        let (mut sent, mut expected, mut open) = (Vec::new(), Vec::new(), false);
        for (n, (length, fin, ping)) in parts.into_iter().enumerate() {
            let payload = vec![n as u8 + 1; length];
            let first = if open { 0 } else { 2 } | if fin { 0x80 } else { 0 };
            sent.extend(frame(End::Client, first, &payload));
            expected.extend(payload);
            open = !fin;
            if ping {
                sent.extend(frame(End::Client, PING, &[n as u8]));
            }
        }
        let (all, _) = recv(End::Server, &sent, size).unwrap();
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1usize..40) {
        let _ = recv(End::Server, &bytes, size);
        let _ = recv(End::Client, &bytes, size);
    }
}

#[track_caller]
fn refused(bytes: &[u8], code: CloseCode) {
    for size in [1, 3, usize::MAX] {
        let violation = recv(End::Server, bytes, size).unwrap_err();
        assert_eq!(violation.code, code, "{violation}");
    }
}

#[test]
fn what_a_client_may_not_send_is_a_violation() {
    let masked = |first: u8, second: u8, rest: &[u8]| {
        let mut bytes = vec![first, second | 0x80];
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(&[1, 2, 3, 4]);
        bytes
    };
    use CloseCode::{Protocol, Size, Unsupported};
    refused(&frame(End::Server, BINARY, b"no mask"), Protocol);
    refused(&frame(End::Client, 0x81, b"text"), Unsupported);
    refused(&frame(End::Client, 0x80, b"continues nothing"), Protocol);
    refused(&frame(End::Client, 0xc2, b"compressed"), Protocol);
    refused(&frame(End::Client, 0x83, b"of no kind"), Protocol);
    refused(&frame(End::Client, 0x8b, b"of no control"), Protocol);
    refused(&frame(End::Client, 0x09, b"a ping in parts"), Protocol);
    refused(&frame(End::Client, PING, &[0; 126]), Protocol);
    refused(&frame(End::Client, CLOSE, &[3]), Protocol);
    // Lengths: 2^63, just too many, and more bytes than they need.
    refused(&masked(BINARY, 127, &(1u64 << 63).to_be_bytes()), Size);
    refused(&masked(BINARY, 127, &u64::MAX.to_be_bytes()), Size);
    refused(&masked(BINARY, 127, &(MESSAGE_MAX + 1).to_be_bytes()), Size);
    refused(&masked(BINARY, 126, &125u16.to_be_bytes()), Protocol);
    refused(&masked(BINARY, 127, &65535u64.to_be_bytes()), Protocol);
    // Two messages at once.
    let mut both = frame(End::Client, 0x02, b"the first is not over");
    both.extend(frame(End::Client, BINARY, b"and the second begins"));
    refused(&both, Protocol);
    // A server that masks.
    let masked = frame(End::Client, BINARY, b"masked");
    assert_eq!(recv(End::Client, &masked, 1).unwrap_err().code, Protocol);
}

#[test]
fn a_message_in_fragments_may_be_as_long_as_a_whole_one() {
    let (half, mut sent) = (vec![7; 1 << 19], Vec::new());
    sent.extend(frame(End::Client, 0x02, &half));
    sent.extend(frame(End::Client, 0x00, &half));
    let (all, _) = recv(End::Server, &sent, 4096).unwrap();
    assert_eq!(all.len(), 1 << 20);
    sent.extend(frame(End::Client, 0x80, b"1"));
    refused(&sent, CloseCode::Size);
}

#[test]
fn the_last_ping_is_answered_and_nothing_follows_a_close() {
    let mut sent = frame(End::Client, PING, b"one");
    sent.extend(frame(End::Client, PING, b"two"));
    let (_, request) = recv(End::Server, &sent, usize::MAX).unwrap();
    assert_eq!(request, Some(Request::Pong(b"two".to_vec())));
    sent.extend(frame(End::Client, CLOSE, &[3, 232, b'b', b'y', b'e']));
    sent.extend(frame(End::Client, BINARY, b"too late"));
    sent.extend([0xff; 100]);
    for size in [1, usize::MAX] {
        let (all, request) = recv(End::Server, &sent, size).unwrap();
        assert_eq!(all, b"");
        assert_eq!(request, Some(Request::Close(Some([3, 232]))));
    }
}
