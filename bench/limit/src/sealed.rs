//! A TCP socket under the cipher of Noise or TLS, in records as long as that allows: a length in two bytes,
//! then ciphertext and tag. Opened and sealed in place; several records per system call.

use std::io;

use anyhow::{Result, anyhow};
use ring::aead::{AES_128_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use tokio::net::TcpStream;
use tokio_util::{
    bytes::{Buf, BufMut, BytesMut},
    codec::{Decoder, Encoder, Framed},
    io::{SinkWriter, StreamReader},
};

/// A socket under a cipher.
pub type Sealed = SinkWriter<StreamReader<Framed<TcpStream, Records>, BytesMut>>;

/// What a security seals with, and how much at once.
#[derive(Clone, Copy)]
pub struct Suite {
    algorithm: &'static Algorithm,
    plaintext_max: usize,
}

/// Noise: ChaCha20-Poly1305.
pub const NOISE: Suite = Suite {
    algorithm: &CHACHA20_POLY1305,
    plaintext_max: 65535 - TAG,
};
/// TLS: AES-128-GCM.
pub const TLS: Suite = Suite {
    algorithm: &AES_128_GCM,
    plaintext_max: 1 << 14,
};

/// Both sides have the same keys, and one of them is the dialer.
pub fn sealed(socket: TcpStream, suite: Suite, dialer: bool) -> Result<Sealed> {
    let records = Records::new(suite, dialer)?;
    let mut framed = Framed::new(socket, records);
    framed.set_backpressure_boundary(BATCH);
    Ok(SinkWriter::new(StreamReader::new(framed)))
}

/// The records of both directions.
pub struct Records {
    sealer: Cipher,
    opener: Cipher,
    plaintext_max: usize,
}

impl Records {
    fn new(suite: Suite, dialer: bool) -> Result<Self> {
        Ok(Self {
            sealer: Cipher::new(suite.algorithm, dialer)?,
            opener: Cipher::new(suite.algorithm, !dialer)?,
            plaintext_max: suite.plaintext_max,
        })
    }
}

impl Encoder<&[u8]> for Records {
    type Error = io::Error;

    fn encode(&mut self, data: &[u8], out: &mut BytesMut) -> io::Result<()> {
        for plain in data.chunks(self.plaintext_max) {
            out.put_u16((plain.len() + TAG) as u16);
            let start = out.len();
            out.put_slice(plain);
            let (key, nonce) = self.sealer.next();
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut out[start..]);
            out.put_slice(tag.map_err(|_| io::ErrorKind::InvalidInput)?.as_ref());
        }
        Ok(())
    }
}

impl Decoder for Records {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, inbox: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        let Some(len) = inbox.first_chunk() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes(*len));
        if inbox.len() < 2 + len {
            inbox.reserve(BATCH);
            return Ok(None);
        }
        inbox.advance(2);
        let mut record = inbox.split_to(len);
        let (key, nonce) = self.opener.next();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut record);
        let plain_len = plain.map_err(|_| io::ErrorKind::InvalidData)?.len();
        record.truncate(plain_len);
        Ok(Some(record))
    }
}

/// One direction. The key is no secret: only the work counts here.
struct Cipher {
    key: LessSafeKey,
    records: u64,
}

impl Cipher {
    fn new(algorithm: &'static Algorithm, from_dialer: bool) -> Result<Self> {
        let secret = vec![u8::from(from_dialer); algorithm.key_len()];
        let key = UnboundKey::new(algorithm, &secret);
        let key = key.map_err(|_| anyhow!("the key has the wrong length"))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            records: 0,
        })
    }

    fn next(&mut self) -> (&LessSafeKey, Nonce) {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.records.to_le_bytes());
        self.records += 1;
        (&self.key, Nonce::assume_unique_for_key(nonce))
    }
}

const TAG: usize = 16;
/// About four of the longest records of Noise per system call; beyond that nothing is gained here.
const BATCH: usize = 4 * (2 + 65535);

#[cfg(test)]
mod tests;
