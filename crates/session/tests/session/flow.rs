//! Flow control: yamux windows on links with latency, and what mplex does without any.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use carrick_session::{Code, Config, Event, Key, OpenError, Read, StreamError, WindowPool};

use carrick_wire::yamux::HEADER_LEN;

use crate::pair::{DIALER, LISTENER, MPLEX, Pair, YAMUX};

const WINDOW: usize = 256 << 10;

/// Room for everything: windows are what holds writers back.
fn roomy() -> Config {
    Config {
        send_buffer_max: 64 << 20,
        stream_window_max: 8 << 20,
        ..Config::default()
    }
}

/// A pair with `count` streams that the listener has answered.
fn acked(config: &Config, count: usize) -> (Pair, Vec<(Key, Key)>) {
    let mut pair = Pair::new(&YAMUX, config);
    let keys = (0..count).map(|_| {
        let keys = pair.stream(b"x");
        pair.listener().write_all(keys.1, b"y");
        pair.pump();
        assert_eq!(pair.read(DIALER, keys.0).0, b"y");
        keys
    });
    let keys = keys.collect();
    (pair, keys)
}

/// Sends for `time` on one stream whose reader keeps up; bytes that arrived.
fn transfer(pair: &mut Pair, (ours, theirs): (Key, Key), time: Duration) -> usize {
    let data = vec![0; 16 << 20];
    let mut arrived = 0;
    pair.pass(time, |pair| {
        pair.dialer().write_some(ours, &data).unwrap();
        let now = pair.now;
        arrived += pair.listener().read_all(now, theirs).0.len();
    });
    arrived
}

#[test]
fn a_writer_stops_at_the_window_and_goes_on_when_the_peer_has_read() {
    let (mut pair, keys) = acked(&roomy(), 1);
    let (ours, theirs) = keys[0];
    let sent = pair.dialer().write_some(ours, &vec![1; 1 << 20]).unwrap();
    assert_eq!(sent, WINDOW - 1, "one byte went with the open");
    pair.pump();
    assert!(!pair.dialer().saw(Event::Writable(ours)));
    assert_eq!(pair.read(LISTENER, theirs).0.len(), sent);
    assert!(pair.dialer().saw(Event::Writable(ours)));
    assert!(pair.dialer().write_some(ours, &[1; 1000]).unwrap() == 1000);
    assert_eq!(pair.violation, None);
}

#[test]
fn a_writer_waits_when_as_many_bytes_are_unsent_as_may_be_and_goes_on_when_they_are_sent() {
    let unsent_max = 32 << 10;
    let config = Config {
        send_buffer_max: unsent_max,
        ..roomy()
    };
    let (mut pair, keys) = acked(&config, 1);
    let ours = keys[0].0;
    // All of it is one frame, whose header counts.
    let most = unsent_max - HEADER_LEN;
    pair.dialer().write_all(ours, &vec![1; most - 1]);
    assert_eq!(pair.dialer().write_some(ours, &[2]), Ok(1));
    assert_eq!(pair.dialer().write_some(ours, &[3]), Ok(0));
    assert!(!pair.dialer().saw(Event::Writable(ours)));
    pair.pump();
    assert!(pair.dialer().saw(Event::Writable(ours)));
    assert_eq!(pair.read(LISTENER, keys[0].1).0.len(), most);
    assert_eq!(pair.dialer().write_some(ours, &[3]), Ok(1));
}

#[test]
fn a_slow_reader_on_one_stream_does_not_hold_up_the_others() {
    let (mut pair, keys) = acked(&roomy(), 2);
    pair.dialer()
        .write_some(keys[0].0, &vec![1; 1 << 20])
        .unwrap();
    pair.pump();
    let data = vec![2; 100_000];
    for _ in 0..50 {
        pair.dialer().write_all(keys[1].0, &data);
        pair.pump();
        assert_eq!(pair.read(LISTENER, keys[1].1).0, data);
    }
}

#[test]
fn windows_grow_until_the_rate_fits_the_round_trip() {
    let (mut pair, keys) = acked(&roomy(), 1);
    pair.latency = Duration::from_millis(50);
    let first = transfer(&mut pair, keys[0], Duration::from_secs(1));
    transfer(&mut pair, keys[0], Duration::from_secs(3));
    let later = transfer(&mut pair, keys[0], Duration::from_secs(1));
    assert!(pair.ends[LISTENER].mux.rtt() == Some(Duration::from_millis(100)));
    assert!(
        2 * later > 3 * first,
        "{first} bytes in the first second, {later} in the fifth"
    );
    let full = 10 * (8 << 20);
    assert!(
        (full * 3 / 4..=full).contains(&later),
        "a full window each round trip: {later}"
    );
}

#[test]
fn windows_do_not_grow_for_a_sender_that_does_not_fill_them() {
    let (mut pair, keys) = acked(&roomy(), 1);
    pair.latency = Duration::from_millis(50);
    let data = vec![0; 10_000];
    for _ in 0..400 {
        pair.dialer().write_all(keys[0].0, &data);
        pair.pass(Duration::from_millis(50), |_| ());
        drop(pair.read(LISTENER, keys[0].1));
    }
    pair.pass(Duration::from_secs(1), |_| ());
    let sent = pair
        .dialer()
        .write_some(keys[0].0, &vec![0; 1 << 20])
        .unwrap();
    assert!(sent <= WINDOW, "{sent}");
}

/// A mebibyte for all.
#[derive(Debug, Default)]
struct OneMebibyte(AtomicU32);

impl WindowPool for OneMebibyte {
    fn take(&self, bytes: u32) -> bool {
        let more = |taken: u32| taken.checked_add(bytes).filter(|taken| *taken <= 1 << 20);
        self.0.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u32) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

#[test]
fn windows_grow_only_as_far_as_the_pool_lends_which_gets_it_back() {
    let pool = Arc::new(OneMebibyte::default());
    let (mut pair, keys) = acked(&roomy(), 2);
    pair.listener().mux.set_window_pool(pool.clone());
    pair.latency = Duration::from_millis(50);
    transfer(&mut pair, keys[0], Duration::from_secs(3));
    // From 256 KiB to 512 KiB and to a mebibyte; twice that is more than is left.
    assert_eq!(pool.0.load(Relaxed), 768 << 10);
    transfer(&mut pair, keys[1], Duration::from_secs(3));
    assert_eq!(pool.0.load(Relaxed), 1 << 20);
    pair.release(DIALER, keys[0].0);
    pair.release(LISTENER, keys[0].1);
    pair.pass(Duration::from_secs(1), |_| ());
    assert_eq!(pool.0.load(Relaxed), 256 << 10);
    drop(pair);
    assert_eq!(pool.0.load(Relaxed), 0, "with the connection goes the rest");
}

#[test]
fn what_nobody_reads_is_borrowed_too_and_a_stream_without_memory_is_reset_while_the_others_stay() {
    let pool = Arc::new(OneMebibyte::default());
    let (mut pair, keys) = acked(&roomy(), 12);
    pair.listener().mux.set_window_pool(pool.clone());
    let data = vec![7; WINDOW - 1];
    for (ours, _) in &keys {
        assert_eq!(pair.dialer().write_some(*ours, &data), Ok(data.len()));
        pair.pump();
    }
    // A mebibyte is free and one is lent: eight streams, since each has had a byte of its window already.
    let now = pair.now;
    let (kept, reset): (Vec<_>, Vec<_>) = keys
        .iter()
        .map(|(_, theirs)| pair.listener().read_all(now, *theirs))
        .partition(|(_, read)| read.is_ok());
    assert_eq!((kept.len(), reset.len()), (8, 4));
    assert!(kept.iter().all(|(bytes, _)| *bytes == data));
    for (_, read) in reset {
        assert_eq!(
            read.err(),
            Some(StreamError::ResetLocally(Code::LIMIT)),
            "it is told why"
        );
    }
    assert_eq!(pair.violation, None);
    assert_eq!(pool.0.load(Relaxed), 0, "all has been read");
}

/// Every stream is written to and read at full speed for a time; then what is under way is read.
fn transfer_all(pair: &mut Pair, keys: &[(Key, Key)], data: &[u8], time: Duration) {
    pair.pass(time, |pair| {
        for (ours, theirs) in keys {
            pair.dialer().write_some(*ours, data).unwrap();
            let now = pair.now;
            drop(pair.listener().read_all(now, *theirs));
        }
    });
    pair.pass(Duration::from_secs(1), |pair| {
        for (_, theirs) in keys {
            let now = pair.now;
            drop(pair.listener().read_all(now, *theirs));
        }
    });
}

#[test]
fn all_windows_together_stay_within_the_budget() {
    let config = Config {
        window_budget: 2 << 20,
        ..roomy()
    };
    let (mut pair, keys) = acked(&config, 1000);
    pair.latency = Duration::from_millis(50);
    // Every stream transfers at full speed for a while: all windows would like to grow.
    let data = vec![0; 1 << 20];
    transfer_all(&mut pair, &keys, &data, Duration::from_secs(2));
    let mut windows = 0;
    for (ours, _) in &keys {
        windows += pair.dialer().write_some(*ours, &data).unwrap();
        pair.dialer().discard();
    }
    let most = 1000 * WINDOW + (2 << 20);
    assert!(
        windows > most - 1000 * (WINDOW / 4) && windows <= most,
        "{windows}"
    );
    pair.pass(Duration::from_secs(1), |_| ());
    assert_eq!(pair.violation, None);

    // The budget comes back with the streams: a new one can grow again.
    for (ours, theirs) in keys {
        pair.release(DIALER, ours);
        pair.release(LISTENER, theirs);
    }
    pair.pass(Duration::from_secs(1), |_| ());
    assert_eq!(pair.streams(), [0, 0]);
    pair.latency = Duration::ZERO;
    let fresh = pair.stream(b"x");
    pair.latency = Duration::from_millis(50);
    transfer(&mut pair, fresh, Duration::from_secs(3));
    pair.pass(Duration::from_secs(1), |pair| {
        let now = pair.now;
        drop(pair.listener().read_all(now, fresh.1));
    });
    let window = pair
        .dialer()
        .write_some(fresh.0, &vec![0; 8 << 20])
        .unwrap();
    assert!(window >= (1 << 20), "{window}");
}

#[test]
fn streams_that_carry_as_much_get_windows_as_large() {
    let config = Config {
        window_budget: 16 << 20,
        ..roomy()
    };
    let (mut pair, keys) = acked(&config, 64);
    pair.latency = Duration::from_millis(50);
    let data = vec![0; 4 << 20];
    transfer_all(&mut pair, &keys, &data, Duration::from_secs(3));
    // What may be sent now is a window but for the quarter that is not refilled yet.
    for (ours, _) in &keys {
        let window = pair.dialer().write_some(*ours, &data).unwrap();
        assert!((3 * WINDOW / 2..=2 * WINDOW).contains(&window), "{window}");
        pair.dialer().discard();
    }
}

#[test]
fn at_most_256_streams_wait_for_an_answer() {
    let mut pair = Pair::new(&YAMUX, &Config::default());
    let keys: Vec<_> = (0..256)
        .map(|_| {
            let key = pair.dialer().mux.open().unwrap();
            pair.dialer().write_all(key, b"x");
            key
        })
        .collect();
    assert_eq!(pair.dialer().mux.open(), Err(OpenError::Blocked));
    pair.pump();
    assert_eq!(pair.listener().incoming.len(), 256);
    assert_eq!(
        pair.dialer().mux.open(),
        Err(OpenError::Blocked),
        "arrived is not answered"
    );
    // Each kind of answer frees one place: data, an end, a reset; and so does giving up.
    let now = pair.now;
    let [data, end, reset] = [0, 1, 2].map(|i| pair.listener().incoming[i]);
    pair.listener().write_all(data, b"y");
    pair.listener().mux.finish(end).unwrap();
    pair.listener().mux.release(now, reset);
    pair.dialer().mux.release(now, keys[3]);
    pair.pump();
    assert!(pair.dialer().saw(Event::Openable));
    for _ in 0..4 {
        let key = pair.dialer().mux.open().unwrap();
        pair.dialer().write_all(key, b"x");
    }
    assert_eq!(pair.dialer().mux.open(), Err(OpenError::Blocked));
}

#[test]
fn streams_that_were_not_sent_yet_do_not_count_as_unanswered_and_their_first_frame_waits() {
    let mut pair = Pair::new(&YAMUX, &Config::default());
    let keys: Vec<_> = (0..300)
        .map(|_| pair.dialer().mux.open().unwrap())
        .collect();
    let mut waiting = Vec::new();
    for key in keys {
        if pair.dialer().mux.write(key, b"x", &[]).unwrap().is_none() {
            waiting.push(key);
        }
    }
    assert_eq!(waiting.len(), 300 - 256);
    pair.pump();
    assert_eq!(pair.listener().incoming.len(), 256);
    // The first that waited gives up; the place goes to the next.
    let now = pair.now;
    pair.dialer().mux.release(now, waiting[0]);
    let answered = pair.listener().incoming[0];
    pair.listener().write_all(answered, b"y");
    pair.pump();
    assert!(pair.dialer().saw(Event::Writable(waiting[1])));
    assert!(!pair.dialer().saw(Event::Writable(waiting[2])));
    let written = pair.dialer().mux.write(waiting[1], b"x", &[]);
    assert_eq!(written, Ok(Some(0)));
    assert_eq!(pair.dialer().mux.write(waiting[2], b"x", &[]), Ok(None));
}

#[test]
fn ids_rise_on_the_wire_in_whatever_order_streams_are_first_written() {
    let mut pair = Pair::new(&YAMUX, &Config::default());
    pair.dialer().keeps_wire = true;
    let keys: Vec<_> = (0..10).map(|_| pair.dialer().mux.open().unwrap()).collect();
    for i in [7, 3, 9, 0, 1, 8, 2, 6, 4, 5] {
        pair.dialer().write_all(keys[i], b"x");
    }
    pair.pump();
    let wire = &pair.ends[DIALER].wire;
    let ids: Vec<_> = wire
        .chunks(13)
        .map(|frame| u32::from_be_bytes(frame[4..8].try_into().unwrap()))
        .collect();
    assert_eq!(ids, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
}

#[test]
fn a_silent_connection_is_pinged_and_given_up_when_nobody_answers() {
    let config = Config::default();
    let mut pair = Pair::new(&YAMUX, &config);
    pair.pass(Duration::from_secs(3600), |_| ());
    assert_eq!(pair.violation, None, "both answer, so both stay");
    assert_eq!(pair.ends[DIALER].mux.rtt(), Some(Duration::ZERO));

    pair.listener().stuck = true;
    let silence = config.keep_alive_interval + config.keep_alive_timeout;
    assert!(silence < Duration::from_secs(30), "what users are told");
    pair.pass(silence * 2, |_| ());
    assert_eq!(pair.violation.unwrap().0, DIALER);
    assert!(pair.violation.unwrap().1.to_string().contains("keep-alive"));
}

#[test]
fn traffic_is_a_sign_of_life_even_without_an_answer_to_the_ping() {
    let (mut pair, keys) = acked(&Config::default(), 1);
    for _ in 0..100 {
        pair.pass(Duration::from_secs(9), |_| ());
        pair.listener().write_all(keys[0].1, b"x");
        pair.pump();
    }
    assert_eq!(pair.violation, None);
}

#[test]
fn bytes_of_a_record_that_is_not_whole_are_a_sign_of_life() {
    let config = Config::default();
    let mut pair = Pair::new(&YAMUX, &config);
    pair.listener().stuck = true;
    for _ in 0..300 {
        pair.pass(Duration::from_secs(1), |_| ());
        let now = pair.now;
        pair.ends.iter_mut().for_each(|end| end.mux.heard(now));
    }
    assert_eq!(pair.violation, None);
    pair.pass(config.keep_alive_interval * 4, |_| ());
    assert!(pair.violation.is_some(), "then nothing came");
}

#[test]
fn mplex_holds_the_connection_for_a_slow_reader_and_lets_it_go_on() {
    let config = roomy();
    let mut pair = Pair::new(&MPLEX, &config);
    let (slow, slow_reader) = pair.stream(b"x");
    let (ours, theirs) = pair.stream(b"x");
    let data = vec![0; config.mplex_buffer_max + 1];
    pair.dialer().write_all(slow, &data);
    pair.pump();
    assert!(pair.listener().mux.is_congested());
    pair.dialer().write_all(ours, b"held up");
    pair.pump();
    assert_eq!(pair.read(LISTENER, theirs).0, b"");
    // Half of the buffer has to be read.
    let mut read = 0;
    while pair.listener().mux.is_congested() {
        let now = pair.now;
        let Ok(Read::Data(bytes)) = pair.listener().mux.read(now, slow_reader) else {
            panic!("{read}")
        };
        read += bytes.len();
    }
    assert!(read >= config.mplex_buffer_max / 2, "{read}");
    assert!(pair.listener().saw(Event::Resumed));
    assert!(pair.listener().mux.poll_timeout().is_none());
    pair.pump();
    assert_eq!(pair.read(LISTENER, theirs).0, b"held up");
}

#[test]
fn mplex_resets_a_slow_reader_after_some_patience_and_only_it() {
    let config = roomy();
    let mut pair = Pair::new(&MPLEX, &config);
    let (slow, slow_reader) = pair.stream(b"x");
    let (ours, theirs) = pair.stream(b"x");
    pair.dialer()
        .write_all(slow, &vec![0; 8 * config.mplex_buffer_max]);
    pair.dialer().write_all(ours, b"held up");
    pair.pass(config.mplex_patience - Duration::from_millis(1), |_| ());
    assert!(pair.listener().mux.is_congested());
    pair.pass(Duration::from_millis(1), |_| ());
    assert!(!pair.listener().mux.is_congested());
    let slow_error = StreamError::ResetLocally(Code::RATE_LIMITED);
    assert_eq!(pair.read(LISTENER, slow_reader), (vec![], Err(slow_error)));
    assert_eq!(
        pair.read(DIALER, slow).1,
        Err(StreamError::Reset(Code::NONE))
    );
    assert_eq!(pair.read(LISTENER, theirs).0, b"held up");
    pair.release(LISTENER, slow_reader);
    pair.release(DIALER, slow);
    assert_eq!(pair.streams(), [1, 1]);
}

#[test]
fn mplex_holds_at_most_a_buffer_and_a_read_of_each_stream() {
    let config = roomy();
    let mut pair = Pair::new(&MPLEX, &config);
    let (slow, slow_reader) = pair.stream(b"x");
    pair.dialer()
        .write_all(slow, &vec![0; 8 * config.mplex_buffer_max]);
    pair.pump();
    let now = pair.now;
    let held = pair.listener().read_all(now, slow_reader).0.len();
    assert!(held <= config.mplex_buffer_max + pair.chunk, "{held}");
}

#[test]
fn mplex_does_not_wait_for_a_full_stream_that_has_ended() {
    for reset in [false, true] {
        let config = roomy();
        let mut pair = Pair::new(&MPLEX, &config);
        pair.chunk = usize::MAX;
        let (slow, slow_reader) = pair.stream(b"x");
        let data = vec![3; config.mplex_buffer_max + 1];
        pair.dialer().write_all(slow, &data);
        match reset {
            true => pair.dialer().mux.reset(slow, Code::NONE),
            false => pair.dialer().mux.finish(slow).unwrap(),
        }
        // All of it in one read, so that the end is seen with the data.
        pair.pump();
        if pair.listener().mux.is_congested() {
            let now = pair.now;
            pair.listener().mux.read(now, slow_reader).unwrap();
            panic!("the end was in the same read");
        }
        let end = match reset {
            true => Err(StreamError::Reset(Code::NONE)),
            false => Ok(Read::End),
        };
        pair.pass(config.mplex_patience * 2, |_| ());
        assert_eq!(pair.read(LISTENER, slow_reader), (data, end));
    }
}
