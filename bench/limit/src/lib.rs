//! What the limits share: a socket under nothing but a cipher.

mod sealed;

pub use sealed::{NOISE, Sealed, Suite, TLS, sealed};
