//! Promises of the session's machines: no bytes and no order of calls panic, chunking changes nothing, counts return to
//! zero and what waits to be sent stays bounded. The tests of `session` run these functions over the corpus as well.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use carrick_session::{
    Config, Event, Key, Mux, NoiseIdentity, Records, Role, Security, TlsIdentity, Upgrade,
    Upgraded,
    negotiate::{Dialer, Listener, Request},
};
use carrick_wire::{Keypair, ProtocolId};

use crate::{
    pair::{MPLEX, PLAIN, YAMUX},
    target::{EPOCH, Target},
};

/// Every target of this file.
pub const TARGETS: [Target; 7] = [
    ("session_dialer", dialer),
    ("session_listener", listener),
    ("session_upgrade_dialer", upgrade_dialer),
    ("session_upgrade_listener", upgrade_listener),
    ("session_tls", tls),
    ("session_yamux", yamux),
    ("session_mplex", mplex),
];

/// The dialing side of multistream-select.
pub fn dialer(data: &[u8]) {
    let run = |step: usize| {
        let mut dialer = Dialer::new(["/a", "/b", "/c"].map(ProtocolId::from_static).into());
        let (mut used, mut out) = (0, Vec::new());
        for piece in data.chunks(step.max(1)) {
            match dialer.recv(piece) {
                Ok(n) => used += n,
                Err(error) => return (Err(error), dialer.outcome().cloned(), out),
            }
            dialer.poll_transmit(&mut out);
        }
        (Ok(used), dialer.outcome().cloned(), out)
    };
    let whole = run(data.len());
    assert!(whole.2.len() < 100);
    let bytes = run(1);
    assert_eq!((&whole.0, &whole.1), (&bytes.0, &bytes.1));
}

/// The listening side of multistream-select.
pub fn listener(data: &[u8]) {
    let run = |step: usize| {
        let (mut listener, mut used, mut requests) = (Listener::new(), 0, Vec::new());
        for mut piece in data.chunks(step.max(1)) {
            while !piece.is_empty() && listener.outcome().is_none() {
                let (n, request) = match listener.recv(piece) {
                    Ok(result) => result,
                    Err(error) => return (Err(error), requests, None),
                };
                piece = &piece[n..];
                used += n;
                match &request {
                    Some(Request::Protocol(id)) if id.as_str() == "/a" => listener.accept(),
                    Some(Request::Protocol(_)) => listener.refuse(),
                    Some(Request::List) => listener.list(vec![ProtocolId::from_static("/a")]),
                    None => assert!(piece.is_empty()),
                }
                requests.extend(request);
            }
        }
        (Ok(used), requests, listener.outcome().cloned())
    };
    assert_eq!(run(data.len()), run(1));
}

/// A dialer's whole upgrade, and the session after it: the seeds are what a listener really sent.
pub fn upgrade_dialer(data: &[u8]) {
    upgrade(Role::Dialer, data);
}

/// A listener's whole upgrade, and the session after it: the seeds are what a dialer really sent.
pub fn upgrade_listener(data: &[u8]) {
    upgrade(Role::Listener, data);
}

/// Every key of Noise is fixed, so that one honest conversation can be replayed; the first byte decides how muxers are
/// offered. A listener has TLS as well.
pub fn upgrade_of(role: Role, offer: u8) -> Upgrade {
    let seed = if role == Role::Dialer { 1 } else { 2 };
    let early = match offer % 3 {
        0 => vec![YAMUX, MPLEX],
        _ => vec![],
    };
    let muxers = match offer % 3 {
        2 => vec![YAMUX],
        _ => vec![YAMUX, MPLEX],
    };
    let keypair = Keypair::ed25519_from_bytes([seed; 32]).expect("any 32 bytes are a key");
    let identity = NoiseIdentity::new(&keypair, [seed; 32], early.clone()).expect("it can sign");
    let mut securities = vec![Security::Noise(Arc::new(identity))];
    if role == Role::Listener {
        securities.push(tls_of(role, early));
    }
    let config = Arc::new(Config::default());
    Upgrade::new(role, config, securities, muxers, None, *EPOCH, [seed; 32])
        .expect("the identity is usable")
}

fn upgrade(role: Role, data: &[u8]) {
    let Some((offer, data)) = data.split_first() else {
        return;
    };
    let mut upgrade = upgrade_of(role, *offer);
    let mut out = Vec::new();
    for (at, piece) in data.chunks(50).enumerate() {
        let result = upgrade.recv(*EPOCH, piece);
        upgrade.poll_transmit(&mut out);
        assert!(
            out.len() < 64 << 10,
            "a peer that is not known yet gets few bytes"
        );
        if result.is_err() {
            return;
        }
        let Some(mut up) = upgrade.finish() else {
            continue;
        };
        up.leftover
            .extend_from_slice(data.get((at + 1) * 50..).unwrap_or_default());
        while let Ok(Some(plain)) = up.opener.open(&mut up.leftover) {
            if up.mux.recv(*EPOCH, plain).is_err() {
                return;
            }
        }
        return;
    }
}

fn tls_of(role: Role, early: Vec<ProtocolId>) -> Security {
    let seed = if role == Role::Dialer { 1 } else { 2 };
    let keypair = Keypair::ed25519_from_bytes([seed; 32]).expect("any 32 bytes are a key");
    let identity = TlsIdentity::new(&keypair, early).expect("it can sign");
    Security::Tls(Arc::new(identity))
}

/// One end of a session, and what is on its way to it.
pub(crate) struct End {
    upgrade: Option<Upgrade>,
    pub(crate) up: Option<Box<Upgraded>>,
    pub(crate) inbox: Vec<u8>,
}

impl End {
    pub(crate) fn new(role: Role, security: Security, muxers: Vec<ProtocolId>) -> Self {
        let config = Arc::new(Config::default());
        let upgrade = Upgrade::new(role, config, vec![security], muxers, None, *EPOCH, [0; 32]);
        Self {
            upgrade: Some(upgrade.expect("the identity is usable")),
            up: None,
            inbox: Vec::new(),
        }
    }

    /// Takes `len` bytes of what is on its way; whether that was fine.
    pub(crate) fn recv(&mut self, len: usize) -> bool {
        let piece: Vec<_> = self.inbox.drain(..len.min(self.inbox.len())).collect();
        if let Some(upgrade) = &mut self.upgrade {
            if upgrade.recv(*EPOCH, &piece).is_err() {
                return false;
            }
            self.up = upgrade.finish().map(Box::new);
        } else if let Some(up) = &mut self.up {
            up.leftover.extend_from_slice(&piece);
        }
        let Some(up) = &mut self.up else { return true };
        loop {
            match up.opener.open(&mut up.leftover) {
                Ok(Some(plain)) => {
                    if up.mux.recv(*EPOCH, plain).is_err() {
                        return false;
                    }
                }
                Ok(None) => return !up.opener.ended(),
                Err(_) => return false,
            }
        }
    }

    /// Whether [`transmit`](Self::transmit) would give something of the muxer's.
    pub(crate) fn wants_transmit(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.mux.wants_transmit())
    }

    pub(crate) fn transmit(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.poll_transmit(&mut out);
        }
        let Some(up) = &mut self.up else { return out };
        self.upgrade = None;
        let mut records = Records::new(up.sealer.layout());
        if up.mux.poll_transmit(&mut records) {
            up.sealer.seal(&mut records).expect("there are keys");
            out.extend_from_slice(records.as_slice());
        }
        out
    }
}

/// Two honest ends of TLS. `data` says what happens between them: in which pieces bytes arrive, which of them are changed,
/// and where more are put in.
pub fn tls(mut data: &[u8]) {
    let end = |role| End::new(role, tls_of(role, vec![YAMUX]), vec![YAMUX]);
    let mut ends = [Role::Dialer, Role::Listener].map(end);
    let mut touched = false;
    while let [op, arg, rest @ ..] = data {
        data = rest;
        for from in [0, 1] {
            let out = ends[from].transmit();
            assert!(out.len() < 64 << 10);
            ends[1 - from].inbox.extend(out);
        }
        let end = &mut ends[usize::from(op & 1)];
        let at = usize::from(*arg) % end.inbox.len().max(1);
        match op / 2 % 5 {
            0 | 1 => {
                if !end.recv(usize::from(*arg) * 8) {
                    assert!(touched, "honest ends understand each other");
                    return;
                }
            }
            2 if !end.inbox.is_empty() => {
                end.inbox[at] ^= op | 1;
                touched = true;
            }
            3 => {
                let len = data.len().min(usize::from(op / 16));
                let (garbage, rest) = data.split_at(len);
                end.inbox.splice(at..at, garbage.iter().copied());
                touched |= len > 0;
                data = rest;
            }
            _ => {
                if let Some(up) = &mut end.up
                    && let Ok(key) = up.mux.open()
                {
                    let _ = up
                        .mux
                        .write(key, b"head", &vec![*arg; usize::from(*arg) * 100]);
                }
            }
        }
    }
}

/// Yamux under any bytes and any calls.
pub fn yamux(data: &[u8]) {
    drive(&YAMUX, data);
}

/// mplex under any bytes and any calls.
pub fn mplex(data: &[u8]) {
    drive(&MPLEX, data);
}

/// Reads `data` as commands: bytes from the peer, calls of streams' users, time.
fn drive(muxer: &ProtocolId, mut data: &[u8]) {
    let Some((role, rest)) = data.split_first() else {
        return;
    };
    data = rest;
    let config = Config {
        inbound_streams_max: 8,
        outbound_streams_max: 8,
        send_buffer_max: 4096,
        mplex_buffer_max: 2048,
        ..Config::default()
    };
    let role = if role % 2 == 0 {
        Role::Dialer
    } else {
        Role::Listener
    };
    let mut now = *EPOCH;
    let mut mux = Mux::new(muxer, role, &config, PLAIN, now, None).expect("the name is known");
    let mut keys: Vec<Key> = Vec::new();
    while let [op, arg, rest @ ..] = data {
        data = rest;
        let key = keys.get(usize::from(*arg) % keys.len().max(1)).copied();
        match (op % 12, key) {
            (0, _) => {
                let bytes = Bytes::copy_from_slice(&data[..data.len().min(usize::from(*arg))]);
                data.advance(bytes.len());
                if !mux.is_congested() && mux.recv(now, bytes).is_err() {
                    break;
                }
            }
            (1, _) => keys.extend(mux.open()),
            (2, _) => send(&mut mux),
            (3, _) => {
                now += Duration::from_secs(u64::from(*arg));
                if mux.handle_timeout(now).is_err() {
                    break;
                }
                assert!(
                    mux.poll_timeout().is_none_or(|next| next > now),
                    "no timer is left behind"
                );
            }
            (4, Some(key)) => drop(mux.write(key, b"head", &vec![*arg; usize::from(*arg) * 10])),
            (5, Some(key)) => drop(mux.read(now, key)),
            (6, Some(key)) => drop(mux.finish(key)),
            (7, Some(key)) => mux.reset(key, carrick_session::Code(u32::from(*arg))),
            (8, Some(key)) => mux.stop(now, key, carrick_session::Code::NONE),
            (9, Some(key)) => {
                mux.release(now, key);
                keys.retain(|other| *other != key);
            }
            (10, _) if *arg < 4 => mux.go_away(carrick_session::Code(u32::from(*arg))),
            _ => {}
        }
        drain(&mut mux, &mut keys);
    }
    drain(&mut mux, &mut keys);
    mux.lose();
    for key in keys {
        assert!(!matches!(
            mux.read(now, key),
            Ok(carrick_session::Read::Blocked)
        ));
        mux.release(now, key);
    }
    assert_eq!(mux.streams(), 0, "nothing remains");
}

fn drain(mux: &mut Mux, keys: &mut Vec<Key>) {
    while let Some(event) = mux.poll_event() {
        if let Event::Incoming(key) = event {
            assert!(!keys.contains(&key), "a key names one stream");
            keys.push(key);
        }
    }
}

fn send(mux: &mut Mux) {
    let mut records = Records::new(PLAIN);
    mux.poll_transmit(&mut records);
    assert!(
        records.len() < 256 << 10,
        "what waits to be sent is bounded"
    );
}
