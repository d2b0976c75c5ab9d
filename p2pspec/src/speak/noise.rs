//! Noise XX as the dialer: the right handshake around payloads of the caller's, who may also send frames of its own.

use std::io;

use bytes::{Buf, BytesMut};
use libp2p_identity::{Keypair, PeerId, PublicKey};

use super::{
    channel::{Channel, Talk},
    pb,
    symmetric::{Cipher, Private, Symmetric},
};
use crate::case::{Step, Stop, ensure, fail};

const SIGNED: &[u8] = b"noise-libp2p-static-key:";
const FRAME_MAX: usize = 65_535;

/// A handshake under way.
pub(crate) struct Handshake {
    pub(crate) channel: Channel,
    symmetric: Symmetric,
    ephemeral: Private,
    key: Private,
    pub(crate) their_ephemeral: [u8; 32],
    pub(crate) their_static: [u8; 32],
    /// What the peer said in message 2, decrypted.
    pub(crate) heard: Vec<u8>,
}

/// Who the peer says that it is, and what muxers it offers.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) key: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) muxers: Vec<String>,
    pub(crate) has_extensions: bool,
}

impl Handshake {
    /// Nothing is sent yet.
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            symmetric: Symmetric::new(),
            ephemeral: Private::new(),
            key: Private::new(),
            their_ephemeral: [0; 32],
            their_static: [0; 32],
            heard: Vec::new(),
        }
    }

    /// The public half of our static key.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    /// Message 1, unframed.
    pub(crate) fn first(&mut self, payload: &[u8]) -> Vec<u8> {
        let ephemeral = self.ephemeral.public();
        self.symmetric.mix_hash(&ephemeral);
        [&ephemeral[..], &self.symmetric.seal(payload)].concat()
    }

    /// Sends message 1 and hears message 2.
    pub(crate) async fn begin(&mut self, payload: &[u8]) -> Step<()> {
        let first = self.first(payload);
        self.channel.send(&frame(&first)).await?;
        self.hear().await
    }

    /// Hears message 2.
    pub(crate) async fn hear(&mut self) -> Step<()> {
        let second = read_frame(&mut self.channel).await?;
        let Some((ephemeral, rest)) = second.split_first_chunk() else {
            return fail("message 2 is too short");
        };
        let Some((encrypted, payload)) = rest.split_at_checked(48) else {
            return fail("message 2 is too short");
        };
        self.their_ephemeral = *ephemeral;
        self.symmetric.mix_hash(ephemeral);
        self.symmetric.mix_key(&self.ephemeral.agree(ephemeral));
        let opened = self.symmetric.open(encrypted);
        let Some(Ok(key)) = opened.map(<[u8; 32]>::try_from) else {
            return fail("the static key in message 2 cannot be decrypted");
        };
        self.their_static = key;
        self.symmetric.mix_key(&self.ephemeral.agree(&key));
        let Some(payload) = self.symmetric.open(payload) else {
            return fail("the payload of message 2 cannot be decrypted");
        };
        self.heard = payload;
        Ok(())
    }

    /// Message 3, unframed.
    pub(crate) fn third(&mut self, payload: &[u8]) -> Vec<u8> {
        let public = self.key.public();
        let key = self.symmetric.seal(&public);
        self.symmetric
            .mix_key(&self.key.agree(&self.their_ephemeral));
        [key, self.symmetric.seal(payload)].concat()
    }

    /// Sends message 3; then all is encrypted.
    pub(crate) async fn end(mut self, payload: &[u8]) -> Step<Channel> {
        let third = self.third(payload);
        self.channel.send(&frame(&third)).await?;
        Ok(self.into_channel())
    }

    /// Without sending anything: the caller has sent what it wanted.
    pub(crate) fn into_channel(self) -> Channel {
        let [sending, receiving] = self.symmetric.split();
        Channel::noise(Secured {
            pipe: self.channel,
            sending,
            receiving,
            sent: 0,
            received: 0,
        })
    }

    /// What message 2 says, decoded.
    pub(crate) fn said(&self) -> Step<Said> {
        let fields = pb::fields(&self.heard)?;
        let extensions = pb::all(&fields, 4);
        let mut muxers = Vec::new();
        for extension in &extensions {
            let inner = pb::fields(extension)?;
            let names = pb::all(&inner, 2);
            muxers.extend(
                names
                    .iter()
                    .map(|name| String::from_utf8_lossy(name).into()),
            );
        }
        let one = |number| -> Step<Vec<u8>> {
            let all = pb::all(&fields, number);
            all.last()
                .map(|value| value.to_vec())
                .ok_or_else(|| Stop::Fail(format!("the handshake payload has no field {number}")))
        };
        Ok(Said {
            key: one(1)?,
            signature: one(2)?,
            muxers,
            has_extensions: !extensions.is_empty(),
        })
    }

    /// Checks what message 2 says of the peer; gives its id.
    pub(crate) fn verify(&self) -> Step<PeerId> {
        let said = self.said()?;
        let Ok(key) = PublicKey::try_decode_protobuf(&said.key) else {
            return fail("the peer's identity key cannot be decoded");
        };
        ensure(
            key.verify(&to_sign(&self.their_static), &said.signature),
            || "the peer's signature of its static key is not valid".to_owned(),
        )?;
        Ok(key.to_peer_id())
    }

    /// The right payload.
    pub(crate) fn payload(&self, keypair: &Keypair, muxers: &[&str]) -> Step<Vec<u8>> {
        let signature = sign(keypair, &to_sign(&self.public()))?;
        let key = keypair.public().encode_protobuf();
        Ok([identity(&key, &signature), extensions(muxers)].concat())
    }
}

/// The fields of a payload that say who one is.
pub(crate) fn identity(key: &[u8], signature: &[u8]) -> Vec<u8> {
    [pb::bytes(1, key), pb::bytes(2, signature)].concat()
}

/// The field with the muxers; nothing without any.
pub(crate) fn extensions(muxers: &[&str]) -> Vec<u8> {
    if muxers.is_empty() {
        return Vec::new();
    }
    let names = muxers.iter().map(|name| pb::bytes(2, name.as_bytes()));
    pb::bytes(4, &names.collect::<Vec<_>>().concat())
}

/// Signs with an identity key.
pub(crate) fn sign(keypair: &Keypair, bytes: &[u8]) -> Step<Vec<u8>> {
    keypair.sign(bytes).or_else(|error| fail(error.to_string()))
}

/// What is signed of a static key.
pub(crate) fn to_sign(public: &[u8]) -> Vec<u8> {
    [SIGNED, public].concat()
}

/// A frame: its length in two bytes, then it.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], message].concat()
}

/// Reads a frame.
pub(crate) async fn read_frame(from: &mut Channel) -> Step<Vec<u8>> {
    let length = from.take(2).await?;
    let length = u16::from_be_bytes([length[0], length[1]]);
    Ok(from.take(usize::from(length)).await?)
}

/// The layer of transport messages.
pub(crate) struct Secured {
    pub(crate) pipe: Channel,
    sending: Cipher,
    receiving: Cipher,
    /// The nonce of the next message that we send.
    pub(crate) sent: u64,
    received: u64,
}

impl Secured {
    /// One transport message, framed.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let sealed = self.sending.seal(self.sent, &[], plain);
        self.sent += 1;
        frame(&sealed)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        for piece in bytes.chunks(FRAME_MAX - 16) {
            out.extend(self.seal(piece));
        }
        self.pipe.send(&out).await
    }

    pub(crate) async fn fill(&mut self, input: &mut BytesMut) -> io::Result<bool> {
        loop {
            let raw = &mut self.pipe.input;
            let length = match raw[..] {
                [high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
                _ => usize::MAX - 2,
            };
            if raw.len() >= length + 2 {
                raw.advance(2);
                let cipher = raw.split_to(length);
                let plain = self.receiving.open(self.received, &[], &cipher);
                let plain = plain
                    .ok_or_else(|| io::Error::other("the peer sent what cannot be decrypted"))?;
                self.received += 1;
                input.extend_from_slice(&plain);
                return Ok(true);
            }
            if !self.pipe.fill().await? {
                return Ok(false);
            }
        }
    }
}
