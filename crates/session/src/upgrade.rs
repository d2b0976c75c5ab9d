//! The upgrade, in reading order: negotiate → secure → negotiate → mux, with one deadline over all of it.
//!
//! The dialer is optimistic: the proposal of the security protocol and the first handshake message leave together, and
//! when one muxer is offered alone, its first frames follow the proposal without waiting. With the muxer agreed on within
//! the handshake, the dialer waits for the peer exactly once.

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use carrick_wire::{PeerId, ProtocolId, PublicKey};

use crate::{
    Config, Mux, NegotiateError, Opener, Proof, Records, Role, Sealer, Security, UpgradeError,
    negotiate::{Dialer, Listener, Request},
    secure::{Handshake, Secured},
};

/// The machine that turns a pipe into a session.
#[derive(Debug)]
pub struct Upgrade {
    role: Role,
    config: Arc<Config>,
    securities: Vec<Security>,
    muxers: Vec<ProtocolId>,
    seed: [u8; 32],
    stage: Stage,
    input: BytesMut,
    out: Vec<u8>,
    deadline: Instant,
    /// Whether the peer has our latest words and we wait for its answer.
    waiting: bool,
    round_trips: u32,
    done: Option<Box<Upgraded>>,
}

/// What an upgrade ends in: three parts for three owners, and what was learnt.
#[derive(Debug)]
pub struct Upgraded {
    /// Who the peer proved to be.
    pub peer: PeerId,
    /// The peer's identity key.
    pub key: PublicKey,
    /// For the reader.
    pub opener: Opener,
    /// For the writer.
    pub sealer: Sealer,
    /// For reader, writer and streams.
    pub mux: Mux,
    /// Bytes from the pipe that followed the upgrade; the reader starts with them.
    pub leftover: BytesMut,
    /// What was negotiated.
    pub summary: Summary,
}

/// What was negotiated, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The security protocol.
    pub security: ProtocolId,
    /// The muxer.
    pub muxer: ProtocolId,
    /// Whether the muxer was agreed on within the handshake.
    pub early_muxer: bool,
    /// How often the dialer had to wait for an answer before it could open streams; for a listener, how often it had to
    /// wait for the dialer after its first bytes.
    pub round_trips: u32,
}

#[derive(Debug)]
enum Stage {
    /// A dialer has begun the handshake already.
    Security(Negotiation, Option<Handshake>),
    Handshake(Handshake),
    Muxer(Negotiation, Box<Secured>),
    Over,
}

impl Upgrade {
    /// `expected`: who was dialed, if that is known. `securities`: what a listener accepts; a dialer proposes the first
    /// alone. `muxers`: what we offer, in order of preference. `seed`: 32 random bytes, used once.
    ///
    /// # Errors
    /// A dialer has no security to propose, or the identity cannot be used at all.
    pub fn new(
        role: Role,
        config: Arc<Config>,
        securities: Vec<Security>,
        muxers: Vec<ProtocolId>,
        expected: Option<PeerId>,
        now: Instant,
        seed: [u8; 32],
    ) -> Result<Self, UpgradeError> {
        let mut out = Vec::new();
        let stage = match (role, securities.as_slice()) {
            (Role::Dialer, [first, ..]) => {
                let mut negotiation = Negotiation::new(role, vec![first.protocol()]);
                let mut handshake = Handshake::new(role, first, expected, seed)?;
                negotiation.poll_transmit(&mut out);
                handshake.poll_transmit(&mut out);
                Stage::Security(negotiation, Some(handshake))
            }
            (Role::Dialer, []) => {
                let none = NegotiateError::Unsupported(Vec::new());
                return Err(UpgradeError::Security(none));
            }
            (Role::Listener, all) => {
                let protocols = all.iter().map(Security::protocol).collect();
                Stage::Security(Negotiation::new(role, protocols), None)
            }
        };
        let deadline = now + config.upgrade_timeout;
        let input = BytesMut::new();
        Ok(Self {
            role,
            config,
            securities,
            muxers,
            seed,
            stage,
            input,
            out,
            deadline,
            waiting: false,
            round_trips: 0,
            done: None,
        })
    }

    /// Takes bytes of any chunking from the pipe.
    ///
    /// # Errors
    /// See [`UpgradeError`]: send what [`poll_transmit`](Self::poll_transmit) still gives, then close the pipe.
    pub fn recv(&mut self, now: Instant, bytes: &[u8]) -> Result<(), UpgradeError> {
        if std::mem::take(&mut self.waiting) {
            self.round_trips += 1;
        }
        self.input.extend_from_slice(bytes);
        while self.step(now)? {}
        Ok(())
    }

    /// Where bytes from the pipe may be put behind those that wait there, rather than given to [`recv`](Self::recv), which
    /// copies them; it must be called then, too.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The peer closed the pipe.
    pub fn closed(&self) -> UpgradeError {
        UpgradeError::Closed(self.stage.name())
    }

    /// Moves what must be sent into `out`; false when there was nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let some = !self.out.is_empty();
        out.append(&mut self.out);
        self.waiting |= some;
        some
    }

    /// The deadline over the whole upgrade.
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    /// Fails once the deadline is reached.
    ///
    /// # Errors
    /// [`UpgradeError::TimedOut`] names the step that was waited for.
    pub fn handle_timeout(&self, now: Instant) -> Result<(), UpgradeError> {
        if now < self.deadline {
            Ok(())
        } else {
            Err(UpgradeError::TimedOut(self.stage.name()))
        }
    }

    /// The result, once there is one. What [`poll_transmit`](Self::poll_transmit) still holds must be sent before
    /// anything else.
    pub fn finish(&mut self) -> Option<Upgraded> {
        let mut upgraded = *self.done.take()?;
        upgraded.leftover = std::mem::take(&mut self.input);
        Some(upgraded)
    }

    /// One step forward; false when more input is needed.
    fn step(&mut self, now: Instant) -> Result<bool, UpgradeError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Security(negotiation, handshake) => {
                self.negotiate_security(negotiation, handshake)
            }
            Stage::Handshake(handshake) => self.shake_hands(now, handshake),
            Stage::Muxer(negotiation, secured) => self.negotiate_muxer(now, negotiation, secured),
            Stage::Over => Ok(false),
        }
    }

    fn negotiate_security(
        &mut self,
        mut negotiation: Negotiation,
        begun: Option<Handshake>,
    ) -> Result<bool, UpgradeError> {
        let used = negotiation.recv(&self.input);
        negotiation.poll_transmit(&mut self.out);
        let _ = self.input.split_to(used.map_err(UpgradeError::Security)?);
        let Some(agreed) = negotiation.outcome() else {
            self.stage = Stage::Security(negotiation, begun);
            return Ok(false);
        };
        let handshake = match begun {
            Some(handshake) => handshake,
            None => {
                let mut offered = self.securities.iter();
                let security = offered.find(|security| security.protocol() == *agreed);
                let security = security.ok_or_else(|| {
                    UpgradeError::Security(NegotiateError::Unsupported(vec![agreed.clone()]))
                })?;
                Handshake::new(self.role, security, None, self.seed)?
            }
        };
        self.stage = Stage::Handshake(handshake);
        Ok(true)
    }

    fn shake_hands(
        &mut self,
        now: Instant,
        mut handshake: Handshake,
    ) -> Result<bool, UpgradeError> {
        let received = handshake.recv(&mut self.input);
        handshake.poll_transmit(&mut self.out);
        received?;
        let Some(mut secured) = handshake.finish()? else {
            self.stage = Stage::Handshake(handshake);
            return Ok(false);
        };
        if let Some(muxer) = secured.proof.muxer.take() {
            self.complete(now, secured, muxer, true, None, Bytes::new())?;
            return Ok(false);
        }
        let mut negotiation = Negotiation::new(self.role, self.muxers.clone());
        self.send_sealed(&mut negotiation, &mut secured.sealer)?;
        match (negotiation, self.muxers.as_slice()) {
            (Negotiation::Dialer(dialer), [only]) => {
                let only = only.clone();
                self.complete(now, secured, only, false, Some(dialer), Bytes::new())?;
                Ok(false)
            }
            (negotiation, _) => {
                self.stage = Stage::Muxer(negotiation, Box::new(secured));
                Ok(true)
            }
        }
    }

    fn negotiate_muxer(
        &mut self,
        now: Instant,
        mut negotiation: Negotiation,
        mut secured: Box<Secured>,
    ) -> Result<bool, UpgradeError> {
        while let Some(mut bytes) = secured.opener.open(&mut self.input)? {
            let used = negotiation.recv(&bytes);
            self.send_sealed(&mut negotiation, &mut secured.sealer)?;
            let rest = bytes.split_off(used.map_err(UpgradeError::Muxer)?);
            if let Some(muxer) = negotiation.outcome().cloned() {
                self.complete(now, *secured, muxer, false, None, rest)?;
                return Ok(false);
            }
        }
        let ended = secured.opener.ended();
        self.stage = Stage::Muxer(negotiation, secured);
        if ended { Err(self.closed()) } else { Ok(false) }
    }

    fn send_sealed(
        &mut self,
        negotiation: &mut Negotiation,
        sealer: &mut Sealer,
    ) -> Result<(), UpgradeError> {
        let mut plain = Vec::new();
        if negotiation.poll_transmit(&mut plain) {
            let mut records = Records::new(sealer.layout());
            records.push(&plain);
            sealer.seal(&mut records)?;
            self.out.extend_from_slice(records.as_slice());
        }
        Ok(())
    }

    fn complete(
        &mut self,
        now: Instant,
        secured: Secured,
        muxer: ProtocolId,
        early_muxer: bool,
        unconfirmed: Option<Box<Dialer>>,
        rest: Bytes,
    ) -> Result<(), UpgradeError> {
        let Secured {
            opener,
            sealer,
            proof: Proof { key, .. },
            protocol,
        } = secured;
        let mux = Mux::new(
            &muxer,
            self.role,
            &self.config,
            sealer.layout(),
            now,
            unconfirmed,
        );
        let mut mux = mux
            .ok_or_else(|| UpgradeError::Muxer(NegotiateError::Unsupported(vec![muxer.clone()])))?;
        if !rest.is_empty() {
            mux.recv(now, rest)?;
        }
        let summary = Summary {
            security: protocol,
            muxer,
            early_muxer,
            round_trips: self.round_trips,
        };
        self.done = Some(Box::new(Upgraded {
            peer: key.to_peer_id(),
            key,
            opener,
            sealer,
            mux,
            leftover: BytesMut::new(),
            summary,
        }));
        Ok(())
    }
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Self::Security(..) => "security negotiation",
            Self::Handshake(handshake) => handshake.name(),
            Self::Muxer(..) => "muxer negotiation",
            Self::Over => "the end of the upgrade",
        }
    }
}

/// multistream-select in either role; a listener here accepts whatever is in its list.
#[derive(Debug)]
enum Negotiation {
    Dialer(Box<Dialer>),
    Listener(Listener, Vec<ProtocolId>),
}

impl Negotiation {
    fn new(role: Role, protocols: Vec<ProtocolId>) -> Self {
        match role {
            Role::Dialer => Self::Dialer(Box::new(Dialer::new(protocols))),
            Role::Listener => Self::Listener(Listener::new(), protocols),
        }
    }

    fn recv(&mut self, bytes: &[u8]) -> Result<usize, NegotiateError> {
        match self {
            Self::Dialer(dialer) => dialer.recv(bytes),
            Self::Listener(listener, supported) => {
                let mut used = 0;
                loop {
                    let (n, request) = listener.recv(&bytes[used..])?;
                    used += n;
                    match request {
                        Some(Request::Protocol(protocol)) if supported.contains(&protocol) => {
                            listener.accept()
                        }
                        Some(Request::Protocol(_)) => listener.refuse(),
                        Some(Request::List) => listener.list(supported.clone()),
                        None => return Ok(used),
                    }
                }
            }
        }
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Dialer(dialer) => dialer.poll_transmit(out),
            Self::Listener(listener, _) => listener.poll_transmit(out),
        }
    }

    fn outcome(&self) -> Option<&ProtocolId> {
        match self {
            Self::Dialer(dialer) => dialer.outcome(),
            Self::Listener(listener, _) => listener.outcome(),
        }
    }
}
