//! X25519 of aws-lc.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};

use super::KEY;

pub(super) struct Private(PrivateKey);

impl Private {
    pub(super) fn new(secret: &[u8; KEY]) -> Option<Self> {
        PrivateKey::from_private_key(&X25519, secret).ok().map(Self)
    }

    pub(super) fn public(&self) -> Option<[u8; KEY]> {
        self.0.compute_public_key().ok()?.as_ref().try_into().ok()
    }

    /// The shared secret; `None` for low-order points, since aws-lc refuses an all-zero one.
    pub(super) fn agree(&self, public: &[u8; KEY]) -> Option<[u8; KEY]> {
        let public = UnparsedPublicKey::new(&X25519, public);
        agreement::agree(&self.0, public, (), |secret| {
            secret.try_into().map_err(|_| ())
        })
        .ok()
    }
}
