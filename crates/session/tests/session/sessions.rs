//! Two whole sessions joined by byte queues: the upgrade, then cipher and muxer.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use carrick_session::{
    Config, Mux, NoiseIdentity, Records, Role, SecureError, Security, TlsIdentity, Upgrade,
    UpgradeError, Upgraded,
};
use carrick_wire::{Keypair, PeerId, ProtocolId};

use crate::pair::epoch;

/// A security protocol by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secure {
    Noise,
    Tls,
}

pub(crate) const SECURES: [Secure; 2] = [Secure::Noise, Secure::Tls];

impl Secure {
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::Noise => "/noise",
            Self::Tls => "/tls/1.0.0",
        }
    }
}

/// What one end brings along.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) keypair: Keypair,
    /// Offered within the handshake.
    pub(crate) early: Vec<ProtocolId>,
    /// Offered through multistream-select.
    pub(crate) muxers: Vec<ProtocolId>,
    pub(crate) expected: Option<PeerId>,
    pub(crate) securities: Vec<Secure>,
}

impl Setup {
    pub(crate) fn new(seed: u8, early: &[ProtocolId], muxers: &[ProtocolId]) -> Self {
        Self {
            keypair: Keypair::ed25519_from_bytes([seed; 32]).unwrap(),
            early: early.to_vec(),
            muxers: muxers.to_vec(),
            expected: None,
            securities: vec![Secure::Noise],
        }
    }

    pub(crate) fn secured_by(mut self, securities: &[Secure]) -> Self {
        self.securities = securities.to_vec();
        self
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }

    pub(crate) fn upgrade(&self, role: Role, now: Instant) -> Upgrade {
        let seed = self.peer().to_bytes()[6];
        let early = || self.early.clone();
        let securities = self.securities.iter().map(|secure| match secure {
            Secure::Noise => {
                let identity = NoiseIdentity::new(&self.keypair, [seed; 32], early());
                Security::Noise(Arc::new(identity.unwrap()))
            }
            Secure::Tls => {
                Security::Tls(Arc::new(TlsIdentity::new(&self.keypair, early()).unwrap()))
            }
        });
        Upgrade::new(
            role,
            Arc::new(Config::default()),
            securities.collect(),
            self.muxers.clone(),
            self.expected,
            now,
            [seed ^ 0x55; 32],
        )
        .unwrap()
    }
}

/// One end on its way from pipe to session.
pub(crate) enum Side {
    Upgrading(Box<Upgrade>),
    Up(Box<Upgraded>),
    Failed(UpgradeError),
}

impl Side {
    pub(crate) fn up(&mut self) -> &mut Upgraded {
        match self {
            Self::Up(upgraded) => upgraded,
            Self::Upgrading(_) => panic!("still upgrading"),
            Self::Failed(error) => panic!("{error}"),
        }
    }

    pub(crate) fn mux(&mut self) -> &mut Mux {
        &mut self.up().mux
    }

    pub(crate) fn error(&self) -> &UpgradeError {
        match self {
            Self::Failed(error) => error,
            _ => panic!("it did not fail"),
        }
    }

    /// Takes bytes, and puts what an upgrade has to say at once into `out`: it must leave before the first frames.
    fn recv(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Upgrading(upgrade) => {
                let result = upgrade.recv(now, bytes);
                upgrade.poll_transmit(out);
                if let Err(error) = result {
                    *self = Self::Failed(error);
                } else if let Some(upgraded) = upgrade.finish() {
                    *self = Self::Up(Box::new(upgraded));
                    self.open(now);
                }
            }
            Self::Up(upgraded) => {
                upgraded.leftover.extend_from_slice(bytes);
                self.open(now);
            }
            Self::Failed(_) => {}
        }
    }

    fn open(&mut self, now: Instant) {
        let Upgraded {
            opener,
            mux,
            leftover,
            ..
        } = self.up();
        loop {
            match opener.open(leftover) {
                Ok(Some(plain)) => {
                    if let Err(violation) = mux.recv(now, plain) {
                        *self = Self::Failed(violation.into());
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    *self = Self::Failed(error.into());
                    return;
                }
            }
        }
    }

    fn transmit(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Upgrading(upgrade) => {
                upgrade.poll_transmit(out);
            }
            Self::Up(upgraded) => {
                let mut records = Records::new(upgraded.sealer.layout());
                if upgraded.mux.poll_transmit(&mut records) {
                    upgraded.sealer.seal(&mut records).unwrap();
                    out.extend_from_slice(records.as_slice());
                }
            }
            Self::Failed(_) => {}
        }
    }
}

/// Dialer and listener and what is on its way to each.
pub(crate) struct Sessions {
    pub(crate) now: Instant,
    pub(crate) sides: [Side; 2],
    pub(crate) inbox: [BytesMut; 2],
    /// All that each side ever sent.
    pub(crate) wire: [Vec<u8>; 2],
    /// Most bytes that are delivered at once.
    pub(crate) chunk: usize,
}

impl Sessions {
    pub(crate) fn new(dialer: &Setup, listener: &Setup) -> Self {
        let now = epoch();
        Self {
            now,
            sides: [
                Side::Upgrading(Box::new(dialer.upgrade(Role::Dialer, now))),
                Side::Upgrading(Box::new(listener.upgrade(Role::Listener, now))),
            ],
            inbox: [BytesMut::new(), BytesMut::new()],
            wire: [vec![], vec![]],
            chunk: usize::MAX,
        }
    }

    /// Delivers until nothing moves.
    pub(crate) fn pump(&mut self) {
        loop {
            for from in [0, 1] {
                self.send(from);
            }
            if !self.deliver(1) && !self.deliver(0) {
                return;
            }
        }
    }

    /// Puts on its way what one side has to send.
    pub(crate) fn send(&mut self, from: usize) {
        let mut out = Vec::new();
        self.sides[from].transmit(&mut out);
        self.put(from, &out);
    }

    /// Delivers one chunk to one side; false when there was none.
    pub(crate) fn deliver(&mut self, to: usize) -> bool {
        let take = self.inbox[to].len().min(self.chunk);
        if take == 0 {
            return false;
        }
        let piece = self.inbox[to].split_to(take);
        let mut out = Vec::new();
        self.sides[to].recv(self.now, &piece, &mut out);
        self.put(to, &out);
        true
    }

    fn put(&mut self, from: usize, bytes: &[u8]) {
        self.wire[from].extend_from_slice(bytes);
        self.inbox[1 - from].extend_from_slice(bytes);
    }

    pub(crate) fn secure_error(&self, side: usize) -> &SecureError {
        match self.sides[side].error() {
            UpgradeError::Secure(error) => error,
            error => panic!("{error}"),
        }
    }
}
