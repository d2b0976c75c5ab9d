//! Frames that are odd and allowed: unknown streams, repeated acknowledgements, ids that run out, years of traffic.

use super::*;

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
