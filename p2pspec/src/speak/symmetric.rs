//! The cryptography of Noise_XX_25519_ChaChaPoly_SHA256: the symmetric state of the Noise specification's section 5.2, ciphers
//! with any nonce, and X25519 with any key.

use curve25519_dalek::MontgomeryPoint;
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    digest, hmac,
};

const NAME: &[u8; 32] = b"Noise_XX_25519_ChaChaPoly_SHA256";

/// An X25519 key.
pub(crate) struct Private([u8; 32]);

impl Private {
    pub(crate) fn new() -> Self {
        Self(rand::random())
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        MontgomeryPoint::mul_base_clamped(self.0).to_bytes()
    }

    pub(crate) fn agree(&self, public: &[u8; 32]) -> [u8; 32] {
        MontgomeryPoint(*public).mul_clamped(self.0).to_bytes()
    }
}

/// One direction's key.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key);
        Self(LessSafeKey::new(
            key.expect("a key of ChaCha20 has 32 bytes"),
        ))
    }

    fn nonce(counter: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    pub(crate) fn seal(&self, counter: u64, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = plain.to_vec();
        let nonce = Self::nonce(counter);
        let sealed = self
            .0
            .seal_in_place_append_tag(nonce, Aad::from(aad), &mut out);
        sealed.expect("what is sealed here is far below 256 GiB");
        out
    }

    pub(crate) fn open(&self, counter: u64, aad: &[u8], cipher: &[u8]) -> Option<Vec<u8>> {
        let mut out = cipher.to_vec();
        let nonce = Self::nonce(counter);
        let plain = self.0.open_in_place(nonce, Aad::from(aad), &mut out).ok()?;
        let length = plain.len();
        out.truncate(length);
        Some(out)
    }
}

/// What both sides have mixed so far.
pub(crate) struct Symmetric {
    chain: [u8; 32],
    hash: [u8; 32],
    cipher: Option<Cipher>,
    counter: u64,
}

impl Symmetric {
    /// With an empty prologue.
    pub(crate) fn new() -> Self {
        let mut new = Self {
            chain: *NAME,
            hash: *NAME,
            cipher: None,
            counter: 0,
        };
        new.mix_hash(&[]);
        new
    }

    pub(crate) fn mix_hash(&mut self, bytes: &[u8]) {
        let hash = digest::digest(&digest::SHA256, &[&self.hash, bytes].concat());
        self.hash.copy_from_slice(hash.as_ref());
    }

    pub(crate) fn mix_key(&mut self, secret: &[u8; 32]) {
        let [chain, key] = derive(&self.chain, secret);
        self.chain = chain;
        self.cipher = Some(Cipher::new(&key));
        self.counter = 0;
    }

    pub(crate) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let out = match &self.cipher {
            Some(cipher) => cipher.seal(self.counter, &self.hash, plain),
            None => plain.to_vec(),
        };
        self.counter += u64::from(self.cipher.is_some());
        self.mix_hash(&out);
        out
    }

    pub(crate) fn open(&mut self, cipher: &[u8]) -> Option<Vec<u8>> {
        let key = self.cipher.as_ref()?;
        let plain = key.open(self.counter, &self.hash, cipher)?;
        self.counter += 1;
        self.mix_hash(cipher);
        Some(plain)
    }

    /// The initiator's key and the responder's.
    pub(crate) fn split(self) -> [Cipher; 2] {
        derive(&self.chain, &[]).map(|key| Cipher::new(&key))
    }
}

/// HKDF with two outputs, as Noise defines it.
fn derive(chain: &[u8; 32], input: &[u8]) -> [[u8; 32]; 2] {
    let sign = |key: &[u8], bytes: &[u8]| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes);
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    };
    let key = sign(chain, input);
    let first = sign(&key, &[1]);
    [first, sign(&key, &[&first[..], &[2]].concat())]
}
