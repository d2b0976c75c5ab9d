//! What a hostile or careless peer can send, message by message. Pairs of muxers are in `tests/session`.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use carrick_wire::varint;

use super::*;
use crate::{
    WindowPool,
    testing::{PLAIN, epoch, events},
};

struct Machine {
    mplex: Mplex,
    now: Instant,
}

impl Machine {
    fn new() -> Self {
        Self::with(&Config::default())
    }

    fn with(config: &Config) -> Self {
        Self {
            mplex: Mplex::new(config, PLAIN),
            now: epoch(),
        }
    }

    fn recv(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.mplex.recv(self.now, Bytes::copy_from_slice(bytes))
    }

    fn sent(&mut self) -> Vec<u8> {
        let mut records = Records::new(PLAIN);
        self.mplex.poll_transmit(&mut records);
        records.as_slice().to_vec()
    }

    fn events(&mut self) -> Vec<Event> {
        events(|| self.mplex.poll_event())
    }

    fn incoming(&mut self, id: u64) -> Key {
        self.recv(&message(NEW, id, b"name")).unwrap();
        match self.events().last() {
            Some(Event::Incoming(key)) => *key,
            event => panic!("{event:?}"),
        }
    }

    fn read(&mut self, key: Key) -> Result<Read, StreamError> {
        self.mplex.read(self.now, key)
    }

    fn refuses(&mut self, bytes: &[u8], text: &str) {
        let violation = self.recv(bytes).unwrap_err();
        assert!(violation.0.contains(text), "{violation}");
    }
}

const NEW: u64 = 0;
const MESSAGE: u64 = 2;
const MESSAGE_TO_OPENER: u64 = 1;
const CLOSE: u64 = 4;
const RESET: u64 = 6;
const RESET_TO_OPENER: u64 = 5;

fn message(flag: u64, id: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode(id << 3 | flag, &mut out);
    varint::encode(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

#[test]
fn an_overlong_header_is_refused() {
    Machine::new().refuses(&[0xff; 10], "header");
    Machine::new().refuses(&[0x80, 0x00], "header");
    let mut machine = Machine::new();
    machine.recv(&[0xff; 8]).unwrap();
    machine.refuses(&[0xff, 0xff], "header");
}

#[test]
fn the_undefined_flag_is_refused() {
    Machine::new().refuses(&message(7, 1, b""), "header");
}

#[test]
fn a_message_above_one_mebibyte_is_refused_with_its_header() {
    for (length, fits) in [
        (1 << 20, true),
        ((1 << 20) + 1, false),
        ((1 << 63) - 1, false),
    ] {
        let mut machine = Machine::new();
        machine.incoming(1);
        let mut head = Vec::new();
        varint::encode(1 << 3 | MESSAGE, &mut head);
        varint::encode(length, &mut head);
        assert_eq!(machine.recv(&head).is_ok(), fits, "{length}");
    }
}

#[test]
fn opening_an_id_that_is_open_is_refused() {
    let mut machine = Machine::new();
    machine.incoming(1);
    machine.refuses(&message(NEW, 1, b""), "in use");
}

#[test]
fn the_same_id_opened_by_both_sides_names_two_streams() {
    let mut machine = Machine::new();
    let ours = machine.mplex.open_beyond(0).unwrap();
    machine.mplex.write(ours, b"", b"x").unwrap();
    let theirs = machine.incoming(0);
    machine.recv(&message(MESSAGE, 0, b"theirs")).unwrap();
    machine
        .recv(&message(MESSAGE_TO_OPENER, 0, b"ours"))
        .unwrap();
    assert_eq!(machine.read(theirs), Ok(Read::Data("theirs".into())));
    assert_eq!(machine.read(ours), Ok(Read::Data("ours".into())));
    machine.recv(&message(RESET_TO_OPENER, 0, b"")).unwrap();
    assert_eq!(machine.read(ours), Err(StreamError::Reset(Code::NONE)));
    assert_eq!(machine.read(theirs), Ok(Read::Blocked));
}

#[test]
fn data_after_close_breaks_the_protocol() {
    let mut machine = Machine::new();
    machine.incoming(1);
    machine.recv(&message(CLOSE, 1, b"")).unwrap();
    machine.refuses(&message(MESSAGE, 1, b"x"), "after");
}

#[test]
fn data_after_reset_are_ignored() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    machine.recv(&message(RESET, 1, b"")).unwrap();
    machine.recv(&message(MESSAGE, 1, b"x")).unwrap();
    assert_eq!(machine.read(key), Err(StreamError::Reset(Code::NONE)));
    machine.mplex.release(machine.now, key);
    machine.recv(&message(MESSAGE, 1, b"x")).unwrap();
    assert_eq!((machine.sent(), machine.mplex.streams()), (vec![], 0));
}

#[test]
fn a_close_is_an_end_after_all_data_and_a_reset_is_an_error() {
    let mut machine = Machine::new();
    let (closed, reset) = (machine.incoming(1), machine.incoming(2));
    for (id, end) in [(1, CLOSE), (2, RESET)] {
        machine.recv(&message(MESSAGE, id, b"data")).unwrap();
        machine.recv(&message(end, id, b"")).unwrap();
        machine.recv(&message(end, id, b"")).unwrap();
    }
    assert_eq!(machine.read(closed), Ok(Read::Data("data".into())));
    assert_eq!(machine.read(closed), Ok(Read::End));
    assert_eq!(machine.read(reset), Ok(Read::Data("data".into())));
    assert_eq!(machine.read(reset), Err(StreamError::Reset(Code::NONE)));
}

#[test]
fn a_close_or_reset_with_a_body_is_refused() {
    for flag in [CLOSE, RESET] {
        Machine::new().refuses(&message(flag, 1, b"x"), "header");
    }
}

#[test]
fn messages_for_unknown_streams_are_ignored() {
    let mut machine = Machine::new();
    for flag in [MESSAGE, MESSAGE_TO_OPENER] {
        machine.recv(&message(flag, 9, &[0; 5000])).unwrap();
    }
    for flag in 3..7 {
        machine.recv(&message(flag, 9, b"")).unwrap();
    }
    machine.incoming(9);
    assert_eq!((machine.sent(), machine.mplex.streams()), (vec![], 1));
}

#[test]
fn an_endless_name_is_refused() {
    Machine::new().refuses(&message(NEW, 1, &[b'n'; NAME_MAX + 1]), "name");
    Machine::new()
        .recv(&message(NEW, 1, &[b'n'; NAME_MAX]))
        .unwrap();
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
    for id in 0..100_000 {
        if machine.mplex.is_congested() {
            let sent = machine.sent();
            assert!(sent.len() < 64 << 10);
            refused += sent.len();
        }
        machine.recv(&message(NEW, id, b"")).unwrap();
    }
    assert!(refused > 99_900 * 2);
    assert_eq!(
        (machine.mplex.streams(), machine.mplex.ids.len()),
        (100, 100)
    );
}

#[test]
fn a_flood_of_empty_messages_ends_the_connection() {
    let mut machine = Machine::new();
    machine.incoming(1);
    machine.refuses(&message(MESSAGE, 1, b"").repeat(10_000), "empty");
}

#[test]
fn opening_and_resetting_streams_at_once_runs_into_a_budget() {
    let mut machine = Machine::new();
    let flood = (0..10_000).try_for_each(|id| {
        let result = machine.recv(&[message(NEW, id, b""), message(RESET, id, b"")].concat());
        for event in machine.events() {
            if let Event::Incoming(key) = event {
                machine.mplex.release(machine.now, key);
            }
        }
        result
    });
    assert!(flood.unwrap_err().0.contains("resets"));
    // Streams that were served may be reset as often as the peer likes.
    let mut machine = Machine::new();
    for id in 0..20_000 {
        let key = machine.incoming(id);
        machine.mplex.write(key, b"", b"answer").unwrap();
        machine.sent();
        machine.recv(&message(RESET, id, b"")).unwrap();
        machine.mplex.release(machine.now, key);
    }
}

#[test]
fn an_id_may_be_used_again_and_the_new_stream_owes_nothing_to_the_old() {
    let config = Config::default();
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    machine.mplex.finish(key).unwrap();
    machine.mplex.release(machine.now, key);
    machine.recv(&message(CLOSE, 1, b"")).unwrap();
    assert_eq!(machine.mplex.streams(), 0);
    let next = machine.incoming(1);
    assert_eq!(next, key);
    machine.now += config.linger * 2;
    machine.mplex.handle_timeout(machine.now).unwrap();
    assert_eq!(machine.read(next), Ok(Read::Blocked));
}

#[test]
fn used_up_ids_are_a_clean_error() {
    let mut machine = Machine::new();
    machine.mplex.next_id = ID_MAX;
    let key = machine.mplex.open_beyond(0).unwrap();
    machine.mplex.write(key, b"", b"x").unwrap();
    assert_eq!(machine.mplex.open_beyond(0), Err(OpenError::Exhausted));
}

#[test]
fn a_stream_released_in_the_middle_of_a_message_leaves_the_rest_to_nobody() {
    let mut machine = Machine::new();
    let key = machine.incoming(1);
    let bytes = message(MESSAGE, 1, &[1; 1000]);
    machine.recv(&bytes[..500]).unwrap();
    machine.mplex.release(machine.now, key);
    let next = machine.mplex.open_beyond(0).unwrap();
    assert_eq!(next, key);
    machine.recv(&bytes[500..]).unwrap();
    assert_eq!(machine.read(next), Ok(Read::Blocked));
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
fn what_nobody_reads_is_paid_for_to_the_byte_and_a_stream_without_memory_is_reset() {
    let pool = Arc::new(OneMebibyte::default());
    let mut machine = Machine::new();
    machine.mplex.unread.set_pool(pool.clone());
    let half = vec![7; 512 << 10];
    let full: Vec<_> = (0..4).map(|id| machine.incoming(id)).collect();
    let last = machine.incoming(4);
    // A mebibyte is free, and one is lent.
    for id in 0..4 {
        machine.recv(&message(MESSAGE, id, &half)).unwrap();
    }
    assert_eq!(pool.0.load(Relaxed), 1 << 20);
    machine.recv(&message(MESSAGE, 4, b"?")).unwrap();
    let reset = Err(StreamError::ResetLocally(Code::LIMIT));
    assert_eq!(machine.read(last), reset, "it is told why");
    // The others stay, and what they give up can be used again.
    assert_eq!(machine.read(full[0]), Ok(Read::Data(half.clone().into())));
    machine.recv(&message(MESSAGE, 0, &half)).unwrap();
    for (id, key) in (0..).zip(full) {
        match id {
            0 => machine.mplex.release(machine.now, key),
            1 => machine.mplex.stop(machine.now, key, Code::NONE),
            2 => machine.mplex.reset(key, Code::NONE),
            _ => assert_eq!(machine.read(key), Ok(Read::Data(half.clone().into()))),
        }
    }
    assert_eq!(pool.0.load(Relaxed), 0, "nothing is unread");
    let key = machine.incoming(5);
    for _ in 0..3 {
        machine.recv(&message(MESSAGE, 5, &half)).unwrap();
    }
    assert_eq!(pool.0.load(Relaxed), 512 << 10);
    // Its end comes, and then its user goes.
    machine.recv(&message(CLOSE, 5, b"")).unwrap();
    machine.mplex.finish(key).unwrap();
    machine.mplex.release(machine.now, key);
    assert_eq!(pool.0.load(Relaxed), 0, "nothing is unread");
    machine.incoming(6);
    for _ in 0..3 {
        machine.recv(&message(MESSAGE, 6, &half)).unwrap();
    }
    assert_eq!(pool.0.load(Relaxed), 512 << 10);
    drop(machine);
    assert_eq!(pool.0.load(Relaxed), 0, "with the connection goes the rest");
}
