//! The security of a session: one set of verbs over Noise and TLS.
//!
//! A handshake ends in an [`Opener`] for the reader and a [`Sealer`] for the writer, which need each other no more.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use carrick_wire::{PeerId, ProtocolId};

use crate::{
    Layout, Proof, Records, Role, SecureError,
    noise::{self, NoiseIdentity},
    tls::{self, TlsIdentity},
};

/// A security protocol, with a node's part in it.
#[derive(Clone, Debug)]
pub enum Security {
    /// `/noise`.
    Noise(Arc<NoiseIdentity>),
    /// `/tls/1.0.0`.
    Tls(Arc<TlsIdentity>),
}

impl Security {
    /// Its protocol id.
    pub fn protocol(&self) -> ProtocolId {
        match self {
            Self::Noise(_) => noise::PROTOCOL,
            Self::Tls(_) => tls::PROTOCOL,
        }
    }
}

/// For a fuzzer: what a handshake of TLS leaves to both ends, without the handshake.
#[cfg(all(fuzzing, feature = "tls"))]
pub fn tls_halves(role: Role) -> Result<(Opener, Sealer), SecureError> {
    let (opener, sealer) = tls::halves(role)?;
    Ok((
        Opener(Opens::Tls(opener.into())),
        Sealer(Seals::Tls(sealer.into())),
    ))
}

#[derive(Debug)]
pub(crate) enum Handshake {
    Noise(Box<noise::Handshake>),
    Tls(tls::Handshake),
}

impl Handshake {
    /// `expected`: who was dialed, if that is known. `seed`: 32 random bytes, used once.
    pub(crate) fn new(
        role: Role,
        security: &Security,
        expected: Option<PeerId>,
        seed: [u8; 32],
    ) -> Result<Self, SecureError> {
        Ok(match security.clone() {
            Security::Noise(identity) => {
                Self::Noise(noise::Handshake::new(role, identity, expected, seed)?.into())
            }
            Security::Tls(identity) => Self::Tls(tls::Handshake::new(role, identity, expected)?),
        })
    }

    /// Takes complete messages out of `buf`, leaving what follows the handshake's last one.
    pub(crate) fn recv(&mut self, buf: &mut BytesMut) -> Result<(), SecureError> {
        match self {
            Self::Noise(handshake) => handshake.recv(buf),
            Self::Tls(handshake) => handshake.recv(buf),
        }
    }

    /// Moves what must be sent into `out`; false when there was nothing.
    pub(crate) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Noise(handshake) => handshake.poll_transmit(out),
            Self::Tls(handshake) => handshake.poll_transmit(out),
        }
    }

    /// The result, once the last message was sent or received.
    pub(crate) fn finish(&mut self) -> Result<Option<Secured>, SecureError> {
        Ok(match self {
            Self::Noise(handshake) => handshake.finish()?.map(|(opener, sealer, proof)| Secured {
                opener: Opener(Opens::Noise(opener.into())),
                sealer: Sealer(Seals::Noise(sealer.into())),
                proof,
                protocol: noise::PROTOCOL,
            }),
            Self::Tls(handshake) => handshake.finish()?.map(|(opener, sealer, proof)| Secured {
                opener: Opener(Opens::Tls(opener.into())),
                sealer: Sealer(Seals::Tls(sealer.into())),
                proof,
                protocol: tls::PROTOCOL,
            }),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Noise(_) => "the Noise handshake",
            Self::Tls(_) => "the TLS handshake",
        }
    }
}

/// What a finished handshake leaves behind.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) opener: Opener,
    pub(crate) sealer: Sealer,
    pub(crate) proof: Proof,
    pub(crate) protocol: ProtocolId,
}

/// Opens incoming records. The reader owns it.
#[derive(Debug)]
pub struct Opener(Opens);

#[derive(Debug)]
enum Opens {
    Noise(Box<noise::Opener>),
    Tls(Box<tls::Opener>),
}

impl Opener {
    /// Splits the next complete record off `buf`, opens it in place and returns the plaintext as a slice of the same
    /// memory; `None` when `buf` holds no complete record with data.
    ///
    /// # Errors
    /// [`SecureError::Record`]: the record is too short or does not authenticate. With TLS also
    /// [`SecureError::Misbehaved`] and [`SecureError::Alert`]. The connection must be closed; no plaintext of the record
    /// was released.
    pub fn open(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, SecureError> {
        match &mut self.0 {
            Opens::Noise(opener) => opener.open(buf),
            Opens::Tls(opener) => opener.open(buf),
        }
    }

    /// Whether the peer has said that it sends no more, as TLS can; then it is as if it had closed the pipe.
    pub fn ended(&self) -> bool {
        match &self.0 {
            Opens::Noise(_) => false,
            Opens::Tls(opener) => opener.ended(),
        }
    }
}

/// Seals outgoing records. The writer owns it.
#[derive(Debug)]
pub struct Sealer(Seals);

#[derive(Debug)]
enum Seals {
    Noise(Box<noise::Sealer>),
    Tls(Box<tls::Sealer>),
}

impl Sealer {
    /// The layout of the records that it seals.
    pub fn layout(&self) -> Layout {
        match &self.0 {
            Seals::Noise(_) => noise::Sealer::LAYOUT,
            Seals::Tls(_) => tls::Sealer::LAYOUT,
        }
    }

    /// Seals every record where it lies; afterwards `records` holds what goes onto the pipe.
    ///
    /// # Errors
    /// [`SecureError::NoncesExhausted`] after 2^64 - 1 records of Noise; nothing may be sent any more.
    pub fn seal(&mut self, records: &mut Records) -> Result<(), SecureError> {
        match &mut self.0 {
            Seals::Noise(sealer) => sealer.seal(records),
            Seals::Tls(sealer) => sealer.seal(records),
        }
    }

    /// Puts into `records`, which must be empty, what tells the peer that nothing follows; Noise has no word for it.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn close(&mut self, records: &mut Records) -> Result<(), SecureError> {
        match &mut self.0 {
            Seals::Noise(_) => Ok(()),
            Seals::Tls(sealer) => sealer.close(records),
        }
    }
}

/// For a fuzzer, which plays a peer that has the keys and keeps no promise.
#[cfg(all(fuzzing, feature = "tls"))]
impl Sealer {
    /// Seals a record of any type; `None`: this is Noise, or its keys are worn out.
    pub fn any_record(&mut self, kind: u8, content: &[u8]) -> Option<Vec<u8>> {
        match &mut self.0 {
            Seals::Noise(_) => None,
            Seals::Tls(sealer) => sealer.any_record(kind, content).ok(),
        }
    }

    /// Goes on with the next keys, as after a key update.
    pub fn next_keys(&mut self) {
        if let Seals::Tls(sealer) = &mut self.0 {
            sealer.next_keys();
        }
    }
}
