//! Frames that break the protocol: the peer is told so, and the connection is over.

use super::*;

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
