//! Noise XX with libp2p payloads (specs/noise): two messages of ours or one, then an opener and a sealer.
//!
//! `snow` runs the handshake pattern over the primitives in `primitives.rs`; identity, signature, the extension for early
//! muxer negotiation and the framing are here. The static key lives as long as the node, so its signature and the
//! payload are made once.

use std::{fmt, sync::Arc};

use bytes::BytesMut;
use carrick_wire::{
    Keypair, PeerId, ProtocolId, PublicKey, key,
    noise::{FRAME_MAX, HandshakePayload, SIGNATURE_PREFIX},
};

use self::primitives::{Primitives, StaticKey};
pub(crate) use self::transport::{Opener, Sealer};
use crate::{NoProofs, Proof, Proofs, Role, SecureError, proofs};

#[cfg(fuzzing)]
mod mock;
mod primitives;
mod transport;

/// The protocol id of Noise.
pub(crate) const PROTOCOL: ProtocolId = ProtocolId::from_static("/noise");

/// Tells what is remembered of Noise from what is of TLS.
const PROOF: &[u8] = b"noise";

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";

/// A node's part in every Noise handshake: the static key, signed by its identity, and the muxers it offers.
pub struct NoiseIdentity {
    static_key: Arc<StaticKey>,
    payload: Vec<u8>,
    muxers: Vec<ProtocolId>,
    proofs: Arc<dyn Proofs>,
    /// The handshake and the records are those of the fuzzer's mock. Only a fuzzer's build has the field.
    #[cfg(fuzzing)]
    is_mock: bool,
}

impl NoiseIdentity {
    /// Signs a static key made from `secret` (32 random bytes) and offers `muxers` in this order within the
    /// handshake; an empty list leaves the muxer to multistream-select. `None` if this key cannot sign.
    pub fn new(keypair: &Keypair, secret: [u8; 32], muxers: Vec<ProtocolId>) -> Option<Self> {
        Self::with_proofs(keypair, secret, muxers, Arc::new(NoProofs))
    }

    /// As [`new`](Self::new); no peer's signature is checked twice while `proofs` knows it.
    pub fn with_proofs(
        keypair: &Keypair,
        secret: [u8; 32],
        muxers: Vec<ProtocolId>,
        proofs: Arc<dyn Proofs>,
    ) -> Option<Self> {
        let static_key = StaticKey::new(secret)?;
        let identity_sig = keypair
            .sign(&[SIGNATURE_PREFIX, static_key.public()].concat())
            .ok()?;
        let payload = HandshakePayload {
            identity_key: keypair.public().encode_protobuf(),
            identity_sig,
            stream_muxers: muxers.iter().map(ToString::to_string).collect(),
            webtransport_certhashes: Vec::new(),
        };
        Some(Self {
            static_key: Arc::new(static_key),
            payload: payload.encode(),
            muxers,
            proofs,
            #[cfg(fuzzing)]
            is_mock: false,
        })
    }

    /// For a fuzzer, which could not make anything that authenticates: no bytes fail to, and nothing is hidden.
    #[cfg(fuzzing)]
    #[must_use]
    pub fn into_mock(self) -> Self {
        Self {
            is_mock: true,
            ..self
        }
    }

    /// What `snow` computes with. `seed`: 32 random bytes for the ephemeral key.
    fn resolver(&self, seed: [u8; 32]) -> snow::resolvers::BoxedCryptoResolver {
        #[cfg(fuzzing)]
        if self.is_mock {
            return Box::new(mock::Mock);
        }
        Box::new(Primitives::new(self.static_key.clone(), seed))
    }
}

impl fmt::Debug for NoiseIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseIdentity")
            .field("muxers", &self.muxers)
            .finish_non_exhaustive()
    }
}

/// One handshake. The dialer sends messages 1 and 3, the listener message 2.
pub(crate) struct Handshake {
    role: Role,
    expected: Option<PeerId>,
    identity: Arc<NoiseIdentity>,
    snow: Box<snow::HandshakeState>,
    remote: Option<(PublicKey, Vec<String>)>,
    out: Vec<u8>,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Handshake {
    /// `seed`: 32 random bytes for the ephemeral key. `expected`: who was dialed, if that is known.
    pub(crate) fn new(
        role: Role,
        identity: Arc<NoiseIdentity>,
        expected: Option<PeerId>,
        seed: [u8; 32],
    ) -> Result<Self, SecureError> {
        let pattern = PATTERN
            .parse()
            .map_err(|_| SecureError::Handshake("unknown pattern"))?;
        let snow = snow::Builder::with_resolver(pattern, identity.resolver(seed))
            .local_private_key(identity.static_key.secret())
            .and_then(|builder| match role {
                Role::Dialer => builder.build_initiator(),
                Role::Listener => builder.build_responder(),
            })
            .map_err(|_| SecureError::Handshake("the static key is unusable"))?;
        let mut handshake = Self {
            role,
            expected,
            identity,
            snow: Box::new(snow),
            remote: None,
            out: Vec::new(),
        };
        if role == Role::Dialer {
            handshake.write(&[])?;
        }
        Ok(handshake)
    }

    /// Takes complete messages out of `buf`, leaving what follows the handshake's last one.
    pub(crate) fn recv(&mut self, buf: &mut BytesMut) -> Result<(), SecureError> {
        while !self.snow.is_handshake_finished() {
            let prefix = buf.first_chunk::<2>();
            // Before the rest is waited for, and kept: nobody has proven anything yet.
            if prefix.is_some_and(|prefix| u16::from_be_bytes(*prefix) > MESSAGE_MAX) {
                return Err(SecureError::Handshake("a message is too long"));
            }
            let Some(frame) = next_frame(buf) else {
                return Ok(());
            };
            self.message(&frame[2..])?;
        }
        Ok(())
    }

    /// Moves what must be sent into `out`; false when there was nothing.
    pub(crate) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let some = !self.out.is_empty();
        out.append(&mut self.out);
        some
    }

    /// The result, once the last message was sent or received.
    pub(crate) fn finish(&mut self) -> Result<Option<(Opener, Sealer, Proof)>, SecureError> {
        if !self.snow.is_handshake_finished() {
            return Ok(None);
        }
        let Some((key, theirs)) = self.remote.take() else {
            return Ok(None);
        };
        let muxer = self.pick_muxer(&theirs)?;
        let (dialer, listener) = self.snow.dangerously_get_raw_split();
        let (ours, theirs) = match self.role {
            Role::Dialer => (dialer, listener),
            Role::Listener => (listener, dialer),
        };
        let (opener, sealer) = (Opener::new(&theirs), Sealer::new(&ours));
        Ok(Some((opener, sealer, Proof { key, muxer })))
    }

    fn message(&mut self, message: &[u8]) -> Result<(), SecureError> {
        let mut payload = [0; MESSAGE_MAX as usize];
        let len = self
            .snow
            .read_message(message, &mut payload)
            .map_err(|_| SecureError::Handshake("a message does not authenticate"))?;
        let payload = &payload[..len];
        match (
            self.role,
            self.remote.is_none(),
            self.snow.is_handshake_finished(),
        ) {
            // Message 1. Its payload is not authenticated: whatever it holds is ignored.
            (Role::Listener, true, false) => {
                let payload = self.identity.clone();
                self.write(&payload.payload)
            }
            // Message 2: know the peer before anything of ours is shown to it.
            (Role::Dialer, true, false) => {
                self.remote = Some(self.verify(payload)?);
                let payload = self.identity.clone();
                self.write(&payload.payload)
            }
            // Message 3.
            (Role::Listener, true, true) => {
                self.remote = Some(self.verify(payload)?);
                Ok(())
            }
            (Role::Listener | Role::Dialer, _, _) => {
                Err(SecureError::Handshake("a message out of turn"))
            }
        }
    }

    fn write(&mut self, payload: &[u8]) -> Result<(), SecureError> {
        let mut message = vec![0; payload.len() + HANDSHAKE_OVERHEAD];
        let len = self
            .snow
            .write_message(payload, &mut message)
            .map_err(|_| SecureError::Handshake("a message of ours cannot be written"))?;
        let prefix = u16::try_from(len)
            .map_err(|_| SecureError::Handshake("a message of ours is too long"))?;
        self.out.extend_from_slice(&prefix.to_be_bytes());
        self.out.extend_from_slice(&message[..len]);
        Ok(())
    }

    /// specs/noise#libp2p-data-in-handshake-messages: the identity key signs this handshake's static key.
    fn verify(&self, payload: &[u8]) -> Result<(PublicKey, Vec<String>), SecureError> {
        let payload = HandshakePayload::decode(payload)?;
        let public = key::decode_public(&payload.identity_key)?;
        let remote_static = self
            .snow
            .get_remote_static()
            .ok_or(SecureError::Handshake("no static key"))?;
        let signature = &payload.identity_sig[..];
        let proof = [PROOF, &payload.identity_key, remote_static, signature];
        proofs::check(&*self.identity.proofs, &proof, || {
            let signed = [SIGNATURE_PREFIX, remote_static].concat();
            key::verify(&public, &signed, signature)
                .then_some(())
                .ok_or(SecureError::Signature)
        })?;
        let found = public.to_peer_id();
        match self.expected {
            Some(expected) if expected != found => Err(SecureError::WrongPeer { expected, found }),
            _ => Ok((public, payload.stream_muxers)),
        }
    }

    /// specs/connections/inlined-muxer-negotiation: the first of the dialer's list that the listener has, too.
    fn pick_muxer(&self, theirs: &[String]) -> Result<Option<ProtocolId>, SecureError> {
        let ours = &self.identity.muxers;
        if ours.is_empty() || theirs.is_empty() {
            return Ok(None);
        }
        let has = |muxer: &ProtocolId| theirs.iter().any(|their| their == muxer.as_str());
        let pick = match self.role {
            Role::Dialer => ours.iter().find(|muxer| has(muxer)),
            Role::Listener => theirs
                .iter()
                .find_map(|their| ours.iter().find(|muxer| muxer.as_str() == their)),
        };
        pick.cloned().map(Some).ok_or(SecureError::NoCommonMuxer)
    }
}

/// Bytes of a handshake message: several times the longest that is needed, with an RSA key and signature of 8192 bits.
const MESSAGE_MAX: u16 = 8 << 10;
/// Two keys and two tags: the most that a handshake message adds to its payload.
const HANDSHAKE_OVERHEAD: usize = 32 + 48 + 16;

/// Splits the next length-prefixed frame off, prefix included.
fn next_frame(buf: &mut BytesMut) -> Option<BytesMut> {
    let prefix = buf.first_chunk::<2>()?;
    let len = usize::from(u16::from_be_bytes(*prefix));
    debug_assert!(len <= FRAME_MAX);
    (buf.len() >= 2 + len).then(|| buf.split_to(2 + len))
}

#[cfg(test)]
mod tests;
