//! X25519 of curve25519-dalek, in a build without aws-lc: slower, and there anyway.

use curve25519_dalek::MontgomeryPoint;

use super::KEY;

pub(super) struct Private([u8; KEY]);

impl Private {
    #[expect(clippy::unnecessary_wraps, reason = "aws-lc's may fail")]
    pub(super) fn new(secret: &[u8; KEY]) -> Option<Self> {
        Some(Self(*secret))
    }

    #[expect(clippy::unnecessary_wraps, reason = "aws-lc's may fail")]
    pub(super) fn public(&self) -> Option<[u8; KEY]> {
        Some(MontgomeryPoint::mul_base_clamped(self.0).to_bytes())
    }

    /// The shared secret; `None` for low-order points, with which it would be zero whatever our secret is.
    pub(super) fn agree(&self, public: &[u8; KEY]) -> Option<[u8; KEY]> {
        let shared = MontgomeryPoint(*public).mul_clamped(self.0).to_bytes();
        (shared != [0; KEY]).then_some(shared)
    }
}
