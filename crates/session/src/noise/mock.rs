//! Cryptography that is none, for fuzzers: whatever they send authenticates, so that they reach what stands behind it. A
//! build has this file only when it is made with `--cfg fuzzing`. Its keys are all zero; by that the records know it, too.

use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};

pub(super) struct Mock;

impl CryptoResolver for Mock {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Self))
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Self))
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        Some(Box::new(Self))
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        Some(Box::new(Self))
    }
}

impl Random for Mock {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        out.fill(0);
        Ok(())
    }
}

/// Every key is the same, and so is what two of them agree on.
impl Dh for Mock {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        ZERO.len()
    }

    fn priv_len(&self) -> usize {
        ZERO.len()
    }

    fn set(&mut self, _: &[u8]) {}

    fn generate(&mut self, _: &mut dyn Random) -> Result<(), Error> {
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &ZERO
    }

    fn privkey(&self) -> &[u8] {
        &ZERO
    }

    fn dh(&self, _: &[u8], out: &mut [u8]) -> Result<(), Error> {
        out.fill(0);
        Ok(())
    }
}

/// Everything has the same digest.
impl Hash for Mock {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        ZERO.len()
    }

    fn reset(&mut self) {}

    fn input(&mut self, _: &[u8]) {}

    fn result(&mut self, out: &mut [u8]) {
        out[..ZERO.len()].fill(0);
    }
}

/// The text stays as it is, and any tag is right.
impl Cipher for Mock {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, _: &[u8; 32]) {}

    fn encrypt(&self, _: u64, _: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        out[..plaintext.len()].copy_from_slice(plaintext);
        out[plaintext.len()..][..TAG].fill(0);
        plaintext.len() + TAG
    }

    fn decrypt(&self, _: u64, _: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let len = sealed.len().checked_sub(TAG).ok_or(Error::Decrypt)?;
        let out = out.get_mut(..len).ok_or(Error::Decrypt)?;
        out.copy_from_slice(&sealed[..len]);
        Ok(len)
    }
}

const ZERO: [u8; 32] = [0; 32];
const TAG: usize = 16;
