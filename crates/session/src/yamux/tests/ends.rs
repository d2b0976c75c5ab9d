//! How streams end: finished, reset, lost, and by whom.

use super::*;

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
