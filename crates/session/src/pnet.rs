//! One direction of a private network, pnet/Private-Networks-PSK-V1.md: an XSalsa20 keystream over everything that
//! passes. It hides, it does not authenticate: whoever changes bytes on the way is found out by the security above it.

use std::fmt;

use carrick_wire::pnet::Psk;
use salsa20::{
    XSalsa20,
    cipher::{KeyIvInit, StreamCipher},
};

/// The keystream of one direction; each direction has a nonce of its own.
pub struct Keystream(XSalsa20);

impl Keystream {
    /// Bytes of a nonce. It is the first thing that each side sends, in clear.
    pub const NONCE_LEN: usize = 24;

    /// The stream at its beginning. The nonce must be random: under one key, the same nonce would give the same stream.
    pub fn new(key: &Psk, nonce: &[u8; Self::NONCE_LEN]) -> Self {
        Self(XSalsa20::new(key.as_bytes().into(), nonce.into()))
    }

    /// Hides plain bytes, or shows hidden ones, in place, and moves on by as many.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        // It would panic at its end, after 2^70 bytes.
        self.0.apply_keystream(bytes);
    }
}

impl fmt::Debug for Keystream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
