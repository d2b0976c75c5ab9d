//! The vector of the document, every rule of the header, frames in any chunking, lengths that lie.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const TAG: u32 = 0x1234_5678;
const PAYLOAD_MAX: usize = 1000;

fn header(kind: Kind) -> Header {
    Header {
        kind,
        more: false,
        priority: Priority::Normal,
        code: 7,
        id: if kind == Kind::OneWay { 0 } else { 9 },
        nonce: 1,
        tag: TAG,
    }
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.header.encode(frame.payload.len(), &mut out);
    out.extend_from_slice(&frame.payload);
    out
}

/// Everything in these bytes, in one chunk.
fn decoded(bytes: &[u8]) -> Result<Vec<Frame>, DecodeError> {
    let mut decoder = Decoder::new(TAG, PAYLOAD_MAX);
    decoder.push(Bytes::copy_from_slice(bytes));
    std::iter::from_fn(|| decoder.frame().transpose()).collect()
}

/// The frame of header bytes as they are, without payload.
fn raw(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let frame = Frame {
        header: header(Kind::Request),
        payload: Bytes::new(),
    };
    let mut bytes = encoded(&frame);
    change(&mut bytes[1..]);
    bytes
}

#[test]
fn the_frame_in_the_document_is_what_we_send() {
    let document = include_str!("../../../../docs/messages.md");
    let (_, vector) = document.split_once("<!-- vector -->").unwrap();
    // Rows of the table: `| hex | what it is |`.
    let rows = vector
        .lines()
        .skip_while(|line| !line.starts_with("| `"))
        .take_while(|line| line.starts_with("| `"));
    let hex: String = rows
        .map(|row| row.split('`').nth(1).unwrap().replace(' ', ""))
        .collect();
    let digits: Vec<u8> = hex
        .bytes()
        .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
        .collect();
    let bytes: Vec<u8> = digits
        .as_chunks()
        .0
        .iter()
        .map(|[high, low]| high << 4 | low)
        .collect();
    let tag = tag("/ledger/1", b"mainnet");
    let frame = Frame {
        header: Header {
            kind: Kind::Reply,
            more: true,
            priority: Priority::High,
            code: 0x0102,
            id: 0x0a0b_0c0d,
            nonce: 42,
            tag,
        },
        payload: Bytes::from_static(b"hello"),
    };
    assert_eq!(encoded(&frame), bytes);
    let mut decoder = Decoder::new(tag, 5);
    decoder.push(bytes.into());
    assert_eq!(decoder.frame(), Ok(Some(frame)));
    assert_eq!(decoder.frame(), Ok(None));
    assert!(decoder.is_between_frames());
}

#[test]
fn tags_are_fnv_1a_of_name_zero_and_domain() {
    // From the algorithm's own vectors: of nothing, and of one more byte.
    assert_eq!(tag("", b""), 0x811c_9dc5_u32.wrapping_mul(0x0100_0193));
    assert_ne!(tag("/a/1", b"x"), tag("/a/1", b"y"));
    assert_ne!(tag("/a/1", b""), tag("/a/2", b""));
    assert_ne!(tag("/a/1x", b""), tag("/a/1", b"x"));
}

#[test]
fn what_the_header_does_not_allow_is_an_error() {
    let bad: [fn(&mut [u8]); 9] = [
        |header| header[0] = 0,
        |header| header[0] = 6,
        |header| header[1] = 2,
        |header| header[1] = 0x81,
        // More to come of a request, an id of what nobody answers.
        |header| header[1] = 1,
        |header| header[0] = 3,
        |header| header[2] = 4,
        |header| header[17] ^= 1,
        |header| header[20] ^= 0x80,
    ];
    for (at, change) in bad.into_iter().enumerate() {
        assert!(decoded(&raw(change)).is_err(), "{at}");
    }
    assert_eq!(decoded(&raw(|_| {})).unwrap().len(), 1);
    let cancel = Frame {
        header: header(Kind::Cancel),
        payload: Bytes::from_static(b"why"),
    };
    assert!(decoded(&encoded(&cancel)).is_err());
}

#[test]
fn lengths_that_lie_are_refused_before_anything_is_kept() {
    // 2^62, which is as much as a varint of nine bytes starts to hold, and 2^63, which none may hold.
    let far = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    let farther = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    for bytes in [&far[..], &farther, &[0xfe, 0x07], &[20], &[0]] {
        let mut decoder = Decoder::new(TAG, PAYLOAD_MAX);
        for byte in bytes {
            decoder.push(Bytes::copy_from_slice(&[*byte]));
            if decoder.frame().is_err() {
                break;
            }
        }
        assert!(decoder.partial.capacity() < 4096, "{bytes:?}");
        assert!(decoded(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_largest_payload_passes_and_one_more_byte_does_not() {
    let mut frame = Frame {
        header: header(Kind::Request),
        payload: vec![1; PAYLOAD_MAX].into(),
    };
    assert_eq!(decoded(&encoded(&frame)), Ok(vec![frame.clone()]));
    frame.payload = vec![1; PAYLOAD_MAX + 1].into();
    assert!(matches!(
        decoded(&encoded(&frame)),
        Err(DecodeError::TooLarge {
            len: 1001,
            max: 1000,
            ..
        })
    ));
}

#[test]
fn a_large_length_costs_only_what_has_come() {
    let mut decoder = Decoder::new(TAG, 64 << 20);
    let mut bytes = Vec::new();
    header(Kind::Request).encode(64 << 20, &mut bytes);
    decoder.push(bytes.into());
    assert_eq!(decoder.frame(), Ok(None));
    assert!(decoder.partial.capacity() < 4096);
    assert!(!decoder.is_between_frames());
}

#[test]
fn a_frame_in_one_chunk_is_not_copied() {
    let frame = Frame {
        header: header(Kind::Request),
        payload: vec![1; 100].into(),
    };
    let chunk = Bytes::from(encoded(&frame));
    let mut decoder = Decoder::new(TAG, PAYLOAD_MAX);
    decoder.push(chunk.clone());
    let payload = decoder.frame().unwrap().unwrap().payload;
    assert_eq!(payload.as_ptr_range().end, chunk.as_ptr_range().end);
}

#[test]
fn refusals_survive_the_way_and_long_texts_are_cut_between_characters() {
    let millis = |millis| Refusal::Busy {
        retry_after: Some(Duration::from_millis(millis)),
    };
    for refusal in [
        Refusal::Complete,
        Refusal::Busy { retry_after: None },
        millis(1),
        millis(u32::MAX.into()),
        Refusal::NotSupported,
        Refusal::Malformed("no".to_owned()),
        Refusal::Banned,
        Refusal::TooLarge,
        Refusal::Cancelled,
        Refusal::Failed(String::new()),
    ] {
        assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
    }
    let soon = Refusal::Busy {
        retry_after: Some(Duration::from_micros(3)),
    };
    assert_eq!(Refusal::decode(&soon.encode()), Ok(millis(1)));
    let late = Refusal::Busy {
        retry_after: Some(Duration::MAX),
    };
    assert_eq!(Refusal::decode(&late.encode()), Ok(millis(u32::MAX.into())));
    let long = Refusal::Failed("é".repeat(200) + "x");
    assert_eq!(
        Refusal::decode(&long.encode()),
        Ok(Refusal::Failed("é".repeat(128)))
    );
    assert_eq!(
        Refusal::decode(&[99, 0, 0, 0, 0, b'?']),
        Ok(Refusal::Failed("?".to_owned()))
    );
    for bad in [&[][..], &[1, 0, 0, 0], &[7, 0, 0, 0, 0, 0xff], &[7; 262]] {
        assert!(Refusal::decode(bad).is_err(), "{bad:?}");
    }
}

prop_compose! {
    fn frames()(
        kind in prop::sample::select(&Kind::ALL[..]),
        more in any::<bool>(),
        priority in prop::sample::select(&Priority::ALL[..]),
        (code, id, nonce) in any::<(u16, u32, u64)>(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) -> Frame {
        let more = more && kind == Kind::Reply;
        let id = if kind == Kind::OneWay { 0 } else { id };
        let payload = if kind == Kind::Cancel { Vec::new() } else { payload };
        let header = Header { kind, more, priority, code, id, nonce, tag: TAG };
        Frame { header, payload: payload.into() }
    }
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_chunks(
        frames in prop::collection::vec(frames(), 0..20),
        cuts in prop::collection::vec(1..300usize, 1..50),
    ) {
        let bytes = Bytes::from_iter(frames.iter().flat_map(encoded));
        let mut decoder = Decoder::new(TAG, PAYLOAD_MAX);
        let (mut rest, mut out) = (bytes, Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            decoder.push(rest.split_to(rest.len().min(*cut)));
            while let Some(frame) = decoder.frame().unwrap() {
                out.push(frame);
            }
        }
        prop_assert!(decoder.is_between_frames());
        prop_assert_eq!(out, frames);
    }

    #[test]
    fn any_bytes_are_the_same_in_any_chunks(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(22), any::<u8>()], 0..200),
        cut in 1..20usize,
    ) {
        let whole = decoded(&bytes);
        let mut decoder = Decoder::new(TAG, PAYLOAD_MAX);
        let mut out = Vec::new();
        let cut: Result<(), DecodeError> = bytes.chunks(cut).try_for_each(|chunk| {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(frame) = decoder.frame()? {
                out.push(frame);
            }
            Ok(())
        });
        prop_assert_eq!(cut.map(|()| out), whole);
    }

    #[test]
    fn no_refusal_panics(bytes: Vec<u8>) {
        if let Ok(refusal) = Refusal::decode(&bytes) {
            prop_assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
        }
    }
}
