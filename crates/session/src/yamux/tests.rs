//! What a hostile or careless peer can send, frame by frame. Pairs of muxers are in `tests/session`.

use super::*;
use crate::testing::{PLAIN, epoch, events};

/// A listening muxer: the peer's streams have odd ids, ours even ones.
struct Machine {
    yamux: Yamux,
    now: Instant,
}

impl Machine {
    fn new() -> Self {
        Self::with(&Config::default())
    }

    fn with(config: &Config) -> Self {
        let now = epoch();
        Self {
            yamux: Yamux::new(Role::Listener, config, PLAIN, now),
            now,
        }
    }

    fn recv(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.yamux.recv(self.now, Bytes::copy_from_slice(bytes))
    }

    /// The headers of what it sends, without bodies.
    fn sent(&mut self) -> Vec<Header> {
        let mut records = Records::new(PLAIN);
        self.yamux.poll_transmit(&mut records);
        let mut bytes = records.as_slice();
        let mut headers = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk() {
            let header = Header::decode(header).unwrap();
            let body = if header.kind == Kind::Data {
                header.length
            } else {
                0
            };
            headers.push(header);
            bytes = &rest[body as usize..];
        }
        assert!(bytes.is_empty(), "only whole frames");
        headers
    }

    fn events(&mut self) -> Vec<Event> {
        events(|| self.yamux.poll_event())
    }

    /// A stream that the peer opened.
    fn incoming(&mut self, id: u32) -> Key {
        self.recv(&frame(Kind::WindowUpdate, Flags::SYN, id, 0))
            .unwrap();
        match self.events().last() {
            Some(Event::Incoming(key)) => *key,
            event => panic!("{event:?}"),
        }
    }

    /// A stream of ours that the peer has acknowledged, and its id.
    fn outgoing(&mut self) -> (Key, u32) {
        let key = self.yamux.open_beyond(0).unwrap();
        self.yamux.write(key, b"", b"x").unwrap();
        let id = self.yamux.streams[key.0].id;
        self.recv(&frame(Kind::WindowUpdate, Flags::ACK, id, 0))
            .unwrap();
        self.sent();
        (key, id)
    }

    fn read(&mut self, key: Key) -> Result<Read, StreamError> {
        self.yamux.read(self.now, key)
    }

    /// `bytes` break the protocol: the peer is told so, and the error says what.
    fn refuses(&mut self, bytes: &[u8], text: &str) {
        let violation = self.recv(bytes).unwrap_err();
        assert!(violation.0.contains(text), "{violation}");
        assert_eq!(
            self.sent().last(),
            Some(&header(Kind::GoAway, Flags::EMPTY, 0, 1))
        );
    }

    fn is_reset(&mut self, id: u32) -> bool {
        self.sent()
            .iter()
            .any(|header| header.stream == id && header.flags.contains(Flags::RST))
    }
}

fn header(kind: Kind, flags: Flags, stream: u32, length: u32) -> Header {
    Header {
        kind,
        flags,
        stream,
        length,
    }
}

fn frame(kind: Kind, flags: Flags, stream: u32, length: u32) -> Vec<u8> {
    header(kind, flags, stream, length).encode().to_vec()
}

fn data(flags: Flags, stream: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    [&frame(Kind::Data, flags, stream, len)[..], body].concat()
}

#[test]
fn another_version_is_answered_with_go_away() {
    let mut bytes = frame(Kind::Ping, Flags::SYN, 0, 0);
    bytes[0] = 1;
    Machine::new().refuses(&bytes, "header");
}

#[test]
fn an_unknown_frame_type_is_answered_with_go_away() {
    let mut bytes = frame(Kind::Ping, Flags::SYN, 0, 0);
    bytes[1] = 4;
    Machine::new().refuses(&bytes, "header");
}

#[test]
fn undefined_flags_are_answered_with_go_away() {
    for bit in 4..16 {
        let mut bytes = frame(Kind::Data, Flags::EMPTY, 1, 0);
        bytes[2..4].copy_from_slice(&(1_u16 << bit).to_be_bytes());
        Machine::new().refuses(&bytes, "header");
    }
}

#[test]
fn a_stream_id_of_our_parity_is_answered_with_go_away() {
    for kind in [Kind::Data, Kind::WindowUpdate] {
        Machine::new().refuses(&frame(kind, Flags::SYN, 2, 0), "parity");
    }
}

#[test]
fn a_stream_with_id_0_is_answered_with_go_away() {
    for kind in [Kind::Data, Kind::WindowUpdate] {
        Machine::new().refuses(&frame(kind, Flags::SYN, 0, 0), "header");
    }
}

#[test]
fn opening_a_stream_that_is_open_is_answered_with_go_away() {
    let mut machine = Machine::new();
    machine.incoming(1);
    machine.refuses(&frame(Kind::Data, Flags::SYN, 1, 0), "in use");
}

#[test]
fn frames_for_an_unknown_stream_are_drained_and_ignored() {
    let mut machine = Machine::new();
    for id in [1, 2, 77] {
        for flags in [Flags::EMPTY, Flags::ACK, Flags::FIN, Flags::RST] {
            machine.recv(&data(flags, id, &[0; 5000])).unwrap();
            machine
                .recv(&frame(Kind::WindowUpdate, flags, id, u32::MAX))
                .unwrap();
        }
    }
    machine.incoming(3);
    assert_eq!((machine.sent(), machine.yamux.streams()), (vec![], 1));
}

#[test]
fn a_first_frame_beyond_the_initial_window_is_answered_with_go_away() {
    let mut machine = Machine::new();
    machine.refuses(
        &frame(Kind::Data, Flags::SYN, 1, INITIAL_WINDOW + 1),
        "window",
    );
    // The stream was announced before its data broke the rule: its user sees the connection fail.
    let [Event::Incoming(key)] = machine.events()[..] else {
        panic!()
    };
    machine.yamux.lose();
    assert_eq!(machine.read(key), Err(StreamError::ConnectionLost));
    machine.yamux.release(machine.now, key);
    assert_eq!(machine.yamux.streams(), 0);
}

#[test]
fn data_one_byte_beyond_the_window_is_answered_with_go_away() {
    let mut machine = Machine::new();
    machine.incoming(1);
    machine
        .recv(&data(Flags::EMPTY, 1, &vec![0; INITIAL_WINDOW as usize]))
        .unwrap();
    machine.refuses(&data(Flags::EMPTY, 1, &[0]), "window");
}

#[test]
fn data_for_a_stream_that_we_reset_cannot_exceed_its_window_either() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    machine.yamux.reset(key, Code::NONE);
    machine
        .recv(&data(Flags::EMPTY, 1, &vec![0; INITIAL_WINDOW as usize]))
        .unwrap();
    machine.refuses(&data(Flags::EMPTY, 1, &[0]), "window");
}

#[test]
fn credit_beyond_32_bits_is_answered_with_go_away() {
    for flags in [
        Flags::EMPTY,
        Flags::ACK,
        Flags::FIN,
        Flags::ACK | Flags::FIN,
    ] {
        for too_much in [u32::MAX, 0xffff_0000, u32::MAX - INITIAL_WINDOW + 1] {
            let mut machine = Machine::new();
            machine.incoming(1);
            machine.refuses(&frame(Kind::WindowUpdate, flags, 1, too_much), "overflow");
            let opening = frame(Kind::WindowUpdate, Flags::SYN | flags, 1, too_much);
            Machine::new().refuses(&opening, "overflow");
        }
    }
    // All that fits is fine, at once or in small pieces, and then one more is too much.
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    machine
        .recv(&frame(
            Kind::WindowUpdate,
            Flags::FIN,
            1,
            u32::MAX - INITIAL_WINDOW - 1000,
        ))
        .unwrap();
    for _ in 0..1000 {
        machine
            .recv(&frame(Kind::WindowUpdate, Flags::EMPTY, 1, 1))
            .unwrap();
    }
    assert_eq!(machine.yamux.streams[key.0].credit, u32::MAX);
    machine.refuses(&frame(Kind::WindowUpdate, Flags::EMPTY, 1, 1), "overflow");
}

#[test]
fn a_huge_length_is_refused_with_the_header() {
    for id in [1, 2] {
        Machine::new().refuses(&frame(Kind::Data, Flags::EMPTY, id, u32::MAX), "header");
    }
    // Nobody ever had a window for this one.
    let config = Config {
        stream_window_max: 8 << 20,
        ..Config::default()
    };
    let data = frame(Kind::Data, Flags::EMPTY, 1, 9 << 20);
    Machine::with(&config).refuses(&data, "window");
}

#[test]
fn an_empty_frame_with_fin_ends_the_peers_side_only() {
    for kind in [Kind::Data, Kind::WindowUpdate] {
        let mut machine = Machine::new();
        let key = machine.incoming(1);
        machine.recv(&data(Flags::EMPTY, 1, b"all")).unwrap();
        machine.recv(&frame(kind, Flags::FIN, 1, 0)).unwrap();
        assert_eq!(machine.read(key), Ok(Read::Data("all".into())));
        assert_eq!(machine.read(key), Ok(Read::End));
        assert_eq!(machine.yamux.write(key, b"", b"answer"), Ok(Some(6)));
        machine.recv(&frame(kind, Flags::FIN, 1, 0)).unwrap();
        assert_eq!(
            machine.read(key),
            Ok(Read::End),
            "a second end changes nothing"
        );
    }
}

#[test]
fn data_and_fin_in_one_frame_arrive_in_this_order() {
    let mut machine = Machine::new();
    machine
        .recv(&data(Flags::SYN | Flags::FIN, 1, b"all at once"))
        .unwrap();
    let [Event::Incoming(key)] = machine.events()[..] else {
        panic!()
    };
    assert_eq!(machine.read(key), Ok(Read::Data("all at once".into())));
    assert_eq!(machine.read(key), Ok(Read::End));
}

#[test]
fn the_end_of_a_frame_with_fin_comes_after_its_last_byte() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    let bytes = data(Flags::FIN, 1, b"ab");
    machine.recv(&bytes[..13]).unwrap();
    assert_eq!(machine.read(key), Ok(Read::Data("a".into())));
    assert_eq!(machine.read(key), Ok(Read::Blocked));
    machine.recv(&bytes[13..]).unwrap();
    assert_eq!(machine.events(), [Event::Readable(key)]);
    assert_eq!(machine.read(key), Ok(Read::Data("b".into())));
    assert_eq!(machine.read(key), Ok(Read::End));
}

#[test]
fn data_after_fin_resets_the_stream_and_is_not_delivered() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    machine.recv(&data(Flags::FIN, 1, b"all")).unwrap();
    for _ in 0..3 {
        machine.recv(&data(Flags::EMPTY, 1, b"more")).unwrap();
    }
    assert_eq!(
        machine.sent(),
        [header(Kind::WindowUpdate, Flags::RST, 1, 0)],
        "said once"
    );
    assert_eq!(machine.read(key), Ok(Read::Data("all".into())));
    assert_eq!(machine.read(key), Ok(Read::End));
    let error = StreamError::ResetLocally(Code::NONE);
    assert_eq!(machine.yamux.write(key, b"", b"x"), Err(error));
}

#[test]
fn a_reset_fails_both_halves_and_wakes_them() {
    for kind in [Kind::Data, Kind::WindowUpdate] {
        let mut machine = Machine::new();
        let key = machine.incoming(1);
        machine.yamux.streams[key.0].credit = 0;
        assert_eq!(machine.yamux.write(key, b"", b"x"), Ok(None));
        assert_eq!(machine.read(key), Ok(Read::Blocked));
        machine.recv(&frame(kind, Flags::RST, 1, 0)).unwrap();
        assert_eq!(
            machine.events(),
            [Event::Readable(key), Event::Writable(key)]
        );
        let error = StreamError::Reset(Code::NONE);
        assert_eq!(machine.read(key), Err(error));
        assert_eq!(machine.yamux.write(key, b"", b"x"), Err(error));
        assert_eq!(machine.yamux.finish(key), Err(error));
        assert_eq!(machine.sent(), [], "a reset is not answered");
    }
}

#[test]
fn a_reset_carries_any_code() {
    for code in [0, 1, Code::LIMIT.stream_code(), u32::MAX] {
        let mut machine = Machine::new();
        let key = machine.incoming(1);
        machine
            .recv(&frame(Kind::WindowUpdate, Flags::RST, 1, code))
            .unwrap();
        let meant = Code::of_stream(code);
        assert_eq!(machine.read(key), Err(StreamError::Reset(meant)));
        let other = machine.incoming(3);
        machine.yamux.reset(other, meant);
        assert_eq!(
            machine.sent(),
            [header(Kind::WindowUpdate, Flags::RST, 3, code)]
        );
    }
}

#[test]
fn a_reason_has_go_libp2ps_number_for_streams() {
    assert_eq!(Code::NEGOTIATION_FAILED.stream_code(), 0x1001);
    assert_eq!(Code::RATE_LIMITED.stream_code(), 0x1003);
    assert_eq!(Code::OUT_OF_RANGE.stream_code(), 0x1009);
    for code in (0..0x1000).chain(0x1002..0x2000).chain([u32::MAX]) {
        assert_eq!(Code::of_stream(code).stream_code(), code);
    }
}

#[test]
fn flags_combine_in_every_way_without_harm() {
    let all = [Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST];
    let lengths = [
        0,
        1,
        1 << 10,
        INITIAL_WINDOW,
        INITIAL_WINDOW + 1,
        1 << 31,
        u32::MAX,
    ];
    for kind in [Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway] {
        for set in 0..16 {
            let flags = (0..4)
                .filter(|bit| set >> bit & 1 == 1)
                .fold(Flags::EMPTY, |flags, bit| flags | all[bit]);
            for length in lengths {
                for id in [0, 1, 2, 3, u32::MAX] {
                    let mut machine = Machine::new();
                    let (ours, _) = machine.outgoing();
                    let theirs = machine.incoming(1);
                    let head = frame(kind, flags, id, length);
                    let body = if kind == Kind::Data {
                        length.min(1 << 19)
                    } else {
                        0
                    };
                    let bytes = [head, vec![7; body as usize]].concat();
                    let _ = machine
                        .recv(&bytes)
                        .and_then(|()| machine.recv(&frame(Kind::Ping, Flags::SYN, 0, 1)));
                    for key in
                        [ours, theirs]
                            .into_iter()
                            .chain(
                                machine
                                    .events()
                                    .into_iter()
                                    .filter_map(|event| match event {
                                        Event::Incoming(key) => Some(key),
                                        _ => None,
                                    }),
                            )
                    {
                        let _ = machine.read(key);
                        machine.yamux.release(machine.now, key);
                    }
                    machine.yamux.lose();
                    assert_eq!(machine.yamux.streams(), 0);
                    let Counts {
                        inbound,
                        outbound,
                        unacked,
                        unsent,
                        ..
                    } = machine.yamux.counts;
                    assert_eq!((inbound, outbound, unacked, unsent), (0, 0, 0, 0));
                }
            }
        }
    }
}

#[test]
fn a_stream_opened_and_reset_in_one_frame_is_dead_on_arrival() {
    let mut machine = Machine::new();
    machine
        .recv(&frame(Kind::WindowUpdate, Flags::SYN | Flags::RST, 1, 0))
        .unwrap();
    let [Event::Incoming(key)] = machine.events()[..] else {
        panic!()
    };
    assert_eq!(machine.read(key), Err(StreamError::Reset(Code::NONE)));
    machine.yamux.release(machine.now, key);
    assert_eq!(machine.yamux.streams(), 0);
}

#[test]
fn acknowledging_twice_or_what_was_never_opened_changes_no_count() {
    let mut machine = Machine::new();
    let unwritten = machine.yamux.open_beyond(0).unwrap();
    let (_, id) = machine.outgoing();
    machine.incoming(1);
    for id in [id, id, 1, 4, 6, 100] {
        machine
            .recv(&frame(Kind::WindowUpdate, Flags::ACK, id, 0))
            .unwrap();
        machine.recv(&data(Flags::ACK, id, b"x")).unwrap();
    }
    let counts = &machine.yamux.counts;
    assert_eq!((counts.unacked, counts.unsent), (0, 1));
    machine.yamux.release(machine.now, unwritten);
    let counts = &machine.yamux.counts;
    assert_eq!((counts.unacked, counts.unsent), (0, 0));
}

#[test]
fn our_first_frame_acknowledges_the_peers_stream_and_no_other_does() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    for flags in [Flags::ACK, Flags::EMPTY] {
        machine.yamux.write(key, b"", b"x").unwrap();
        assert_eq!(machine.sent(), [header(Kind::Data, flags, 1, 1)]);
    }
    let silent = machine.incoming(3);
    machine
        .recv(&data(Flags::EMPTY, 3, &vec![0; 200_000]))
        .unwrap();
    machine.read(silent).unwrap();
    assert_eq!(
        machine.sent()[0].flags,
        Flags::ACK,
        "with the first new credit"
    );
}

#[test]
fn a_ping_is_answered_with_its_value_on_any_stream() {
    let mut machine = Machine::new();
    for id in [0, 1, 99] {
        machine
            .recv(&frame(Kind::Ping, Flags::SYN, id, 0xdead_beef))
            .unwrap();
        assert_eq!(
            machine.sent(),
            [header(Kind::Ping, Flags::ACK, 0, 0xdead_beef)]
        );
    }
}

#[test]
fn an_answer_to_no_ping_is_ignored() {
    let mut machine = Machine::new();
    for value in [0, 1, u32::MAX] {
        machine
            .recv(&frame(Kind::Ping, Flags::ACK, 0, value))
            .unwrap();
    }
    assert_eq!((machine.sent(), machine.yamux.rtt()), (vec![], None));
}

#[test]
fn pings_without_end_are_too_many_and_a_patient_peers_are_not() {
    let mut machine = Machine::new();
    let ping = frame(Kind::Ping, Flags::SYN, 0, 1);
    for _ in 0..100 {
        machine.recv(&ping.repeat(200)).unwrap();
        assert_eq!(machine.sent().len(), 200);
        machine.now += Duration::from_secs(1);
    }
    machine.recv(&ping.repeat(4096)).unwrap();
    machine.refuses(&ping, "pings");
}

#[test]
fn streams_that_we_reset_without_a_word_are_counted_as_those_that_the_peer_resets() {
    let mut machine = Machine::new();
    for stream in 0..4096 {
        let key = machine.incoming(2 * stream + 1);
        machine.yamux.reset(key, Code::NONE);
        machine.yamux.release(machine.now, key);
    }
    machine.recv(&frame(Kind::Ping, Flags::SYN, 0, 1)).unwrap();
    let key = machine.incoming(2 * 4096 + 1);
    machine.yamux.reset(key, Code::NONE);
    machine.refuses(&frame(Kind::Ping, Flags::SYN, 0, 1), "nothing");
}

#[test]
fn a_stream_that_was_answered_may_be_reset_as_often_as_there_is_reason_to() {
    let mut machine = Machine::new();
    for stream in 0..10_000 {
        let key = machine.incoming(2 * stream + 1);
        machine.yamux.write(key, &[], b"x").unwrap();
        machine.yamux.reset(key, Code::NONE);
        machine.yamux.release(machine.now, key);
        machine.sent();
    }
    machine.recv(&frame(Kind::Ping, Flags::SYN, 0, 1)).unwrap();
}

#[test]
fn a_million_pings_unread_stop_the_reading_not_the_memory() {
    let config = Config {
        inbound_streams_max: 10,
        outbound_streams_max: 10,
        ..Config::default()
    };
    let mut machine = Machine::with(&config);
    let pings = frame(Kind::Ping, Flags::SYN, 0, 1).repeat(100);
    let mut taken = 0;
    while taken < 1_000_000 && !machine.yamux.is_congested() {
        machine.recv(&pings).unwrap();
        taken += 100;
    }
    assert!(taken < 2000, "{taken}");
    assert_eq!(machine.sent().len(), taken);
    assert_eq!(machine.events(), [Event::Resumed]);
    assert!(!machine.yamux.is_congested());
}

#[test]
fn after_the_peers_go_away_streams_finish_and_none_opens() {
    let mut machine = Machine::new();
    let (ours, id) = machine.outgoing();
    machine
        .recv(&frame(Kind::GoAway, Flags::EMPTY, 0, 0))
        .unwrap();
    assert_eq!(machine.events(), [Event::GoAway]);
    assert_eq!(machine.yamux.open_beyond(0), Err(OpenError::Closing));
    machine.recv(&data(Flags::FIN, id, b"rest")).unwrap();
    assert_eq!(machine.read(ours), Ok(Read::Data("rest".into())));
    assert_eq!(machine.read(ours), Ok(Read::End));
    assert_eq!(machine.yamux.write(ours, b"", b"x"), Ok(Some(1)));
}

#[test]
fn what_the_peer_opened_before_it_went_away_is_taken_though_its_first_bytes_come_after() {
    let mut machine = Machine::new();
    let go_away = frame(Kind::GoAway, Flags::EMPTY, 0, 0);
    machine.recv(&go_away).unwrap();
    machine.recv(&data(Flags::SYN, 1, b"late")).unwrap();
    let events = machine.events();
    assert!(
        matches!(events[..], [Event::GoAway, Event::Incoming(_), ..]),
        "{events:?}"
    );
}

#[test]
fn go_away_with_a_code_is_an_error_that_says_which() {
    for (code, text) in [(1, "protocol error"), (2, "internal error")] {
        let violation = Machine::new()
            .recv(&frame(Kind::GoAway, Flags::EMPTY, 0, code))
            .unwrap_err();
        assert!(violation.0.contains(text), "{violation}");
    }
}

#[test]
fn go_away_may_say_why_and_streams_finish_all_the_same() {
    for code in [Code::TRIMMED, Code(3), Code(u32::MAX)] {
        let mut machine = Machine::new();
        let (ours, id) = machine.outgoing();
        assert_eq!(machine.yamux.reason(), Code::NONE);
        // First without a reason, as who still has streams to finish; the first reason counts.
        for code in [0, code.0, 77] {
            let go_away = frame(Kind::GoAway, Flags::EMPTY, 0, code);
            machine.recv(&go_away).unwrap();
        }
        assert_eq!(machine.yamux.reason(), code);
        assert_eq!(machine.yamux.open_beyond(0), Err(OpenError::Closing));
        machine.recv(&data(Flags::FIN, id, b"rest")).unwrap();
        assert_eq!(machine.read(ours), Ok(Read::Data("rest".into())));
        // And ours, as the peer sees it.
        machine.sent();
        machine.yamux.go_away(code);
        assert_eq!(
            machine.sent(),
            [header(Kind::GoAway, Flags::EMPTY, 0, code.0)]
        );
    }
}

#[test]
fn a_flood_of_frames_without_purpose_ends_the_connection() {
    for kind in [Kind::Data, Kind::WindowUpdate] {
        let mut machine = Machine::new();
        machine.incoming(1);
        let frames = frame(kind, Flags::EMPTY, 1, 0).repeat(10_000);
        machine.refuses(&frames, "empty");
    }
    // Now and then one is fine.
    let mut machine = Machine::new();
    machine.incoming(1);
    for _ in 0..10_000 {
        machine
            .recv(&frame(Kind::Data, Flags::EMPTY, 1, 0))
            .unwrap();
        machine.now += Duration::from_millis(100);
    }
}

#[test]
fn a_flood_of_tiny_frames_is_gathered() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    for _ in 0..INITIAL_WINDOW / 64 {
        machine
            .recv(&data(Flags::EMPTY, 1, b"x").repeat(64))
            .unwrap();
    }
    let Ok(Read::Data(bytes)) = machine.read(key) else {
        panic!()
    };
    assert_eq!(
        bytes.len(),
        INITIAL_WINDOW as usize,
        "one buffer, not a quarter of a million"
    );
}

#[test]
fn used_up_ids_are_a_clean_error() {
    let mut machine = Machine::new();
    machine.yamux.next_id = u64::from(u32::MAX - 5);
    let keys: Vec<_> = std::iter::from_fn(|| machine.yamux.open_beyond(0).ok()).collect();
    assert_eq!(machine.yamux.open_beyond(0), Err(OpenError::Exhausted));
    for key in keys.iter().rev() {
        machine.yamux.write(*key, b"", b"x").unwrap();
    }
    let ids: Vec<_> = machine.sent().iter().map(|header| header.stream).collect();
    assert_eq!(ids, [u32::MAX - 5, u32::MAX - 3, u32::MAX - 1]);
    assert_eq!(machine.yamux.open_beyond(0), Err(OpenError::Exhausted));
    for key in keys {
        machine.yamux.release(machine.now, key);
    }
    assert_eq!(
        machine.yamux.open_beyond(0),
        Err(OpenError::Exhausted),
        "ids are not used twice"
    );
}

#[test]
fn an_id_kept_for_a_stream_that_was_never_sent_is_free_again() {
    let mut machine = Machine::new();
    machine.yamux.next_id = u64::from(u32::MAX - 1);
    for _ in 0..3 {
        let key = machine.yamux.open_beyond(0).unwrap();
        assert_eq!(machine.yamux.open_beyond(0), Err(OpenError::Exhausted));
        machine.yamux.release(machine.now, key);
    }
}

#[test]
fn the_end_of_the_pipe_at_any_byte_fails_every_stream() {
    let bytes = [
        frame(Kind::Ping, Flags::SYN, 0, 1),
        data(Flags::EMPTY, 1, b"half a frame"),
    ]
    .concat();
    for cut in 0..bytes.len() {
        let mut machine = Machine::new();
        let key = machine.incoming(1);
        let (ours, _) = machine.outgoing();
        machine.recv(&bytes[..cut]).unwrap();
        machine.yamux.lose();
        while let Ok(read) = machine.read(key) {
            assert!(matches!(read, Read::Data(_)), "{read:?}");
        }
        assert_eq!(machine.read(key), Err(StreamError::ConnectionLost));
        assert_eq!(machine.read(ours), Err(StreamError::ConnectionLost));
    }
}

#[test]
fn opening_and_resetting_streams_at_once_runs_into_a_budget() {
    let mut machine = Machine::new();
    let mut count = 0;
    let violation = loop {
        count += 1;
        let id = 2 * count - 1;
        let open = frame(Kind::WindowUpdate, Flags::SYN, id, 0);
        let result = machine.recv(&[open, frame(Kind::WindowUpdate, Flags::RST, id, 0)].concat());
        for event in machine.events() {
            if let Event::Incoming(key) = event {
                machine.yamux.release(machine.now, key);
            }
        }
        if let Err(violation) = result {
            break violation;
        }
    };
    assert!(violation.0.contains("resets"));
    assert!((1000..10_000).contains(&count), "{count}");
}

#[test]
fn resetting_streams_that_were_served_costs_nothing() {
    let mut machine = Machine::new();
    for i in 0..20_000 {
        let key = machine.incoming(2 * i + 1);
        machine.yamux.write(key, b"", b"answer").unwrap();
        machine.sent();
        machine
            .recv(&frame(Kind::WindowUpdate, Flags::RST, 2 * i + 1, 0))
            .unwrap();
        machine.yamux.release(machine.now, key);
    }
    assert_eq!(machine.yamux.streams(), 0);
}

#[test]
fn a_stream_reset_by_the_peer_counts_until_its_user_lets_go() {
    let config = Config {
        inbound_streams_max: 3,
        ..Config::default()
    };
    let mut machine = Machine::with(&config);
    for id in [1, 3, 5, 7, 9] {
        let open = frame(Kind::WindowUpdate, Flags::SYN, id, 0);
        machine
            .recv(&[open, frame(Kind::WindowUpdate, Flags::RST, id, 0)].concat())
            .unwrap();
    }
    assert_eq!(machine.yamux.streams(), 3, "no more handlers than streams");
}

#[test]
fn a_flood_of_opens_is_answered_with_resets_in_bounded_memory() {
    let config = Config {
        inbound_streams_max: 100,
        outbound_streams_max: 0,
        ..Config::default()
    };
    let mut machine = Machine::with(&config);
    let mut refused = 0;
    for id in (1..200_001).step_by(2) {
        if machine.yamux.is_congested() {
            refused += machine.sent().len();
        }
        machine.recv(&data(Flags::SYN, id, b"x")).unwrap();
    }
    refused += machine.sent().len();
    assert_eq!((refused, machine.yamux.streams()), (99_900, 100));
    assert!(machine.yamux.lingering.is_empty() && machine.yamux.streams.len() == 100);
    assert_eq!(
        machine
            .events()
            .iter()
            .filter(|event| matches!(event, Event::Incoming(_)))
            .count(),
        100
    );
}

#[test]
fn a_refused_streams_data_are_drained() {
    let config = Config {
        inbound_streams_max: 0,
        ..Config::default()
    };
    let mut machine = Machine::with(&config);
    machine.recv(&data(Flags::SYN, 1, &[1; 100_000])).unwrap();
    assert!(machine.is_reset(1));
    machine.recv(&data(Flags::EMPTY, 1, &[1; 100_000])).unwrap();
    machine.recv(&frame(Kind::Ping, Flags::SYN, 0, 5)).unwrap();
    assert_eq!(machine.sent(), [header(Kind::Ping, Flags::ACK, 0, 5)]);
}

#[test]
fn a_stream_released_in_the_middle_of_a_frame_leaves_the_rest_to_nobody() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    let bytes = data(Flags::FIN, 1, &[1; 1000]);
    machine.recv(&bytes[..500]).unwrap();
    machine.yamux.release(machine.now, key);
    assert!(machine.is_reset(1));
    // Its slot has a new owner when the rest arrives.
    let next = machine.yamux.open_beyond(0).unwrap();
    assert_eq!(next, key);
    machine.recv(&bytes[500..]).unwrap();
    assert_eq!(machine.read(next), Ok(Read::Blocked));
    assert_eq!(machine.sent(), []);
}

#[test]
fn one_byte_of_credit_at_a_time_wakes_the_writer_each_time() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    machine.yamux.streams[key.0].credit = 0;
    for _ in 0..1000 {
        assert_eq!(machine.yamux.write(key, b"", b"xy"), Ok(None));
        machine
            .recv(&frame(Kind::WindowUpdate, Flags::EMPTY, 1, 1))
            .unwrap();
        assert_eq!(machine.events(), [Event::Writable(key)]);
        assert_eq!(machine.yamux.write(key, b"", b"xy"), Ok(Some(1)));
    }
}

#[test]
fn years_of_traffic_overflow_nothing() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    for _ in 0..400 {
        machine.now += Duration::from_secs(30 * 24 * 3600);
        let _ = machine.yamux.handle_timeout(machine.now);
        machine
            .recv(&data(Flags::EMPTY, 1, &vec![0; 200_000]))
            .unwrap();
        machine
            .recv(&frame(Kind::Data, Flags::EMPTY, 1, 0))
            .unwrap();
        while let Ok(Read::Data(_)) = machine.read(key) {}
        machine.sent();
    }
}

#[test]
fn a_refused_stream_is_told_why() {
    let config = Config {
        inbound_streams_max: 0,
        ..Config::default()
    };
    for (away, code) in [(false, Code::LIMIT), (true, Code::SHUTDOWN)] {
        let mut machine = Machine::with(&config);
        if away {
            machine.yamux.go_away(Code::NONE);
            machine.sent();
        }
        machine
            .recv(&frame(Kind::WindowUpdate, Flags::SYN, 1, 0))
            .unwrap();
        let reset = header(Kind::WindowUpdate, Flags::RST, 1, code.stream_code());
        assert_eq!(machine.sent(), [reset]);
    }
}
