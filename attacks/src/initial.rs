//! First packets of QUIC connections, made by hand: a real ClientHello, under as many connection ids as one likes.

use std::{io, sync::Arc};

use carrick::Keypair;
use carrick_session::TlsIdentity;
use carrick_wire::varint;
use rustls::{
    Side,
    crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    pki_types::ServerName,
    quic::{ClientConnection, Suite, Version},
};

/// What all the packets say.
pub(crate) struct Initials {
    hello: Vec<u8>,
    suite: Suite,
}

impl Initials {
    /// Of a new peer.
    pub(crate) fn new() -> io::Result<Self> {
        let identity = TlsIdentity::new(&Keypair::generate_ed25519(), Vec::new());
        let identity = identity.ok_or_else(|| io::Error::other("this key makes no identity"))?;
        let (config, _) = identity.client_config(None, vec![b"libp2p".to_vec()]);
        let name = ServerName::try_from("libp2p").map_err(io::Error::other)?;
        let hello = ClientConnection::new(Arc::new(config), Version::V1, name, parameters());
        let mut words = Vec::new();
        hello.map_err(io::Error::other)?.write_hs(&mut words);
        let suite = TLS13_AES_128_GCM_SHA256.tls13();
        let suite = suite.and_then(|suite| suite.quic_suite());
        Ok(Self {
            hello: words,
            suite: suite.ok_or_else(|| io::Error::other("no such cipher"))?,
        })
    }

    /// A whole ClientHello in 1200 bytes.
    pub(crate) fn packet(&self, id: u64) -> io::Result<Vec<u8>> {
        self.with(id, &crypto(0, &self.hello))
    }

    /// All of the ClientHello but its end.
    pub(crate) fn half(&self, id: u64) -> io::Result<Vec<u8>> {
        self.with(id, &crypto(0, &self.hello[..self.hello.len() / 2]))
    }

    /// Bytes of the handshake so far on that nobody can wait for what is before them.
    pub(crate) fn gap(&self, id: u64, at: u64) -> io::Result<Vec<u8>> {
        self.with(id, &crypto(at, &[7; 16]))
    }

    /// These frames in 1200 bytes.
    pub(crate) fn with(&self, id: u64, frames: &[u8]) -> io::Result<Vec<u8>> {
        let to = id.to_be_bytes();
        let keys = self.suite.keys(&to, Side::Client, Version::V1).local;
        let mut packet = vec![0xc3, 0, 0, 0, 1, to.len() as u8];
        packet.extend_from_slice(&to);
        packet.push(FROM.len() as u8);
        packet.extend_from_slice(&FROM);
        // No token; the length of what follows, in two bytes; the packet's number.
        packet.push(0);
        let rest = SIZE - packet.len() - 2;
        packet.extend_from_slice(&(0x4000 | rest as u16).to_be_bytes());
        let number = packet.len();
        packet.extend_from_slice(&[0; 4]);
        let body = packet.len();
        packet.extend_from_slice(frames);
        packet.resize(SIZE - TAG, 0);
        let (head, payload) = packet.split_at_mut(body);
        let tag = keys.packet.encrypt_in_place(0, head, payload);
        packet.extend_from_slice(tag.map_err(io::Error::other)?.as_ref());
        let (head, sample) = packet.split_at_mut(number + 4);
        let (first, head) = head.split_at_mut(1);
        let number = &mut head[number - 1..];
        let hidden = keys
            .header
            .encrypt_in_place(&sample[..16], &mut first[0], number);
        hidden.map_err(io::Error::other)?;
        Ok(packet)
    }
}

/// A CRYPTO frame.
fn crypto(at: u64, words: &[u8]) -> Vec<u8> {
    let mut frame = vec![6];
    // An offset of eight bytes, a length of two.
    frame.extend_from_slice(&(0xc000_0000_0000_0000 | at).to_be_bytes());
    frame.extend_from_slice(&(0x4000 | words.len() as u16).to_be_bytes());
    frame.extend_from_slice(words);
    frame
}

/// The transport parameters: our own connection id, and some room.
fn parameters() -> Vec<u8> {
    let mut all = Vec::new();
    let mut say = |id: u64, value: &[u8]| {
        varint::encode(id, &mut all);
        varint::encode(value.len() as u64, &mut all);
        all.extend_from_slice(value);
    };
    say(0x0f, &FROM);
    say(0x04, &0x8010_0000_u32.to_be_bytes());
    say(0x05, &0x8010_0000_u32.to_be_bytes());
    say(0x06, &0x8010_0000_u32.to_be_bytes());
    say(0x08, &0x4064_u16.to_be_bytes());
    all
}

const FROM: [u8; 8] = *b"attacker";
/// The least that a first packet must have.
pub(crate) const SIZE: usize = 1200;
const TAG: usize = 16;
