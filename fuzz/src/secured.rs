//! What stands behind the handshake. Under the fuzzer Noise is a mock, so that whatever is sent authenticates; in the tests,
//! which replay the same inputs, it is real, and what is forged ends the session.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use carrick_session::{
    Config, Event, Key, NoiseIdentity, Proofs, Read, Records, Role, Security, Upgrade,
};
use carrick_wire::{Keypair, ProtocolId};

use crate::{
    pair::{MPLEX, YAMUX},
    session::End,
    source::Source,
    target::{EPOCH, Target},
};

/// Every target of this file.
pub const TARGETS: [Target; 3] = [
    ("noise_dialer", dialer),
    ("noise_listener", listener),
    ("session_pair", pair),
];

/// A dialer whose listener is honest for a while, and then says what the input has.
pub fn dialer(data: &[u8]) {
    follow(Role::Dialer, data);
}

/// A listener whose dialer is honest for a while, and then says what the input has.
pub fn listener(data: &[u8]) {
    follow(Role::Listener, data);
}

fn follow(role: Role, data: &[u8]) {
    let mut source = Source::new(data);
    let offer = source.index(OFFERS);
    let honest = &TRANSCRIPTS[usize::from(role == Role::Listener)][offer];
    let honest = &honest[..usize::from(source.u16()) % (honest.len() + 1)];
    let chunk = source.one(&[4096, 1, 17]);
    let mut upgrade = upgrade(role, offer);
    let mut out = Vec::new();
    let mut input = honest.to_vec();
    input.extend_from_slice(source.bytes(usize::MAX));
    let mut pieces = input.chunks(chunk);
    for piece in &mut pieces {
        let taken = upgrade.recv(*EPOCH, piece);
        upgrade.poll_transmit(&mut out);
        assert!(
            out.len() < 64 << 10,
            "a peer that is not known yet gets few bytes"
        );
        if taken.is_err() {
            return;
        }
        let Some(mut up) = upgrade.finish() else {
            continue;
        };
        for piece in pieces {
            up.leftover.extend_from_slice(piece);
            while let Ok(Some(plain)) = up.opener.open(&mut up.leftover) {
                if up.mux.is_congested() || up.mux.recv(*EPOCH, plain).is_err() {
                    return;
                }
                while let Some(event) = up.mux.poll_event() {
                    if let Event::Incoming(key) = event {
                        let _ = up.mux.write(key, b"", b"answer");
                        let _ = up.mux.read(*EPOCH, key);
                    }
                }
            }
            let mut records = Records::new(up.sealer.layout());
            up.mux.poll_transmit(&mut records);
            up.sealer.seal(&mut records).expect("there are nonces");
        }
        return;
    }
}

/// Two honest ends. The input says who takes how many bytes, who writes, reads, ends and resets what, and which bytes change
/// on the way. Unless they do, nothing is lost.
pub fn pair(data: &[u8]) {
    let mut source = Source::new(data);
    let offer = source.index(OFFERS);
    let end = |role| End::new(role, Security::Noise(identity(role, offer)), muxers(offer));
    let mut world = World {
        ends: [Role::Dialer, Role::Listener].map(end),
        streams: BTreeMap::new(),
        next: 0,
    };
    let mut tampered = false;
    for _ in 0..OPS_MAX {
        if source.is_empty() {
            break;
        }
        world.transmit();
        let (op, arg) = (source.u8(), source.u8());
        let at = usize::from(op >> 7);
        match op % 8 {
            0 | 1 => {
                if !world.ends[at].recv(usize::from(arg) * usize::from(arg)) {
                    assert!(tampered, "honest ends understand each other");
                    return;
                }
                world.events(at);
            }
            2 => world.open(at),
            3 | 4 => world.write(at, arg, usize::from(source.u16()) % 3000),
            5 => world.read_one(at, arg),
            6 => world.end_one(at, arg),
            _ => {
                let inbox = &mut world.ends[at].inbox;
                let place = usize::from(source.u16()) % inbox.len().max(1);
                if arg.is_multiple_of(8)
                    && let Some(byte) = inbox.get_mut(place)
                {
                    *byte ^= arg | 1;
                    tampered = true;
                }
            }
        }
        if tampered {
            // What was changed may be anything, its streams, too.
            world.streams.clear();
        }
    }
    if !tampered {
        world.end();
    }
}

/// One stream, by the first byte that its opener wrote on it.
#[derive(Default)]
struct Stream {
    keys: [Option<Key>; 2],
    sent: [usize; 2],
    read: [usize; 2],
    finished: [bool; 2],
    ended: [bool; 2],
    reset: bool,
}

struct World {
    ends: [End; 2],
    streams: BTreeMap<u8, Stream>,
    next: u8,
}

impl World {
    fn transmit(&mut self) {
        for from in [0, 1] {
            let out = self.ends[from].transmit();
            self.ends[1 - from].inbox.extend(out);
        }
    }

    fn open(&mut self, at: usize) {
        let Some(up) = &mut self.ends[at].up else {
            return;
        };
        if self.next < u8::MAX
            && let Ok(key) = up.mux.open()
            && up
                .mux
                .write(key, &[self.next], b"")
                .is_ok_and(|written| written.is_some())
        {
            let mut stream = Stream::default();
            stream.keys[at] = Some(key);
            stream.sent[at] = 1;
            self.streams.insert(self.next, stream);
            self.next += 1;
        }
    }

    /// Streams that came in are read until they say which they are.
    fn events(&mut self, at: usize) {
        let Some(up) = &mut self.ends[at].up else {
            return;
        };
        let mut came = Vec::new();
        while let Some(event) = up.mux.poll_event() {
            if let Event::Incoming(key) = event {
                came.push(key);
            }
        }
        for key in came {
            // The frame that opens a stream has its first byte; if the stream was reset since, nobody can know it.
            let Some(up) = &mut self.ends[at].up else {
                return;
            };
            let Ok(Read::Data(data)) = up.mux.read(*EPOCH, key) else {
                up.mux.release(*EPOCH, key);
                continue;
            };
            let Some(stream) = self.streams.get_mut(&data[0]) else {
                continue;
            };
            stream.keys[at] = Some(key);
            stream.take(at, data[0], &data);
        }
    }

    fn pick(&mut self, at: usize, which: u8) -> Option<(u8, Key)> {
        let live = self
            .streams
            .iter()
            .filter_map(|(id, stream)| Some((*id, stream.keys[at]?)));
        let live: Vec<_> = live.collect();
        live.get(usize::from(which) % live.len().max(1)).copied()
    }

    fn write(&mut self, at: usize, which: u8, len: usize) {
        let Some((id, key)) = self.pick(at, which) else {
            return;
        };
        let (Some(up), Some(stream)) = (&mut self.ends[at].up, self.streams.get_mut(&id)) else {
            return;
        };
        let from = stream.sent[at];
        let data: Vec<_> = (from..from + len)
            .map(|place| pattern(id, at, place))
            .collect();
        match up.mux.write(key, b"", &data) {
            Ok(written) => stream.sent[at] += written.unwrap_or(0),
            Err(error) => assert!(stream.reset || stream.finished[at], "{error}"),
        }
    }

    fn read_one(&mut self, at: usize, which: u8) {
        let Some((id, key)) = self.pick(at, which) else {
            return;
        };
        self.read(at, id, key);
    }

    /// Whether there may be more.
    fn read(&mut self, at: usize, id: u8, key: Key) -> bool {
        let (Some(up), Some(stream)) = (&mut self.ends[at].up, self.streams.get_mut(&id)) else {
            return false;
        };
        match up.mux.read(*EPOCH, key) {
            Ok(Read::Data(data)) => {
                stream.take(at, id, &data);
                return true;
            }
            Ok(Read::Blocked) => {}
            Ok(Read::End) => {
                assert!(stream.finished[1 - at] && stream.read[at] == stream.sent[1 - at]);
                stream.ended[at] = true;
            }
            Err(error) => assert!(stream.reset, "{error}"),
        }
        false
    }

    fn end_one(&mut self, at: usize, which: u8) {
        let Some((id, key)) = self.pick(at, which / 4) else {
            return;
        };
        let (Some(up), Some(stream)) = (&mut self.ends[at].up, self.streams.get_mut(&id)) else {
            return;
        };
        if which.is_multiple_of(4) {
            up.mux.reset(key, carrick_session::Code::NONE);
            stream.reset = true;
        } else if up.mux.finish(key).is_ok() {
            stream.finished[at] = true;
        }
    }

    /// Everything arrives and is read.
    fn end(mut self) {
        for _ in 0..ROUNDS_MAX {
            self.transmit();
            let quiet = self.ends.iter().all(|end| end.inbox.is_empty());
            for at in [0, 1] {
                assert!(
                    self.ends[at].recv(usize::MAX),
                    "honest ends understand each other"
                );
                self.events(at);
                for id in 0..self.next {
                    let stream = self.streams.get(&id);
                    if let Some(key) = stream.and_then(|stream| stream.keys[at]) {
                        while self.read(at, id, key) {}
                    }
                }
            }
            if quiet && self.ends.iter().all(|end| !end.wants_transmit()) {
                break;
            }
        }
        for (id, stream) in &self.streams {
            for at in [0, 1] {
                let lost = stream.sent[1 - at] - stream.read[at];
                assert!(
                    stream.reset || lost == 0,
                    "stream {id}: {lost} bytes never came"
                );
                assert!(stream.reset || stream.ended[at] == stream.finished[1 - at]);
            }
        }
    }
}

impl Stream {
    fn take(&mut self, at: usize, id: u8, data: &[u8]) {
        for byte in data {
            let place = self.read[at];
            assert_eq!(*byte, pattern(id, 1 - at, place), "stream {id} at {place}");
            self.read[at] += 1;
        }
        assert!(self.read[at] <= self.sent[1 - at], "no byte is made up");
    }
}

/// What the end `from` writes on a stream, at each place; whoever opens it begins with its id.
fn pattern(id: u8, from: usize, place: usize) -> u8 {
    id.wrapping_add((place * (3 + from)) as u8)
}

/// How muxers are offered: within the handshake, alone, or as one of two.
const OFFERS: usize = 3;

fn muxers(offer: usize) -> Vec<ProtocolId> {
    match offer {
        2 => vec![MPLEX, YAMUX],
        _ => vec![YAMUX],
    }
}

fn upgrade(role: Role, offer: usize) -> Upgrade {
    let security = vec![Security::Noise(identity(role, offer))];
    let config = Arc::new(Config::default());
    Upgrade::new(role, config, security, muxers(offer), None, *EPOCH, [9; 32])
        .expect("the identity is usable")
}

/// Made once: the mock is cheap, signatures are not.
fn identity(role: Role, offer: usize) -> Arc<NoiseIdentity> {
    static IDENTITIES: LazyLock<Vec<Arc<NoiseIdentity>>> = LazyLock::new(|| {
        let make = |number: usize| {
            let seed = [1 + (number / OFFERS) as u8; 32];
            let keypair = Keypair::ed25519_from_bytes(seed).expect("any 32 bytes are a key");
            let early = if number.is_multiple_of(OFFERS) {
                vec![YAMUX]
            } else {
                vec![]
            };
            let identity = NoiseIdentity::with_proofs(&keypair, seed, early, Arc::new(AllKnown));
            let identity = identity.expect("it can sign");
            #[cfg(fuzzing)]
            let identity = identity.into_mock();
            Arc::new(identity)
        };
        (0..2 * OFFERS).map(make).collect()
    });
    IDENTITIES[usize::from(role == Role::Listener) * OFFERS + offer].clone()
}

/// Takes every proof for known, so that no signature is checked.
#[derive(Debug)]
struct AllKnown;

impl Proofs for AllKnown {
    fn is_known(&self, _: &[u8; 32]) -> bool {
        true
    }

    fn learn(&self, _: [u8; 32]) {}
}

/// What an honest peer says to a dialer, and to a listener, for each offer: the upgrade, then a stream with some data.
static TRANSCRIPTS: LazyLock<[Vec<Vec<u8>>; 2]> = LazyLock::new(|| {
    [Role::Dialer, Role::Listener]
        .map(|role| (0..OFFERS).map(|offer| transcript(role, offer)).collect())
});

fn transcript(role: Role, offer: usize) -> Vec<u8> {
    let other = match role {
        Role::Dialer => Role::Listener,
        Role::Listener => Role::Dialer,
    };
    let (mut ours, mut theirs) = (upgrade(role, offer), upgrade(other, offer));
    let (mut heard, mut up) = (Vec::new(), None);
    for _ in 0..10 {
        let mut out = Vec::new();
        ours.poll_transmit(&mut out);
        // Once it is done, what still comes is the muxer's.
        if up.is_none() {
            theirs.recv(*EPOCH, &out).expect("both are honest");
        }
        let mut out = Vec::new();
        theirs.poll_transmit(&mut out);
        if ours.recv(*EPOCH, &out).is_err() {
            break;
        }
        heard.extend(out);
        up = up.or_else(|| theirs.finish());
    }
    let mut up = up.expect("both are honest");
    let key = up.mux.open().expect("the first stream");
    let _ = up.mux.write(key, b"head", b"some data");
    let mut records = Records::new(up.sealer.layout());
    up.mux.poll_transmit(&mut records);
    up.sealer.seal(&mut records).expect("the first record");
    heard.extend_from_slice(records.as_slice());
    heard
}

/// Operations, and rounds until everything has come.
const OPS_MAX: usize = 300;
const ROUNDS_MAX: usize = 1000;

/// TLS behind its handshake: the peer has the keys, and seals whatever the input says.
#[cfg(fuzzing)]
pub fn tls_records(data: &[u8]) {
    let mut source = Source::new(data);
    let (role, other) = source.one(&[
        (Role::Dialer, Role::Listener),
        (Role::Listener, Role::Dialer),
    ]);
    let (mut opener, mut sealer) = carrick_session::tls_halves(role).expect("keys");
    let (_, mut theirs) = carrick_session::tls_halves(other).expect("keys");
    let (mut pipe, mut fruitless) = (bytes::BytesMut::new(), 0);
    while !source.is_empty() {
        let kind = source.one(&[23, 22, 21, 20, 0, 255, 23]);
        let len = usize::from(source.u8());
        let content = match source.u8() % 8 {
            0 => vec![4, 0, 0, 2, 0, 0],
            1 => vec![24, 0, 0, 1, source.u8() % 3],
            2 => vec![1, 0],
            3 => vec![0; len * 70],
            _ => source.bytes(len).to_vec(),
        };
        let update = kind == 22 && matches!(content[..], [24, 0, 0, 1, 0 | 1]);
        pipe.extend_from_slice(&theirs.any_record(kind, &content).expect("there are nonces"));
        if update {
            theirs.next_keys();
        }
        if source.u8() % 16 == 1 {
            pipe.extend_from_slice(source.bytes(5));
        }
        loop {
            match opener.open(&mut pipe) {
                Ok(Some(data)) => {
                    assert!(!data.is_empty());
                    fruitless = 0;
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        fruitless += 1;
        assert!(
            fruitless <= 40 || opener.ended(),
            "a peer that brings nothing is told so"
        );
        let mut records = Records::new(sealer.layout());
        records.push(b"answer");
        sealer.seal(&mut records).expect("there are nonces");
    }
}
