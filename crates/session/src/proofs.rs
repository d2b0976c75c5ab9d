//! Proofs of identity that were checked before. A peer shows the same signature in every handshake: its identity's, on the
//! key that proves itself in the handshake. Its second check would cost as much as the rest of what a handshake does to it,
//! and find the same.
//!
//! Only that signature is remembered. That the peer holds the key it shows is proven anew each time, by Noise's key
//! exchange or TLS's CertificateVerify.

use std::fmt;

use ring::digest::{Context, SHA256};

/// Remembers valid proofs, by a digest of all that they say. Called from any thread.
pub trait Proofs: fmt::Debug + Send + Sync {
    /// Whether this one was learnt and is still remembered.
    fn is_known(&self, digest: &[u8; 32]) -> bool;

    /// It is valid. Peers choose what is learnt, so there must be a bound.
    fn learn(&self, digest: [u8; 32]);
}

/// Remembers nothing: every proof is checked.
#[derive(Clone, Copy, Debug)]
pub struct NoProofs;

impl Proofs for NoProofs {
    fn is_known(&self, _: &[u8; 32]) -> bool {
        false
    }

    fn learn(&self, _: [u8; 32]) {}
}

/// Calls `verify` unless it was satisfied with the same `parts` before.
pub(crate) fn check<E>(
    proofs: &dyn Proofs,
    parts: &[&[u8]],
    verify: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // With their lengths, no two lists of parts give the same bytes.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    if proofs.is_known(&digest) {
        return Ok(());
    }
    verify()?;
    proofs.learn(digest);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
