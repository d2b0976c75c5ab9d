//! What the fuzz targets feed bytes to; a function panics when a promise of the code is broken.

pub mod session;
pub mod wire;
