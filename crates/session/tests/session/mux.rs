//! What any muxer must do, whichever it is.

use std::time::Duration;

use carrick_session::{Code, Config, Event, Key, OpenError, Read, StreamError};

use crate::pair::{DIALER, LISTENER, MPLEX, Pair, YAMUX};

/// Runs a scenario on both muxers.
fn each(config: &Config, scenario: impl Fn(Pair)) {
    for muxer in [&YAMUX, &MPLEX] {
        scenario(Pair::new(muxer, config));
    }
}

/// More than a short message, when the buffer is small.
const LONG: &[u8] = &[7; 100];

fn small() -> Config {
    Config {
        send_buffer_max: 1000,
        ..Config::default()
    }
}

#[test]
fn a_half_closed_stream_still_carries_the_other_direction() {
    each(&Config::default(), |mut pair| {
        for first in [DIALER, LISTENER] {
            let (ours, theirs) = pair.stream(b"hello");
            let keys = [ours, theirs];
            let second = 1 - first;
            pair.ends[first].write_all(keys[first], b"all I had");
            pair.finish(first, keys[first]);
            assert_eq!(
                pair.read(second, keys[second]),
                (b"all I had".to_vec(), Ok(Read::End))
            );
            let refused = pair.ends[first].mux.write(keys[first], b"", b"more");
            assert_eq!(refused, Err(StreamError::Finished));

            pair.ends[second].write_all(keys[second], b"an answer");
            pair.pump();
            assert_eq!(
                pair.read(first, keys[first]),
                (b"an answer".to_vec(), Ok(Read::Blocked))
            );
            pair.finish(second, keys[second]);
            assert!(pair.ends[first].saw(Event::Readable(keys[first])));
            assert_eq!(pair.read(first, keys[first]), (vec![], Ok(Read::End)));
            assert_eq!(
                pair.read(first, keys[first]),
                (vec![], Ok(Read::End)),
                "the end stays"
            );
            pair.release(DIALER, ours);
            pair.release(LISTENER, theirs);
            assert_eq!(pair.streams(), [0, 0]);
        }
    });
}

#[test]
fn a_reset_ends_both_directions_and_is_no_end_of_data() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        pair.dialer().mux.reset(ours, Code::NONE);
        pair.pump();
        assert!(pair.listener().saw(Event::Readable(theirs)));
        assert_eq!(
            pair.read(LISTENER, theirs).1,
            Err(StreamError::Reset(Code::NONE))
        );
        let refused = pair.listener().mux.write(theirs, b"", b"x");
        assert_eq!(refused, Err(StreamError::Reset(Code::NONE)));
        assert_eq!(
            pair.read(DIALER, ours).1,
            Err(StreamError::ResetLocally(Code::NONE))
        );
        pair.release(DIALER, ours);
        pair.release(LISTENER, theirs);
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn bytes_received_before_a_reset_stay_readable() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        pair.dialer().write_all(ours, b"last words");
        pair.dialer().mux.reset(ours, Code::NONE);
        pair.pump();
        let read = pair.read(LISTENER, theirs);
        assert_eq!(
            read,
            (b"last words".to_vec(), Err(StreamError::Reset(Code::NONE)))
        );
    });
}

#[test]
fn a_reset_after_the_end_does_not_undo_the_end() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        pair.dialer().write_all(ours, b"all");
        pair.finish(DIALER, ours);
        pair.dialer().mux.reset(ours, Code::NONE);
        pair.pump();
        assert_eq!(
            pair.read(LISTENER, theirs),
            (b"all".to_vec(), Ok(Read::End))
        );
        let refused = pair.listener().mux.write(theirs, b"", b"x");
        assert_eq!(refused, Err(StreamError::Reset(Code::NONE)));
    });
}

#[test]
fn whoever_answers_hears_that_nobody_wants_the_answer() {
    each(&Config::default(), |mut pair| {
        let lost = pair.stream(b"hello");
        let (ours, theirs) = pair.stream(b"hello");
        for ours in [lost.0, ours] {
            pair.dialer().mux.finish(ours).unwrap();
        }
        pair.pump();
        for theirs in [lost.1, theirs] {
            assert_eq!(pair.read(LISTENER, theirs).1, Ok(Read::End));
            assert_eq!(pair.listener().mux.watch(theirs), None);
        }
        pair.dialer().mux.reset(ours, Code::NONE);
        pair.pump();
        assert!(pair.listener().saw(Event::Readable(theirs)));
        let reset = Some(StreamError::Reset(Code::NONE));
        assert_eq!(pair.listener().mux.watch(theirs), reset);
        assert_eq!(pair.listener().mux.watch(lost.1), None);
        pair.listener().mux.lose();
        assert!(pair.listener().saw(Event::Readable(lost.1)));
        let error = Some(StreamError::ConnectionLost);
        assert_eq!(pair.listener().mux.watch(lost.1), error);
    });
}

#[test]
fn a_local_reset_keeps_what_had_ended_and_drops_what_had_not() {
    each(&Config::default(), |mut pair| {
        for ended in [true, false] {
            let (ours, theirs) = pair.stream(b"hello");
            pair.dialer().write_all(ours, b"unread");
            if ended {
                pair.dialer().mux.finish(ours).unwrap();
            }
            pair.pump();
            pair.listener().mux.reset(theirs, Code::LIMIT);
            let expected = match ended {
                true => (b"unread".to_vec(), Ok(Read::End)),
                false => (vec![], Err(StreamError::ResetLocally(Code::LIMIT))),
            };
            assert_eq!(pair.read(LISTENER, theirs), expected);
        }
    });
}

#[test]
fn a_local_reset_or_stop_wakes_whoever_waits() {
    each(&small(), |mut pair| {
        let (ours, _) = pair.stream(b"hello");
        let (other, _) = pair.stream(b"hello");
        pair.dialer().stuck = true;
        pair.dialer().write_some(ours, &[0; 2000]).unwrap();
        for key in [ours, other] {
            assert_eq!(pair.dialer().mux.write(key, b"", LONG), Ok(None));
            assert_eq!(pair.read(DIALER, key).1, Ok(Read::Blocked));
        }
        pair.dialer().mux.reset(ours, Code::NONE);
        assert!(pair.dialer().saw(Event::Readable(ours)));
        assert!(pair.dialer().saw(Event::Writable(ours)));
        let now = pair.now;
        pair.dialer().mux.stop(now, other, Code::NONE);
        assert!(pair.dialer().saw(Event::Readable(other)));
    });
}

#[test]
fn a_stopped_stream_reads_nothing_and_still_writes() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        let now = pair.now;
        pair.listener().mux.stop(now, theirs, Code::LIMIT);
        for _ in 0..100 {
            pair.dialer().write_all(ours, &[1; 50_000]);
            pair.pump();
        }
        assert_eq!(
            pair.read(LISTENER, theirs).1,
            Err(StreamError::ResetLocally(Code::LIMIT))
        );
        pair.listener().write_all(theirs, b"still here");
        pair.pump();
        assert_eq!(pair.read(DIALER, ours).0, b"still here");
        pair.finish(LISTENER, theirs);
        pair.finish(DIALER, ours);
        pair.release(LISTENER, theirs);
        pair.release(DIALER, ours);
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn releasing_an_unfinished_stream_resets_it() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        pair.release(DIALER, ours);
        assert_eq!(
            pair.read(LISTENER, theirs).1,
            Err(StreamError::Reset(Code::NONE))
        );
        pair.release(LISTENER, theirs);
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn a_stream_released_before_its_first_write_is_never_seen_by_the_peer() {
    each(&Config::default(), |mut pair| {
        pair.dialer().keeps_wire = true;
        let key = pair.dialer().mux.open().unwrap();
        pair.release(DIALER, key);
        assert_eq!((pair.streams(), pair.dialer().wire.len()), ([0, 0], 0));
    });
}

#[test]
fn writing_nothing_sends_nothing() {
    each(&Config::default(), |mut pair| {
        pair.dialer().keeps_wire = true;
        let key = pair.dialer().mux.open().unwrap();
        assert_eq!(pair.dialer().mux.write(key, b"", b""), Ok(Some(0)));
        pair.pump();
        assert!(pair.dialer().wire.is_empty());
        pair.finish(DIALER, key);
        let theirs = pair.listener().incoming.pop_front().unwrap();
        assert_eq!(
            pair.read(LISTENER, theirs),
            (vec![], Ok(Read::End)),
            "an end opens it too"
        );
    });
}

#[test]
fn a_stream_finished_and_released_is_read_to_its_clean_end() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        let sent = vec![7; 200_000];
        pair.dialer().write_all(ours, &sent);
        pair.dialer().mux.finish(ours).unwrap();
        pair.release(DIALER, ours);
        assert_eq!(pair.read(LISTENER, theirs), (sent, Ok(Read::End)));
        pair.finish(LISTENER, theirs);
        pair.release(LISTENER, theirs);
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn releasing_with_unread_data_resets() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        pair.dialer().write_all(ours, b"unread");
        pair.pump();
        pair.finish(LISTENER, theirs);
        pair.release(LISTENER, theirs);
        assert_eq!(
            pair.read(DIALER, ours).1,
            Ok(Read::End),
            "it had ended before"
        );
        let refused = pair.dialer().mux.write(ours, b"", b"x");
        assert_eq!(refused, Err(StreamError::Reset(Code::NONE)));
        pair.release(DIALER, ours);
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn data_for_a_released_stream_resets_it() {
    each(&Config::default(), |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        pair.finish(LISTENER, theirs);
        pair.release(LISTENER, theirs);
        pair.dialer().write_all(ours, b"who reads this?");
        pair.pump();
        let refused = pair.dialer().mux.write(ours, b"", b"x");
        assert_eq!(refused, Err(StreamError::Reset(Code::NONE)));
        pair.release(DIALER, ours);
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn a_finished_and_released_stream_is_reset_after_it_lingered() {
    let config = Config::default();
    each(&config, |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        pair.finish(DIALER, ours);
        pair.release(DIALER, ours);
        pair.pass(config.linger - Duration::from_millis(1), |_| ());
        assert_eq!(pair.streams(), [1, 1]);
        assert_eq!(pair.listener().mux.write(theirs, b"", b""), Ok(Some(0)));
        pair.pass(Duration::from_millis(1), |_| ());
        let refused = pair.listener().mux.write(theirs, b"", b"x");
        assert_eq!(refused, Err(StreamError::Reset(Code::NONE)));
        pair.release(LISTENER, theirs);
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn a_stream_that_lingered_leaves_no_timer_behind() {
    each(&Config::default(), |mut pair| {
        let idle = pair.dialer().mux.poll_timeout();
        for _ in 0..100 {
            let (ours, theirs) = pair.stream(b"hello");
            pair.finish(DIALER, ours);
            pair.release(DIALER, ours);
            assert_eq!(pair.streams(), [1, 1]);
            pair.finish(LISTENER, theirs);
            pair.release(LISTENER, theirs);
            assert_eq!(pair.streams(), [0, 0]);
        }
        // The slot's next owner outlives the time at which its first one would have been reset.
        assert_eq!(pair.dialer().mux.poll_timeout(), idle);
        let (ours, theirs) = pair.stream(b"hello");
        pair.pass(Config::default().linger * 2, |_| ());
        pair.dialer().write_all(ours, b"alive");
        pair.pump();
        assert_eq!(
            pair.read(LISTENER, theirs),
            (b"alive".to_vec(), Ok(Read::Blocked))
        );
    });
}

#[test]
fn a_lost_connection_is_neither_an_end_nor_a_reset() {
    each(&Config::default(), |mut pair| {
        let (ours, _) = pair.stream(b"hello");
        let (ended, theirs) = pair.stream(b"hello");
        pair.finish(LISTENER, theirs);
        let (left, _) = pair.stream(b"hello");
        pair.finish(DIALER, left);
        pair.release(DIALER, left);
        assert_eq!(pair.read(DIALER, ours).1, Ok(Read::Blocked));
        pair.dialer().mux.lose();
        assert!(pair.dialer().saw(Event::Readable(ours)));
        assert_eq!(pair.read(DIALER, ours).1, Err(StreamError::ConnectionLost));
        assert_eq!(
            pair.dialer().mux.write(ours, b"", b"x"),
            Err(StreamError::ConnectionLost)
        );
        assert_eq!(
            pair.read(DIALER, ended).1,
            Ok(Read::End),
            "what had ended stays so"
        );
        assert_eq!(pair.dialer().mux.open(), Err(OpenError::Closing));
        pair.release(DIALER, ours);
        pair.release(DIALER, ended);
        assert_eq!(
            pair.dialer().mux.streams(),
            0,
            "lingering streams went with the connection"
        );
    });
}

#[test]
fn a_thousand_streams_live_side_by_side() {
    each(&Config::default(), |mut pair| {
        let keys: Vec<_> = (0..1000_u32)
            .map(|i| {
                let (ours, theirs) = pair.stream(&i.to_be_bytes());
                pair.listener().write_all(theirs, &i.to_be_bytes());
                pair.pump();
                (i, ours, theirs)
            })
            .collect();
        assert_eq!(pair.streams(), [1000, 1000]);
        for (i, ours, theirs) in keys {
            assert_eq!(
                pair.read(DIALER, ours),
                (i.to_be_bytes().to_vec(), Ok(Read::Blocked))
            );
            pair.finish(DIALER, ours);
            pair.finish(LISTENER, theirs);
            pair.release(DIALER, ours);
            pair.release(LISTENER, theirs);
        }
        assert_eq!(pair.streams(), [0, 0]);
    });
}

#[test]
fn our_own_streams_are_limited_and_the_next_open_waits() {
    let config = Config {
        outbound_streams_max: 5,
        ..Config::default()
    };
    each(&config, |mut pair| {
        let keys: Vec<_> = (0..5).map(|_| pair.stream(b"x")).collect();
        assert_eq!(pair.dialer().mux.open(), Err(OpenError::Blocked));
        assert!(!pair.dialer().saw(Event::Openable));
        pair.release(DIALER, keys[0].0);
        assert!(pair.dialer().saw(Event::Openable));
        pair.stream(b"x");
        assert_eq!(pair.dialer().mux.open(), Err(OpenError::Blocked));
        pair.dialer().mux.set_outbound_max(2);
        pair.release(DIALER, keys[1].0);
        pair.release(DIALER, keys[2].0);
        assert_eq!(
            pair.dialer().mux.open(),
            Err(OpenError::Blocked),
            "the lower limit counts"
        );
        pair.release(DIALER, keys[3].0);
        pair.release(DIALER, keys[4].0);
        pair.stream(b"x");
    });
}

#[test]
fn one_inbound_stream_too_many_is_reset_and_the_connection_goes_on() {
    let config = Config {
        inbound_streams_max: 5,
        ..Config::default()
    };
    each(&config, |mut pair| {
        let keys: Vec<_> = (0..5).map(|_| pair.stream(b"x")).collect();
        let refused = pair.dialer().mux.open().unwrap();
        pair.dialer().write_all(refused, &[0; 100_000]);
        pair.pump();
        assert!(pair.listener().incoming.is_empty());
        assert!(matches!(
            pair.read(DIALER, refused).1,
            Err(StreamError::Reset(_))
        ));
        pair.release(DIALER, refused);
        assert_eq!(pair.streams(), [5, 5]);
        // The peer counts until our user has let go, too.
        pair.release(DIALER, keys[0].0);
        let refused = pair.dialer().mux.open().unwrap();
        pair.dialer().write_all(refused, b"x");
        pair.pump();
        assert!(pair.listener().incoming.is_empty());
        pair.release(LISTENER, keys[0].1);
        pair.stream(b"x");
        assert_eq!(pair.violation, None);
    });
}

#[test]
fn going_away_refuses_new_streams_and_lets_the_others_finish() {
    let config = Config {
        outbound_streams_max: 1,
        ..Config::default()
    };
    each(&config, |mut pair| {
        let (ours, theirs) = pair.stream(b"hello");
        assert_eq!(pair.dialer().mux.open(), Err(OpenError::Blocked));
        pair.dialer().mux.go_away(Code::NONE);
        assert!(
            pair.dialer().saw(Event::Openable),
            "whoever waits learns that it is in vain"
        );
        assert_eq!(pair.dialer().mux.open(), Err(OpenError::Closing));
        pair.pump();
        pair.listener().write_all(theirs, b"bye");
        pair.finish(LISTENER, theirs);
        assert_eq!(pair.read(DIALER, ours), (b"bye".to_vec(), Ok(Read::End)));
        // A stream that the peer still opens is refused.
        if let Ok(late) = pair.listener().mux.open() {
            pair.listener().write_all(late, b"x");
            pair.pump();
            assert!(pair.dialer().incoming.is_empty());
            assert!(matches!(
                pair.read(LISTENER, late).1,
                Err(StreamError::Reset(_))
            ));
        }
    });
}

#[test]
fn writers_wait_when_the_buffer_is_full_and_have_their_turns_in_the_order_in_which_they_came() {
    each(&small(), |mut pair| {
        let keys: Vec<_> = (0..30).map(|_| pair.stream(b"x").0).collect();
        pair.dialer().stuck = true;
        pair.dialer().write_some(keys[0], &[0; 1000]).unwrap();
        for key in &keys {
            for _ in 0..2 {
                assert_eq!(pair.dialer().mux.write(*key, b"", LONG), Ok(None));
            }
        }
        pair.dialer().events.clear();
        for woken in keys.chunks(1000 / LONG.len()) {
            pair.dialer().stuck = false;
            pair.turn();
            pair.dialer().stuck = true;
            let events: Vec<_> = woken.iter().map(|key| Event::Writable(*key)).collect();
            assert_eq!(std::mem::take(&mut pair.dialer().events), events);
            // Who has had its turn does not get in before those that wait, nor before those that were woken.
            if woken[0] != keys[20] {
                assert_eq!(pair.dialer().mux.write(keys[29], b"", LONG), Ok(None));
            }
            for key in woken {
                assert_eq!(pair.dialer().write_some(*key, LONG), Ok(LONG.len()));
            }
        }
    });
}

#[test]
fn writers_that_were_woken_and_do_not_come_keep_nobody_waiting() {
    each(&small(), |mut pair| {
        let keys: Vec<_> = (0..30).map(|_| pair.stream(b"x").0).collect();
        pair.dialer().stuck = true;
        pair.dialer().write_some(keys[0], &[0; 1000]).unwrap();
        for key in &keys {
            assert_eq!(pair.dialer().mux.write(*key, b"", LONG), Ok(None));
        }
        pair.dialer().events.clear();
        pair.dialer().stuck = false;
        pair.pump();
        // All are told before whoever sends comes to rest.
        pair.dialer().drain_events();
        let all: Vec<_> = keys.iter().map(|key| Event::Writable(*key)).collect();
        assert_eq!(pair.dialer().events, all);
        assert_eq!(pair.dialer().write_some(keys[29], &[0; 1000]), Ok(1000));
    });
}

/// Streams that always have something to say, each woken and served as the shell does it; `each` runs in every turn.
fn compete(
    pair: &mut Pair,
    keys: &[(Key, Key)],
    sent: &mut [usize],
    mut each: impl FnMut(&mut Pair),
) {
    let data = vec![0; 64 << 10];
    let mut ready: Vec<usize> = (0..keys.len()).collect();
    for _ in 0..100_000 {
        // A writer goes on as long as it can, as `write_all` does.
        for i in std::mem::take(&mut ready) {
            while let Some(n) = pair.dialer().mux.write(keys[i].0, b"", &data).unwrap() {
                sent[i] += n;
            }
        }
        each(pair);
        pair.turn();
        let now = pair.now;
        for (_, theirs) in keys {
            pair.listener().read_all(now, *theirs).1.unwrap();
        }
        if sent.iter().any(|sent| *sent >= 2 << 20) {
            return;
        }
        pair.dialer().drain_events();
        for event in std::mem::take(&mut pair.dialer().events) {
            if let Event::Writable(key) = event {
                ready.extend(keys.iter().position(|(ours, _)| *ours == key));
            }
        }
    }
    panic!("some wait for ever: {sent:?}");
}

#[test]
fn equal_streams_progress_equally() {
    each(&Config::default(), |mut pair| {
        let keys: Vec<_> = (0..100).map(|_| pair.stream(b"x")).collect();
        let mut sent = vec![0; keys.len()];
        compete(&mut pair, &keys, &mut sent, |_| ());
        let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
        assert!(least * 10 >= most * 8, "{least} and {most} bytes");
        assert_eq!(pair.violation, None);
    });
}

#[test]
fn what_stands_before_a_short_message_is_bounded_however_many_streams_are_busy() {
    for busy in [1, 100] {
        each(&Config::default(), |mut pair| {
            let keys: Vec<_> = (0..busy).map(|_| pair.stream(b"x")).collect();
            let (ping, pong) = pair.stream(b"x");
            pair.dialer().keeps_wire = true;
            let mut sent = vec![0; keys.len()];
            let most = Config::default().send_buffer_max + (64 << 10);
            compete(&mut pair, &keys, &mut sent, |pair| {
                pair.dialer().wire.clear();
                assert_eq!(pair.dialer().mux.write(ping, b"", b"ping"), Ok(Some(4)));
                assert!(pair.turn());
                let wire = &pair.dialer().wire;
                let before = wire.windows(4).position(|bytes| bytes == b"ping").unwrap();
                // Besides payload: headers, and what control frames there are.
                assert!(before <= most + (4 << 10), "{before} bytes before it");
                assert_eq!(pair.read(LISTENER, pong).0, b"ping");
            });
        });
    }
}

#[test]
fn a_stalled_reader_among_many_streams_holds_up_nobody_else() {
    let config = Config::default();
    let mut pair = Pair::new(&YAMUX, &config);
    let keys: Vec<_> = (0..100).map(|_| pair.stream(b"x")).collect();
    let (stalled, others) = keys.split_first().unwrap();
    let written = pair
        .dialer()
        .write_some(stalled.0, &vec![1; 1 << 20])
        .unwrap();
    let mut sent = vec![0; others.len()];
    compete(&mut pair, others, &mut sent, |_| ());
    assert_eq!(sent.iter().filter(|sent| **sent >= 3 << 19).count(), 99);
    // It holds its window, which did not grow, and loses nothing.
    let more = pair
        .dialer()
        .write_some(stalled.0, &vec![1; 1 << 20])
        .unwrap();
    assert!(written + more < 256 << 10, "{}", written + more);
    pair.pump();
    assert_eq!(pair.read(LISTENER, stalled.1).0.len(), written + more);
}

#[test]
fn a_stalled_stream_that_goes_leaves_its_place() {
    each(&small(), |mut pair| {
        let (filler, _) = pair.stream(b"x");
        pair.dialer().stuck = true;
        pair.dialer().write_some(filler, &[0; 1000]).unwrap();
        for _ in 0..100 {
            let key = pair.dialer().mux.open().unwrap();
            assert_eq!(pair.dialer().mux.write(key, b"", LONG), Ok(None));
            let now = pair.now;
            pair.dialer().mux.release(now, key);
        }
        pair.dialer().drain_events();
        pair.dialer().events.clear();
        pair.dialer().stuck = false;
        pair.pump();
        assert_eq!(pair.dialer().events, []);
    });
}

#[test]
fn what_a_peer_that_does_not_read_can_make_us_queue_is_bounded() {
    let config = Config {
        inbound_streams_max: 10,
        outbound_streams_max: 10,
        ..Config::default()
    };
    each(&config, |mut pair| {
        pair.listener().stuck = true;
        pair.listener().keeps_wire = true;
        // Each of these is refused with a reset that the dialer does not take.
        for i in 0..100_000 {
            let Ok(key) = pair.dialer().mux.open() else {
                break;
            };
            pair.dialer().write_all(key, b"x");
            let now = pair.now;
            pair.dialer().mux.release(now, key);
            if i % 1000 == 0 {
                pair.pump();
            }
        }
        pair.pump();
        assert!(pair.listener().mux.is_congested());
        pair.listener().events.clear();
        pair.listener().stuck = false;
        pair.turn();
        assert!(pair.listener().saw(Event::Resumed));
        let queued = pair.listener().wire.len();
        assert!((16_000..100_000).contains(&queued), "{queued}");
    });
}

#[test]
fn two_honest_ends_that_let_go_of_everything_at_once_do_not_block_each_other() {
    each(&Config::default(), |mut pair| {
        let mut keys = [vec![], vec![]];
        for _ in 0..Config::default().outbound_streams_max {
            for opener in [DIALER, LISTENER] {
                let key = pair.ends[opener].mux.open().unwrap();
                pair.ends[opener].write_all(key, b"x");
                keys[opener].push(key);
                pair.pump();
                let theirs = pair.ends[1 - opener].incoming.pop_back().unwrap();
                pair.ends[1 - opener].write_all(theirs, b"y");
                keys[1 - opener].push(theirs);
                pair.pump();
            }
        }
        pair.ends.iter_mut().for_each(|end| end.stuck = true);
        for end in [DIALER, LISTENER] {
            for key in std::mem::take(&mut keys[end]) {
                let _ = pair.read(end, key);
                pair.finish(end, key);
                pair.ends[end].mux.reset(key, Code::NONE);
                pair.release(end, key);
            }
            assert!(!pair.ends[end].mux.is_congested());
        }
        pair.ends.iter_mut().for_each(|end| end.stuck = false);
        pair.pump();
        assert_eq!(pair.streams(), [0, 0]);
    });
}
