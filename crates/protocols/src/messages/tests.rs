//! Two ends of a stream on a made-up clock: who gets which reply, what is dropped and counted, what waits, what ends the stream.

use std::time::{Duration, Instant};

use bytes::Bytes;
use carrick_wire::messages::{Header, Priority, Refusal};
use proptest::prelude::*;

use super::*;

const TAG: u32 = 77;
const DEADLINE: Duration = Duration::from_secs(10);

/// Both ends, and what has come out of them.
struct Pair {
    now: Instant,
    asker: Asker,
    answerer: Answerer,
}

fn pair() -> Pair {
    with(&Limits::default())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn with(limits: &Limits) -> Pair {
    Pair {
        now: Instant::now(),
        asker: Asker::new(TAG, limits),
        answerer: Answerer::new(TAG, limits),
    }
}

fn ask(code: u16, payload: impl Into<Bytes>) -> Ask {
    Ask {
        code,
        priority: Priority::Normal,
        payload: payload.into(),
    }
}

fn bytes(frame: &Frame) -> Bytes {
    let mut out = Vec::new();
    frame.header.encode(frame.payload.len(), &mut out);
    out.extend_from_slice(&frame.payload);
    out.into()
}

impl Pair {
    fn request(&mut self, code: u16, payload: impl Into<Bytes>) -> u32 {
        let deadline = self.now + DEADLINE;
        let asked = self.asker.request(deadline, false, ask(code, payload));
        asked.unwrap()
    }

    /// What of the asker's reaches the other end.
    fn there(&mut self) -> Vec<Asked> {
        let mut out = Vec::new();
        while let Some(frame) = self.asker.poll_transmit() {
            self.answerer.recv(bytes(&frame));
            out.extend(std::iter::from_fn(|| self.answerer.poll_event().unwrap()));
        }
        out
    }

    /// What of the answerer's comes back.
    fn back(&mut self) -> Vec<Answer> {
        let mut out = Vec::new();
        while let Some(frame) = self.answerer.poll_transmit() {
            self.asker.recv(bytes(&frame));
            out.extend(std::iter::from_fn(|| self.asker.poll_event().unwrap()));
        }
        out
    }

    fn frame(&mut self, frame: Frame) -> Result<Option<Answer>, Violation> {
        self.asker.recv(bytes(&frame));
        self.asker.poll_event()
    }
}

/// A frame that says what a peer may say.
fn frame(kind: Kind, code: u16, id: u32, nonce: u64) -> Frame {
    let header = Header {
        kind,
        more: false,
        priority: Priority::Normal,
        code,
        id,
        nonce,
        tag: TAG,
    };
    Frame {
        header,
        payload: Bytes::new(),
    }
}

#[test]
fn a_request_has_its_reply_and_a_one_way_message_has_none() {
    let mut pair = pair();
    let id = pair.request(7, "ask");
    pair.asker.one_way(ask(8, "tell")).unwrap();
    let priority = Priority::Normal;
    assert_eq!(
        pair.there(),
        [
            Asked::Request {
                id,
                code: 7,
                priority,
                payload: "ask".into()
            },
            Asked::OneWay {
                code: 8,
                priority,
                payload: "tell".into()
            },
        ]
    );
    pair.answerer.reply(id, "yes".into(), false).unwrap();
    let reply = Answer::Reply {
        id,
        payload: "yes".into(),
        more: false,
    };
    assert_eq!(pair.back(), [reply]);
    assert_eq!((pair.asker.in_flight(), pair.answerer.in_flight()), (0, 0));
    assert_eq!(pair.asker.poll_timeout(), None);
}

#[test]
fn ten_thousand_requests_find_their_replies_in_any_order() {
    let count = 10_000;
    let limits = Limits {
        in_flight_max: count,
        lane_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let mut pair = with(&limits);
    let ids: Vec<u32> = (0..count)
        .map(|number| pair.request(1, number.to_string()))
        .collect();
    let asked = pair.there();
    assert_eq!(asked.len(), count);
    // A permutation: 7,919 is prime, and no divisor of the count.
    for at in 0..count {
        let Asked::Request { id, payload, .. } = &asked[at * 7919 % count] else {
            panic!("{:?}", asked[at]);
        };
        pair.answerer.reply(*id, payload.clone(), false).unwrap();
    }
    let replies = pair.back();
    assert_eq!(replies.len(), count);
    for reply in replies {
        let Answer::Reply { id, payload, .. } = reply else {
            panic!("{reply:?}");
        };
        let number: usize = std::str::from_utf8(&payload).unwrap().parse().unwrap();
        assert_eq!(ids[number], id);
    }
    assert_eq!(pair.asker.in_flight(), 0);
    assert_eq!(pair.asker.strays(), Strays::default());
}

#[test]
fn an_id_is_never_in_use_twice_even_when_the_numbers_start_again() {
    let mut pair = pair();
    let first = pair.request(1, "");
    assert_eq!(first, 1);
    pair.asker.set_next_id(u32::MAX);
    let ids = [pair.request(1, ""), pair.request(1, "")];
    // 0 is that of one-way messages, 1 is in use.
    assert_eq!(ids, [u32::MAX, 2]);
    assert_eq!(pair.there().len(), 3);
}

#[test]
fn strange_answers_are_dropped_and_counted() {
    let mut pair = pair();
    let (answered, cancelled) = (pair.request(1, ""), pair.request(1, ""));
    let timed_out = pair.request(1, "");
    pair.there();
    pair.asker.cancel(cancelled);
    let first = pair.frame(frame(Kind::Reply, 1, answered, 1)).unwrap();
    assert!(first.is_some());
    pair.now += DEADLINE;
    assert_eq!(pair.asker.handle_timeout(pair.now), Some(timed_out));
    assert_eq!(pair.asker.handle_timeout(pair.now), None);
    for (nonce, id) in [(2, answered), (3, cancelled), (4, timed_out), (5, 999)] {
        assert_eq!(pair.frame(frame(Kind::Reply, 1, id, nonce)), Ok(None));
    }
    let strays = Strays {
        late: 2,
        duplicate: 1,
        unknown: 1,
    };
    assert_eq!(pair.asker.strays(), strays);
}

#[test]
fn a_cancellation_reaches_the_peer_if_the_request_has() {
    let mut pair = pair();
    let (sent, unsent) = {
        let sent = pair.request(1, "sent");
        pair.there();
        (sent, pair.request(1, "unsent"))
    };
    assert!(pair.asker.has_left(sent) && !pair.asker.has_left(unsent));
    pair.asker.cancel(unsent);
    pair.asker.cancel(sent);
    assert!(!pair.asker.has_left(sent));
    pair.asker.cancel(sent);
    assert_eq!(pair.there(), [Asked::Cancelled { id: sent }]);
    assert_eq!(pair.answerer.in_flight(), 0);
    // What the handler says now is not sent any more.
    pair.answerer.reply(sent, "late".into(), false).unwrap();
    pair.answerer.refuse(sent, &Refusal::Cancelled);
    assert_eq!(pair.answerer.poll_transmit(), None);
}

#[test]
fn at_its_deadline_a_request_is_over_and_the_peer_is_told() {
    let mut pair = pair();
    let first = pair.request(1, "");
    pair.now += Duration::from_secs(1);
    let second = pair.request(1, "");
    pair.there();
    let at = pair.asker.poll_timeout().unwrap();
    assert_eq!(at, pair.now + DEADLINE - Duration::from_secs(1));
    let early = at - Duration::from_nanos(1);
    assert_eq!(pair.asker.handle_timeout(early), None);
    assert_eq!(pair.asker.handle_timeout(at), Some(first));
    assert_eq!(pair.asker.handle_timeout(at), None);
    assert_eq!(pair.there(), [Asked::Cancelled { id: first }]);
    pair.answerer.reply(second, "".into(), false).unwrap();
    assert_eq!(pair.back().len(), 1);
    assert_eq!(pair.asker.poll_timeout(), None);
}

#[test]
fn replies_may_be_many_for_who_asked_for_many() {
    let mut pair = pair();
    let deadline = pair.now + DEADLINE;
    let many = pair.asker.request(deadline, true, ask(1, "")).unwrap();
    let one = pair.request(1, "");
    pair.there();
    for (payload, more) in [("a", true), ("b", true), ("", false)] {
        pair.answerer.reply(many, payload.into(), more).unwrap();
    }
    let replies = pair.back().into_iter().map(|answer| match answer {
        Answer::Reply { payload, more, .. } => (payload, more),
        Answer::Refused { .. } => panic!("{answer:?}"),
    });
    let expected = [("a", true), ("b", true), ("", false)];
    assert!(replies.eq(expected.map(|(payload, more)| (payload.into(), more))));
    // An error may end them, too, and the other request takes one alone.
    pair.answerer.reply(one, "".into(), true).unwrap();
    let refused = pair.back();
    assert!(
        matches!(refused[..], [Answer::Refused { id, why: Refusal::Malformed(_) }] if id == one)
    );
    assert_eq!(pair.there(), [Asked::Cancelled { id: one }]);
}

#[test]
fn requests_beyond_the_limit_are_refused_on_both_ends() {
    let limits = Limits {
        in_flight_max: 2,
        ..Limits::default()
    };
    let mut pair = with(&limits);
    let ids = [pair.request(1, ""), pair.request(1, "")];
    let deadline = pair.now + DEADLINE;
    let third = pair.asker.request(deadline, false, ask(1, ""));
    assert_eq!(third, Err(NotTaken::TooMany));
    // A peer with another idea of the limit is told.
    let mut eager = with(&Limits::default());
    eager.answerer = pair.answerer;
    let three = [(); 3].map(|()| eager.request(1, ""));
    assert_eq!(eager.there().len(), 2);
    let busy = Answer::Refused {
        id: three[2],
        why: Refusal::Busy {
            retry_after: Some(limits.retry_after),
        },
    };
    assert_eq!(eager.back(), [busy]);
    assert_eq!(eager.answerer.refused(), 1);
    // After a release there is room again.
    eager.answerer.reply(three[0], "".into(), false).unwrap();
    assert_eq!(eager.back().len(), 1);
    eager.request(1, "");
    assert_eq!(eager.there().len(), 1);
    pair.asker.cancel(ids[0]);
    assert!(pair.asker.request(deadline, false, ask(1, "")).is_ok());
}

#[test]
fn who_does_not_read_refusals_is_not_read_from() {
    let limits = Limits {
        in_flight_max: 0,
        ..Limits::default()
    };
    let mut pair = with(&Limits::default());
    pair.answerer = Answerer::new(TAG, &limits);
    for _ in 0..1000 {
        pair.request(1, "");
    }
    let mut all = Vec::new();
    while let Some(frame) = pair.asker.poll_transmit() {
        all.extend_from_slice(&bytes(&frame));
    }
    pair.answerer.recv(all.into());
    let mut refused = 0;
    while refused < 1000 {
        assert_eq!(pair.answerer.poll_event(), Ok(None));
        assert!(pair.answerer.is_clogged() || refused + 128 > 1000);
        let waiting = std::iter::from_fn(|| pair.answerer.poll_transmit()).count();
        assert!((1..=128).contains(&waiting), "{waiting}");
        refused += waiting;
    }
    assert!(!pair.answerer.is_clogged());
}

#[test]
fn full_lanes_take_no_more_and_the_others_do() {
    let limits = Limits {
        lane_bytes_max: 1000,
        payload_max: 2000,
        ..Limits::default()
    };
    let mut pair = with(&limits);
    let at = |priority, len| Ask {
        code: 1,
        priority,
        payload: vec![0; len].into(),
    };
    let asker = &mut pair.asker;
    // With its header each is 500 bytes.
    for _ in 0..2 {
        asker.one_way(at(Priority::Bulk, 479)).unwrap();
    }
    let full = asker.one_way(at(Priority::Bulk, 0));
    assert_eq!(full, Err(NotTaken::LaneFull));
    asker.one_way(at(Priority::High, 100)).unwrap();
    // What is larger than a lane passes alone, up to the limit.
    asker.one_way(at(Priority::Normal, 2000)).unwrap();
    let large = asker.one_way(at(Priority::Control, 2001));
    assert_eq!(large, Err(NotTaken::TooLarge(2000)));
    let sent: Vec<_> = std::iter::from_fn(|| asker.poll_transmit())
        .map(|frame| frame.header.priority)
        .collect();
    let (high, normal, bulk) = (Priority::High, Priority::Normal, Priority::Bulk);
    assert_eq!(sent, [high, normal, bulk, bulk]);
    assert!(asker.is_sent());
    asker.one_way(at(Priority::Bulk, 979)).unwrap();
}

#[test]
fn lanes_take_turns_by_weight() {
    let mut pair = pair();
    for priority in Priority::ALL {
        for _ in 0..60 {
            let ask = Ask {
                priority,
                ..ask(1, "")
            };
            pair.asker.one_way(ask).unwrap();
        }
    }
    let mut counts = [0; 4];
    for _ in 0..60 {
        let frame = pair.asker.poll_transmit().unwrap();
        counts[frame.header.priority.lane()] += 1;
    }
    assert_eq!(counts, [32, 16, 8, 4]);
}

#[test]
fn what_breaks_the_order_or_the_direction_ends_the_stream() {
    let reply = |nonce| frame(Kind::Reply, 1, 1, nonce);
    let nonce = |nonce, last| Violation::Nonce { nonce, last };
    let cases = [
        (vec![reply(0)], nonce(0, 0)),
        (vec![reply(5), reply(5)], nonce(5, 5)),
        (vec![reply(u64::MAX), reply(1)], nonce(1, u64::MAX)),
        (
            vec![frame(Kind::Request, 1, 1, 1)],
            Violation::Direction(Kind::Request),
        ),
        (
            vec![frame(Kind::Cancel, 1, 1, 1)],
            Violation::Direction(Kind::Cancel),
        ),
        (
            vec![frame(Kind::OneWay, 1, 0, 1)],
            Violation::Direction(Kind::OneWay),
        ),
        (
            vec![frame(Kind::Reply, 2, 1, 1)],
            Violation::Code { asked: 1, code: 2 },
        ),
    ];
    for (mut frames, violation) in cases {
        let mut pair = pair();
        pair.request(1, "");
        let last = frames.pop().unwrap();
        for frame in frames {
            pair.frame(frame).unwrap();
        }
        assert_eq!(pair.frame(last), Err(violation));
    }
    let mut pair = pair();
    let mut event = |frame: Frame| {
        pair.answerer.recv(bytes(&frame));
        pair.answerer.poll_event()
    };
    event(frame(Kind::Request, 1, 5, 1)).unwrap();
    assert_eq!(
        event(frame(Kind::Request, 1, 5, 2)),
        Err(Violation::IdInUse(5))
    );
    assert_eq!(
        event(frame(Kind::Reply, 1, 5, 3)),
        Err(Violation::Direction(Kind::Reply))
    );
}

#[test]
fn a_stream_may_end_between_frames_only() {
    let mut pair = pair();
    let whole = bytes(&frame(Kind::OneWay, 1, 0, 1));
    pair.answerer.recv(whole.slice(..5));
    assert_eq!(pair.answerer.poll_event(), Ok(None));
    assert_eq!(pair.answerer.finish(), Err(Violation::Cut));
    pair.answerer.recv(whole.slice(5..));
    assert!(pair.answerer.poll_event().unwrap().is_some());
    assert_eq!(pair.answerer.finish(), Ok(()));
}

#[test]
fn the_eleventh_of_ten_a_second_is_told_when_to_come_back() {
    let rate = Rate {
        per_second: 10,
        burst: 10,
    };
    let mut now = pair().now;
    let (mut pace, mut other) = (Pace::default(), Pace::default());
    for _ in 0..10 {
        pace.take(now, rate).unwrap();
    }
    let tenth = Duration::from_millis(100);
    assert_eq!(pace.take(now, rate), Err(tenth));
    other.take(now, rate).unwrap();
    now += tenth - Duration::from_nanos(1);
    assert_eq!(pace.take(now, rate), Err(Duration::from_nanos(1)));
    now += Duration::from_nanos(1);
    pace.take(now, rate).unwrap();
    assert_eq!(pace.take(now, rate), Err(tenth));
    now += Duration::from_secs(1);
    assert!(pace.is_rested(now));
    for _ in 0..10 {
        pace.take(now, rate).unwrap();
    }
    assert!(pace.take(now, rate).is_err());
    let none = Rate {
        per_second: 0,
        burst: 0,
    };
    let mut pace = Pace::default();
    pace.take(now, none).unwrap();
    assert_eq!(pace.take(now, none), Err(Duration::from_secs(1)));
}

proptest! {
    /// Whatever comes, neither end panics, keeps more than its limits, or answers what was not asked.
    #[test]
    fn any_frames_are_survived(
        frames in prop::collection::vec(
            (prop::sample::select(&Kind::ALL[..]), any::<bool>(), 0..4u16, 0..6u32, 0..40u64, 0..20usize),
            0..60,
        ),
    ) {
        let limits = Limits { in_flight_max: 3, ..Limits::default() };
        let mut pair = with(&limits);
        let ids = [(); 3].map(|()| pair.request(1, ""));
        let mut ended = [false; 2];
        for (kind, more, code, id, nonce, len) in frames {
            let mut frame = frame(kind, code, id, nonce);
            frame.header.more = more && kind == Kind::Reply;
            frame.payload = vec![1; len].into();
            let asker = &mut pair.asker;
            if !ended[0] {
                asker.recv(bytes(&frame));
                match asker.poll_event() {
                    Ok(Some(Answer::Reply { id, .. } | Answer::Refused { id, .. })) => {
                        prop_assert!(ids.contains(&id));
                    }
                    Ok(None) => {}
                    Err(_) => ended[0] = true,
                }
            }
            if !ended[1] {
                pair.answerer.recv(bytes(&frame));
                ended[1] = pair.answerer.poll_event().is_err();
                prop_assert!(pair.answerer.in_flight() <= 3);
                while pair.answerer.poll_transmit().is_some() {}
            }
        }
    }
}
