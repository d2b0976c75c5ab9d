//! Promises of the protocols' machines: an asker and an answerer joined, either end against bytes of anybody's, and what
//! identify makes of a message. The tests of `protocols` run these functions over the corpus as well.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_protocols::{
    identify::{ADDRESSES_MAX, AGENT_MAX, Collector, PROTOCOLS_MAX},
    messages::{Answer, Answerer, Ask, Asked, Asker, Limits, Violation},
    ping::{PAYLOAD_LEN, Pinger, Responder},
};
use carrick_wire::messages::{Frame, Header, Kind, Priority, Refusal};
use libp2p_identity::Keypair;

use crate::{
    source::Source,
    target::{EPOCH, Target},
};

/// Every target of this file.
pub const TARGETS: [Target; 5] = [
    ("messages_pair", pair),
    ("messages_asker", asker),
    ("messages_answerer", answerer),
    ("identify_info", identify),
    ("ping", ping),
];

const TAG: u32 = 5;

fn limits(source: &mut Source<'_>) -> Limits {
    Limits {
        payload_max: 2000,
        in_flight_max: source.one(&[4, 1, 40]),
        lane_bytes_max: source.one(&[300, 1, 4000]),
        retry_after: Duration::from_millis(1),
    }
}

fn ask(source: &mut Source<'_>) -> Ask {
    let len = usize::from(source.u8()) * source.one(&[1, 0, 9]);
    Ask {
        code: u16::from(source.u8() % 4),
        priority: source.one(&Priority::ALL),
        payload: vec![source.u8(); len].into(),
    }
}

fn bytes_of(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.header.encode(frame.payload.len(), &mut out);
    out.extend_from_slice(&frame.payload);
    out
}

/// One request, as both ends must see it.
struct Made {
    ask: Ask,
    deadline: Instant,
    many: bool,
    /// It is not over for the asker.
    pending: bool,
    /// The answerer has seen it.
    asked: bool,
    /// It is not over for the answerer.
    serving: bool,
    /// What was answered and has not come yet; `None`: a refusal.
    answers: VecDeque<(Option<Bytes>, bool)>,
}

/// Two honest ends, their reference, and the pipes between them.
struct Pair {
    now: Instant,
    asker: Asker,
    answerer: Answerer,
    there: VecDeque<u8>,
    back: VecDeque<u8>,
    made: BTreeMap<u32, Made>,
    one_way: BTreeMap<usize, usize>,
}

/// Two honest ends: each request is seen once and answered as it was answered, in order, and never after it is over.
pub fn pair(data: &[u8]) {
    let mut source = Source::new(data);
    let limits = limits(&mut source);
    let mut pair = Pair {
        now: *EPOCH,
        asker: Asker::new(TAG, &limits),
        answerer: Answerer::new(TAG, &limits),
        there: VecDeque::new(),
        back: VecDeque::new(),
        made: BTreeMap::new(),
        one_way: BTreeMap::new(),
    };
    while !source.is_empty() {
        pair.step(&mut source);
        let pending = pair.made.values().filter(|made| made.pending).count();
        assert_eq!(pair.asker.in_flight(), pending);
        assert!(pending <= limits.in_flight_max);
        assert!(pair.answerer.in_flight() <= limits.in_flight_max);
    }
    pair.settle();
}

impl Pair {
    fn step(&mut self, source: &mut Source<'_>) {
        let (op, which) = (source.u8(), source.u8());
        let pick = |wanted: fn(&Made) -> bool| {
            let ids: Vec<_> = self
                .made
                .iter()
                .filter(|(_, made)| wanted(made))
                .map(|(id, _)| *id)
                .collect();
            ids.get(usize::from(which) % ids.len().max(1)).copied()
        };
        match op % 10 {
            0 | 1 => self.request(source, which),
            2 => {
                let ask = ask(source);
                let len = ask.payload.len();
                if self.asker.one_way(ask).is_ok() {
                    *self.one_way.entry(len).or_default() += 1;
                }
            }
            3 => {
                if let Some(id) = pick(|made| made.pending) {
                    self.asker.cancel(id);
                    self.over(id);
                }
            }
            4 => self.send(usize::from(which % 4)),
            5 => self.ask(usize::from(which)),
            6 => {
                let id = pick(|made| made.serving);
                self.answer(source, id);
            }
            7 => self.send_back(usize::from(which % 4)),
            8 => self.hear(usize::from(which)),
            _ => self.pass(Duration::from_millis(u64::from(which) * 10)),
        }
    }

    fn request(&mut self, source: &mut Source<'_>, which: u8) {
        let deadline = self.now + Duration::from_millis(u64::from(source.u8()) * 20);
        let (many, ask) = (which % 2 == 1, ask(source));
        let Ok(id) = self.asker.request(deadline, many, ask.clone()) else {
            return;
        };
        let made = Made {
            ask,
            deadline,
            many,
            pending: true,
            asked: false,
            serving: false,
            answers: VecDeque::new(),
        };
        assert!(self.made.insert(id, made).is_none(), "an id is new");
    }

    /// For the asker.
    fn over(&mut self, id: u32) {
        self.made.get_mut(&id).expect("it was made").pending = false;
    }

    fn send(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some(frame) = self.asker.poll_transmit() else {
                break;
            };
            self.there.extend(bytes_of(&frame));
        }
    }

    fn send_back(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some(frame) = self.answerer.poll_transmit() else {
                break;
            };
            self.back.extend(bytes_of(&frame));
        }
    }

    fn ask(&mut self, len: usize) {
        if self.answerer.is_clogged() {
            return;
        }
        let piece: Vec<_> = self.there.drain(..len.min(self.there.len())).collect();
        self.answerer.recv(piece.into());
        while let Some(asked) = self.answerer.poll_event().expect("the asker is honest") {
            match asked {
                Asked::Request {
                    id,
                    code,
                    priority,
                    payload,
                } => {
                    let made = self.made.get_mut(&id).expect("it was made");
                    assert!(!std::mem::replace(&mut made.asked, true), "once");
                    assert_eq!(
                        (code, priority, &payload),
                        (made.ask.code, made.ask.priority, &made.ask.payload)
                    );
                    made.serving = true;
                }
                Asked::OneWay { payload, .. } => {
                    let left = self.one_way.get_mut(&payload.len()).expect("it was told");
                    *left = left.checked_sub(1).expect("no oftener than it was told");
                }
                Asked::Cancelled { id } => {
                    let made = self.made.get_mut(&id).expect("it was made");
                    assert!(std::mem::take(&mut made.serving) && !made.pending);
                }
            }
        }
    }

    fn answer(&mut self, source: &mut Source<'_>, id: Option<u32>) {
        let (how, len) = (source.u8(), usize::from(source.u16()) % 2200);
        let Some((id, made)) = id.and_then(|id| Some((id, self.made.get_mut(&id)?))) else {
            return;
        };
        if how.is_multiple_of(8) {
            self.answerer
                .refuse(id, &Refusal::Busy { retry_after: None });
            made.answers.push_back((None, false));
            made.serving = false;
            return;
        }
        let (payload, more) = (Bytes::from(vec![how; len]), how % 8 < 4);
        if self.answerer.reply(id, payload.clone(), more).is_ok() {
            made.answers.push_back((Some(payload), more));
            made.serving = more;
        }
    }

    fn hear(&mut self, len: usize) {
        let piece: Vec<_> = self.back.drain(..len.min(self.back.len())).collect();
        self.asker.recv(piece.into());
        while let Some(answer) = self.asker.poll_event().expect("the answerer is honest") {
            match answer {
                Answer::Reply { id, payload, more } => {
                    let made = self.made.get_mut(&id).expect("it was made");
                    assert!(made.pending, "nothing after the end");
                    assert_eq!(made.answers.pop_front(), Some((Some(payload), more)));
                    made.pending = more;
                }
                Answer::Refused { id, why } => {
                    let made = self.made.get_mut(&id).expect("it was made");
                    assert!(std::mem::take(&mut made.pending), "nothing after the end");
                    match made.answers.pop_front() {
                        // More requests than the answerer bears at once.
                        None => assert!(!made.asked),
                        Some((None, _)) => assert_eq!(why, Refusal::Busy { retry_after: None }),
                        Some((Some(_), more)) => assert!(more && !made.many, "it wanted one"),
                    }
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        while let Some(id) = self.asker.handle_timeout(self.now) {
            let made = self.made.get_mut(&id).expect("it was made");
            assert!(std::mem::take(&mut made.pending) && made.deadline <= self.now);
        }
        assert!(self.asker.poll_timeout().is_none_or(|next| next > self.now));
    }

    /// Everything arrives; what nobody answers is over in time.
    fn settle(mut self) {
        for _ in 0..ROUNDS_MAX {
            self.send(usize::MAX);
            self.ask(usize::MAX);
            self.send_back(usize::MAX);
            self.hear(usize::MAX);
            if self.there.is_empty() && self.asker.is_sent() && self.answerer.is_sent() {
                break;
            }
        }
        assert!(self.one_way.values().all(|left| *left == 0), "all was told");
        for made in self.made.values().filter(|made| made.pending) {
            assert!(made.answers.is_empty(), "every answer has come");
        }
        self.pass(Duration::from_secs(60));
        assert_eq!(self.asker.in_flight(), 0);
        self.send(usize::MAX);
        self.ask(usize::MAX);
        assert_eq!(self.answerer.in_flight(), 0, "it is told of what is over");
    }
}

/// A frame of somebody's who knows the format.
fn frame(source: &mut Source<'_>, nonce: &mut u64) -> Vec<u8> {
    let skip = source.u8();
    *nonce = (*nonce + u64::from(skip % 8)).saturating_sub(u64::from(skip == 255));
    let header = Header {
        kind: source.one(&Kind::ALL),
        more: source.bool(),
        priority: source.one(&Priority::ALL),
        code: u16::from(source.u8() % 4),
        id: u32::from(source.u8() % 8),
        nonce: *nonce,
        tag: TAG,
    };
    let payload = match source.u8() % 4 {
        0 => Refusal::Busy { retry_after: None }.encode(),
        len => source.bytes(usize::from(len) * 4).to_vec(),
    };
    let mut out = Vec::new();
    header.encode(payload.len(), &mut out);
    out.extend_from_slice(&payload);
    if skip == 254 {
        out = source.bytes(30).to_vec();
    }
    out
}

/// An asker, whatever answers.
pub fn asker(data: &[u8]) {
    let mut source = Source::new(data);
    let limits = limits(&mut source);
    let mut asker = Asker::new(TAG, &limits);
    let (mut nonce, mut now, mut answered) = (0, *EPOCH, 0);
    while !source.is_empty() {
        match source.u8() % 4 {
            0 => {
                let (deadline, many) = (now + Duration::from_secs(5), source.bool());
                let _ = asker.request(deadline, many, ask(&mut source));
            }
            1 => drop(asker.poll_transmit()),
            2 => {
                now += Duration::from_secs(u64::from(source.u8() % 4));
                while asker.handle_timeout(now).is_some() {}
            }
            _ => {
                asker.recv(frame(&mut source, &mut nonce).into());
                loop {
                    let before = asker.in_flight();
                    match asker.poll_event() {
                        Ok(Some(Answer::Reply { more, .. })) => {
                            assert_eq!(asker.in_flight() + usize::from(!more), before);
                            answered += 1;
                        }
                        Ok(Some(Answer::Refused { .. })) => {
                            assert_eq!(asker.in_flight() + 1, before)
                        }
                        Ok(None) => break,
                        Err(violation) => return refused(&violation),
                    }
                }
            }
        }
        assert!(asker.in_flight() <= limits.in_flight_max && answered <= data.len());
    }
}

/// An answerer, whatever asks.
pub fn answerer(data: &[u8]) {
    let mut source = Source::new(data);
    let limits = limits(&mut source);
    let (mut answerer, mut nonce, mut ids) = (Answerer::new(TAG, &limits), 0, Vec::new());
    while !source.is_empty() {
        match source.u8() % 4 {
            0 => {
                let id = u32::from(source.u8() % 8);
                let payload = source.bytes(10).to_vec();
                let _ = answerer.reply(id, payload.into(), source.bool());
            }
            1 => drop(answerer.poll_transmit()),
            _ => {
                if !answerer.is_clogged() {
                    answerer.recv(frame(&mut source, &mut nonce).into());
                }
                loop {
                    match answerer.poll_event() {
                        Ok(Some(Asked::Request { id, .. })) => {
                            assert!(answerer.serving(id).is_some());
                            ids.push(id);
                        }
                        Ok(Some(Asked::Cancelled { id })) => {
                            assert!(answerer.serving(id).is_none())
                        }
                        Ok(Some(Asked::OneWay { .. })) => {}
                        Ok(None) => break,
                        Err(violation) => return refused(&violation),
                    }
                }
            }
        }
        assert!(answerer.in_flight() <= limits.in_flight_max && ids.len() <= data.len());
    }
}

fn refused(violation: &Violation) {
    assert!(!violation.to_string().is_empty());
}

/// What identify keeps of a message: bounded, valid, safe to show, and the same for any pieces.
pub fn identify(data: &[u8]) {
    let peer = Keypair::ed25519_from_bytes([7; 32])
        .expect("any 32 bytes are a key")
        .public()
        .to_peer_id();
    let run = |step: usize| {
        let mut collector = Collector::new(peer);
        data.chunks(step.max(1))
            .try_for_each(|piece| collector.recv(piece))?;
        collector.finish()
    };
    let info = run(data.len());
    assert_eq!(info, run(1));
    let Ok(info) = info else { return };
    assert!(info.listen_addresses.len() <= ADDRESSES_MAX && info.protocols.len() <= PROTOCOLS_MAX);
    for text in [&info.agent, &info.protocol_version].into_iter().flatten() {
        assert!(text.len() <= AGENT_MAX && !text.contains(char::is_control));
    }
    assert!(info.key.is_none_or(|key| key.to_peer_id() == peer));
    assert!(
        info.signed_addresses
            .is_none_or(|record| record.peer == peer && record.addresses.len() <= ADDRESSES_MAX)
    );
}

/// One end pings, the other is anybody.
pub fn ping(data: &[u8]) {
    let mut source = Source::new(data);
    let (mut pinger, mut responder) = (Pinger::default(), Responder::default());
    let (mut now, mut out) = (*EPOCH, Vec::new());
    let mut payload = [0; PAYLOAD_LEN];
    while !source.is_empty() {
        match source.u8() % 4 {
            0 if pinger.finish().is_ok() => payload = pinger.start(now, [source.u8(); PAYLOAD_LEN]),
            1 => {
                let whole = source.bool();
                let bytes = source.bytes(40);
                let answer = if whole { &payload[..] } else { bytes };
                if pinger.recv(now, answer).is_err() {
                    return;
                }
            }
            2 => responder.recv(source.bytes(70), &mut out),
            _ => {
                now += Duration::from_secs(u64::from(source.u8() % 30));
                if pinger.handle_timeout(now).is_err() {
                    return;
                }
            }
        }
    }
    assert!(out.len() <= data.len() && out.len() % PAYLOAD_LEN == 0);
}

const ROUNDS_MAX: usize = 10_000;
