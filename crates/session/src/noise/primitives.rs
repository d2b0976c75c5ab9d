//! What `snow` needs to run the handshake: X25519 of aws-lc, SHA-256 and ChaCha20-Poly1305 of ring. A build without aws-lc
//! takes X25519 of curve25519-dalek, which identities need anyway. A handshake hashes 38 times: a hash of aws-lc's
//! allocates twice, one of ring's never.
//!
//! snow's own resolver costs about a millisecond a handshake; this one about a tenth of that.

use std::sync::Arc;

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    digest,
};
use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};

use self::curve::Private;

#[cfg(feature = "aws-lc")]
mod curve;
#[cfg(not(feature = "aws-lc"))]
#[path = "primitives/no_aws_lc.rs"]
mod curve;

const KEY: usize = 32;
const TAG: usize = 16;

/// An X25519 key pair with its public half computed once.
pub(super) struct StaticKey {
    secret: [u8; KEY],
    private: Private,
    public: [u8; KEY],
}

impl StaticKey {
    pub(super) fn new(secret: [u8; KEY]) -> Option<Self> {
        let private = Private::new(&secret)?;
        let public = private.public()?;
        Some(Self {
            secret,
            private,
            public,
        })
    }

    pub(super) fn secret(&self) -> &[u8; KEY] {
        &self.secret
    }

    pub(super) fn public(&self) -> &[u8; KEY] {
        &self.public
    }
}

/// Resolves the one cipher suite of libp2p. Its chance is `seed`, spent on the one ephemeral key of a handshake.
pub(super) struct Primitives {
    static_key: Arc<StaticKey>,
    seed: [u8; KEY],
}

impl Primitives {
    pub(super) fn new(static_key: Arc<StaticKey>, seed: [u8; KEY]) -> Self {
        Self { static_key, seed }
    }
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seed(Some(self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| {
            Box::new(X25519Dh {
                known: self.static_key.clone(),
                key: None,
            }) as Box<dyn Dh>
        })
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256)
            .then(|| Box::new(Sha256(digest::Context::new(&digest::SHA256))) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly)
            .then(|| Box::new(ChaChaPoly(None)) as Box<dyn Cipher>)
    }
}

/// Gives its bytes out once: a second draw would repeat a key, so it is an error.
struct Seed(Option<[u8; KEY]>);

impl Random for Seed {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let seed = self
            .0
            .take()
            .filter(|seed| seed.len() == out.len())
            .ok_or(Error::Rng)?;
        out.copy_from_slice(&seed);
        Ok(())
    }
}

struct X25519Dh {
    known: Arc<StaticKey>,
    key: Option<Arc<StaticKey>>,
}

impl X25519Dh {
    fn key(&self) -> Result<&StaticKey, Error> {
        self.key.as_deref().ok_or(Error::Dh)
    }
}

impl Dh for X25519Dh {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY
    }

    fn priv_len(&self) -> usize {
        KEY
    }

    fn set(&mut self, secret: &[u8]) {
        self.key = if secret == self.known.secret {
            Some(self.known.clone())
        } else {
            secret
                .try_into()
                .ok()
                .and_then(StaticKey::new)
                .map(Arc::new)
        };
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut secret = [0; KEY];
        rng.try_fill_bytes(&mut secret)?;
        self.key = Some(Arc::new(StaticKey::new(secret).ok_or(Error::Dh)?));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| &key.public)
    }

    fn privkey(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| &key.secret)
    }

    /// Fails for low-order points.
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public = public.first_chunk::<KEY>().ok_or(Error::Dh)?;
        let out = out.first_chunk_mut::<KEY>().ok_or(Error::Dh)?;
        *out = self.key()?.private.agree(public).ok_or(Error::Dh)?;
        Ok(())
    }
}

struct Sha256(digest::Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = digest::Context::new(&digest::SHA256);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let context = std::mem::replace(&mut self.0, digest::Context::new(&digest::SHA256));
        out[..32].copy_from_slice(context.finish().as_ref());
    }
}

struct ChaChaPoly(Option<LessSafeKey>);

impl ChaChaPoly {
    fn nonce(counter: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY]) {
        self.0 = UnboundKey::new(&CHACHA20_POLY1305, key)
            .ok()
            .map(LessSafeKey::new);
    }

    fn encrypt(&self, nonce: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let key = self.0.as_ref().expect("snow sets a key before it encrypts");
        let (body, rest) = out.split_at_mut(plaintext.len());
        body.copy_from_slice(plaintext);
        let tag = key
            .seal_in_place_separate_tag(Self::nonce(nonce), Aad::from(ad), body)
            .expect("a handshake message is shorter than 256 GiB");
        rest[..TAG].copy_from_slice(tag.as_ref());
        plaintext.len() + TAG
    }

    fn decrypt(
        &self,
        nonce: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let mut buf = ciphertext.to_vec();
        let plain = key
            .open_in_place(Self::nonce(nonce), Aad::from(ad), &mut buf)
            .map_err(|_| Error::Decrypt)?;
        out.get_mut(..plain.len())
            .ok_or(Error::Decrypt)?
            .copy_from_slice(plain);
        Ok(plain.len())
    }
}
