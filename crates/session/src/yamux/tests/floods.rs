//! What a peer may do often, and what only so often; that no flood fills the memory.

use super::*;

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
